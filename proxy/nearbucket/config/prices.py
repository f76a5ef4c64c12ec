"""The ``prices`` setting: how the CDN is paid. What that makes of traffic is in ``pricing/``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from nearbucket.config.value_types import NOT_BOOLEAN, WHOLE, Percent, Section, like

GB = 1024**3
"""Bytes of a GB on AWS's bills."""
MONTH_DAYS = 30.4
"""Days of a month, to which figures of other periods are scaled."""

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
Price = Annotated[float, Field(ge=0, allow_inf_nan=False), NOT_BOOLEAN, WHOLE]


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
    discount: Percent = 0.0
    """Discount on CloudFront's pay-as-you-go prices, in percent."""
    cdn_per_gb: Price | None = None
    """Price of one GB through your CDN, instead of all of the above."""
    region_per_gb: dict[str, Price] = Field(default_factory=dict)
    """Price of one GB through the CDN for clients in an AWS region, if it differs."""
