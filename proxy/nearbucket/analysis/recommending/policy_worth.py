"""What redirects are worth by group, size class and region, at the prices of the GB they remove."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import ceil, log2
from operator import sub
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.recommending.key_patterns import coverage, patterns_for
from nearbucket.analysis.recommending.policy_fit import EVERYTHING, Worth
from nearbucket.config.prices import GB

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from nearbucket.analysis.policies.month_effect import MonthBill
    from nearbucket.analysis.recommending.policy_facts import PolicyFacts, Slot, Source
    from nearbucket.analysis.recommending.policy_fit import FittedPolicy
    from nearbucket.config.sites import Site

_LEAST_USD, _LEAST_SHARE = 5.0, 0.005
"""A pattern or region has to save this in a month, and this share of the bill."""
_LARGEST_FLOOR = 24
"""16 MiB: above it, requests and copies are too few for their costs to matter."""


class Flow(NamedTuple):
    """The GB from one source, slot by slot.

    Attributes:
        region: Region of the clients.
        geography: Price geography of the edge.
        places: Places of the slots among all.
        totals: GB of each.
        by_day: The same for each day of the log.
    """

    region: str
    geography: str
    places: list[int]
    totals: list[float]
    by_day: list[tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Valuation:
    """Values redirects.

    Attributes:
        facts: The traffic.
        money: The bill.
        origin: Region of the origin.
        patterns: Pattern to the groups that it covers.
        slots: All slots.
        flows: Their traffic.
        costs: Dollars a month for requests to S3 and copies of each slot, by region.
    """

    facts: PolicyFacts
    money: MonthBill
    origin: str
    patterns: Mapping[str, frozenset[int]]
    slots: tuple[Slot, ...]
    flows: tuple[Flow, ...]
    costs: Mapping[str, Sequence[float]]

    @classmethod
    def build(cls, facts: PolicyFacts, money: MonthBill, site: Site) -> Valuation:
        """Propose patterns for the groups of the traffic."""
        slots = tuple(facts.copies)
        by_source: dict[Source, dict[int, list[float]]] = defaultdict(dict)
        for place, slot in enumerate(slots):
            for source, daily in facts.gb.get(slot, {}).items():
                by_source[source][place] = daily
        flows = tuple(
            Flow(
                *source, list(of), list(map(sum, of.values())), list(zip(*of.values(), strict=True))
            )
            for source, of in by_source.items()
        )
        patterns = coverage([*patterns_for(facts.groups), EVERYTHING], facts.examples)
        costs = {region: _costs(facts, money, site, region) for region in facts.regions}
        return cls(facts, money, site.origin.region, patterns, slots, flows, costs)

    @property
    def least(self) -> float:
        """Dollars a month below which a pattern or region is not worth its line."""
        return max(_LEAST_USD, _LEAST_SHARE * self.money.usd)

    def removed(self, slots: Collection[Slot], regions: Collection[str]) -> dict[str, float]:
        """GB a month by geography."""
        sums: dict[str, float] = defaultdict(float)
        for slot in slots:
            for source, daily in self.facts.gb.get(slot, {}).items():
                if source.region in regions:
                    sums[source.geography] += sum(daily) * self.facts.month
        return dict(sums)

    def eligible(self, share: float) -> dict[str, float]:
        """A share of all GB a month that redirects could remove, by geography."""
        found = self.removed(self.slots, self.facts.regions)
        return {geography: gb * share for geography, gb in found.items()}

    def of_policy(self, policy: FittedPolicy, worth: Worth) -> dict[str, float]:
        """GB a month that a policy removes, by geography."""
        return self.removed(worth.covered_slots(policy), policy.regions)

    def worth(self, prices: Mapping[str, float], without: Collection[int] = ()) -> Worth:
        """What redirects are worth.

        Args:
            prices: Dollars for a GB, by geography.
            without: Days of the log that are left out; the others stand for the month.
        """
        scale = self.facts.month * self.facts.days / (self.facts.days - len(without))
        if not without:
            return self._worth(prices, scale, lambda flow: flow.totals)
        return self._worth(prices, scale, lambda flow: _less(flow, without))

    def worth_of_day(
        self, prices: Mapping[str, float], day: int, regions: Collection[str]
    ) -> Worth:
        """What redirects in some regions are worth if the whole month is like one day."""
        scale = self.facts.month * self.facts.days
        return self._worth(prices, scale, lambda flow: flow.by_day[day], regions)

    def _worth(
        self,
        prices: Mapping[str, float],
        scale: float,
        gb_of: Callable[[Flow], Iterable[float]],
        regions: Collection[str] | None = None,
    ) -> Worth:
        by_region = {
            region: [-usd for usd in costs]
            for region, costs in self.costs.items()
            if regions is None or region in regions
        }
        for flow in self.flows:
            if (row := by_region.get(flow.region)) is None:
                continue
            price = prices.get(flow.geography, 0.0)
            for place, gb in zip(flow.places, gb_of(flow), strict=True):
                row[place] += gb * scale * price
        return Worth(
            slots=self.slots,
            by_region=by_region,
            coverage=self.patterns,
            origin=self.origin,
            least=self.least,
            floors=self._floors(prices),
        )

    def _floors(self, prices: Mapping[str, float]) -> range:
        """From the size for which a GET to S3 costs as much as the CDN's bytes."""
        dearest = max(prices.values(), default=0.0)
        if dearest <= 0:
            return range(_LARGEST_FLOOR, _LARGEST_FLOOR + 1)
        even = self.money.per_redirect / dearest * GB
        smallest = max(0, ceil(log2(even))) if even > 0 else 0
        return range(min(smallest, _LARGEST_FLOOR), _LARGEST_FLOOR + 1)


def _less(flow: Flow, without: Collection[int]) -> Iterable[float]:
    """The GB of a flow without those of some days."""
    out, *more = (flow.by_day[day] for day in without)
    if more:
        out = tuple(map(sum, zip(out, *more, strict=True)))
    return map(sub, flow.totals, out)


def _costs(facts: PolicyFacts, money: MonthBill, site: Site, region: str) -> list[float]:
    """Dollars a month for each slot: requests to S3, copies, and transfer from another region."""
    origin, target = site.origin, site.targets.get(region)
    bucket = site.bucket_region(region) if target else region
    is_origin = target.url() == origin.url() if target else region == origin.region
    per_request = money.per_redirect * facts.month
    per_gb = money.tariff.transfer_per_gb(bucket, region) * facts.month
    return [
        facts.requests.get(slot, {}).get(region, 0) * per_request
        + facts.total(slot, region) * per_gb
        + (0.0 if is_origin else money.copies(volume, origin.region, bucket))
        for slot, volume in facts.copies.items()
    ]
