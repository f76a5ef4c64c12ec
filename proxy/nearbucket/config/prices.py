"""The ``prices`` setting: how the CDN is paid. What that makes of traffic is in ``pricing/``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from nearbucket.config.value_types import NOT_BOOLEAN, Section, like

GB = 1024**3
"""Bytes of a GB on AWS's bills."""

DATE = "2026-06"
"""Date of the prices in this file."""

_TRANSFER_PER_GB = 0.02
"""Transfer from S3 in North America or Europe to another region; the bucket's owner pays it."""
_CHEAP = ("us-", "ca-", "eu-")
_DEAREST_TRANSFER_PER_GB = 0.147
"""The same from any other region: the highest of their prices, so that no saving is too high."""
_PER_REQUEST = 0.005 / 1000
"""PUT, COPY and LIST of S3 Standard; the target's account pays it."""
_STORAGE_PER_GB = 0.023
"""One month of S3 Standard, first 50 TB."""

_PLAN = r"^(payg|flat:pro|flat:business|flat:premium-(50|75|125|200|350|600))$"
_PLANS = "payg, flat:pro, flat:business, or flat:premium- and its TB, such as flat:premium-75"

Plan = Annotated[
    str,
    Field(pattern=_PLAN),
    like(_PLAN, _PLANS),
    BeforeValidator(lambda value: plan_name(value) if isinstance(value, str) else value),
]
Geography = Literal[
    "north-america", "europe", "africa-middle-east", "south-america",
    "japan", "oceania", "asia", "india",
]  # fmt: skip
PriceClass = Annotated[
    Literal["100", "200", "all"],
    BeforeValidator(
        lambda value: str(value) if type(value) is int else value,
        json_schema_input_type=Literal["all", 100, 200],
    ),
]
Price = Annotated[float, Field(ge=0, allow_inf_nan=False), NOT_BOOLEAN]


def plan_name(text: str) -> str:
    """A plan as the setting writes it: ``flat:premium-75`` for ``flat:PREMIUM-75TB``."""
    return text.strip().lower().removesuffix("tb")


class Prices(Section):
    """How the CDN is paid, for all figures in US dollars. A GB is 2^30 bytes."""

    plan: Plan = "payg"
    """CloudFront's pricing: pay as you go, or a flat-rate plan."""
    monthly_gb: Price | None = None
    """GB that the CDN would carry in a month without redirects: those of its bill, and the
    redirected ones. Redirects save the cheapest GB, so without it, savings are at most what is
    shown."""
    geography: Geography | None = None
    """Price geography of the edge locations, where neither an access log nor the client's region
    tells it; by default that of the origin's region."""
    price_class: PriceClass = "all"
    """CloudFront's price class: edge locations outside it are charged like North America."""
    discount: Annotated[float, Field(ge=0, le=100), NOT_BOOLEAN] = 0.0
    """Discount on CloudFront's pay-as-you-go prices, in percent."""
    cdn_per_gb: Price | None = None
    """Price of one GB through your CDN, instead of all of the above."""
    region_per_gb: dict[str, Price] = Field(default_factory=dict)
    """Price of one GB through the CDN for clients in an AWS region, if it differs."""

    def cdn(self, region: str) -> float:
        """What a redirected GB saves for clients in ``region``; transfer from S3 there is free."""
        return self.region_per_gb.get(region, 0.085 if self.cdn_per_gb is None else self.cdn_per_gb)

    def saved(self, region: str, bucket_region: str) -> float:
        """What a GB saves if clients in ``region`` get it from a bucket in ``bucket_region``."""
        transfer = 0.0 if region == bucket_region else transfer_per_gb(bucket_region)
        return max(0.0, self.cdn(region) - transfer)


def transfer_per_gb(region: str) -> float:
    """Price of one GB from S3 in a region to another region."""
    return _TRANSFER_PER_GB if region.startswith(_CHEAP) else _DEAREST_TRANSFER_PER_GB


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of the copies for a target, in US dollars.

    Attributes:
        transfer: Once, for the origin's account.
        requests: Once, for the target's account.
        storage: Each month, for the target's account.
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
        size: Bytes to copy.
        requests: Number of requests to S3.
        same_region: Whether origin and target are in one region, where transfer is free.
        cdn_per_gb: Price of one GB through the CDN.
    """
    transfer = 0.0 if same_region else size / GB * _TRANSFER_PER_GB
    request_cost = requests * _PER_REQUEST
    break_even = (transfer + request_cost) / cdn_per_gb if cdn_per_gb else None
    return Cost(transfer, request_cost, size / GB * _STORAGE_PER_GB, break_even)


ASSUMPTIONS = (
    f"AWS list prices of {DATE}: {_TRANSFER_PER_GB:g} USD per GB between regions, "
    f"{_PER_REQUEST * 1000:g} USD per 1,000 requests, {_STORAGE_PER_GB:g} USD per GB and month; "
    "no discounts; storage of copies that replace others is counted in full"
)
