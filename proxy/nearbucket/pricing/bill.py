"""The bill of a month, and what is saved if traffic no longer comes over the CDN.

CloudFront's price falls in tiers, so a redirect removes the cheapest GB first, and a flat-rate plan
is paid in steps: a saving is always the difference of two bills, never bytes times a price.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearbucket.pricing.price_list import GB_PER_TB

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.pricing.tariff import Tariff


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of a month. What is below 0 counts as 0.

    Attributes:
        gb: GB to clients by price geography of the edge; ``unknown`` counts like the tariff's
            geography.
        cdn_requests: Requests to the CDN; charged at the prices of the tariff's geography.
        s3_get_requests: GET and HEAD requests to S3.
    """

    gb: Mapping[str, float]
    cdn_requests: float = 0.0
    s3_get_requests: float = 0.0


def bill(usage: Usage, tariff: Tariff) -> float:
    """The bill of a month in USD: bytes and requests."""
    return _cdn(usage, tariff) + max(0.0, usage.s3_get_requests) * s3_get_per_request(tariff)


def saving(before: Usage, after: Usage, costs: float, tariff: Tariff) -> float:
    """What a change of the usage saves in a month, in USD; negative if it costs.

    Never above the bill of the usage before.

    Args:
        before: Usage before.
        after: Usage after.
        costs: Costs beside the two bills, such as those of copies; from 0.
        tariff: The tariff.
    """
    return bill(before, tariff) - bill(after, tariff) - max(0.0, costs)


def s3_get_per_request(tariff: Tariff) -> float:
    """The price of a GET or HEAD request to S3 in USD.

    The bucket's owner pays it, also for a redirect.
    """
    return tariff.prices.s3.per_1000_gets / 1000


def s3_list_per_request(tariff: Tariff) -> float:
    """The price of a LIST request to S3 in USD: that of a PUT."""
    return tariff.prices.s3.per_1000_puts / 1000


def marginal_per_gb(tariff: Tariff, geography: str, monthly_gb: float | None) -> float:
    """The price of the next GB that a redirect takes from the CDN.

    Args:
        tariff: The tariff.
        geography: Price geography of the edge.
        monthly_gb: GB that the CDN carries in a month in this geography; None if that is not known:
            the highest price, which no saving exceeds.

    Returns:
        USD per GB; 0 in a flat-rate plan, where no single GB has a price, and where all is free.
    """
    if tariff.cdn_per_gb is not None:
        return tariff.cdn_per_gb
    if tariff.steps:
        return 0.0
    tiers = tariff.tiers(tariff.billed_as(geography))
    if monthly_gb is None:
        return tariff.factor * max(price for _, price in tiers)
    paid = monthly_gb - tariff.prices.cloudfront.free_gb
    return tariff.factor * next(price for end, price in tiers if paid <= end) if paid > 0 else 0.0


def saved_per_gb(tariff: Tariff, region: str, bucket_region: str) -> float:
    """What a GB saves that clients in ``region`` get from a bucket instead of the CDN, in USD.

    The price of the next GB, less the transfer from another region; below 0 if that costs more.

    Args:
        tariff: The tariff.
        region: AWS region of the clients.
        bucket_region: Region of the bucket.
    """
    geography = tariff.geography_of_clients(region)
    cdn = tariff.region_per_gb.get(region)
    if cdn is None:
        cdn = marginal_per_gb(tariff, geography, tariff.monthly_gb)
    return cdn - tariff.transfer_per_gb(bucket_region, region)


def removal_usd(tariff: Tariff, geography: str, removed_gb: float) -> float:
    """What the CDN's bill of a month falls by if redirects take so many GB from it.

    Never above the bill of ``tariff.monthly_gb``. Where that is not known, it is the most that
    it can be; with a flat-rate plan, what it is if the plan's volume is used whole.

    Args:
        tariff: The tariff.
        geography: Price geography of the edge.
        removed_gb: GB that redirects take; below 0: what the bill rises by, as a negative number.
    """
    volume = _volume(tariff)
    if volume is None:
        return removed_gb * marginal_per_gb(tariff, geography, None)
    before, after = Usage({geography: volume}), Usage({geography: volume - removed_gb})
    return bill(before, tariff) - bill(after, tariff)


def whole_bill(tariff: Tariff, geography: str) -> float | None:
    """The CDN's bill of a month without redirects; None if its volume is not known.

    Args:
        tariff: The tariff; ``removal_usd`` is never above this.
        geography: Price geography of the edges.
    """
    volume = _volume(tariff)
    return None if volume is None else bill(Usage({geography: volume}), tariff)


def _volume(tariff: Tariff) -> float | None:
    if tariff.monthly_gb is not None or not tariff.steps:
        return tariff.monthly_gb
    tb = tariff.plan.partition("-")[2]
    return float(tb) * GB_PER_TB if tb else 0.0


def _cdn(usage: Usage, tariff: Tariff) -> float:
    gb: dict[str, float] = {}
    for geography, amount in usage.gb.items():
        name = tariff.billed_as(geography)
        gb[name] = gb.get(name, 0.0) + max(0.0, amount)
    total = sum(gb.values())
    if tariff.cdn_per_gb is not None:
        return total * tariff.cdn_per_gb
    if tariff.steps:  # nothing is charged for more than the plan's size
        return next((usd for end, usd in tariff.steps if total <= end), tariff.steps[-1][1])
    cdn = tariff.prices.cloudfront
    paid = max(0.0, total - cdn.free_gb) / total if total else 0.0
    bytes_usd = sum(_in_tiers(tariff, name, amount * paid) for name, amount in gb.items())
    paid_requests = max(0.0, usage.cdn_requests - cdn.free_requests)
    request_usd = cdn.per_10000_requests[tariff.billed_as(tariff.geography)] / 10_000
    return tariff.factor * (bytes_usd + paid_requests * request_usd)


def _in_tiers(tariff: Tariff, geography: str, gb: float) -> float:
    """The list price of so many GB in one geography."""
    usd, begin = 0.0, 0.0
    for end, price in tariff.tiers(geography):
        usd += max(0.0, min(gb, end) - begin) * price
        begin = end
    return usd
