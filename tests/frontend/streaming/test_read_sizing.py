"""How much of a large body is read at a time: never more is waited for than will come."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hypothesis import given
from hypothesis import strategies as st

from nearbucket.frontend.streaming.read_sizing import LARGE, ReadSizer
from nearbucket.origin.pool.read_buffer import BUFFER, USUAL

if TYPE_CHECKING:
    from nearbucket.origin.pool.connection import UpstreamConnection

MIB = 1 << 20


class Upstream:
    """Stands for a connection to S3; ``counts``: the low water marks it was set to."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def set_low_water_mark(self, count: int) -> None:
        self.counts.append(count)


def sizer_of(length: int) -> tuple[ReadSizer, Upstream]:
    upstream = Upstream()
    return ReadSizer(cast("UpstreamConnection", upstream), length), upstream


def test_a_client_that_keeps_up_is_given_more_at_a_time_until_little_is_left() -> None:
    sizer, upstream = sizer_of(64 * MIB)
    sizer.on_passed(49 * MIB)
    assert upstream.counts == [USUAL // 2]
    sizer.on_passed(47 * MIB)
    sizer.on_passed(46 * MIB)
    assert upstream.counts == [USUAL // 2, BUFFER // 2]
    sizer.on_passed(1000)
    sizer.on_passed(0)
    assert upstream.counts == [USUAL // 2, BUFFER // 2, 1]


def test_one_that_falls_behind_is_given_less_until_it_has_kept_up_again() -> None:
    sizer, upstream = sizer_of(64 * MIB)
    sizer.on_passed(40 * MIB)
    sizer.on_backpressure(40 * MIB)
    sizer.on_passed(25 * MIB)
    assert upstream.counts == [USUAL // 2, BUFFER // 2, USUAL // 2]
    sizer.on_passed(23 * MIB)
    assert upstream.counts[3:] == [BUFFER // 2]


def test_a_slow_bucket_is_not_waited_for_again() -> None:
    sizer, upstream = sizer_of(32 * MIB)
    assert sizer.read_immediately()
    assert not sizer.read_immediately()
    sizer.on_backpressure(20 * MIB)
    sizer.on_passed(10 * MIB)
    sizer.on_passed(0)
    assert upstream.counts == [USUAL // 2, 1]


@given(
    st.integers(LARGE + 1, 64 * MIB),
    st.lists(st.tuples(st.integers(1, BUFFER), st.booleans()), max_size=300),
)
def test_what_is_waited_for_is_still_to_come(length: int, steps: list[tuple[int, bool]]) -> None:
    sizer, upstream = sizer_of(length)
    left = length
    for size, behind in steps:
        left = max(0, left - size)
        sizer.on_passed(left)
        if behind:
            sizer.on_backpressure(left)
        assert upstream.counts[-1] <= max(1, left)
    sizer.on_passed(0)
    assert upstream.counts[-1] == 1, "the next answer may be short"
