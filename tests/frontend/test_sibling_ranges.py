"""Downloads in several ranges at a change of their object: each gets one version."""

from __future__ import annotations

import heapq
import random
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import pytest

from nearbucket.frontend.sibling_ranges import (
    NEW,
    NEXT,
    OLDER,
    PAUSE,
    RANGES_SIZE,
    SiblingRanges,
    mark_of_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS = [mark_of_bytes(f"bytes={number}00-{number}99") for number in range(8)]
MARK, CHANGED, LATELY = 12345, 100.0, 2.0


def table() -> SiblingRanges:
    return SiblingRanges(memoryview(bytearray(RANGES_SIZE)))


def test_the_missing_ranges_of_a_download_are_those_that_were_not_asked_for() -> None:
    ranges = table()
    for part in PARTS[:3]:
        ranges.record(MARK, part, CHANGED - 0.5)
    assert [ranges.download_of(MARK, part, CHANGED) for part in PARTS] == [NEW] * 3 + [OLDER] * 5


def test_a_new_download_waits_until_the_older_ones_behind_its_address_are_complete() -> None:
    ranges = table()
    for part in (*PARTS, *PARTS[:7]):  # two downloads, of which one misses a range
        ranges.record(MARK, part, CHANGED - 0.5)
    assert ranges.download_of(MARK, PARTS[0], CHANGED) is NEXT
    assert ranges.download_of(MARK, PARTS[7], CHANGED) is OLDER
    ranges.record(MARK, PARTS[7], CHANGED + 0.1)
    assert {ranges.download_of(MARK, part, CHANGED) for part in PARTS} == {NEW}


@pytest.mark.parametrize(
    ("mark", "asked"), [(MARK + 1, CHANGED), (MARK, CHANGED - PAUSE - 0.1)], ids=["other", "old"]
)
def test_without_a_redirect_a_moment_ago_every_download_is_new(mark: int, asked: float) -> None:
    ranges = table()
    ranges.record(mark, PARTS[0], asked)
    assert ranges.download_of(MARK, PARTS[1], CHANGED) is NEW


def test_after_a_pause_counting_begins_anew() -> None:
    ranges = table()
    for part in PARTS[:2]:
        ranges.record(MARK, part, 0.0)
    ranges.record(MARK, PARTS[0], 50.0)
    assert ranges.download_of(MARK, PARTS[0], 50.0) is NEW
    assert ranges.download_of(MARK, PARTS[1], 50.0) is OLDER


def test_workers_that_share_the_memory_count_together() -> None:
    memory = memoryview(bytearray(RANGES_SIZE))
    one, other = SiblingRanges(memory), SiblingRanges(memory)
    one.record(MARK, PARTS[0], CHANGED)
    assert other.download_of(MARK, PARTS[1], CHANGED) is OLDER
    assert other.download_of(MARK, PARTS[0], CHANGED) is NEW


class Download(NamedTuple):
    """One download: its asker, and the versions that it got."""

    mark: int
    began: float
    versions: list[int]


class Simulation:
    """Clients that get an object in ranges, one after the other, again and again."""

    def __init__(self, seed: int, *, rule: bool = True) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # not a secret
        self.ranges = table()
        self.rule = rule
        self.downloads: list[Download] = []
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._numbers = count()

    def at(self, time: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (time, next(self._numbers), event))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] < until:
            time, _, event = heapq.heappop(self._events)
            event(time)

    def client(self, mark: int, begins: float) -> None:
        download = Download(mark, begins, [])
        self.downloads.append(download)
        self.at(begins, lambda now: self.ask(download, now))

    def ask(self, download: Download, now: float) -> None:
        part = PARTS[len(download.versions)]
        older = now < CHANGED
        if self.rule and CHANGED <= now < CHANGED + LATELY:
            found = self.ranges.download_of(download.mark, part, CHANGED)
            if found is NEXT:
                self.at(now + 0.01, lambda later: self.ask(download, later))
                return
            older = found is OLDER
        if older:
            self.ranges.record(download.mark, part, now)
        download.versions.append(1 if older else 2)
        # a redirect takes two requests
        took = self.chance.uniform(0.01, 0.04) * (2 if older else 1)
        if len(download.versions) < len(PARTS):
            self.at(now + took, lambda later: self.ask(download, later))
        else:
            self.client(download.mark, now + took + self.chance.uniform(0, 0.1))

    def mixed(self) -> int:
        return sum(len(set(download.versions)) > 1 for download in self.downloads)


@pytest.mark.parametrize("crowd", [1, 3, 20])
def test_of_a_thousand_downloads_at_a_change_none_is_mixed(crowd: int) -> None:
    """Each address has a crowd of clients; each client gets the object again and again."""
    began = mixed = without = 0
    for seed in range(max(2, 40 // crowd)):
        for rule in (True, False):
            simulation = Simulation(seed, rule=rule)
            for client in range(crowd * 5):
                begins = CHANGED - simulation.chance.uniform(1.0, 1.5)
                simulation.client(MARK + client // crowd, begins)
            simulation.run(CHANGED + 3.0)
            if rule:
                began += len(simulation.downloads)
                mixed += simulation.mixed()
            else:
                without += simulation.mixed()
    assert began > 1000
    assert without > 50
    assert mixed == 0
