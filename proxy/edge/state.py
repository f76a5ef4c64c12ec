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
from proxy.decide.model import UNKNOWN, Decision, Redirect, Refuse, Request, Stream
from proxy.decide.simple import SimpleReader
from proxy.decide.wire import RedirectText
from proxy.edge.accesslog import AccessLog
from proxy.edge.loglines import Record
from proxy.edge.memo import Known, Memo
from proxy.edge.metrics import Counters
from proxy.edge.visits import UNRELAYED, visitor_of, wanted_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.decide.regions import NetworkSet, RegionTable
    from proxy.edge.fastlane import FastLane
    from proxy.settings import Settings
    from proxy.storage.direct import Direct
    from proxy.storage.origin import Origin


RECORDED = frozenset({b"host", b"user-agent", b"referer", b"range"})
"""Header fields that the access log shows."""

_log = logging.getLogger(__name__)


class WorkerState:
    """The process part of a lane's state.

    Attributes:
        engine: The snapshot that decides; swapped whole by ``apply``.
        settings: The configuration it was built from.
        origins: Site name to its origin.
        directs: The same for plain GETs; empty when all are to go to aiohttp.
        counters: Figures of this process.
        log: Access log of this process.
        lanes: Open client connections.
        max_lanes: How many there may be.
        reader: Reads simple requests; None when all are to go to aiohttp.
        memo: Requests decided before; emptied by ``apply``.
        date: Value of the Date header, made by ``tick``.
        offset: Unix time less monotonic time, in seconds.
        draining: Whether answers close their connection.
    """

    __slots__ = (
        "_complaints", "_texts", "counters", "date", "directs", "draining", "engine", "fast_lane",
        "lanes", "log", "max_lanes", "memo", "offset", "origins", "reader", "settings",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913  # one worker, one call
        self, settings: Settings, table: RegionTable, cdn: NetworkSet, *, workers: int = 1,
        descriptor: int = 1, fast_lane: bool = True,
    ) -> None:  # fmt: skip
        self.fast_lane = fast_lane
        self.counters = Counters()
        self.log = AccessLog(
            settings.log.access,
            lambda count: self.counters.add("nearbucket_log_lines_dropped_total", by=count),
            descriptor,
            "https" if settings.listen.tls else "http",
        )
        self.memo = Memo()
        self.lanes: set[FastLane] = set()
        self.draining = False
        self._complaints = 0
        self.origins: Mapping[str, Origin] = {}
        self.directs: Mapping[str, Direct] = {}
        self.max_lanes = -(-settings.limits.max_connections // workers)
        self.apply(settings, table, cdn)
        self.tick()

    def apply(self, settings: Settings, table: RegionTable, cdn: NetworkSet) -> None:
        """Take a new configuration or list: one assignment, seen by the next request."""
        engine = Engine.build(settings, table, cdn)
        self.settings = settings
        self.engine = engine
        self.reader = SimpleReader(engine.reads | RECORDED | UNRELAYED) if self.fast_lane else None
        self.memo.forget()
        self._texts: dict[tuple[str, str, bool], RedirectText] = {}
        self.counters.declare(settings)

    def tick(self) -> None:
        """Once a second: the clock, and how much was kept out of the log."""
        self.memo.tick()
        self.date = formatdate(usegmt=True).encode()
        self.offset = time.time() - time.monotonic()
        if self._complaints > 1:
            _log.warning("and %d more like the last", self._complaints - 1)
        self._complaints = 0

    def drain(self) -> None:
        """Close every connection with its next answer."""
        self.draining = True
        self.memo.forget()

    def known(self, request: Request, decision: Redirect | Stream) -> Known:
        """Everything that answering takes, for this request and those like it."""
        text, path = None, ""
        if isinstance(decision, Redirect):
            text, path = self._text(decision), decision.path
        record = _record(request, decision, 0)
        visitor = visitor_of(
            request, decision, text, record, self.log, self.counters,
            reason_header=self.settings.log.reason_header,
        )  # fmt: skip
        return Known(visitor, wanted_of(request, decision, path, self.log))

    def _text(self, decision: Redirect) -> RedirectText:
        key = decision.site, decision.base, decision.browser
        found = self._texts.get(key)
        if found is None:
            reason_header = self.settings.log.reason_header
            found = self._texts[key] = RedirectText.of(decision, reason_header=reason_header)
        return found

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
        if self.log.form is not None:
            self.log.add(_record(request, decision, status, sent, seconds, protocol))


def _record(  # noqa: PLR0913, PLR0917  # one row, one call
    request: Request, decision: Decision, status: int, sent: int = 0, seconds: float = 0.0,
    protocol: str = "HTTP/1.1",
) -> Record:  # fmt: skip
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
