"""What traffic costs: the ``prices`` setting, and AWS's list prices for a copy.

In: gigabytes and requests. Out: US dollars. Refuses to know discounts, free tiers, and any
price that nothing here is computed with.

The defaults are AWS's list prices as of June 2026, in us-east-1; dearer regions, such as
those of South America, cost up to some times as much. A gigabyte is 2^30 bytes on AWS's bills.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from nearbucket.config.value_types import Section

DATE = "2026-06"
"""When the prices in this file were looked up."""
GB = 1024**3

_TRANSFER_PER_GB = 0.02
"""S3 to another region, on the bill of the origin's bucket."""
_PER_REQUEST = 0.005 / 1000
"""PUT, COPY and LIST, S3 Standard, on the bill of the target's bucket."""
_STORAGE_PER_GB = 0.023
"""A month of S3 Standard, first 50 TB."""

Price = Annotated[float, Field(ge=0)]


class Prices(Section):
    """What traffic costs, in US dollars; for figures about savings alone."""

    cdn_per_gb: Price = 0.085
    """One GB through the CDN: CloudFront's list price of June 2026 for its first 10 TB."""
    region_per_gb: dict[str, Price] = Field(default_factory=dict)
    """AWS region to what one GB through the CDN costs for its clients, where that differs."""

    def cdn(self, region: str) -> float:
        """What a redirected GB saves for clients of ``region``; within one, S3 is free."""
        return self.region_per_gb.get(region, self.cdn_per_gb)


@dataclass(frozen=True, slots=True)
class Cost:
    """What bringing a target up to date costs, in US dollars.

    Attributes:
        transfer: Once, on the origin's bill.
        requests: Once, on the target's bill.
        storage: Each month, on the target's bill.
        break_even_gb: How many GB have to be redirected instead of served by the CDN until
            transfer and requests are paid for; None where the CDN costs nothing.
    """

    transfer: float
    requests: float
    storage: float
    break_even_gb: float | None


def cost_of_copies(size: int, requests: int, *, same_region: bool, cdn_per_gb: float) -> Cost:
    """Cost of copies at list prices.

    Args:
        size: Bytes to be copied.
        requests: Requests that takes.
        same_region: Whether origin and target are in one region, where transfer is free.
        cdn_per_gb: What a GB costs otherwise.
    """
    transfer = 0.0 if same_region else size / GB * _TRANSFER_PER_GB
    asked = requests * _PER_REQUEST
    pays = (transfer + asked) / cdn_per_gb if cdn_per_gb else None
    return Cost(transfer, asked, size / GB * _STORAGE_PER_GB, pays)


ASSUMPTIONS = (
    f"AWS list prices of {DATE}: {_TRANSFER_PER_GB:g} USD a GB between regions, "
    f"{_PER_REQUEST * 1000:g} USD per 1,000 requests, {_STORAGE_PER_GB:g} USD a GB and month; "
    "without discounts; every object's storage counted, although a replaced copy's is freed"
)
