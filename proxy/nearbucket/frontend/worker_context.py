"""What the client connections of one worker share, in all lanes. Nothing of a single request."""

from __future__ import annotations

import logging
import time
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol

from nearbucket.frontend.answer_recorder import AnswerRecorder
from nearbucket.frontend.cached_decision import UNRELAYED, EntryBuilder
from nearbucket.frontend.closing_connection import closing_connection
from nearbucket.frontend.decider import Decider
from nearbucket.frontend.decision_cache import DecisionCache
from nearbucket.frontend.limits.client_limit import ClientLimit
from nearbucket.frontend.limits.stream_limit import StreamLimits
from nearbucket.frontend.request_parser import PlainRequestParser
from nearbucket.frontend.returning_clients.recent_redirects import SharedTable
from nearbucket.origin.missing_objects import MissingObjects
from nearbucket.policy.engine import Engine
from nearbucket.telemetry.access_log import AccessLog
from nearbucket.telemetry.history.missing_copies import MissingCopies
from nearbucket.telemetry.metrics import Counters

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.frontend.returning_clients.stuck_clients import StuckClient
    from nearbucket.origin.failover.failover import SiteOrigins
    from nearbucket.origin.pool.signed_requests import SignedRequestCache
    from nearbucket.regions.region_table import NetworkSet, RegionTable


RECORDED = frozenset({b"host", b"user-agent", b"referer", b"range"})
"""Header fields that the access log shows; the streaming lane reads its Range from them too."""

_log = logging.getLogger(__name__)


class OpenConnection(Protocol):
    """A client connection, as far as the worker has to do with it."""

    @property
    def is_answering(self) -> bool:
        """Whether an answer is not complete, or the client has not all of it."""

    def check(self, now: float) -> None:
        """Once a second, at this monotonic time: end what takes too long."""

    def abort(self) -> None:
        """Close the connection without another byte."""


