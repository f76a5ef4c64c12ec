"""Recommends a policy for the traffic of a log: patterns, size floor, regions, and why.

The policy is found on sums (``policy_facts``, ``policy_fit``), and its figures are those of
``what_if``: by the product's own decisions on all requests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nearbucket.analysis.answers import Recommendation
from nearbucket.analysis.key_patterns import first_match
from nearbucket.analysis.policy_evidence import doubt, fit_with_evidence
from nearbucket.analysis.policy_facts import policy_facts
from nearbucket.analysis.policy_worth import Valuation
from nearbucket.analysis.recommended_config import (
    base_settings,
    possible_regions,
    recommended_settings,
    recommended_yaml,
)
from nearbucket.analysis.recommended_lines import RecommendationReasons
from nearbucket.analysis.traffic_tables import TrafficTables
from nearbucket.analysis.what_if import PolicyForecast, month_bill
from nearbucket.policy.rules import SitePolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.analysis.policy_fit import FittedPolicy
    from nearbucket.analysis.traffic import Traffic
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.bill import Usage
    from nearbucket.pricing.tariff import Tariff

_ROUNDS = 3
_FIRST_SHARE = 0.7
"""Share of the eligible GB at whose price the first round looks."""


def recommend(
    traffic: Traffic,
    origin_region: str,
    tariff: Tariff,
    usage: Usage,
    own: Settings | None = None,
) -> Recommendation | None:
    """The policy that saves most, as far as there is evidence; None if none pays.

    Args:
        traffic: The tables of the log.
        origin_region: Region of the origin bucket, if there is no configuration.
        tariff: The prices.
        usage: What the CDN delivers in a month.
        own: The configuration in use. Its first site gives origin, buckets, exclusions and
            whatever else is not recommended.

    Raises:
        ConfigError: There is no such region.
    """
    base = base_settings(origin_region, own)
    site = base.sites[0]
    tables = TrafficTables(traffic)
    facts = policy_facts(tables, SitePolicy.build(site), possible_regions(site))
    if not facts.gb:
        return None
    valuation = Valuation.build(facts, month_bill(tables, tariff, usage), site.origin.region)
    policy, prices, weak = _fit(valuation)
    if not policy.patterns:
        return None
    settings = recommended_settings(base, policy)
    label = first_match(policy.patterns)
    forecast = PolicyForecast(tables, settings, valuation.money, label=label)
    found = forecast.what_if()
    if found.saving_usd_month < valuation.least:
        return None
    range_ = doubt(valuation, prices, policy, weak, found.saving_usd_month)
    site = settings.sites[0]
    found_policy = Recommendation(
        paths=site.redirect.paths,
        exclude=site.redirect.exclude,
        min_size=site.redirect.min_size,
        regions=policy.regions,
        redirects_month=found.redirects_month,
        bytes_month=found.bytes_month,
        costs_usd_month=found.costs_usd_month,
        saving_usd_month=found.saving_usd_month,
        low=range_.low,
        high=range_.high,
        why=RecommendationReasons(valuation, valuation.worth(prices), policy, weak, forecast, site).lines(),
        yaml="",
        gb_month=found.gb_month,
    )
    return replace(found_policy, yaml=_yaml(settings, found_policy, usage, traffic.days))


def _fit(valuation: Valuation) -> tuple[FittedPolicy, Mapping[str, float], dict[str, str]]:
    """The policy, the prices of the GB that it removes, and what lacks evidence."""
    removed = eligible = valuation.eligible(_FIRST_SHARE)
    for _ in range(_ROUNDS):
        prices = valuation.money.prices(removed, eligible)
        worth = valuation.worth(prices)
        policy, weak = fit_with_evidence(worth, valuation.facts)
        after = valuation.of_policy(policy, worth)
        if after == removed or not after:
            break
        removed = after
    return policy, prices, weak


def _yaml(settings: Settings, recommended: Recommendation, usage: Usage, days: float) -> str:
    """The configuration, with what it saves and what is to be done with it."""
    saved, low, high = (
        f"{usd:,.0f}" for usd in (recommended.saving_usd_month, recommended.low, recommended.high)
    )
    heading = (
        f"Recommended by nearbucket analyze from {days:.3g} days of logs.",
        f"Saves {saved} USD a month ({low} to {high}).",
        "Put in the names of your buckets, and fill them with nearbucket sync.",
        "Begin with redirect.mode: shadow, which only counts.",
    )
    prices = settings.prices.model_copy(update={"monthly_gb": sum(usage.gb.values())})
    return recommended_yaml(settings.model_copy(update={"prices": prices}), heading)
