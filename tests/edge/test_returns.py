"""A client that was sent away a moment ago is recognised, and memory has a bound."""

from __future__ import annotations

import sys
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge import returns
from proxy.edge.returns import Returns, mark_of_client, mark_of_object
from proxy.edge.state import WorkerState
from tests import build

if TYPE_CHECKING:
    from proxy.snapshot import Snapshot

WINDOW = 10.0


def test_it_came_back_within_the_window_only() -> None:
    kept = Returns(WINDOW)
    kept.sent_away(1, 100.0)
    assert kept.came_back(1, 100.0)
    assert kept.came_back(1, 109.9)
    assert not kept.came_back(1, 110.0)
    assert not kept.came_back(2, 100.0)


def test_having_been_served_it_is_forgotten() -> None:
    kept = Returns(WINDOW)
    kept.sent_away(1, 100.0)
    kept.served(1)
    assert not kept.came_back(1, 100.1)
    kept.served(1)


def test_a_redirect_within_the_window_begins_it_anew() -> None:
    kept = Returns(WINDOW)
    kept.sent_away(1, 100.0)
    kept.sent_away(1, 105.0)
    assert kept.came_back(1, 112.0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["sent", "sent", "served", "asks"]), st.integers(0, 7),
              st.floats(0, 6)), max_size=60,
)  # fmt: skip


@given(STEPS)
def test_it_is_a_table_of_last_redirects_of_which_the_oldest_go(
    steps: list[tuple[str, int, float]],
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(returns, "MOST", 4)
        kept, sent, now = Returns(WINDOW), dict[int, float](), 0.0
        for what, mark, pause in steps:
            now += pause
            if what == "sent":
                kept.sent_away(mark, now)
                sent.pop(mark, None)
                sent[mark] = now
            elif what == "served":
                kept.served(mark)
                sent.pop(mark, None)
            came_back = kept.came_back(mark, now)
            lately = mark in sent and now - sent[mark] < WINDOW
            assert lately or not came_back
            if mark in list(sent)[-4:]:  # a generation is never forgotten
                assert came_back is lately
            assert len(kept._now) <= 4
            assert len(kept._before) <= 4


def test_what_is_kept_has_a_bound_in_marks_and_in_bytes() -> None:
    """The module says: two generations, about 100 bytes a mark."""
    kept, most = Returns(WINDOW), returns.MOST
    tracemalloc.start()
    try:
        for number in range(5 * most):
            kept.sent_away(hash((number, "x")), 100.0 + number)
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    marks = len(kept._now) + len(kept._before)
    assert most <= marks <= 2 * most
    assert held / marks < 150, f"{held / marks:.0f} bytes a mark"
    assert held > marks * sys.getsizeof(1.5)


def mark(site: str = "*", client: str = "192.0.2.7", method: str = "GET", key: str = "a",
         **fields: str) -> int:  # fmt: skip
    asked = build.request(**fields)
    return mark_of_client(site, client, asked) ^ mark_of_object(method, key)


def test_a_mark_stands_for_all_that_tells_two_requests_apart() -> None:
    others = [
        mark(site="b"), mark(client="192.0.2.8"), mark(method="HEAD"), mark(key="b"),
        mark(user_agent="curl"), mark(user_agent="wget"), mark(range="bytes=0-1"),
        mark(range="bytes=1-2"), mark(user_agent="bytes=0-1"), mark(client="a", key="192.0.2.7"),
    ]  # fmt: skip
    assert len({mark(), *others}) == 1 + len(others)


def test_a_mark_does_not_depend_on_the_rest_of_the_request() -> None:
    assert mark() == mark(referer="https://r.example", x_amz_cf_id="1", host="other.example")
    assert mark(user_agent="curl") == mark(user_agent="curl", accept="*/*")


def test_a_reload_takes_the_new_window_and_keeps_who_was_sent_away() -> None:
    def made(came_back: str) -> Snapshot:
        return build.snapshot(build.settings(site={"redirect": {"came_back": came_back}}))

    first, longer, off = made("10s"), made("1h"), made("off")
    state = WorkerState(first.settings, first.table, first.cdn)
    state.returns["*"].sent_away(1, 100.0)
    state.apply(longer.settings, longer.table, longer.cdn)
    assert state.returns["*"].came_back(1, 200.0)
    state.apply(off.settings, off.table, off.cdn)
    assert not state.returns