class WarningLimiter:
    """Logs at most one warning a second: an outage is one fact, not one for each request."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def warn(self, text: str) -> None:
        """Log a warning unless there was one in this second."""
        self._count += 1
        if self._count == 1:
            _log.warning("%s", text)

    def tick(self) -> None:
        """Once a second: say how many warnings were left out."""
        if self._count > 1:
            _log.warning("and %d more like the last", self._count - 1)
        self._count = 0


class WorkerContext:
    """Holds what the connections of a worker share.

    Attributes:
        settings: The configuration in use.
        decider: Decides requests.
        decision_cache: Earlier decisions.
        entries: Makes the entries of the decision cache.
        parser: Recognises plain requests; None when all are to go to aiohttp.
        origins: The origins of each site.
        signed_requests: The same for the streaming lane; empty without it.
        counters: Metrics of this process.
        log: Access log of this process.
        recorder: Counts and logs answers.
        warnings: Logs what fails.
        connections: Open client connections, in a drain also those that only send their last bytes.
        handshakes: Connections in their TLS handshake.
        client_limit: What is in progress for each network of clients.
        missing_copies: Objects that were asked for, and that their target lacks.
        missing_objects: Objects for which an origin has just answered 404.
        max_connections: How many there may be.
        stream_limits: How many objects may be streamed, and are.
        date: Value of the Date header, made once a second.
        draining: Whether answers close their connection.
        closing_idle: Whether connections without a request are closed.
    """

    __slots__ = (
        "_fast_lane", "client_limit", "closing_idle", "connections", "counters", "date", "decider",
        "decision_cache", "draining", "entries", "handshakes", "log", "max_connections",
        "missing_copies", "missing_objects", "origins", "parser", "recorder", "settings",
        "signed_requests", "stream_limits", "warnings",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913  # one worker, one call
        self,
        settings: Settings,
        table: RegionTable,
        cdn: NetworkSet,
        *,
        workers: int = 1,
        descriptor: int = 1,
        fast_lane: bool = True,
        redirect_table: SharedTable | None = None,
    ) -> None:
        self._fast_lane = fast_lane
        self.counters = Counters()
        self.log = AccessLog(
            settings.log.access,
            lambda count: self.counters.add(
                "nearbucket_log_lines_dropped_total", "access", by=count
            ),
            descriptor,
            "https" if settings.listen.tls else "http",
        )
        table_of_redirects = redirect_table or SharedTable()
        self.missing_copies = MissingCopies()
        self.recorder = AnswerRecorder(
            self.log,
            self.counters,
            table_of_redirects.ranges,
            self._on_got_through,
            self._took_back,
            self.missing_copies,
        )
        self.warnings = WarningLimiter()
        self.decider = Decider(table_of_redirects, self._on_stuck)
        self.decision_cache = DecisionCache()
        self.origins: Mapping[str, SiteOrigins] = {}
        self.signed_requests: Mapping[str, SignedRequestCache] = {}
        self.connections: set[OpenConnection] = set()
        self.handshakes: set[asyncio.Task[None]] = set()
        self.missing_objects = MissingObjects()
        self.client_limit = ClientLimit()
        self.max_connections = -(-settings.limits.max_connections // workers)
        self.stream_limits = StreamLimits(workers)
        self.draining = self.closing_idle = False
        self.apply(settings, table, cdn)
        self.tick()

    def apply(self, settings: Settings, table: RegionTable, cdn: NetworkSet) -> None:
        """Decide by a new configuration or list of prefixes from the next request on.

        What can fail is built first: after an exception the old one is in use, whole.
        """
        engine = Engine.build(settings, table, cdn)
        reads = engine.reads | RECORDED | UNRELAYED
        parser = PlainRequestParser(reads) if self._fast_lane else None
        self.decider.use(engine, settings)
        self.settings, self.parser = settings, parser
        self.stream_limits.use(settings)
        self.decision_cache.clear()
        self.missing_objects.clear()
        self.client_limit.most = settings.limits.per_client
        self.counters.declare(settings)
        self.entries = EntryBuilder(
            self.counters,
            self.log.format,
            self.decider.recent_redirects,
            engine.host_of,
            reason_header=settings.log.reason_header,
            limits_clients=settings.limits.per_client is not None,
        )

    def _on_stuck(self, client: StuckClient, not_saved: int) -> None:
        if not_saved:
            self.counters.take_back(client.site, client.region, not_saved)
        self.warnings.warn(client.warning())
        if self.decider.replicas is not None:
            self.decider.replicas.client_result(client.site, client.region, got_through=False)

    def _on_got_through(self, site: str, region: str) -> None:
        if self.decider.replicas is not None:
            self.decider.replicas.client_result(site, region, got_through=True)

    def _took_back(self, site: str, region: str) -> bool:
        replicas = self.decider.replicas
        return replicas is not None and replicas.took_back(site, region)

    def refuse_connection(self) -> None:
        """Count and log a connection over ``limits.max_connections``."""
        self.counters.add("nearbucket_connections_refused_total")
        self.warnings.warn(
            f"{self.max_connections} connections are open, this worker's part of "
            "limits.max_connections: further ones are refused"
        )

    def on_connection_lost(
        self, connection: OpenConnection, transport: asyncio.Transport, *, is_cut: bool
    ) -> None:
        """A client connection has ended. Unless it ``is_cut``, a drain waits for its last bytes."""
        self.connections.discard(connection)
        self.counters.connections -= 1
        if self.draining and not is_cut:
            timeout = self.settings.limits.idle_timeout
            closing = closing_connection(transport, timeout, self.connections.discard)
            if closing is not None:
                self.connections.add(closing)

    def tick(self) -> None:
        """Once a second: set the clocks, and log how many warnings were left out."""
        self.date = formatdate(usegmt=True).encode()
        self.log.offset = time.time() - time.monotonic()
        self.warnings.tick()

    def drain(self) -> None:
        """Close every connection with its next answer."""
        self.draining = True
        self.decision_cache.clear()
