"""A worker: the parts that answer on one socket of the public port, and their work once a second.

It knows nothing of the supervisor; ``worker_process.py`` does.
"""

from __future__ import annotations

import asyncio
import logging
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from nearbucket.frontend.aiohttp_lane.handler import Handler
from nearbucket.frontend.client_connection import ClientConnection
from nearbucket.frontend.live_explanation import live_explanation
from nearbucket.frontend.tls_handshake import TlsHandshake
from nearbucket.frontend.worker_context import WorkerContext
from nearbucket.origin.registry import OriginRegistry
from nearbucket.replicas.object_cache import RENEWALS
from nearbucket.replicas.replica_status import ReplicaStatuses
from nearbucket.supervisor.sockets.spare_sockets import SpareSockets
from nearbucket.supervisor.worker.file_limit import FileLimit
from nearbucket.supervisor.worker.worker_drain import Accepting, WorkerDrain

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.frontend.returning_clients.recent_redirects import SharedTable
    from nearbucket.frontend.returning_clients.stuck_clients import StuckClient
    from nearbucket.policy.explain import ExplainQuery, Explanation
    from nearbucket.replicas.object_version import CatalogBatch, VersionReport
    from nearbucket.s3.credentials import SdkCredentials
    from nearbucket.supervisor.snapshot import Snapshot
    from nearbucket.telemetry.metrics import Counter, Counters, Values

TICK = 1.0  # seconds: resolution of the Date header, timeouts and the access log
BACKLOG = 4096  # connections that the kernel keeps until they are accepted

_NO_OTHERS: Mapping[int, socket.socket] = MappingProxyType({})

_log = logging.getLogger(__name__)


