"""Decisions that counters count, a known history of them, and the page that shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.policy.model import REPLICA_OK, Reason, RedirectTo, Refuse, Stream
from nearbucket.telemetry.metrics import Counters
from nearbucket.telemetry.prometheus import exposed

if TYPE_CHECKING:
    from nearbucket.telemetry.metrics import Values

WEST = RedirectTo(
    "dl",
    "private/key.tar.gz",
    "198.51.100.7",
    "us-west-2",
    target=True,
    base="https://b.example/",
    path="k",
    status=301,
    browser=False,
    reason=Reason.IN_REGION,
    replica=REPLICA_OK,
)
METHOD = Refuse(405, Reason.METHOD)


def stream(region: str | None, reason: Reason, *, target: bool = False) -> Stream:
    return Stream("dl", "private/key.tar.gz", "203.0.113.250", region, target, reason)


def text_of(values: Values) -> str:
    """The page in Prometheus' format."""
    return exposed(values).body.decode()


def plain(values: Values) -> Values:
    """The series without the histogram, which has many zeros."""
    return {name: series for name, series in values.items() if name != "nearbucket_request_seconds"}


def history() -> Counters:
    """Two redirects, three bypasses, a refusal, and what happened around them."""
    counters = Counters()
    counters.decision_counters(WEST).add(0.25, 1 << 30)
    counters.decision_counters(WEST).add(0.25, 0)
    counters.decision_counters(stream(None, Reason.OUTSIDE_AWS)).add(2.0, 5_242_880)
    counters.decision_counters(stream("eu-west-1", Reason.NO_TARGET)).add(0.5, 100)
    counters.decision_counters(stream("us-west-2", Reason.PATH, target=True)).add(4000.0, 0)
    counters.decision_counters(METHOD).add(0.0, 0)
    counters.add("nearbucket_origin_requests_total", "dl", "206")
    counters.add("nearbucket_log_lines_dropped_total", "access", by=7)
    counters.streams, counters.connections = 1, 3
    return counters
