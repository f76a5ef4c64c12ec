"""The kernel keeps what a client takes in a quarter of a second, and little until that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from nearbucket.frontend.limits import client_pace
from nearbucket.frontend.limits.client_pace import FIRST_STEP, LEAST, STEP, ClientPace

if TYPE_CHECKING:
    import asyncio

MIB = 1 << 20


class Clock:
    """Time, and a socket that notes what its limit was set to; 0 stands for no limit."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.limits: list[int] = []

    def get_extra_info(self, _name: str) -> Clock:
        return self

    def setsockopt(self, _level: int, _option: int, value: int) -> None:
        self.limits.append(value)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(client_pace, "monotonic", lambda: clock.now)
    return clock


def pace_of(clock: Clock) -> ClientPace:
    return ClientPace(cast("asyncio.Transport", clock))


def taken(clock: Clock, pace: ClientPace, count: int, seconds: float) -> int:
    """The limit after a client that was behind took so much in so long."""
    pace.wait()
    clock.now += seconds
    return pace.measure(count)


def test_a_new_client_is_limited(clock: Clock) -> None:
    assert pace_of(clock).limit == LEAST
    assert clock.limits == [LEAST]


def test_the_limit_is_a_quarter_of_a_second_of_the_clients_speed(clock: Clock) -> None:
    pace = pace_of(clock)
    taken(clock, pace, 16 * MIB, 1.0)
    assert taken(clock, pace, 2 * MIB, 1.0) == MIB // 2
    assert taken(clock, pace, 4 * MIB, 1.0) == MIB
    assert taken(clock, pace, 100_000, 1.0) == LEAST


def test_a_fast_client_has_no_limit(clock: Clock) -> None:
    pace = pace_of(clock)
    for step in (FIRST_STEP, *[STEP] * 9):
        taken(clock, pace, step, 0.01)
    assert clock.limits[-1] == 0


def test_what_a_large_buffer_takes_at_once_is_not_the_clients_speed(clock: Clock) -> None:
    pace = pace_of(clock)
    assert taken(clock, pace, FIRST_STEP, 0.0001) == FIRST_STEP // 2
    assert taken(clock, pace, 1000, 1.1) == LEAST


def test_a_client_that_is_faster_than_s3_is_not_held_back_by_its_limit(clock: Clock) -> None:
    pace = pace_of(clock)
    clock.now += 10
    assert pace.measure(FIRST_STEP) == FIRST_STEP // 2
    limits = []
    for _ in range(8):
        clock.now += 10  # 100 KiB/s
        limits.append(pace.measure(STEP))
    assert limits[-1] == 4 * MIB
    assert limits == sorted(limits)


def test_one_that_still_waits_is_measured_again_within_a_second(clock: Clock) -> None:
    pace = pace_of(clock)
    assert not pace.is_late(clock.now + 5), "S3 is slow, not the client"
    taken(clock, pace, MIB, 0.1)
    assert not pace.is_late(clock.now + 0.5)
    assert pace.is_late(clock.now + 1.5)
    pace.caught_up()
    pace.measure(1)
    assert not pace.is_late(clock.now + 1.5)
