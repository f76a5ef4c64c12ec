"""Truths about the pieces of a large body: never more is waited for than will come."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hypothesis import given
from hypothesis import strategies as st

from nearbucket.frontend.streaming.read_sizing import LARGE, ReadSizer
from nearbucket.origin.pool.read_buffer import BUFFER, USUAL

if TYPE_CHECKING:
    from nearbucket.origin.pool.connection import UpstreamConnection

MIB = 1 << 20


class Told:
    """A connection that notes what it is told to wait for."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def set_low_water_mark(self, count: int) -> None:
        self.counts.append(count)


def pieces(length: int) -> tuple[ReadSizer, Told]:
    told = Told()
    return ReadSizer(cast("UpstreamConnection", told), length), told


def test_a_client_that_keeps_up_is_given_more_at_a_time_until_little_is_left() -> None:
    each, told = pieces(64 * MIB)
    each.on_passed(49 * MIB)
    assert told.counts == [USUAL // 2]
    each.on_passed(47 * MIB)
    each.on_passed(46 * MIB)
    assert told.counts == [USUAL // 2, BUFFER // 2]
    each.on_passed(1000)
    each.on_passed(0)
    assert told.counts == [USUAL // 2, BUFFER // 2, 1]


def test_one_that_falls_behind_is_given_less_until_it_has_kept_up_again() -> None:
    each, told = pieces(64 * MIB)
    each.on_passed(40 * MIB)
    each.on_backpressure(40 * MIB)
    each.on_passed(25 * MIB)
    assert told.counts == [USUAL // 2, BUFFER // 2, USUAL // 2]
    each.on_passed(23 * MIB)
    assert told.counts[3:] == [BUFFER // 2]


def test_a_slow_bucket_is_not_waited_for_again() -> None:
    each, told = pieces(32 * MIB)
    assert each.read_immediately()
    assert not each.read_immediately()
    each.on_backpressure(20 * MIB)
    each.on_passed(10 * MIB)
    each.on_passed(0)
    assert told.counts == [USUAL // 2, 1]


@given(
    st.integers(LARGE + 1, 64 * MIB),
    st.lists(st.tuples(st.integers(1, BUFFER), st.booleans()), max_size=300),
)
def test_what_is_waited_for_is_still_to_come(length: int, steps: list[tuple[int, bool]]) -> None:
    each, told = pieces(length)
    left = length
    for size, behind in steps:
        left = max(0, left - size)
        each.on_passed(left)
        if behind:
            each.on_backpressure(left)
        assert told.counts[-1] <= max(1, left)
    each.on_passed(0)
    assert told.counts[-1] == 1, "the next answer may be short"
