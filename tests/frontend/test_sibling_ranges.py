"""Downloads in several ranges at a change of their object: each gets one version."""

from __future__ import annotations

import heapq
import random
from functools import partial
from itertools import count
from mmap import mmap
from typing import TYPE_CHECKING, NamedTuple

import pytest

from nearbucket.frontend.sibling_ranges import (
    AGAIN,
    COUNTED,
    NEW,
    NEXT,
    OLDER,
    PAUSE,
    RANGES_SIZE,
    SLOTS,
    SiblingRanges,
    mark_of_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nearbucket.frontend.sibling_ranges import RangeOf

PARTS = [mark_of_bytes(f"bytes={number * 100}-{number * 100 + 99}") for number in range(8)]
MARK, CHANGED, LATELY = 12345, 100.0, 2.0


def table() -> SiblingRanges:
    return SiblingRanges(memoryview(mmap(-1, RANGES_SIZE)))


def redirected(parts: Iterable[int], *, ago: float = 0.1) -> SiblingRanges:
    ranges = table()
    for part in parts:
        ranges.record(MARK, part, CHANGED - ago)
    return ranges


def asked(ranges: SiblingRanges, part: int, *, waited: float = 0.0) -> RangeOf:
    return ranges.download_of(MARK, part, CHANGED, CHANGED + 0.1, waited)


def test_a_range_from_byte_0_is_told_from_the_others() -> None:
    assert [part & 1 for part in PARTS] == [1] + [0] * 7
    assert mark_of_bytes("bytes=0-") & 1


def test_the_missing_ranges_of_a_download_are_those_that_were_not_asked_for() -> None:
    ranges = redirected(PARTS[:3])
    assert [asked(ranges, part) for part in PARTS] == [NEXT] * 3 + [OLDER] * 5


def test_a_new_download_waits_however_often_its_ranges_were_redirected() -> None:
    ranges = redirected((PARTS[0], *PARTS))  # the first range was repeated
    assert asked(ranges, PARTS[0]) is NEXT
    assert asked(redirected(PARTS), PARTS[0]) is NEXT
    assert asked(redirected(PARTS[3:]), PARTS[0]) is NEXT  # the first ranges were streamed


def test_a_download_that_missed_the_answer_to_a_range_gets_it_from_the_copy_again() -> None:
    ranges = redirected(PARTS[:3])
    assert asked(ranges, PARTS[2]) is NEXT  # it may be that of a new download
    assert asked(ranges, PARTS[2], waited=AGAIN + 0.01) is OLDER
    assert asked(ranges, PARTS[0], waited=AGAIN + 0.01) is NEXT  # now one has begun
    assert asked(ranges, PARTS[2], waited=AGAIN + 0.01) is NEXT


def test_a_waiting_download_gets_the_new_version_when_the_older_ones_have_ended() -> None:
    ranges = redirected(PARTS[:3])
    ended = CHANGED - 0.1 + PAUSE + 0.01
    assert {ranges.download_of(MARK, part, CHANGED, ended) for part in PARTS} == {NEW}


@pytest.mark.parametrize(
    ("mark", "ago"), [(MARK + 1, 0.1), (MARK, PAUSE + 0.1)], ids=["other", "old"]
)
def test_without_a_redirect_a_moment_ago_every_download_is_new(mark: int, ago: float) -> None:
    ranges = table()
    ranges.record(mark, PARTS[0], CHANGED - ago)
    assert asked(ranges, PARTS[1]) is NEW


def test_after_a_pause_counting_begins_anew() -> None:
    for ago, expected in ((PAUSE - 0.1, OLDER), (PAUSE + 0.1, NEXT)):
        ranges = redirected((PARTS[1], PARTS[1]), ago=1.0 + ago)
        ranges.record(MARK, PARTS[5], CHANGED - 1.0)
        assert asked(ranges, PARTS[5]) is expected


def test_ranges_that_were_repeated_do_not_add_up() -> None:
    ranges = redirected([PARTS[1]] * 50, ago=COUNTED + 1)
    for ago in range(int(COUNTED) + 1):
        ranges.record(MARK, PARTS[2], CHANGED - COUNTED + ago)
    assert asked(ranges, PARTS[2]) is NEXT


def test_workers_that_share_the_memory_count_together() -> None:
    memory = memoryview(mmap(-1, RANGES_SIZE))
    one, other = SiblingRanges(memory), SiblingRanges(memory)
    one.record(MARK, PARTS[2], CHANGED)
    assert asked(other, PARTS[1]) is OLDER
    assert asked(other, PARTS[2]) is NEXT


def test_the_ranges_of_a_thousand_askers_have_room() -> None:
    chance, ranges = random.Random(1), table()  # noqa: S311  # not a secret
    marks = [chance.getrandbits(64) for _ in range(1000)]
    for part in PARTS[:4]:
        for mark in marks:
            ranges.record(mark, part, CHANGED - 0.1)
    found = [
        ranges.download_of(mark, part, CHANGED, CHANGED + 0.1)
        for mark in marks
        for part in PARTS[4:]
    ]
    assert found.count(OLDER) > 0.99 * len(found)


def test_no_range_takes_the_slot_of_its_object() -> None:
    ranges, part = table(), SLOTS * 3
    for _ in range(2):
        ranges.record(MARK, part, CHANGED)
    assert asked(ranges, part) is NEXT
    assert asked(ranges, PARTS[1]) is OLDER


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
    """

    at_a_time: int = 1
    repeats: float = 0.0
    gives_up: float = 0.0
    redirects: float = 9.0
    pauses: tuple[float, float] = (0.0, 0.1)


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
        older = now < CHANGED
        if self.rule and CHANGED <= now < CHANGED + LATELY:
            found = self.ranges.download_of(download.mark, part, CHANGED, now, now - came)
            if found is NEXT:
                self.at(now + 0.01, lambda later: self.ask(download, part, later, came))
                return
            older = found is OLDER
        if older and now > CHANGED - self.faults.redirects:
            self.ranges.record(download.mark, part, now)
        # a redirect takes two requests
        done = now + self.chance.uniform(0.01, 0.04) * (2 if older else 1)
        if self.chance.random() < self.faults.gives_up:
            download.under_way.clear()
            self.client(download.mark, done + self.chance.uniform(*self.faults.pauses))
        elif self.chance.random() < self.faults.repeats:
            self.at(done, partial(self.ask, download, part))
        else:
            download.versions.append(1 if older else 2)
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


def simulate(crowd: int, faults: Faults) -> tuple[float, float]:
    """Shares of the downloads that are mixed, with the rule and without it.

    Each address has a crowd of clients.
    """
    began, mixed = [0, 0], [0, 0]
    for seed in range(max(2, 40 // crowd)):
        for rule in (True, False):
            simulation = Simulation(seed, faults, rule=rule)
            for client in range(crowd * 5):
                begins = CHANGED - simulation.chance.uniform(1.0, 1.5)
                simulation.client(MARK + client // crowd, begins)
            simulation.run(CHANGED + 3.0)
            began[rule] += len(simulation.downloads)
            mixed[rule] += simulation.mixed()
    assert min(began) > 400
    assert mixed[False] > 20
    return mixed[True] / began[True], mixed[False] / began[False]


REPEATS, GIVES_UP, UNEVEN = Faults(repeats=0.03), Faults(gives_up=0.03), Faults(redirects=0.3)
ALL = Faults(repeats=0.03, gives_up=0.03, redirects=0.4)


@pytest.mark.parametrize("faults", [Faults(), REPEATS, GIVES_UP, UNEVEN, ALL])
def test_no_download_is_mixed_whose_client_gets_one_range_after_the_other(faults: Faults) -> None:
    assert simulate(1, faults)[0] == 0


@pytest.mark.parametrize("faults", [Faults(), GIVES_UP])
@pytest.mark.parametrize("crowd", [3, 20])
def test_no_download_of_a_crowd_behind_one_address_is_mixed(crowd: int, faults: Faults) -> None:
    assert simulate(crowd, faults)[0] == 0


@pytest.mark.parametrize("faults", [REPEATS, ALL])
def test_ranges_that_a_crowd_repeats_mix_fewer_downloads_than_without_the_rule(
    faults: Faults,
) -> None:
    mixed, without = simulate(3, faults)
    assert mixed < without


@pytest.mark.parametrize("crowd", [1, 3, 20])
def test_clients_that_get_several_ranges_at_a_time_have_hardly_any_mixed(crowd: int) -> None:
    mixed, without = simulate(crowd, Faults(at_a_time=4))
    assert mixed < without / 5
