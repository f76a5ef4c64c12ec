"""A circuit breaker opens at a timeout or after five failures, and closes by a probe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.origin.failover import origin_breaker
from nearbucket.origin.failover.origin_breaker import (
    FALL,
    LONGEST_PAUSE,
    PAUSE,
    SOON,
    OriginBreaker,
)
from tests.tuning import Clock

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(origin_breaker, "monotonic", clock)
    return clock


def made() -> tuple[OriginBreaker, list[str]]:
    """A breaker, and what it said at each change."""
    changes: list[str] = []
    breaker = OriginBreaker(lambda: changes.append(breaker.why))
    return breaker, changes


def test_a_timeout_opens_it_at_once_and_once() -> None:
    breaker, changes = made()
    for _ in range(3):
        breaker.on_timeout()
    assert changes == ["no connection or response in time"]


@pytest.mark.parametrize(
    ("status", "last"),
    [(0, "no connection, or no response")]
    + [(status, f"it answered {status}") for status in (429, 500, 503)],
)
def test_five_failures_in_a_row_open_it_and_it_tells_the_last(status: int, last: str) -> None:
    breaker, changes = made()
    for _ in range(FALL - 1):
        breaker.on_status(status)
    assert not changes
    breaker.on_status(status)
    assert changes == [f"5 failures in a row, at last {last}"]


@pytest.mark.parametrize("answer", [200, 206, 304, 403, 404, 412, 416])
def test_any_other_status_breaks_the_row(answer: int) -> None:
    breaker, changes = made()
    for _ in range(3):
        for status in [503] * (FALL - 1) + [answer]:
            breaker.on_status(status)
    assert not changes


def probes(breaker: OriginBreaker, clock: Clock, seconds: float) -> list[float]:
    """After how many seconds of the next ones there were probes, which all failed."""
    began, found = clock.now, []
    while clock.now < began + seconds:
        clock.now += 1
        if breaker.begin_probe(clock.now):
            assert not breaker.begin_probe(clock.now), "only one at a time"
            found.append(clock.now - began)
            breaker.end_probe(failed=True)
    return found


def test_there_is_a_probe_every_five_seconds_while_it_is_open(clock: Clock) -> None:
    breaker, changes = made()
    assert not probes(breaker, clock, 60), "while it is closed"
    breaker.on_timeout()
    assert probes(breaker, clock, 20) == [PAUSE, 2 * PAUSE, 3 * PAUSE, 4 * PAUSE]
    breaker.end_probe(failed=False)
    assert changes == ["no connection or response in time", ""]


def flap(breaker: OriginBreaker, clock: Clock, after: Callable[[], float]) -> list[float]:
    """The pauses before probes of a breaker that opens again and again."""
    pauses = []
    for _ in range(6):
        breaker.on_timeout()
        pauses += probes(breaker, clock, LONGEST_PAUSE + 1)[:1]
        breaker.end_probe(failed=False)
        clock.now += after()
    return pauses


def test_the_pause_is_doubled_while_it_opens_again_soon(clock: Clock) -> None:
    breaker, _ = made()
    assert flap(breaker, clock, lambda: SOON / 2) == [5, 10, 20, 40, 60, 60]


def test_the_pause_is_the_usual_one_when_it_was_closed_for_long(clock: Clock) -> None:
    breaker, _ = made()
    assert flap(breaker, clock, lambda: SOON + 1) == [PAUSE] * 6
