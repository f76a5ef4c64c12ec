"""Finds patterns, a size floor and regions that together save most. Pure.

The saving is a sum over groups of objects, size classes and regions, once each has a worth in
dollars. For fixed regions, patterns are chosen by the greedy algorithm for weighted cover: always
the one whose groups, as far as they are not covered yet, are worth most, losses included. For fixed
patterns, a region stays if it is worth more than its copies cost. Both take turns until nothing
changes, from all regions and from the origin's alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nearbucket.analysis.recommending.policy_facts import Slot

EVERYTHING = "*"
"""The pattern of all objects: for those that no other tells apart, such as names without a suffix
at the root, and for more folders than there can be patterns."""

_MORE = 1.1
"""``*`` is chosen only if it is worth this many times as much as other patterns."""
_MOST_PATTERNS = 8
_ROUNDS = 6
_GIVEN_UP = 0.005
"""Share of the worth that a larger size floor may give up."""


class FittedPolicy(NamedTuple):
    """Patterns, floor and regions.

    Attributes:
        patterns: What is redirected.
        exclude: What is not, though a pattern matches it.
        floor: Logarithm of the size floor to the base 2.
        regions: Regions with a bucket, the origin's first.
    """

    patterns: tuple[str, ...]
    exclude: tuple[str, ...]
    floor: int
    regions: tuple[str, ...]


class _Choice(NamedTuple):
    """Patterns, what they exclude, the groups that are left, and their worth."""

    patterns: list[str]
    exclude: list[str]
    covered: set[int]
    usd: float


@dataclass(frozen=True, slots=True)
class Worth:
    """What redirects are worth, in dollars a month.

    Attributes:
        slots: Groups of objects by size class.
        by_region: Worth of each slot by region, net of copies there.
        coverage: Pattern to the groups that it covers; of equal ones the first is preferred.
        origin: Region of the origin, which always has a bucket.
        least: What a pattern or region must be worth at least.
        floors: Logarithms of the size floors to choose from.
    """

    slots: tuple[Slot, ...]
    by_region: Mapping[str, Sequence[float]]
    coverage: Mapping[str, frozenset[int]]
    origin: str
    least: float
    floors: Sequence[int]

    def covered(self, policy: FittedPolicy) -> set[int]:
        """The groups that a policy redirects."""
        inside = _union(self.coverage, policy.patterns)
        return inside - _union(self.coverage, policy.exclude)

    def covered_slots(self, policy: FittedPolicy) -> list[Slot]:
        """Their slots from the size floor."""
        groups = self.covered(policy)
        return [
            slot for slot in self.slots if slot.group in groups and slot.size_class >= policy.floor
        ]

    def of(self, policy: FittedPolicy) -> float:
        """What a policy is worth."""
        return sum(self._of_regions(self.covered(policy), policy.floor, policy.regions).values())

    def _of_regions(
        self, groups: Collection[int], floor: int, regions: Iterable[str]
    ) -> dict[str, float]:
        places = [
            place
            for place, slot in enumerate(self.slots)
            if slot.group in groups and slot.size_class >= floor
        ]
        return {
            region: sum(self.by_region[region][place] for place in places)
            for region in regions
            if region in self.by_region
        }

    def fit(self, regions: Collection[str], without: Collection[str] = ()) -> FittedPolicy:
        """The policy that is worth most.

        Args:
            regions: Regions to choose from.
            without: Patterns that are not to be chosen.
        """
        coverage = {name: groups for name, groups in self.coverage.items() if name not in without}
        starts = [frozenset(regions) | {self.origin}, frozenset({self.origin})]
        return max((self._settle(start, regions, coverage) for start in starts), key=self._rank)

    def _rank(self, policy: FittedPolicy) -> float:
        """What a policy is worth; of all objects, what other patterns have to be worth instead."""
        usd = self.of(policy)
        return usd / _MORE if policy.patterns == (EVERYTHING,) else usd

    def _settle(
        self,
        chosen: frozenset[str],
        regions: Collection[str],
        coverage: Mapping[str, frozenset[int]],
    ) -> FittedPolicy:
        covered: set[int] | None = None
        policy = FittedPolicy((), (), self.floors[0], (self.origin,))
        for _ in range(_ROUNDS):
            by_floor = self._by_group(self._sums(sorted(chosen)))  # in one order, for equal sums
            floor = _largest_floor(by_floor, covered)
            worth = by_floor[floor]
            patterns, exclude, covered, _ = self._chosen(worth, coverage)
            paying = self._of_regions(covered, floor, set(regions) - {self.origin})
            chosen = frozenset(
                {self.origin} | {region for region, usd in paying.items() if usd > self.least}
            )
            ordered = (self.origin, *sorted(chosen - {self.origin}, key=lambda r: (-paying[r], r)))
            found = FittedPolicy(tuple(patterns), tuple(exclude), floor, ordered)
            if found == policy:
                break
            policy = found
        return policy

    def _chosen(
        self, worth: Mapping[int, float], coverage: Mapping[str, frozenset[int]]
    ) -> _Choice:
        """Patterns for groups that are worth something, and what they exclude.

        All objects do not make up for patterns that may not be chosen: their groups are losses.
        """
        named = _cover(worth, _without(coverage, EVERYTHING), self.least)
        found = self._excluding(worth, coverage, named)
        if EVERYTHING not in coverage:
            return found
        weak = _union(self.coverage, self.coverage.keys() - coverage.keys()) - found.covered
        sure = {
            group: -max(abs(usd), self.least) if group in weak else usd
            for group, usd in worth.items()
        }
        enough = max(_MORE * found.usd, found.usd + self.least)
        if sum(usd for usd in sure.values() if usd > 0) < enough:
            return found
        whole = self._excluding(sure, coverage, [EVERYTHING])
        return whole if whole.usd >= enough else found

    def _excluding(
        self,
        worth: Mapping[int, float],
        coverage: Mapping[str, frozenset[int]],
        patterns: list[str],
    ) -> _Choice:
        """Patterns, and those that exclude their losses."""
        inside = _union(coverage, patterns)
        losses = {group: -worth.get(group, 0.0) for group in inside}
        exclude = _cover(losses, _without(self.coverage, EVERYTHING), self.least)
        covered = inside - _union(self.coverage, exclude)
        usd = sum(worth.get(group, 0.0) for group in sorted(covered))
        return _Choice(patterns, exclude, covered, usd)

    def _sums(self, regions: Iterable[str]) -> list[float]:
        """Worth of each slot in some regions."""
        columns = [self.by_region[region] for region in regions if region in self.by_region]
        return [sum(row) for row in zip(*columns, strict=True)] or [0.0] * len(self.slots)

    def _by_group(self, sums: Sequence[float]) -> dict[int, dict[int, float]]:
        """For each size floor, what the groups are worth from it."""
        falling = sorted(
            (
                (size_class, group, usd)
                for (group, size_class), usd in zip(self.slots, sums, strict=True)
            ),
            reverse=True,
        )
        worth: dict[int, float] = defaultdict(float)
        found, place = {}, 0
        for floor in sorted(self.floors, reverse=True):
            while place < len(falling) and falling[place][0] >= floor:
                worth[falling[place][1]] += falling[place][2]
                place += 1
            found[floor] = dict(worth)
        return found


def _largest_floor(
    by_floor: Mapping[int, Mapping[int, float]], covered: Collection[int] | None
) -> int:
    """The largest floor that gives up next to nothing; without groups, those that pay count."""
    values = {
        floor: sum(
            usd
            for group, usd in worth.items()
            if (usd > 0 if covered is None else group in covered)
        )
        for floor, worth in by_floor.items()
    }
    best = max(values.values())
    return max(floor for floor, usd in values.items() if usd >= best - abs(best) * _GIVEN_UP)


def _without(coverage: Mapping[str, frozenset[int]], name: str) -> dict[str, frozenset[int]]:
    return {each: groups for each, groups in coverage.items() if each != name}


def _union(coverage: Mapping[str, frozenset[int]], patterns: Iterable[str]) -> set[int]:
    return {group for pattern in patterns for group in coverage[pattern]}


def _cover(
    worth: Mapping[int, float], coverage: Mapping[str, frozenset[int]], least: float
) -> list[str]:
    """Patterns for the groups that are worth something, the best first."""
    left, chosen = dict(worth), list[str]()
    while len(chosen) < _MOST_PATTERNS and coverage:
        gains = {
            pattern: round(sum(left.get(group, 0.0) for group in groups), 2)
            for pattern, groups in coverage.items()
        }
        best = max(gains, key=gains.__getitem__)
        if gains[best] < least:
            break
        chosen.append(best)
        for group in coverage[best]:
            left.pop(group, None)
    return chosen
