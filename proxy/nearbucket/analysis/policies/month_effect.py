"""What redirects change in a month: gigabytes, costs of S3, and the saving by the CDN's bill.

All dollars are those of ``pricing``. Requests to the CDN count as before: a proxy behind it gets
them through it, and one beside it is asked first by clients that came from there.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.config.prices import GB
from nearbucket.pricing.bill import bill, s3_get_per_request, saving
from nearbucket.pricing.copies import copy_costs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearbucket.analysis.policies.copy_volume import CopyVolume
    from nearbucket.analysis.policies.policy_traffic import RedirectedTraffic
    from nearbucket.pricing.bill import Usage
    from nearbucket.pricing.tariff import Tariff


class MonthEffect(NamedTuple):
    """What redirects change in a month.

    Attributes:
        redirects: Redirects.
        removed: GB that the CDN no longer delivers, by price geography.
        costs: Dollars for copies, storage and requests to S3.
        saving: Dollars saved, less the costs.
    """

    redirects: float = 0.0
    removed: Mapping[str, float] = MappingProxyType({})
    costs: float = 0.0
    saving: float = 0.0

    @property
    def gb(self) -> float:
        """GB that the CDN no longer delivers."""
        return sum(self.removed.values())

    def beyond(self, other: MonthEffect) -> MonthEffect:
        """What is added to another effect."""
        return MonthEffect(
            self.redirects - other.redirects,
            {name: gb - other.removed.get(name, 0.0) for name, gb in self.removed.items()},
            self.costs - other.costs,
            self.saving - other.saving,
        )


@dataclass(frozen=True, slots=True)
class MonthBill:
    """The bill of a month, and what redirects change of it.

    Attributes:
        tariff: The prices.
        usage: What the CDN delivers in a month without the redirects.
        month: Factor that scales the log's period to a month.
    """

    tariff: Tariff
    usage: Usage
    month: float

    @property
    def usd(self) -> float:
        """The bill without redirects."""
        return bill(self.usage, self.tariff)

    @property
    def most(self) -> float:
        """What redirects of everything would save: a plan is paid even without traffic."""
        return self.usd - bill(self.without(self.usage.gb), self.tariff)

    def copies(self, volume: CopyVolume, origin: str, region: str) -> float:
        """Dollars a month for copies from a bucket in region ``origin`` to one in ``region``."""
        return copy_costs(
            self.tariff,
            origin,
            region,
            copied_gb=volume.transfer_gb_month,
            requests=volume.copies_month,
            stored_gb=volume.stored_gb,
        ).total

    @property
    def per_redirect(self) -> float:
        """Dollars for the request to S3 that follows a redirect."""
        return s3_get_per_request(self.tariff)

    def effect(
        self,
        rows: Iterable[RedirectedTraffic],
        buckets: Mapping[tuple[str, str], str],
        copies: float,
    ) -> MonthEffect:
        """What the redirects of the log's period change in a month.

        Args:
            rows: The redirected traffic.
            buckets: Region of the bucket by site and region of the clients, where it is another.
            copies: Dollars a month for copies.
        """
        removed: dict[str, float] = defaultdict(float)
        billed: dict[str, float] = defaultdict(float)
        redirects, costs, own = 0.0, copies, 0.0
        for row in rows:
            gb = row.bytes / GB * self.month
            removed[row.geography] += gb
            if row.region in self.tariff.region_per_gb:
                own += gb * self.tariff.region_per_gb[row.region]
            else:
                billed[row.geography] += gb
            redirects += row.requests * self.month
            costs += row.requests * self.month * self.per_redirect
            bucket = buckets.get((row.site, row.region), row.region)
            costs += gb * self.tariff.transfer_per_gb(bucket, row.region)
        saved = saving(self.usage, self.without(billed), costs, self.tariff)
        most = self.usd - costs
        return MonthEffect(redirects, dict(removed), costs, min(saved + own, most))

    def without(self, removed: Mapping[str, float]) -> Usage:
        """The usage that is left when GB are removed by geography."""
        left = {
            geography: max(0.0, gb - removed.get(geography, 0.0))
            for geography, gb in self.usage.gb.items()
        }
        return replace(self.usage, gb=left)

    def prices(
        self, removed: Mapping[str, float], eligible: Mapping[str, float]
    ) -> dict[str, float]:
        """Dollars saved by each removed GB, on average, by geography.

        Tiers are counted for each geography, but a flat-rate plan for all together: the saving of
        each geography alone is scaled so that they add up to that of all.

        Args:
            removed: GB that redirects remove, by geography.
            eligible: GB that they would remove in other geographies; those of ``removed`` do not
                count. Their price is that of removing them, too.
        """
        after = bill(self.without(removed), self.tariff)
        whole, gbs = self.usd - after, sum(removed.values())
        alone = {
            name: self.usd - bill(self.without({name: gb}), self.tariff)
            for name, gb in removed.items()
            if gb > 0
        }
        total = sum(alone.values())
        found = {
            name: usd / removed[name] * whole / total if total > 0 else whole / gbs
            for name, usd in alone.items()
        }
        for name, gb in eligible.items():
            if gb > 0 and name not in found:
                with_it = bill(self.without({**removed, name: gb}), self.tariff)
                found[name] = (after - with_it) / gb
        return found
