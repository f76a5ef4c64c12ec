"""Everything that the price of traffic depends on: price list, plan, class, discount, volume."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING

from nearbucket.pricing.geographies import (
    EUROPE,
    GEOGRAPHIES,
    NORTH_AMERICA,
    OCEANIA,
    SOUTH_AMERICA,
    UNKNOWN_GEOGRAPHY,
    geography_of_region,
)
from nearbucket.pricing.price_list import GB_PER_TB, price_list

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nearbucket.config.prices import Prices
    from nearbucket.pricing.price_list import PriceList

PAY_AS_YOU_GO = "payg"

_OUTSIDE = {
    "all": frozenset[str](),
    "200": frozenset({SOUTH_AMERICA, OCEANIA}),
    "100": frozenset(GEOGRAPHIES) - {NORTH_AMERICA, EUROPE},
}
"""Geographies outside each price class (CloudFront developer guide, "Price class")."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """What the CDN's and S3's bills are computed by.

    Attributes:
        prices: The price list.
        plan: ``payg``, or ``flat:`` and the plan, as in the setting ``prices.plan``.
        price_class: ``100``, ``200`` or ``all``.
        factor: What a discount leaves of pay-as-you-go prices, from 0 to 1.
        cdn_per_gb: A fixed price of one GB instead of plan, class and discount.
        region_per_gb: Fixed prices of one GB for clients in some AWS regions.
        geography: Price geography of unknown edges; always one of ``GEOGRAPHIES``.
        monthly_gb: GB in a month without redirects; None if that is not known.
    """

    prices: PriceList
    plan: str
    price_class: str
    factor: float
    cdn_per_gb: float | None
    region_per_gb: Mapping[str, float]
    geography: str
    monthly_gb: float | None

    @property
    def steps(self) -> tuple[tuple[float, float], ...]:
        """GB and price of a flat-rate plan's sizes up to its own, rising; empty without one.

        The last one is what is paid, since nothing is charged for more.
        """
        if self.cdn_per_gb is not None or self.plan == PAY_AS_YOU_GO:
            return ()
        name, _, own = self.plan.removeprefix("flat:").partition("-")
        sizes = sorted(self.prices.cloudfront.plans[name].items())
        return tuple((tb * GB_PER_TB, usd) for tb, usd in sizes if not own or tb <= int(own))

    @property
    def at_most(self) -> bool:
        """Whether savings are upper bounds, since the volume of a month is not known."""
        own_price = self.cdn_per_gb is not None
        return self.monthly_gb is None and self.plan == PAY_AS_YOU_GO and not own_price

    @property
    def words(self) -> str:
        """The plan in words."""
        if self.cdn_per_gb is not None:
            return f"{self.cdn_per_gb:g} USD per GB"
        if self.plan != PAY_AS_YOU_GO:
            name, _, tb = self.plan.removeprefix("flat:").partition("-")
            return f"flat-rate plan {name.capitalize()}" + (f" {tb} TB" if tb else "")
        discount = f", {100 * (1 - self.factor):.4g} % off" if self.factor < 1 else ""
        return f"pay as you go, price class {self.price_class}{discount}"

    def words_for(self, gb: float) -> str:
        """The plan that ``gb`` a month are charged by: of a flat-rate plan's sizes, one is paid."""
        if not self.steps:
            return self.words
        paid = next((step for step, _ in self.steps if gb <= step), self.steps[-1][0])
        name, sized, _ = self.plan.partition("-")
        return replace(self, plan=f"{name}-{paid / GB_PER_TB:g}" if sized else name).words

    def billed_as(self, geography: str) -> str:
        """The geography whose prices hold for an edge in ``geography``.

        Edges outside the price class are charged at the lowest prices of the class.
        """
        if geography == UNKNOWN_GEOGRAPHY:
            geography = self.geography
        return NORTH_AMERICA if geography in _OUTSIDE[self.price_class] else geography

    def geography_of_clients(self, region: str) -> str:
        """Price geography of the edges that would serve clients in an AWS region."""
        found = geography_of_region(region)
        return found if found != UNKNOWN_GEOGRAPHY else self.geography

    def tiers(self, geography: str) -> tuple[tuple[float, float], ...]:
        """End in GB and list price of one GB of each tier; the last one has no end."""
        cdn = self.prices.cloudfront
        ends = (*(tb * GB_PER_TB for tb in accumulate(cdn.tiers_tb)), float("inf"))
        return tuple(zip(ends, cdn.per_gb[geography], strict=True))

    def transfer_per_gb(self, bucket_region: str, region: str) -> float:
        """Price of one GB from a bucket to another region; the bucket's owner pays it."""
        if bucket_region == region:
            return 0.0
        between = self.prices.s3.transfer_between
        for pair in (f"{bucket_region} {region}", f"{region} {bucket_region}"):
            if pair in between:
                return between[pair]
        of = self.prices.s3.transfer_per_gb
        return of[max((start for start in of if bucket_region.startswith(start)), key=len)]


def tariff(prices: Prices, overrides: Path | None = None, origin_region: str = "") -> Tariff:
    """The tariff of the setting ``prices``.

    Args:
        prices: The setting.
        overrides: A price file of the user's own over the list prices.
        origin_region: Region of the origin bucket. Its geography is that of unknown edges, if
            ``prices.geography`` is not set.

    Raises:
        ConfigError: The price file cannot be used.
    """
    near = geography_of_region(origin_region)
    return Tariff(
        prices=price_list(overrides),
        plan=prices.plan,
        price_class=prices.price_class,
        factor=1 - prices.discount / 100,
        cdn_per_gb=prices.cdn_per_gb,
        region_per_gb=prices.region_per_gb,
        # North America has the lowest price in each tier
        geography=prices.geography or (NORTH_AMERICA if near == UNKNOWN_GEOGRAPHY else near),
        monthly_gb=prices.monthly_gb,
    )
