"""What the lanes of one worker share: the current engine, counters, log and clock.

In: a configuration and a table, again at every reload. Out: the one place a lane reads
them from. Refuses to hold anything of a single connection or request.
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from email.utils import formatdate
from typing import TYPE_CHECKING, Protocol

from nearbucket.frontend.answer_recorder import AnswerRecorder
from nearbucket.frontend.cached_decision import UNRELAYED, EntryBuilder
from nearbucket.frontend.decision_cache import DecisionCache
from nearbucket.frontend.recent_redirects import (
    RecentRedirects,
    SharedTable,
    mark_of_client,
    mark_of_object,
)
from nearbucket.frontend.request_parser import PlainRequestParser
from nearbucket.policy.engine import Engine
from nearbucket.policy.model import (
    REPLICA_OK,
    Decision,
    Reason,
    RedirectTo,
    Request,
    Stream,
)
from nearbucket.telemetry.access_log import AccessLog
from nearbucket.telemetry.metrics import Counters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.origin.client import OriginClient
    from nearbucket.origin.pool.signed_requests import SignedRequestCache
    from nearbucket.policy.model import ReplicaStatus
    from nearbucket.regions.region_table import NetworkSet, RegionTable
    from nearbucket.replicas.replica_status import ReplicaStatuses
    from nearbucket.s3.presigner import Presigner


RECORDED = frozenset({b"host", b"user-agent", b"referer", b"range"})
"""Header fields that the access log shows."""

_log = logging.getLogger(__name__)


class OpenConnection(Protocol):
    """A client connection, as far as the worker has to do with it."""

    def check(self, now: float) -> None:
        """Once a second, at this monotonic time: end what takes too long."""

    def abort(self) -> None:
        """Close the connection without another byte."""


class WorkerContext:
    """What all connections of a worker process share.

    Attributes:
        engine: The snapshot that decides; swapped whole by ``apply``.
        settings: The configuration it was built from.
        origins: Site name to its origin.
        signed_requests: The same for plain GETs; empty when all are to go to aiohttp.
        replicas: What is known of the copies in the targets; without it they hold everything.
        presigners: Site and region to who signs its Locations, where they are signed.
        recent_redirects: Site to its redirects of the last seconds, where ``came_back`` is on.
        counters: Figures of this process.
        log: Access log of this process.
        connections: Open client connections.
        max_connections: How many there may be.
        parser: Reads simple requests; None when all are to go to aiohttp.
        decision_cache: Requests decided before; emptied by ``apply``.
        date: Value of the Date header, made by ``tick``.
        draining: Whether answers close their connection.
    """

    __slots__ = (
        "_complaints", "_redirect_table", "connections", "counters", "date", "decision_cache",
        "draining", "engine", "entries", "fast_lane", "log", "max_connections", "origins", "parser",
        "presigners", "recent_redirects", "recorder", "replicas", "settings", "signed_requests",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913  # one worker, one call
        self, settings: Settings, table: RegionTable, cdn: NetworkSet, *, workers: int = 1,
        descriptor: int = 1, fast_lane: bool = True, redirect_table: SharedTable | None = None,
    ) -> None:  # fmt: skip
        self._redirect_table = redirect_table or SharedTable()
        self.fast_lane = fast_lane
        self.counters = Counters()
        self.log = AccessLog(
            settings.log.access,
            lambda count: self.counters.add("nearbucket_log_lines_dropped_total", by=count),
            descriptor,
            "https" if settings.listen.tls else "http",
        )
        self.recorder = AnswerRecorder(self.log)
        self.decision_cache = DecisionCache()
        self.connections: set[OpenConnection] = set()
        self.draining = False
        self._complaints = 0
        self.origins: Mapping[str, OriginClient] = {}
        self.signed_requests: Mapping[str, SignedRequestCache] = {}
        self.replicas: ReplicaStatuses | None = None
        self.presigners: Mapping[tuple[str, str], Presigner] = {}
        self.max_connections = -(-settings.limits.max_connections // workers)
        self.apply(settings, table, cdn)
        self.tick()

    def apply(self, settings: Settings, table: RegionTable, cdn: NetworkSet) -> None:
        """Decide by a new configuration or list from the next request on.

        What can fail is built first: after an exception the old one is in use, whole.
        """
        engine = Engine.build(settings, table, cdn)
        parser = PlainRequestParser(engine.reads | RECORDED | UNRELAYED) if self.fast_lane else None
        recent_redirects = {
            site.name: RecentRedirects(site.redirect.came_back, self._redirect_table)
            for site in settings.sites
            if site.redirect.came_back is not None
        }
        self.settings, self.engine, self.parser = settings, engine, parser
        self.recent_redirects = recent_redirects
        self.decision_cache.clear()
        self.counters.declare(settings)
        self.entries = EntryBuilder(
            self.counters,
            self.log.format,
            self.recent_redirects,
            reason_header=settings.log.reason_header,
        )

    def tick(self) -> None:
        """Once a second: the clock, and how much was kept out of the log."""
        self.date = formatdate(usegmt=True).encode()
        self.log.offset = time.time() - time.monotonic()
        if self._complaints > 1:
            _log.warning("and %d more like the last", self._complaints - 1)
        self._complaints = 0

    def drain(self) -> None:
        """Close every connection with its next answer."""
        self.draining = True
        self.decision_cache.clear()

    def decide(self, request: Request) -> Decision:
        """What a request gets, by all that is known now."""
        decision = self.engine.decide(request, self)
        if self.presigners and isinstance(decision, RedirectTo):
            return self._signed(request, decision)
        return decision

    def replica_status(self, site: str, region: str, key: str) -> ReplicaStatus:
        """As of ``ReplicaKnowledge``."""
        replicas = self.replicas
        return REPLICA_OK if replicas is None else replicas.status(site, region, key)

    def came_back(self, site: str, region: str, client: str, key: str, request: Request) -> bool:
        """As of ``ReplicaKnowledge``; the copy of a client that came back is checked again."""
        redirects = self.recent_redirects.get(site)
        if redirects is None:
            return False
        mark = mark_of_client(site, client, request) ^ mark_of_object(request.method, key)
        came_back = redirects.came_back(mark, time.monotonic())
        if came_back and self.replicas is not None:
            self.replicas.revalidate(site, region, key)
        return came_back

    def _signed(self, request: Request, decision: RedirectTo) -> RedirectTo | Stream:
        """The same with a signed URL; without one the client would get a 403."""
        region = decision.region or ""
        presigner = self.presigners.get((decision.site, region))
        if presigner is None or decision.reason is not Reason.IN_REGION:
            return decision
        url = presigner.location(request.method, decision.location)
        if url is None:
            return Stream(
                decision.site, decision.key, decision.client, region, decision.target,
                Reason.UNVERIFIED,
            )  # fmt: skip
        return replace(decision, base="", path=url)

    def complain(self, text: str) -> None:
        """Log a warning, at most one a second: an outage is one fact, not one a request."""
        self._complaints += 1
        if self._complaints == 1:
            _log.warning("%s", text)
