"""Each answer is counted once: ranges, statuses, and objects that targets lack."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import pytest

from nearbucket.frontend.returning_clients.recent_redirects import (
    SharedTable,
    mark_of_asker,
    mark_of_object,
)
from nearbucket.frontend.returning_clients.sibling_ranges import (
    COUNTED_BEFORE,
    NEXT,
    OLDER,
    TOLD,
    AskedRange,
    RangeOf,
    mark_of_bytes,
)
from nearbucket.frontend.worker_context import WorkerContext
from nearbucket.policy.model import (
    Reason,
    RedirectTo,
    Refuse,
    ReplicaStatus,
    Request,
    Stream,
)
from nearbucket.replicas.replica_status import OlderCopy
from tests.build import settings, snapshot

if TYPE_CHECKING:
    from nearbucket.policy.model import Decision

SIZE, FIRST, LAST = 100, "bytes=0-49", "bytes=50-99"


def asking(part: str, **fields: str) -> Request:
    headers = {b"host": b"x", b"range": part.encode()}
    headers |= {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
    return Request("GET", "/a", headers, "192.0.2.7")


def streamed(reason: Reason = Reason.NOT_REPLICATED) -> Stream:
    return Stream("*", "a", "192.0.2.7", "us-west-2", target=True, reason=reason, size=SIZE)


def redirected(until: float) -> RedirectTo:
    return RedirectTo(
        site="*", key="a", client="192.0.2.7", region="us-west-2", target=True, base="http://b/",
        path="a", status=301, browser=False, reason=Reason.IN_REGION,
        replica=ReplicaStatus(None, SIZE, until),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "decision", "status", "counts"),
    [
        (asking(FIRST), streamed(), 206, True),
        (asking(FIRST), streamed(), 404, False),
        (asking(FIRST), streamed(Reason.CAME_BACK), 206, False),
        (asking(FIRST, if_range='"e"'), streamed(), 206, False),  # this client notices a change
        (asking(FIRST), redirected(float("inf")), 301, True),
        (asking(FIRST), redirected(COUNTED_BEFORE), 301, False),
    ],
)
def test_a_range_counts_once(
    request_: Request, decision: Stream | RedirectTo, status: int, *, counts: bool
) -> None:
    table = SharedTable()
    found = answered("match", request_, decision, status, table)
    assert found is (NEXT if counts else OLDER)  # complete, or not


def test_where_copies_are_not_compared_ranges_are_not_counted() -> None:
    table = SharedTable()
    assert answered("exists", asking(FIRST), streamed(), 206, table) is OLDER


def answered(
    verify: str, request: Request, decision: Stream | RedirectTo, status: int, table: SharedTable
) -> RangeOf:
    """The download of the other range, after one answer."""
    made = snapshot(settings(site={"redirect": {"verify": verify}}, log={"access": "off"}))
    context = WorkerContext(made.settings, made.table, made.cdn, redirect_table=table)
    now, mark = monotonic(), mark_of_asker("*", "192.0.2.7", request) ^ mark_of_object("a")
    last = AskedRange(mark, mark_of_bytes(LAST), 50)
    table.ranges.record(last, SIZE, now)
    context.recorder.record(context.entries.build(request, decision), status, 50, now, now)
    later = now + TOLD
    return table.ranges.download_of(last, OlderCopy(now, SIZE), later, later)


def context_of(**site: object) -> WorkerContext:
    made = snapshot(settings(site=site, log={"access": "off"}))
    return WorkerContext(made.settings, made.table, made.cdn)


@pytest.mark.parametrize(
    ("decision", "statuses", "classes"),
    [
        pytest.param(streamed(), [200, 206, 304, 404, 503, 0],
                     {"2xx": 2, "3xx": 1, "4xx": 1, "5xx": 1, "none": 1}, id="streamed"),
        pytest.param(redirected(float("inf")), [301, 301], {"3xx": 2}, id="redirected"),
        pytest.param(Refuse(405, Reason.METHOD), [405], {"4xx": 1}, id="refused"),
    ],
)  # fmt: skip
def test_responses_are_counted_by_the_class_of_their_status(
    decision: Decision, statuses: list[int], classes: dict[str, int]
) -> None:
    context = context_of()
    cached = context.entries.build(asking(FIRST), decision)
    for status in statuses:
        context.recorder.record(cached, status, 1, 0.0, 1.0)
    found = context.counters.snapshot()["nearbucket_responses_total"]
    assert {name: number for (name,), number in found.items() if number} == classes


def test_an_object_that_the_target_lacks_is_noted() -> None:
    context = context_of()
    for decision in (streamed(), streamed(), streamed(Reason.PATH), redirected(float("inf"))):
        cached = context.entries.build(asking(FIRST), decision)
        context.recorder.record(cached, 200, 1, 0.0, 1.0)
    (copy,) = context.missing_copies.top()
    assert copy[:4] == ("*", "us-west-2", "a", 2)
