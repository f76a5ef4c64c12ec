"""Simulated downloads in ranges at a change of their object: how many get two versions."""

from __future__ import annotations

import heapq
import random
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

import pytest

from nearbucket.frontend.returning_clients.sibling_ranges import (
    NEXT,
    OLDER,
    AskedRange,
)
from tests.frontend.returning_clients.changed_object import (
    CHANGED,
    LENGTH,
    MARK,
    OLDER_COPY,
    PARTS,
    SIZE,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LATELY = 2.0


class Download(NamedTuple):
    """One download: its asker, its ranges, and the versions that it got."""

    mark: int
    missing: list[int]
    under_way: set[int]
    versions: list[int]


class Faults(NamedTuple):
    """What clients do beside asking for each range once.

    Attributes:
        at_a_time: Ranges that a client asks for at a time.
        repeats: Share of the answers that are lost, so that their ranges are asked for again.
        gives_up: Share of the ranges at which a download is given up, and another one begins.
        redirects: Seconds before the change at which the first range is redirected.
        pauses: Least and most seconds between two downloads of a client.
        begin: Most and least seconds before the change at which clients begin.
    """

    at_a_time: int = 1
    repeats: float = 0.0
    gives_up: float = 0.0
    redirects: float = 99.0
    pauses: tuple[float, float] = (0.0, 0.1)
    begin: tuple[float, float] = (1.5, 1.0)


class Simulation:
    """Clients that get an object in ranges again and again."""

    def __init__(self, seed: int, faults: Faults, *, rule: bool) -> None:
        self.chance = random.Random(seed)  # noqa: S311  # not a secret
        self.ranges = table()
        self.faults = faults
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
        self._events.clear()

    def client(self, mark: int, begins: float) -> None:
        download = Download(mark, [*reversed(PARTS)], set(), [])
        self.downloads.append(download)
        for _ in range(self.faults.at_a_time):
            # connections are not opened in the order of the ranges
            delay = self.chance.uniform(0, 0.01) if self.faults.at_a_time > 1 else 0.0
            part = download.missing.pop()
            download.under_way.add(part)
            self.at(begins + delay, partial(self.ask, download, part))

    def ask(self, download: Download, part: int, now: float, came: float | None = None) -> None:
        came = now if came is None else came
        if part not in download.under_way:
            return
        asked = AskedRange(download.mark, part, LENGTH)
        learned = CHANGED + self.chance.uniform(0.0, 0.02)  # by the worker that it reaches
        older = CHANGED - self.faults.redirects < now < learned
        if older:
            self.ranges.record(asked, SIZE, now)
        elif self.rule and learned <= now < CHANGED + LATELY:
            found = self.ranges.take(asked, OLDER_COPY, now, came)
            if found is NEXT:
                self.at(now + 0.01, lambda later: self.ask(download, part, later, came))
                return
            older = found is OLDER
        # a redirect takes two requests
        done = now + self.chance.uniform(0.01, 0.04) * (2 if older else 1)
        if not older:
            self.at(done, lambda later: self.ranges.record(asked, SIZE, later))
        if self.chance.random() < self.faults.gives_up:
            download.under_way.clear()
            self.client(download.mark, done + self.chance.uniform(*self.faults.pauses))
        elif self.chance.random() < self.faults.repeats:
            self.at(done, partial(self.ask, download, part))
        else:
            download.versions.append(1 if older or now < CHANGED else 2)
            self.at(done, lambda later: self.proceed(download, part, later))

    def proceed(self, download: Download, part: int, now: float) -> None:
        if part not in download.under_way:
            return
        download.under_way.remove(part)
        if download.missing:
            following = download.missing.pop()
            download.under_way.add(following)
            self.ask(download, following, now)
        elif not download.under_way:
            self.client(download.mark, now + self.chance.uniform(*self.faults.pauses))

    def mixed(self) -> int:
        return sum(len(set(download.versions)) > 1 for download in self.downloads)


class Shares(NamedTuple):
    """Shares of the downloads that are mixed."""

    mixed: float
    without_rule: float


RUNS = 40


@pytest.fixture(params=[RUNS // 6, pytest.param(RUNS, marks=pytest.mark.long)])
def runs(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def simulate(crowd: int, faults: Faults, runs: int = RUNS) -> Shares:
    """Downloads of a crowd of clients behind each address; so many runs by one client alone."""
    began, mixed = [0, 0], [0, 0]
    for seed in range(max(1, runs // 20, runs // crowd)):
        for rule in (True, False):
            simulation = Simulation(seed, faults, rule=rule)
            for client in range(crowd * 5):
                begins = CHANGED - simulation.chance.uniform(*faults.begin)
                simulation.client(MARK + client // crowd, begins)
            simulation.run(CHANGED + 3.0)
            began[rule] += len(simulation.downloads)
            mixed[rule] += simulation.mixed()
    assert min(began) > 4 * runs
    assert mixed[False] > 1
    return Shares(mixed[True] / began[True], mixed[False] / began[False])


REPEATS, GIVES_UP, UNEVEN = Faults(repeats=0.03), Faults(gives_up=0.03), Faults(redirects=0.3)
ALL = Faults(repeats=0.03, gives_up=0.03, redirects=0.4)
FOUR, EIGHT = Faults(at_a_time=4), Faults(at_a_time=8)
LONG = Faults(begin=(11.0, 10.0))
ONCE = Faults(pauses=(9.0, 9.0), begin=(1.0, -1.7))
"""Each client gets the object once, most of them after the change."""


_CROWD = (Faults(), GIVES_UP, UNEVEN, ALL, LONG, ONCE)


@pytest.mark.parametrize(
    ("crowd", "faults"),
    [
        *((1, faults) for faults in (*_CROWD, REPEATS)),
        *((3, faults) for faults in _CROWD),
        *(pytest.param(20, faults, marks=pytest.mark.long) for faults in _CROWD),
        *((crowd, faults) for crowd in (1, 3) for faults in (FOUR, EIGHT)),
        (3, EIGHT._replace(begin=LONG.begin)),
        (1, FOUR._replace(pauses=ONCE.pauses, begin=(0.2, -0.5))),
    ],
)
def test_no_download_is_mixed(crowd: int, faults: Faults, runs: int) -> None:
    assert simulate(crowd, faults, runs).mixed == 0


def test_of_a_large_crowd_that_gets_eight_ranges_at_a_time_hardly_any_download_is_mixed(
    runs: int,
) -> None:
    assert simulate(20, EIGHT, runs).mixed < 0.0005


@pytest.mark.parametrize("faults", [REPEATS, FOUR._replace(repeats=0.003)])
@pytest.mark.parametrize("runs", [RUNS // 2, pytest.param(RUNS, marks=pytest.mark.long)])
def test_ranges_that_a_crowd_repeats_mix_fewer_downloads_than_without_the_rule(
    faults: Faults, runs: int
) -> None:
    found = simulate(3, faults, runs)
    assert found.mixed < found.without_rule / 1.5
