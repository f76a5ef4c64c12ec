"""Answers to requests for ranges are counted once, whether redirected or streamed."""

from __future__ import annotations

from time import monotonic

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
from nearbucket.policy.model import Reason, RedirectTo, ReplicaStatus, Request, Stream
from nearbucket.replicas.replica_status import OlderCopy
from tests.build import settings, snapshot

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