class Worker:
    """Serves one listening socket until it is drained; in tests, beside other things.

    Attributes:
        context: What its connections share.
        spare: The sockets of other workers, for which it may accept.
    """

    def __init__(  # noqa: PLR0913  # what tests and benches replace
        self,
        snapshot: Snapshot,
        *,
        fast_lane: bool = True,
        relay: bool = True,
        descriptor: int = 1,
        ambient: SdkCredentials | None = None,
        redirect_table: SharedTable | None = None,
        report: Callable[[VersionReport], None] = lambda _: None,
    ) -> None:
        """Prepare; ``start`` serves.

        Args:
            snapshot: The settings and prefixes to decide by.
            fast_lane: Whether plain requests may be answered without aiohttp.
            relay: Whether they may be streamed without aiohttp, too.
            descriptor: File descriptor of the access log.
            ambient: The AWS SDK's credential chain.
            redirect_table: The recent redirects of all workers.
            report: Tells the other workers of a new version of an object.
        """
        self.context = WorkerContext(
            snapshot.settings,
            snapshot.table,
            snapshot.cdn,
            workers=snapshot.workers,
            descriptor=descriptor,
            fast_lane=fast_lane,
            redirect_table=redirect_table,
        )
        self._certificate = snapshot.certificate
        self._tls = snapshot.certificate and snapshot.certificate.context()
        self._file_limit = FileLimit(self.context.counters)
        self._relay = relay
        self._ambient = ambient
        self._report = report
        self._origins: OriginRegistry
        self._replicas: ReplicaStatuses
        self._protocols: Callable[[], asyncio.Protocol]
        self.spare: SpareSockets
        self._listener: socket.socket
        self._server: asyncio.Server
        self._drain: WorkerDrain
        self._ticking: asyncio.Task[None]

    async def start(
        self, listener: socket.socket, others: Mapping[int, socket.socket] = _NO_OTHERS
    ) -> None:
        """Accept connections on a bound socket; ``others`` are those of other workers, by slot."""
        counters = self.context.counters
        self._origins = OriginRegistry(
            lambda site: _SiteOriginCounters(counters, site),
            self._ambient,
            lambda site, key: self._replicas.origin_versions.shown(site, key),  # noqa: PLW0108  # made below
        )
        self._replicas = ReplicaStatuses(
            self._origins.session,
            self._origins.ambient,
            counters,
            self.context.decision_cache.clear,
            self._report,
            self._origins.is_down,
        )
        self.context.decider.replicas = self._replicas
        self._prepare(self.context.settings)()
        self._listener = listener
        self._protocols = self._protocols_for(Handler(self.context))
        self.spare = SpareSockets(others, self._accept)
        self._server = await self._accept(listener)
        self._ticking = asyncio.create_task(self._tick())

    async def _accept(self, listener: socket.socket) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(
            self._protocols, sock=listener, backlog=BACKLOG
        )

    def _protocols_for(self, handler: Handler) -> Callable[[], asyncio.Protocol]:
        """What makes the protocol of a new connection."""
        context = self.context

        def connection() -> asyncio.Protocol:
            # compiled, it has no parent, but all methods of one
            return cast("asyncio.Protocol", ClientConnection(context, handler.connection))

        if self._tls is None:
            return connection
        # one that is loaded later is used for the next connection
        return lambda: TlsHandshake(context, cast("ssl.SSLContext", self._tls), connection)

    def apply(self, snapshot: Snapshot) -> None:
        """Decide by a new snapshot from the next request on.

        Everything that can fail is built before anything is used: when this raises, the snapshot
        before is in use, whole.
        """
        settings = snapshot.settings
        use = self._prepare(settings) if settings != self.context.settings else None
        if snapshot.certificate not in {None, self._certificate}:
            # Not loaded into the context in use: that keeps a certificate for each type of key.
            self._tls = snapshot.certificate.context()
            self._certificate = snapshot.certificate
        self.context.apply(settings, snapshot.table, snapshot.cdn)
        if use is not None:
            use()
        logging.getLogger().setLevel(settings.log.level.upper())

    def _prepare(self, settings: Settings) -> Callable[[], None]:
        use_origins = self._origins.prepare(settings.sites)
        use_replicas = self._replicas.prepare(settings)

        def use() -> None:
            use_origins()
            use_replicas()
            self.context.decider.presigners = self._replicas.presigners
            self.context.origins = self._origins.by_site
            self.context.signed_requests = self._origins.signed_requests if self._relay else {}

        return use

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            try:
                self.tick(time.monotonic())
            except Exception:
                _log.exception("a tick failed")

    def learn(self, learned: CatalogBatch) -> None:
        """Remember what a listing said of a bucket."""
        self._replicas.origin_versions.on_listing(learned)

    def on_report(self, report: VersionReport) -> None:
        """Learn a version of an object that another worker has seen."""
        self._replicas.origin_versions.on_report(report)

    def figures(self) -> Values:
        """All metrics of now."""
        self.context.counters.up = dict(self._replicas.up())
        values = self.context.counters.snapshot()
        values[RENEWALS] = self._replicas.object_cache.renewals()
        return values

    def stuck_clients(self) -> tuple[StuckClient, ...]:
        """Clients whose redirects fail, as this worker found."""
        decider = self.context.decider
        return decider.stuck_clients.current(decider.recent_redirects, time.monotonic())

    def down(self) -> dict[tuple[str, str], str]:
        """Why targets and origins are down, by site, and region or key of the origin."""
        return {**self._replicas.down(), **self._origins.down()}

    async def explain(self, query: ExplainQuery) -> Explanation:
        """Explain the decision for a request by what this worker knows; may ask S3."""
        return await live_explanation(self.context.decider, query)

    def tick(self, now: float) -> None:
        """Once a second: the clock, timeouts, the access log."""
        self.context.tick()
        self._replicas.tick(now)
        self._file_limit.check(now)
        for connection in tuple(self.context.connections):
            connection.check(now)
        self._origins.check(now)
        self.context.log.flush()

    async def drain(
        self, cut_after: float, grace: float = 0.0, *, sockets_stay: bool = False
    ) -> int:
        """Finish the open connections, and end; see ``WorkerDrain`` for arguments and result."""
        accepting = Accepting(self._listener, self._server, self.spare)
        self._drain = WorkerDrain(self.context, accepting, cut_after)
        cut = await self._drain.run(grace, sockets_stay=sockets_stay)
        self._ticking.cancel()
        await self._replicas.close()
        await self._origins.close()
        return cut

    def end_drain(self, cut_after: float) -> None:
        """Cut the answers that are not complete after so many seconds."""
        self._drain.end(cut_after)


class _SiteOriginCounters:
    """Counts the responses of one site's origin."""

    def __init__(self, counters: Counters, site: str) -> None:
        self._counters = counters
        self._site = site
        self._statuses: dict[int, Counter] = {}

    def on_status(self, status: int) -> None:
        """Count a response; its status is 0 if there was none."""
        cell = self._statuses.get(status)
        if cell is None:
            name = "nearbucket_origin_requests_total"
            cell = self._statuses[status] = self._counters.counter(name, self._site, str(status))
        cell.value += 1

    def on_resume(self) -> None:
        """Count an attempt to resume a stream that the origin dropped."""
        self._counters.add("nearbucket_origin_resumes_total", self._site)

    def on_failover(self) -> None:
        """Count a request that a failover bucket answers."""
        self._counters.add("nearbucket_origin_failovers_total", self._site)
