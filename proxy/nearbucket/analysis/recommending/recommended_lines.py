"""The lines of a recommendation: each pattern, region and exclusion, chosen or not, and why.

Savings do not add up, since a redirect removes the cheapest gigabytes first. So a chosen line has
what it adds to the lines of its kind before it: patterns with all chosen regions, regions with all
chosen patterns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearbucket.analysis.answers import RecommendedLine
from nearbucket.analysis.policies.month_effect import MonthEffect
from nearbucket.analysis.recommending.policy_fit import EVERYTHING
from nearbucket.config.prices import GB
from nearbucket.config.value_types import written_size
from nearbucket.figures import money
from nearbucket.plural import plural

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from nearbucket.analysis.policies.what_if import PolicyForecast
    from nearbucket.analysis.recommending.policy_facts import Slot
    from nearbucket.analysis.recommending.policy_fit import FittedPolicy, Worth
    from nearbucket.analysis.recommending.policy_worth import Valuation
    from nearbucket.config.sites import Site

_LEFT_OUT = 5
"""Patterns and regions that are not chosen, of which the reason is told: those with most bytes."""


@dataclass(frozen=True, slots=True)
class RecommendationReasons:
    """Gives the reasons for a fitted policy.

    Attributes:
        valuation: Traffic and prices.
        worth: What redirects are worth.
        policy: The policy.
        weak: Patterns and regions without evidence, and why.
        forecast: The decisions with the policy; labels are patterns.
        site: The policy's site.
    """

    valuation: Valuation
    worth: Worth
    policy: FittedPolicy
    weak: Mapping[str, str]
    forecast: PolicyForecast
    site: Site

    def lines(self) -> tuple[RecommendedLine, ...]:
        """Patterns, regions, exclusions and the size floor; chosen ones first."""
        return (
            *self._patterns(),
            *self._other_patterns(),
            *self._regions(),
            *self._other_regions(),
            *self._exclusions(),
            *self._floor(),
        )

    def _patterns(self) -> Iterator[RecommendedLine]:
        before = MonthEffect()
        known = 0
        for number, name in enumerate(self.policy.patterns, 1):
            effect, objects = self._effect(self.policy.patterns[:number], self.policy.regions)
            more, count = effect.beyond(before), objects - known
            before, known = effect, objects
            why = f"{plural(count, 'object')}, {more.redirects:,.0f} redirects a month"
            if len(self.policy.regions) > 1:
                why += f"; copies and requests to S3 cost {money(more.costs)} a month"
            if name == EVERYTHING and len(self.policy.regions) > 1:
                why += "; sync also copies objects that nobody asked for"
            yield _line("pattern", name, more.gb * GB, count, more.saving, why)

    def _regions(self) -> Iterator[RecommendedLine]:
        before = MonthEffect()
        for number, name in enumerate(self.policy.regions, 1):
            effect, objects = self._effect(self.policy.patterns, self.policy.regions[:number])
            more = effect.beyond(before)
            before = effect
            own = name == self.valuation.origin
            why = (
                "the origin's own bucket: no copies"
                if own
                else f"{plural(objects, 'object')} to copy; copies and requests to S3 cost "
                f"{money(more.costs)} a month"
            )
            count = 0 if own else objects
            yield _line("region", name, more.gb * GB, count, more.saving, why)

    def _effect(
        self, patterns: Collection[str], regions: Collection[str]
    ) -> tuple[MonthEffect, int]:
        """The effect of some patterns and regions of the policy, and their number of objects."""
        volume = self.forecast.volume(self.site, patterns)
        return self.forecast.effect(patterns, regions), volume.objects

    def _other_patterns(self) -> list[RecommendedLine]:
        """Groups of objects with traffic that no chosen pattern redirects."""
        covered = self.worth.covered(self.policy)
        found = [
            line
            for number in self.valuation.facts.examples
            if number not in covered and (line := self._left_out(number)) is not None
        ]
        return sorted(found, key=lambda line: -line.bytes_month)[:_LEFT_OUT]

    def _left_out(self, group: int) -> RecommendedLine | None:
        facts = self.valuation.facts
        slots = [slot for slot in facts.copies if slot.group == group]
        size = _month_bytes(self.valuation, slots, facts.regions)
        if not size:
            return None
        folder, suffix = facts.groups[group]
        name = f"{folder}*{suffix}" if suffix else f"{folder}* (other names)"
        objects = facts.objects(slots)
        large = [slot for slot in slots if slot.size_class >= self.policy.floor]
        usd = self._value(large, self.policy.regions)
        why = self._why_not(group, large, usd)
        if usd < 0:
            asked = sum(sum(facts.requests.get(slot, {}).values()) for slot in slots)
            why = (
                f"{plural(objects, 'object')}, {asked / objects:.1f} requests for each: their "
                f"copies would cost {money(-usd)} a month more than they save"
            )
        return _line("pattern", name, size, objects, usd, why, chosen=False)

    def _why_not(self, group: int, large: Collection[Slot], usd: float) -> str:
        if why := self._no_evidence({group}):
            return why
        if not large:
            return f"all are smaller than {written_size(1 << self.policy.floor)}"
        if not _month_bytes(self.valuation, large, self.policy.regions):
            return "not requested from the chosen regions"
        if usd < self.worth.least:
            return f"saves less than {money(self.worth.least)} a month"
        if why := self.weak.get(EVERYTHING):
            return f"no evidence that it stays: {why}"
        return "the patterns before it save more"

    def _no_evidence(self, groups: Collection[int]) -> str | None:
        """Why a pattern with some of these groups was not chosen, if it lacks evidence."""
        for pattern, why in self.weak.items():
            if pattern != EVERYTHING and not self.worth.coverage.get(
                pattern, frozenset()
            ).isdisjoint(groups):
                return f"no evidence that it stays: {why}"
        return None

    def _other_regions(self) -> list[RecommendedLine]:
        regions = set(self.valuation.facts.regions) - set(self.policy.regions)
        found = [line for region in regions if (line := self._other_region(region)).bytes_month]
        return sorted(found, key=lambda line: (-line.bytes_month, line.name))[:_LEFT_OUT]

    def _other_region(self, region: str) -> RecommendedLine:
        slots = self.worth.covered_slots(self.policy)
        facts = self.valuation.facts
        usd = self._value(slots, (region,))
        if why := self.weak.get(region):
            why = f"no evidence that it stays: {why}"
        elif usd < 0:
            why = f"copies would cost {money(-usd)} a month more than they save"
        else:
            why = f"a bucket would save {money(usd)} a month, less than {money(self.worth.least)}"
        size = _month_bytes(self.valuation, list(facts.copies), (region,))
        objects = facts.objects(slots)
        return _line("region", region, size, objects, usd, why, chosen=False)

    def _exclusions(self) -> Iterator[RecommendedLine]:
        for name in self.policy.exclude:
            groups = self.worth.coverage[name]
            slots = [
                slot
                for slot in self.worth.slots
                if slot.group in groups and slot.size_class >= self.policy.floor
            ]
            objects = self.valuation.facts.objects(slots)
            usd = self._value(slots, self.policy.regions)
            size = _month_bytes(self.valuation, slots, self.policy.regions)
            why = (
                f"copies of {plural(objects, 'object')} would cost {money(-usd)} a month more than "
                "they save"
            )
            if usd > 0:
                why = self._no_evidence(groups) or why
            yield _line("exclude", name, size, objects, -usd, why)

    def _floor(self) -> Iterator[RecommendedLine]:
        """The size floor, with what it leaves out."""
        if not self.policy.floor:
            return
        groups = self.worth.covered(self.policy)
        slots = [
            slot
            for slot in self.worth.slots
            if slot.group in groups and slot.size_class < self.policy.floor
        ]
        facts, regions = self.valuation.facts, self.policy.regions
        objects = facts.objects(slots)
        asked = sum(
            facts.requests.get(slot, {}).get(region, 0) for slot in slots for region in regions
        )
        usd = self._value(slots, regions)
        gain = "nothing" if usd <= 0 else money(usd)
        why = (
            f"smaller objects of these patterns would be {asked * facts.month:,.0f} further "
            f"redirects a month, and save {gain}"
            if objects
            else "no requested object of these patterns is smaller"
        )
        name = f"min_size: {written_size(1 << self.policy.floor)}"
        size = _month_bytes(self.valuation, slots, regions)
        yield _line("floor", name, size, objects, -usd, why)

    def _value(self, slots: Iterable[Slot], regions: Iterable[str]) -> float:
        wanted = set(slots)
        return sum(
            self.worth.by_region[region][place]
            for region in regions
            if region in self.worth.by_region
            for place, slot in enumerate(self.worth.slots)
            if slot in wanted
        )


def _line(  # noqa: PLR0913, PLR0917  # the fields of a line
    kind: str, name: str, size: float, objects: int, usd: float, why: str, *, chosen: bool = True
) -> RecommendedLine:
    return RecommendedLine(name, chosen, size, objects, usd, why, kind)


def _month_bytes(valuation: Valuation, slots: Collection[Slot], regions: Collection[str]) -> float:
    return sum(valuation.removed(slots, regions).values()) * GB
