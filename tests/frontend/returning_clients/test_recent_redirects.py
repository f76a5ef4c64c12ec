"""Recent redirects of askers are recognised, in a table of fixed size that workers share."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from nearbucket.frontend.returning_clients.came_back import GET, Try
from nearbucket.frontend.returning_clients.recent_redirects import (
    CAME_BACK,
    NOTHING,
    SIZE,
    SLOTS,
    STUCK,
    AskerVerdict,
    RecentRedirects,
    SharedTable,
    mark_of_asker,
    mark_of_object,
    mark_of_range,
)
from nearbucket.frontend.returning_clients.stuck_clients import StuckClient
from nearbucket.frontend.worker_context import WorkerContext
from nearbucket.policy.model import Reason
from tests import build

if TYPE_CHECKING:
    from nearbucket.supervisor.snapshot import Snapshot

WINDOW = 300.0


def redirect(kept: RecentRedirects, asker: int, asked: int, now: float) -> None:
    kept.after_redirect(asker, Try(asked, GET, 1, now))


def verdict(kept: RecentRedirects, asker: int, asked: int, now: float) -> AskerVerdict:
    return kept.verdict(asker, asked, now, GET)


def test_all_workers_see_one_table() -> None:
    descriptor = os.memfd_create("test")
    os.ftruncate(descriptor, SIZE)
    one, two = (RecentRedirects(WINDOW, SharedTable(descriptor)) for _ in range(2))
    os.close(descriptor)
    asker, asked = 2**64 - 1, 2**63
    redirect(one, asker, asked, 100.0)
    assert verdict(two, asker, asked, 110.0) is CAME_BACK
    redirect(two, asker, asked, 110.0)
    assert verdict(one, asker, asked, 120.0) is STUCK
    assert one.stuck(asker, asked, 120.0) == 1
    assert two.stuck(asker, asked, 120.0) is None
    assert two.is_stuck(asker, 3719.0)
    assert not two.is_stuck(asker, 3720.0)


def test_of_two_askers_in_one_slot_the_later_is_known() -> None:
    kept = RecentRedirects(WINDOW, SharedTable())
    redirect(kept, 5, 1, 100.0)
    redirect(kept, 5 + SLOTS, 1, 100.0)
    assert verdict(kept, 5, 1, 110.0) is NOTHING
    assert verdict(kept, 5 + SLOTS, 1, 110.0) is CAME_BACK


def test_an_asker_that_is_stuck_keeps_its_slot() -> None:
    kept = RecentRedirects(WINDOW, SharedTable())
    kept.stuck(5, 1, 100.0)
    redirect(kept, 5 + SLOTS, 1, 110.0)
    assert kept.is_stuck(5, 110.0)
    redirect(kept, 5 + SLOTS, 1, 3700.0)
    assert not kept.is_stuck(5, 3700.0)
    assert verdict(kept, 5 + SLOTS, 1, 3710.0) is CAME_BACK


def test_a_mark_is_the_same_in_every_process() -> None:
    assert mark(range="bytes=0-1") == 0x69BB3A517491A80A


def mark(site: str = "*", client: str = "192.0.2.7", key: str = "a", **fields: str) -> int:
    asked = build.request(**fields)
    return mark_of_asker(site, client, asked) ^ mark_of_object(key) ^ mark_of_range(asked)


def test_a_mark_stands_for_all_that_tells_two_requests_apart() -> None:
    others = [
        mark(site="b"),
        mark(client="192.0.2.8"),
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


def test_a_reload_takes_the_new_window_and_keeps_the_table() -> None:
    def made(came_back: str) -> Snapshot:
        return build.snapshot(build.settings(site={"redirect": {"came_back": came_back}}))

    first, longer, off = made("10s"), made("1h"), made("off")
    context = WorkerContext(first.settings, first.table, first.cdn)
    redirect(context.decider.recent_redirects["*"], 1, 2, 100.0)
    assert verdict(context.decider.recent_redirects["*"], 1, 2, 200.0) is NOTHING
    context.apply(longer.settings, longer.table, longer.cdn)
    assert verdict(context.decider.recent_redirects["*"], 1, 2, 200.0) is CAME_BACK
    context.apply(off.settings, off.table, off.cdn)
    assert not context.decider.recent_redirects


@pytest.mark.parametrize("verify", ["match", "none"])
def test_a_reload_that_switches_it_off_frees_the_clients_that_were_stuck(verify: str) -> None:
    made = [
        build.snapshot(build.settings(site={"redirect": {"came_back": each, "verify": verify}}))
        for each in ("5m", "off")
    ]
    on, off = made
    context = WorkerContext(on.settings, on.table, on.cdn)
    asked = build.request("/a.tar.gz", peer=build.WEST)
    decider, now = context.decider, time.monotonic()
    decider.recent_redirects["*"].stuck(mark_of_asker("*", build.WEST, asked), 7, now)
    assert decider.decide(asked).reason is Reason.CAME_BACK
    decider.stuck_clients.add(
        mark_of_asker("*", build.WEST, asked), StuckClient.of("*", "", build.WEST, "a", b"")
    )
    assert decider.stuck_clients.current(decider.recent_redirects, now)
    context.apply(off.settings, off.table, off.cdn)
    assert decider.decide(asked).reason is Reason.IN_REGION
    assert not decider.stuck_clients.current(decider.recent_redirects, now)
