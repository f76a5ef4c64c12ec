"""The traffic that a recommendation is found from, summed up by groups of objects.

Only requests count that a redirect could serve: GET with 200 or 206, without credentials, from
regions in the origin's AWS partition, for objects that the configuration does not exclude.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.policies.copy_volume import CopyVolume, ObjectCount
from nearbucket.analysis.policies.policy_traffic import site_by_host
from nearbucket.analysis.recommending.key_patterns import KeyGroup, KeyGrouping, finest_group
from nearbucket.config.prices import GB, MONTH_DAYS
from nearbucket.policy.rules import SitePolicy

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nearbucket.analysis.policies.traffic_tables import TrafficTables
    from nearbucket.config.settings import Settings

_EXAMPLES = 5
"""Keys of a group that patterns are tried on."""


class Slot(NamedTuple):
    """Objects of one group and size.

    Attributes:
        group: Number of the group.
        size_class: Logarithm of the size to the base 2, rounded down; -1 if it is not known.
    """

    group: int
    size_class: int


class Source(NamedTuple):
    """Where requests come from: region of the client, price geography of the edge."""

    region: str
    geography: str


@dataclass(slots=True)
class PolicyFacts:
    """Sums by group and size class. GB and requests are those of the log's period.

    Attributes:
        days: Calendar days of the log.
        month: Factor that scales the period to a month.
        groups: The groups.
        examples: Some keys of each group.
        gb: GB by source and day.
        requests: Requests by region.
        networks: GB of the eight largest networks of each region.
        copies: What a bucket with copies of all these objects needs, and their number.
    """

    days: int
    month: float
    groups: list[KeyGroup] = field(default_factory=list)
    examples: dict[int, list[str]] = field(default_factory=dict)
    gb: dict[Slot, dict[Source, list[float]]] = field(default_factory=dict)
    requests: dict[Slot, dict[str, int]] = field(default_factory=dict)
    networks: dict[Slot, dict[str, dict[str, float]]] = field(default_factory=dict)
    copies: dict[Slot, CopyVolume] = field(default_factory=dict)

    def add(
        self, slot: Slot, source: Source, requests: int, days: Sequence[int], sizes: Sequence[int]
    ) -> None:
        """Count the requests of some days, with their bytes."""
        daily = self.gb.setdefault(slot, {}).setdefault(source, [0.0] * self.days)
        for day, size in zip(days, sizes, strict=True):
            daily[day] += size / GB
        counts = self.requests.setdefault(slot, {})
        counts[source.region] = counts.get(source.region, 0) + requests

    def objects(self, slots: Iterable[Slot]) -> int:
        """Number of objects."""
        return sum(self.copies[slot].objects for slot in slots)

    @property
    def whole_days(self) -> int:
        """Days of the log's period, rounded; there may be one or two calendar days more."""
        return max(1, round(MONTH_DAYS / self.month)) if self.month else 0

    @property
    def regions(self) -> list[str]:
        """Regions with requests."""
        return sorted({source.region for sources in self.gb.values() for source in sources})

    def daily(self, slots: Iterable[Slot], regions: Collection[str]) -> list[float]:
        """GB of some objects to some regions, day by day."""
        sums = [0.0] * self.days
        for slot in slots:
            for source, daily in self.gb.get(slot, {}).items():
                if source.region in regions:
                    sums = [one + two for one, two in zip(sums, daily, strict=True)]
        return sums

    def total(self, slot: Slot, region: str) -> float:
        """GB of the objects of a slot to a region."""
        sources = self.gb.get(slot, {}).items()
        return sum(sum(daily) for source, daily in sources if source.region == region)

    def by_network(self, slots: Iterable[Slot], regions: Collection[str]) -> dict[str, float]:
        """GB of some objects to the largest networks of some regions."""
        sums: dict[str, float] = defaultdict(float)
        for slot in slots:
            for region, networks in self.networks.get(slot, {}).items():
                if region in regions:
                    for network, gb in networks.items():
                        sums[network] += gb
        return sums


