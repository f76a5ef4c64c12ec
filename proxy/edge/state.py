"""What the lanes of one worker share: the current engine, counters, log and clock.

In: a configuration and a table, again at every reload. Out: the one place a lane reads
them from. Refuses to hold anything of a single connection or request.
"""

from __future__ import annotations

import logging
import time
from email.utils import formatdate
from typing import TYPE_CHECKING

from proxy.decide.engine import Engine
from proxy.decide.model import UNKNOWN, Decision, Refuse, Request
from proxy.edge.accesslog import AccessLog, Record
from proxy.edge.metrics import Counters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.decide.regions import NetworkSet, RegionTable
    from proxy.edge.fastlane import FastLane
    from proxy.settings import Settings
    from proxy.storage.origin import Origin


_log = logging.getLogger(__name__)


class WorkerState:
    """The process part of a lane's state.

    Attributes:
        engine: The snapshot that decides; swapped whole by ``apply``.
        settings: The configuration it was built from.
        origins: Site name to its origin.
        counters: Figures of this process.
        log: Access log of this process.
        lanes: Open client connections.
        max_lanes: How many there may be.
        date: Value of the Date header, rebuilt by ``tick``.
        draining: Whether answers close their connection.
    """

    __slots__ = (
        "_complaints", "counters", "date", "draining", "engine", "lanes", "log", "max_lanes",
        "origins", "settings",
    )  # fmt: skip

    def __init__(
        self, settings: Settings, table: RegionTable, cdn: NetworkSet, *, workers: int = 1,
        descriptor: int = 1,
    ) -> None:  # fmt: skip
        self.counters = Counters()
        self.log = AccessLog(
            settings.log.access,
            lambda count: self.counters.add("nearbucket_log_lines_dropped_total", by=count),
            descriptor,
            "https" if settings.listen.tls else "http",
        )
        self.lanes: set[FastLane] = set()
        self.draining = False
        self._complaints = 0
        self.origins: Mapping[str, Origin] = {}
        self.max_lanes = -(-settings.limits.max_connections // workers)
        self.apply(settings, table, cdn)
        self.tick()

    def apply(self, settings: Settings, table: RegionTable, cdn: NetworkSet) -> None:
        """Take a new configuration or list: one assignment, seen by the next request."""
        engine = Engine.build(settings, table, cdn)
        self.settings = settings
        self.engine = engine
        self.counters.declare(settings)

    def tick(self) -> None:
        """Once a second: the Date header, and how much was kept out of the log."""
        self.date = formatdate(usegmt=True)
        if self._complaints > 1:
            _log.warning("and %d more like the last", self._complaints - 1)
        self._complaints = 0

    def complain(self, text: str) -> None:
        """Log a warning, at most one a second: an outage is one fact, not one a request."""
        self._complaints += 1
        if self._complaints == 1:
            _log.warning("%s", text)

    def record(  # noqa: PLR0913  # one row, one call
        self, request: Request, decision: Decision, *, status: int, sent: int, seconds: float,
        streamed: int = 0, protocol: str = "HTTP/1.1",
    ) -> None:  # fmt: skip
        """Count and log one answered request.

        Args:
            request: The request.
            decision: What it got.
            status: Status of the answer; 0 when the client left before any.
            sent: Body bytes handed to the connection.
            seconds: From the request's head to the end of the answer.
            streamed: How many of the bytes sent came from the origin.
            protocol: HTTP version of the request.
        """
        self.counters.decided(decision, seconds, streamed)
        if self.log.enabled:
            self.log.add(_record(request, decision, status, sent, seconds, protocol))


def _record(  # noqa: PLR0913, PLR0917  # one row, one call
    request: Request, decision: Decision, status: int, sent: int, seconds: float, protocol: str
) -> Record:
    return Record(
        time=time.time(),
        client=None if isinstance(decision, Refuse) else decision.client,
        peer=request.peer,
        method=request.method,
        host=_text(request, b"host"),
        path=request.target.partition("?")[0],
        status=status,
        bytes=sent,
        seconds=seconds,
        action=decision.reason.action.value,
        region=UNKNOWN if isinstance(decision, Refuse) else decision.region or UNKNOWN,
        reason=decision.reason.value,
        site=None if isinstance(decision, Refuse) else decision.site,
        user_agent=_text(request, b"user-agent"),
        referer=(_text(request, b"referer") or "").partition("?")[0] or None,
        range=_text(request, b"range"),
        protocol=protocol,
    )


def _text(request: Request, name: bytes) -> str | None:
    value = request.headers.get(name)
    return None if value is None else value.decode("utf-8", "replace")
