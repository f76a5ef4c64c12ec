"""What copies in target buckets cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearbucket.pricing.price_list import PriceList
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


def assumptions(prices: PriceList, transfer_per_gb: float) -> str:
    """What estimates of copies are based on, in one line."""
    s3 = prices.s3
    return (
        f"AWS list prices of {prices.date}: {transfer_per_gb:g} USD per GB between these regions, "
        f"{s3.per_1000_puts:g} USD per 1,000 requests, {s3.storage_per_gb:g} USD per GB and month; "
        "no discounts; storage of copies that replace others is counted in full"
    )
