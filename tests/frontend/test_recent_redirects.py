"""Clients that were redirected a moment ago are recognised, in a table of fixed size."""

from __future__ import annotations

import os
from mmap import mmap
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from nearbucket.frontend.recent_redirects import (
    SIZE,
    SLOTS,
    RecentRedirects,
    SharedTable,
    mark_of_asker,
    mark_of_object,
    mark_of_part,
)
from nearbucket.frontend.worker_context import WorkerContext
from tests import build

if TYPE_CHECKING:
    from nearbucket.supervisor.snapshot import Snapshot

WINDOW = 10.0


def test_it_came_back_within_the_window_only() -> None:
    kept = RecentRedirects(WINDOW, SharedTable())
    kept.record(1, 0, 0, 100.0)
    assert kept.came_back(1, 100.0)
    assert kept.came_back(1, 109.9)
    assert not kept.came_back(1, 110.0)
    assert not kept.came_back(2, 100.0)


def test_having_been_served_it_is_forgotten() -> None:
    kept = RecentRedirects(WINDOW, SharedTable())
    kept.record(1, 0, 0, 100.0)
    kept.forget(1)
    assert not kept.came_back(1, 100.1)
    kept.forget(1)


def test_a_redirect_within_the_window_begins_it_anew() -> None:
    kept = RecentRedirects(WINDOW, SharedTable())
    kept.record(1, 0, 0, 100.0)
    kept.record(1, 0, 0, 105.0)
    assert kept.came_back(1, 112.0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["sent", "sent", "served", "asks"]), st.integers(0, 7), st.floats(0, 6)
    ),
    max_size=60,
)


@given(STEPS)
def test_it_is_a_table_of_last_redirects_of_which_one_stays_in_a_place(
    steps: list[tuple[str, int, float]],
) -> None:
    kept, sent, now = RecentRedirects(WINDOW, SharedTable()), dict[int, tuple[int, float]](), 100.0
    for what, number, pause in steps:
        now += pause
        place = number % 4
        mark = place + SLOTS * number
        if what == "sent":
            kept.record(mark, 0, 0, now)
            sent[place] = mark, now
        elif what == "served":
            kept.forget(mark)
            if sent.get(place, (None,))[0] == mark:
                del sent[place]
        last, at = sent.get(place, (None, 0.0))
        assert kept.came_back(mark, now) is (last == mark and now - at < WINDOW)


def test_an_asker_was_redirected_lately_for_an_object_whatever_part_it_asked_for() -> None:
    kept = RecentRedirects(WINDOW, SharedTable())
    kept.record(1, 2, 4, 100.0)
    assert kept.redirected_lately(1, 2, 101.9, within=2.0)
    assert not kept.redirected_lately(1, 2, 102.0, within=2.0)
    assert not kept.redirected_lately(1, 8, 100.0, within=2.0)
    assert not kept.redirected_lately(16, 2, 100.0, within=2.0)
    kept.record(1, 8, 4, 101.0)
    assert kept.redirected_lately(1, 2, 101.5, within=2.0)  # beside another object


def test_all_workers_see_one_table() -> None:
    descriptor = os.memfd_create("test")
    os.ftruncate(descriptor, SIZE)
    one, two = (RecentRedirects(WINDOW, SharedTable(mmap(descriptor, SIZE))) for _ in range(2))
    os.close(descriptor)
    one.record(2**64 - 1, 0, 0, 100.0)
    assert two.came_back(2**64 - 1, 100.0)
    two.forget(2**64 - 1)
    assert not one.came_back(2**64 - 1, 100.0)


def test_a_mark_is_the_same_in_every_process() -> None:
    assert mark() == 0x63461F10322B33EC


def mark(
    site: str = "*", client: str = "192.0.2.7", method: str = "GET", key: str = "a", **fields: str
) -> int:
    asked = build.request(method=method, **fields)
    return mark_of_asker(site, client, asked) ^ mark_of_object(key) ^ mark_of_part(asked)


def test_a_mark_stands_for_all_that_tells_two_requests_apart() -> None:
    others = [
        mark(site="b"),
        mark(client="192.0.2.8"),
        mark(method="HEAD"),
        mark(key="b"),
        mark(user_agent="curl"),
        mark(user_agent="wget"),
        mark(range="bytes=0-1"),
        mark(range="bytes=1-2"),
        mark(user_agent="bytes=0-1"),
        mark(client="a", key="192.0.2.7"),
    ]
    assert len({mark(), *others}) == 1 + len(others)


def test_a_mark_does_not_depend_on_the_rest_of_the_request() -> None:
    assert mark() == mark(referer="https://r.example", x_amz_cf_id="1", host="other.example")
    assert mark(user_agent="curl") == mark(user_agent="curl", accept="*/*")


def test_a_reload_takes_the_new_window_and_keeps_who_was_sent_away() -> None:
    def made(came_back: str) -> Snapshot:
        return build.snapshot(build.settings(site={"redirect": {"came_back": came_back}}))

    first, longer, off = made("10s"), made("1h"), made("off")
    context = WorkerContext(first.settings, first.table, first.cdn)
    context.decider.recent_redirects["*"].record(1, 0, 0, 100.0)
    context.apply(longer.settings, longer.table, longer.cdn)
    assert context.decider.recent_redirects["*"].came_back(1, 200.0)
    context.apply(off.settings, off.table, off.cdn)
    assert not context.decider.recent_redirects