def policy_facts(tables: TrafficTables, base: Settings, regions: Collection[str]) -> PolicyFacts:
    """Sum up the traffic of the first site.

    Args:
        tables: The log.
        base: Tells the site's hosts, and which of its keys may never be redirected.
        regions: Regions that can have a bucket.
    """
    import pyarrow as pa  # noqa: PLC0415  # of the extra "report"

    facts = PolicyFacts(tables.days, MONTH_DAYS / tables.period if tables.period else 0.0)
    slots, slot_of_object = _slots(tables, base, facts)
    named = {
        "slots": pa.table(
            {
                "object": pa.array(range(tables.numbers), pa.int32()),
                "slot": pa.array(slot_of_object, pa.int32()),
            }
        ),
        "wanted": pa.table({"region": pa.array(sorted(regions), pa.string())}),
    }
    for place, region, geography, *counts in tables.rows(_REQUESTS, **named):
        facts.add(slots[place], Source(region, geography), *counts)
    for place, region, network, size in tables.rows(_LARGEST, **named):
        networks = facts.networks.setdefault(slots[place], {}).setdefault(region, {})
        networks[network] = size / GB
    return facts


def _slots(
    tables: TrafficTables, base: Settings, facts: PolicyFacts
) -> tuple[list[Slot], array[int]]:
    """All slots, and the place of each object's slot in them; -1 if it may not be redirected.

    Counts the objects of each slot, and the copies that they need.
    """
    finest: dict[tuple[KeyGroup, int], _Objects] = {}
    site, site_of = SitePolicy.build(base.sites[0]), site_by_host(base)
    places = array("i", [-1]) * tables.numbers

    @cache
    def served(hosts: tuple[str, ...]) -> list[int]:
        """Places of the hosts of the site."""
        names = [each.name if (each := site_of(host)) else None for host in hosts]
        return [place for place, name in enumerate(names) if name == site.name]

    for found in tables.objects():
        numbers = [found.numbers[place] for place in served(found.hosts)]
        if not numbers or not site.may_redirect(found.key):
            continue
        kind = finest_group(found.key), (found.size or 0).bit_length() - 1
        if (objects := finest.get(kind)) is None:
            objects = finest[kind] = _Objects(len(finest), ObjectCount(facts.days))
        objects.count.add(found.size, found.first_day)
        objects.weight += found.bytes + (found.size or 0)
        if len(objects.examples) < _EXAMPLES:
            objects.examples.append(found.key)
        for number in numbers:
            places[number] = objects.place
    return _merge(finest, facts), places


@dataclass(slots=True)
class _Objects:
    """Objects of one finest group and size class, before the groups are known."""

    place: int
    count: ObjectCount
    weight: int = 0
    examples: list[str] = field(default_factory=list)


def _merge(finest: Mapping[tuple[KeyGroup, int], _Objects], facts: PolicyFacts) -> list[Slot]:
    """The slot of each finest group and size class; takes their objects into the facts."""
    grouping = KeyGrouping()
    for (group, _), objects in finest.items():
        grouping.weigh(group, objects.weight)
    numbers: dict[KeyGroup, int] = {}
    slots = []
    counts: dict[Slot, ObjectCount] = {}
    for (group, size_class), objects in finest.items():
        number = numbers.setdefault(grouping.group(group), len(numbers))
        slots.append(slot := Slot(number, size_class))
        counts.setdefault(slot, ObjectCount(facts.days)).include(objects.count)
        examples = facts.examples.setdefault(number, [])
        examples += objects.examples[: _EXAMPLES - len(examples)]
    facts.groups = list(numbers)
    facts.copies = {slot: count.volume for slot, count in counts.items()}
    return slots


_REQUESTS = """
SELECT slot, region, geography, sum(requests)::BIGINT, list((day - earliest)::INTEGER), list(bytes)
FROM (
  SELECT slot, region, geography, day, sum(requests)::BIGINT AS requests,
    sum(bytes)::BIGINT AS bytes
  FROM facts JOIN slots USING (object) SEMI JOIN wanted USING (region)
  WHERE slot >= 0 AND method = 'GET' AND status IN (200, 206) AND flags = 0
  GROUP BY slot, region, geography, day),
  (SELECT min(day) AS earliest FROM facts)
GROUP BY slot, region, geography ORDER BY slot, region, geography
"""
_LARGEST = """
SELECT slot, region, network, sum(bytes)::BIGINT AS total
FROM networks JOIN slots USING (object) SEMI JOIN wanted USING (region)
WHERE slot >= 0
GROUP BY slot, region, network
QUALIFY row_number() OVER (PARTITION BY slot, region ORDER BY total DESC, network) <= 8
ORDER BY ALL
"""
