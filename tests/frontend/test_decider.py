"""A request that waits for the older downloads of its client is decided again only after that."""

from __future__ import annotations

from time import monotonic
from typing import Any, cast

from nearbucket.frontend.decider import Decider
from nearbucket.frontend.recent_redirects import (
    RecentRedirects,
    SharedTable,
    mark_of_asker,
    mark_of_object,
)
from nearbucket.frontend.sibling_ranges import AskedRange, mark_of_bytes
from nearbucket.policy.model import Reason, Request, Stream
from nearbucket.replicas.replica_status import OlderCopy

REQUEST = Request("GET", "/a", {b"range": b"bytes=0-9", b"user-agent": b"x"}, "192.0.2.7")


class Known:
    """A policy that streams, and a copy that is older for a few looks."""

    def __init__(self, looks: int) -> None:
        self.looks, self.decisions = looks, 0

    def decide(self, _request: Request, _replicas: object) -> Stream:
        self.decisions += 1
        return Stream("*", "a", "192.0.2.7", "us-west-2", target=True, reason=Reason.NOT_REPLICATED)

    def older_copy(self, _site: str, _region: str, _key: str) -> OlderCopy | None:
        self.looks -= 1
        return OlderCopy(monotonic() - 1.0, 20) if self.looks > 0 else None


async def test_a_waiting_request_is_decided_once_before_and_once_after() -> None:
    table, known = SharedTable(), Known(looks=6)
    decider = Decider(table, lambda *_: None)
    decider.engine = cast("Any", known)
    decider.replicas = cast("Any", known)
    decider.recent_redirects = {"*": RecentRedirects(300.0, table)}
    mark = mark_of_asker("*", "192.0.2.7", REQUEST) ^ mark_of_object("a")
    table.ranges.record(AskedRange(mark, mark_of_bytes("bytes=0-9"), 10), 100, monotonic())
    decision = await decider.decide_later(REQUEST, monotonic())
    assert decision.reason is Reason.NOT_REPLICATED
    assert known.looks < 0
    assert known.decisions == 2
