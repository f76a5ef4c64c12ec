"""How much of a large body is read at a time: never more is waited for than will come."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from hypothesis import given
from hypothesis import strategies as st

from nearbucket.frontend.limits.client_pace import LEAST
from nearbucket.frontend.streaming.read_sizing import LARGE, ReadSizer
from nearbucket.origin.pool.read_buffer import BUFFER

if TYPE_CHECKING:
    from nearbucket.origin.pool.connection import UpstreamConnection

KIB, MIB = 1 << 10, 1 << 20


class Upstream:
    """Stands for a connection to S3.

    Attributes:
        counts: The low water marks it was set to.
        fixed: Whether its receive buffer was fixed, each time that was said.
    """

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.fixed: list[bool] = []

    def set_low_water_mark(self, count: int) -> None:
        self.counts.append(count)

    def fix_receive_buffer(self, *, fixed: bool) -> None:
        self.fixed.append(fixed)


def sizer_of(limit: int) -> tuple[ReadSizer, Upstream]:
    upstream = Upstream()
    return ReadSizer(cast("UpstreamConnection", upstream), limit), upstream


def test_a_client_that_becomes_faster_is_given_more_at_a_time_until_little_is_left() -> None:
    sizer, upstream = sizer_of(LEAST)
    sizer.on_limit(512 * KIB, 49 * MIB)
    sizer.on_limit(4 * MIB, 40 * MIB)
    sizer.on_passed(MIB)
    assert upstream.counts == [LEAST // 4, 128 * KIB, BUFFER // 2]
    sizer.on_passed(1000)
    sizer.on_passed(0)
    assert upstream.counts[3:] == [1]


def test_the_receive_buffer_grows_only_for_a_client_that_is_not_slow() -> None:
    sizer, upstream = sizer_of(LEAST)
    for limit in (LEAST, 2 * LEAST, 8 * LEAST, LEAST, LEAST):
        sizer.on_limit(limit, 40 * MIB)
    assert upstream.fixed == [True, False, False, True]
    _, upstream = sizer_of(8 * LEAST)
    assert upstream.fixed == [False]


def test_a_slow_bucket_is_not_waited_for_again() -> None:
    sizer, upstream = sizer_of(4 * MIB)
    assert sizer.read_immediately()
    assert not sizer.read_immediately()
    sizer.on_limit(LEAST, 20 * MIB)
    sizer.on_passed(10 * MIB)
    sizer.on_passed(0)
    assert upstream.counts == [BUFFER // 2, 1]


@given(
    st.integers(LARGE + 1, 64 * MIB),
    st.lists(st.tuples(st.integers(1, BUFFER), st.integers(LEAST, 4 * MIB)), max_size=300),
)
def test_what_is_waited_for_is_still_to_come(length: int, steps: list[tuple[int, int]]) -> None:
    sizer, upstream = sizer_of(LEAST)
    left = length
    for size, limit in steps:
        left = max(0, left - size)
        sizer.on_passed(left)
        sizer.on_limit(limit, left)
        assert upstream.counts[-1] <= max(1, left)
    sizer.on_passed(0)
    assert upstream.counts[-1] == 1, "the next answer may be short"
