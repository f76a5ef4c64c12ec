"""Ranges of an object that has changed are decided by what was decided for their siblings."""

from __future__ import annotations

from dataclasses import replace
from time import monotonic
from typing import Any, cast

import pytest

from nearbucket.frontend.decider import Decider
from nearbucket.frontend.returning_clients.recent_redirects import (
    SharedTable,
    mark_of_asker,
    mark_of_object,
)
from nearbucket.frontend.returning_clients.sibling_ranges import (
    AskedRange,
    mark_of_bytes,
)
from nearbucket.policy.model import Reason, RedirectTo, ReplicaStatus, Request, Stream
from nearbucket.replicas.origin_versions import LATELY
from nearbucket.replicas.replica_status import OlderCopy
from tests import build

REQUEST = Request("GET", "/a", {b"range": b"bytes=0-9", b"user-agent": b"x"}, "192.0.2.7")


ASKER = mark_of_asker("*", "192.0.2.7", REQUEST)


class Known:
    """A target with a copy of ``/a`` that is older for a few looks, and then not readable."""

    def __init__(self, looks: int, size: int | None = 20) -> None:
        self.looks, self.size, self.decisions = looks, size, 0
        self.table = SharedTable()
        self.decider = Decider(self.table, lambda *_: None)
        redirect = {"verify": "match", "came_back": "5m", "paths": ["*"]}
        settings = build.settings(site={"redirect": redirect})
        self.decider.use(build.engine(settings), settings)
        self.decider.replicas = cast("Any", self)

    def status(self, _site: str, _region: str, _key: str) -> ReplicaStatus:
        self.decisions += 1
        return ReplicaStatus(Reason.NOT_REPLICATED)

    def older_copy(self, _site: str, _region: str, _key: str) -> OlderCopy | None:
        self.looks -= 1
        return OlderCopy(monotonic() - 1.0, self.size) if self.looks > 0 else None

    def count(self) -> None:
        """A download of the object is under way."""
        mark = ASKER ^ mark_of_object("a")
        first = AskedRange(mark, mark_of_bytes("bytes=0-9"), 10)
        self.table.ranges.record(first, 20, monotonic())


@pytest.mark.parametrize("size", [20, None], ids=["older", "being checked"])
async def test_a_waiting_request_is_decided_once_before_and_once_after(size: int | None) -> None:
    known = Known(6, size)
    known.count()
    decision = await known.decider.decide_later(REQUEST, monotonic())
    assert decision.reason is Reason.NOT_REPLICATED
    assert known.looks < 0
    assert known.decisions == 2


async def test_no_request_waits_longer_than_the_older_copy_counts() -> None:
    known = Known(1_000_000)
    known.count()
    decision = await known.decider.decide_later(REQUEST, monotonic() - LATELY + 0.05)
    assert isinstance(decision, Stream)


def test_without_a_download_under_way_no_range_waits_for_the_check_of_a_copy() -> None:
    assert Known(9, None).decider.decide(REQUEST).reason is Reason.NOT_REPLICATED


@pytest.mark.parametrize(("fail", "answer"), [(False, RedirectTo), (True, Stream)])
def test_a_client_whose_redirects_fail_is_not_redirected_to_the_older_copy(
    *, fail: bool, answer: type
) -> None:
    known, rest = Known(9), {**REQUEST.headers, b"range": b"bytes=10-19"}
    known.count()
    if fail:
        known.decider.recent_redirects["*"].stuck(ASKER, 1, monotonic())
    assert isinstance(known.decider.decide(replace(REQUEST, headers=rest)), answer)
