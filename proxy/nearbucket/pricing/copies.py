"""What copies in target buckets cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nearbucket.pricing.tariff import Tariff


@dataclass(frozen=True, slots=True)
class CopyCosts:
    """Costs of copies in USD.

    Attributes:
        transfer: Between regions; the origin's account pays it.
        requests: Requests to S3; the target's account pays them.
        storage: A month of the copies; the target's account pays it.
    """

    transfer: float
    requests: float
    storage: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.transfer + self.requests + self.storage


def copy_costs(  # noqa: PLR0913  # a figure each
    tariff: Tariff,
    origin_region: str,
    region: str,
    *,
    copied_gb: float,
    requests: float,
    stored_gb: float,
) -> CopyCosts:
    """Costs of copies from the origin to a bucket in ``region``.

    Args:
        tariff: The tariff.
        origin_region: Region of the origin bucket.
        region: Region of the target bucket.
        copied_gb: GB to copy; an object that is written anew is copied anew.
        requests: Requests that write or list.
        stored_gb: GB that are stored for a month.
    """
    s3 = tariff.prices.s3
    transfer = copied_gb * tariff.transfer_per_gb(origin_region, region)
    return CopyCosts(transfer, requests * s3.per_1000_puts / 1000, stored_gb * s3.storage_per_gb)


def assumptions(tariff: Tariff, origin_regions: Iterable[str]) -> str:
    """What estimates of copies are based on, in one line.

    Args:
        tariff: The tariff.
        origin_regions: Regions of the origins.
    """
    s3 = tariff.prices.s3
    transfer = "".join(
        f"{tariff.transfer_per_gb(region, ''):g} USD per GB from {region} to another region, "
        for region in sorted(set(origin_regions))
    )
    at_least = "; break-even is at least this: prices.monthly_gb is not set"
    return (
        f"AWS list prices of {tariff.prices.date}: {transfer}{s3.per_1000_puts:g} USD per 1,000 "
        f"requests, {s3.storage_per_gb:g} USD per GB and month; the CDN: {tariff.words}"
        f"{at_least if tariff.at_most else ''}; storage of copies that replace others is counted "
        "in full"
    )
