"""Recommends a policy for the traffic of a log: patterns, size floor, regions, and why.

The policy is found on sums (``policy_facts``, ``policy_fit``), and its figures are those of
``what_if``: by the product's own decisions on all requests.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.answers import Recommendation
from nearbucket.analysis.policies.policy_text import days_text
from nearbucket.analysis.policies.what_if import PolicyForecast, month_bill
from nearbucket.analysis.recommending.key_patterns import first_match
from nearbucket.analysis.recommending.policy_evidence import doubt, fit_with_evidence
from nearbucket.analysis.recommending.policy_facts import policy_facts
from nearbucket.analysis.recommending.policy_worth import Valuation
from nearbucket.analysis.recommending.recommended_config import (
    base_settings,
    in_shadow_mode,
    possible_regions,
    recommended_prices,
    recommended_settings,
    recommended_yaml,
    with_hosts,
)
from nearbucket.analysis.recommending.recommended_lines import RecommendationReasons
from nearbucket.config.settings import ClientAddress
from nearbucket.figures import money

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.analysis.policies.traffic_tables import TrafficTables
    from nearbucket.analysis.recommending.policy_fit import FittedPolicy
    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.pricing.bill import Usage
    from nearbucket.pricing.tariff import Tariff

_ROUNDS = 3
_FIRST_SHARE = 0.7
"""Share of the eligible GB at whose price the first round looks."""


_NO_TRAFFIC = "no client in an AWS region downloads an object that may be redirected"


class NothingRecommended(NamedTuple):
    """No policy pays, or none has evidence.

    Attributes:
        why: The reason, as part of a sentence.
    """

    why: str


def recommend(  # noqa: PLR0913  # what a recommendation depends on
    tables: TrafficTables,
    origin_region: str,
    tariff: Tariff,
    usage: Usage,
    own: Settings | None = None,
    *,
    with_names: bool = True,
    whole: bool = True,
) -> Recommendation | NothingRecommended:
    """The policy that saves most, as far as there is evidence; or why there is none.

    Args:
        tables: The log.
        origin_region: Region of the origin bucket, if there is no configuration.
        tariff: The prices.
        usage: What the CDN delivers in a month.
        own: The configuration in use. Its first site gives origin, buckets, exclusions and
            whatever else is not recommended.
        with_names: Whether the log's hosts are those that clients ask for, and not buckets.
        whole: Whether the log has the bytes of all requests; else it does not tell a month's GB.

    Raises:
        ConfigError: There is no such region.
    """
    base = base_settings(origin_region, own)
    site = base.sites[0]
    facts = policy_facts(tables, base, possible_regions(site))
    if not facts.gb:
        by_site = f" by the site {site.name}" if len(base.sites) > 1 else ""
        return NothingRecommended(_NO_TRAFFIC + by_site)
    valuation = Valuation.build(facts, month_bill(tables, tariff, usage), site)
    fit = _fit(valuation)
    too_little = f"the best one would save less than {money(valuation.least)} a month"
    if not fit.policy.patterns:
        weak = [f"no evidence for {name}: {why}" for name, why in fit.weak.items()]
        return NothingRecommended(weak[0] if weak else too_little)
    settings = recommended_settings(base, fit.policy)
    label = first_match(fit.policy.patterns)
    forecast = PolicyForecast(tables, settings, valuation.money, label=label)
    found = _recommendation(settings.sites[0], valuation, fit, forecast)
    if found.saving_usd_month < valuation.least:
        return NothingRecommended(too_little)
    volume = sum(usage.gb.values()) if whole else 0.0
    prices = recommended_prices(settings.prices, tariff, volume)
    settings = settings.model_copy(update={"prices": prices})
    if own is None and with_names:
        settings = with_hosts(settings, tables.hosts())
    if own is None or own.sites[0].redirect.mode != "on":
        settings = in_shadow_mode(settings)
    return replace(found, yaml=_yaml(settings, found, tables.period))


_SHADOW = "Begin with redirect.mode: shadow, which only counts. With on, it redirects."
_CLIENT_ADDRESS = (
    "Behind a load balancer or CDN, also set client_address: else all clients have its address.",
)


class _Fit(NamedTuple):
    """A fitted policy, the prices of the GB that it removes, and what lacks evidence."""

    policy: FittedPolicy
    prices: Mapping[str, float]
    weak: dict[str, str]


def _recommendation(
    site: Site, valuation: Valuation, fit: _Fit, forecast: PolicyForecast
) -> Recommendation:
    """The recommendation, still without YAML."""
    found = forecast.what_if()
    expected = doubt(valuation, fit.prices, fit.weak, found.saving_usd_month)
    worth = valuation.worth(fit.prices)
    reasons = RecommendationReasons(valuation, worth, fit.policy, fit.weak, forecast, site)
    return Recommendation(
        paths=site.redirect.paths,
        exclude=site.redirect.exclude,
        min_size=site.redirect.min_size,
        regions=fit.policy.regions,
        redirects_month=found.redirects_month,
        bytes_month=found.bytes_month,
        costs_usd_month=found.costs_usd_month,
        saving_usd_month=found.saving_usd_month,
        low=expected.low,
        high=expected.high,
        why=reasons.lines(),
        yaml="",
        gb_month=found.gb_month,
    )


def _fit(valuation: Valuation) -> _Fit:
    removed = eligible = valuation.eligible(_FIRST_SHARE)
    for _ in range(_ROUNDS):
        prices = valuation.money.prices(removed, eligible)
        worth = valuation.worth(prices)
        policy, weak = fit_with_evidence(worth, valuation.facts)
        after = valuation.of_policy(policy, worth)
        if after == removed or not after:
            break
        removed = after
    return _Fit(policy, prices, weak)


def _yaml(settings: Settings, recommended: Recommendation, days: float) -> str:
    """The configuration, with what it saves and what is to be done with it."""
    saved, low, high = (
        money(usd) for usd in (recommended.saving_usd_month, recommended.low, recommended.high)
    )
    others = ", ".join(ascii(site.name)[1:-1] for site in settings.sites[1:])
    heading = (
        f"Recommended by nearbucket analyze from {days_text(days)} of logs.",
        f"Saves {saved} a month ({low} to {high}).",
        "Put in the names of your buckets, and fill them with nearbucket sync.",
        *((_SHADOW,) if settings.sites[0].redirect.mode == "shadow" else ()),
        *([f"This is the first site: keep those for {others}."] if others else ()),
        *(_CLIENT_ADDRESS if settings.client_address == ClientAddress() else ()),
    )
    return recommended_yaml(settings, heading)
