"""Makes a report of what was counted: the bill, the what-ifs, the recommendation, the notes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nearbucket.analysis.answers import BillEstimate, Recommendation, Report
from nearbucket.analysis.policies.traffic_tables import TrafficTables
from nearbucket.analysis.policies.what_if import usual_policy, what_if_and_next_regions
from nearbucket.analysis.reading.formats import S3_LOG
from nearbucket.analysis.recommending.recommendation import NothingRecommended, recommend
from nearbucket.analysis.report_notes import redirected_requests, report_notes
from nearbucket.config.prices import GB, MONTH_DAYS
from nearbucket.pricing.bill import Usage, bill

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.analysis.answers import Scope
    from nearbucket.analysis.counting.count_queries import Answers
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff

_ASSUMED = "The origin is taken to be in {}; --origin-region names another."
_UNUSED = (
    "The bill given could not be used: by these prices, {:.3g} GB a month cost nothing, so there "
    "is nothing to scale to it. Say with prices.monthly_gb in a configuration what the CDN carries "
    "in all."
)
_UNSEEN = "it could stop redirects that are on, whose bytes these logs do not have"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report depends on beside the logs.

    Attributes:
        tariff: The prices.
        origin_region: Region of the origin bucket.
        own: The configuration; None if there is none.
        bill_usd: The CDN's real bill of a month; None if it is not known.
        recommend: Whether a policy is recommended.
        origin_is_assumed: Whether neither a configuration nor an option says ``origin_region``.
    """

    tariff: Tariff
    origin_region: str
    own: Settings | None = None
    bill_usd: float | None = None
    recommend: bool = True
    origin_is_assumed: bool = False


def build_report(scope: Scope, found: Answers, options: ReportOptions) -> Report:
    """The whole report."""
    traffic, own, region = found.traffic, options.own, options.origin_region
    usage = with_other_traffic(monthly_usage(found.geographies, traffic.days), options.tariff)
    tariff, estimate = _bill(usage, options)
    policy = own or usual_policy(region)
    tables = TrafficTables(traffic)
    what_if, next_regions = what_if_and_next_regions(tables, policy, tariff, usage)
    recommended: Recommendation | NothingRecommended | None = None
    if options.recommend:
        whole = not redirected_requests(found.counts)
        if not whole and own is not None and own.sites[0].redirect.mode == "on":
            recommended = NothingRecommended(_UNSEEN)
        else:
            names = S3_LOG not in scope.kinds
            recommended = recommend(
                tables, region, tariff, usage, own, with_names=names, whole=whole
            )
    return Report(
        scope=scope,
        counts=found.counts,
        bill=estimate,
        what_if=what_if,
        next_regions=next_regions,
        recommendation=recommended if isinstance(recommended, Recommendation) else None,
        notes=(
            *_unused_bill(estimate, options.bill_usd),
            *report_notes(scope, found.counts, tariff, usage, what_if, recommended, own),
            *((_ASSUMED.format(region),) if options.origin_is_assumed else ()),
        ),
    )


def _unused_bill(estimate: BillEstimate, given: float | None) -> tuple[str, ...]:
    """That a bill was given to which nothing could be scaled."""
    if not given or estimate.scaled:
        return ()
    return (_UNUSED.format(estimate.bytes_month / GB),)


def monthly_usage(geographies: Mapping[str, tuple[int, int]], days: float) -> Usage:
    """What the CDN delivers in a month at the pace of a log.

    Args:
        geographies: Requests and bytes by price geography of the edge.
        days: Days of the log.
    """
    month = MONTH_DAYS / days if days else 0.0
    return Usage(
        gb={name: size * month / GB for name, (_, size) in geographies.items()},
        cdn_requests=sum(requests for requests, _ in geographies.values()) * month,
    )


def with_other_traffic(usage: Usage, tariff: Tariff) -> Usage:
    """The usage of a month, with what ``prices.monthly_gb`` has beyond the log.

    The CDN carries that for others, or in other logs: it takes the dear tiers, so that redirects
    save cheaper GB.
    """
    other = (tariff.monthly_gb or 0.0) - sum(usage.gb.values())
    if other <= 0:
        return usage
    geography = tariff.geography
    return replace(usage, gb={**usage.gb, geography: usage.gb.get(geography, 0.0) + other})


def _bill(usage: Usage, options: ReportOptions) -> tuple[Tariff, BillEstimate]:
    """The bill, and the tariff that gives it: scaled to the real bill, where that is known."""
    tariff = options.tariff
    computed = bill(usage, tariff)
    scaled = options.bill_usd is not None and computed > 0 and not tariff.steps
    if scaled and options.bill_usd is not None:
        ratio = options.bill_usd / computed
        own_price = tariff.cdn_per_gb
        tariff = replace(
            tariff,
            factor=tariff.factor * ratio,
            cdn_per_gb=None if own_price is None else own_price * ratio,
            region_per_gb={name: each * ratio for name, each in tariff.region_per_gb.items()},
        )
        computed = options.bill_usd
    size = sum(usage.gb.values()) * GB
    estimate = BillEstimate(
        options.tariff.words_for(size / GB),
        size,
        computed,
        scaled,
        dict(usage.gb),
        usage.cdn_requests,
    )
    return tariff, estimate
