"""The supervisor process: start, reload, refresh of the list of prefixes, drain and stop.

What requests are decided by changes in one place: ``_swap`` builds a new immutable snapshot, has
every worker apply it, and uses it for the admin port. Clients' requests never come here.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from typing import TYPE_CHECKING, Any

from nearbucket.config.differences import changes_line
from nearbucket.config.file import load
from nearbucket.errors import OriginError, ProxyError
from nearbucket.event_loop import in_background
from nearbucket.regions.feed import RangesFeed
from nearbucket.regions.list_guard import RangesUse
from nearbucket.replicas.health.origin_check import OriginCheck
from nearbucket.s3.sdk.direct_access import refuse_variables
from nearbucket.supervisor.admin.admin_api import application
from nearbucket.supervisor.admin.admin_server import AdminServer
from nearbucket.supervisor.admin.history_document import history_of
from nearbucket.supervisor.admin.status import origins_down, status_of
from nearbucket.supervisor.bucket_listings import LISTED_BY, BucketListings
from nearbucket.supervisor.config_warnings import list_warnings, warn_of_targets
from nearbucket.supervisor.observations import (
    LIST_REQUESTS,
    Observations,
    decisions_of,
    figures_of_list,
)
from nearbucket.supervisor.pool.worker_pool import WorkerPool
from nearbucket.supervisor.prefork import open_listeners
from nearbucket.supervisor.reload_history import APPLIED, REFUSED, Reload, ReloadHistory
from nearbucket.supervisor.shutdown import Shutdown
from nearbucket.supervisor.snapshot import (
    engine_of,
    fingerprint,
    restart_needed,
    snapshot_of,
    uses_ambient_credentials,
    without_restart,
)
from nearbucket.supervisor.sockets.certificate_watch import CertificateWatch
from nearbucket.telemetry.embedded_metrics import write_metrics
from nearbucket.telemetry.process_log import lines_dropped
from nearbucket.telemetry.process_totals import total
from nearbucket.version import version_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.policy.engine import Engine
    from nearbucket.policy.explain import ExplainQuery, Explanation
    from nearbucket.regions.ip_ranges import Ranges
    from nearbucket.regions.ip_ranges_source import CachedRanges
    from nearbucket.supervisor.config_source import ConfigSource
    from nearbucket.supervisor.prefork import PreforkedWorkers
    from nearbucket.supervisor.snapshot import Snapshot
    from nearbucket.supervisor.sockets.listener_tls import KeyPair
    from nearbucket.telemetry.history.recent_answers import RecentAnswer
    from nearbucket.telemetry.metrics import Values

WATCH_INTERVAL = 1.0  # seconds between two looks at the configuration, and at the figures
EXPLAIN_MARGIN = 2.0  # seconds that a worker may take to explain, beyond catalog.wait

_log = logging.getLogger(__name__)


class Supervisor:
    """One running ``nearbucket serve``.

    Attributes:
        engine: The engine that workers use, for ``explain``.
    """

    def __init__(
        self,
        config: ConfigSource,
        snapshot: Snapshot,
        workers: PreforkedWorkers,
        stored: CachedRanges | None = None,
    ) -> None:
        """Prepare; ``run`` starts.

        Args:
            config: Where the configuration is.
            snapshot: The settings read from it, and the stored list.
            workers: The first worker processes.
            stored: The stored list.
        """
        self._config = config
        self._address = workers.listeners[0].getsockname()[:2]
        self._observations = Observations(time.time())
        self._use(snapshot, engine_of(snapshot))
        self._ranges = stored.ranges if stored else None
        self._feed = RangesFeed(
            snapshot.settings.regions, self._publish, use=lambda: RangesUse.of(self.settings)
        )
        self._pool = WorkerPool(workers.listeners, snapshot, workers.first, workers.memory)
        self._origin_check = OriginCheck(self._pool.credentials)
        self._listings = BucketListings(self._pool)
        self._swapping, self._reloading_in_turn = asyncio.Lock(), asyncio.Lock()
        self._reloads, self._reload_waits = ReloadHistory(), False  # waits for its turn
        pair, tls = snapshot.certificate, self.settings.listen.tls
        self._certificate = CertificateWatch(tls, pair) if tls and pair else None
        self._needs_restart: str | None = None
        if stored is not None:
            self._feed.adopt(stored)
        self._note_prefixes()
        self._given = workers.given
        self._shutdown = Shutdown(workers.given, workers.listeners, self._pool)
        self._stop = self._shutdown.requested

    @property
    def settings(self) -> Settings:
        """The configuration in use."""
        return self._snapshot.settings

    # Start

    async def run(self) -> bool:
        """Serve until a signal ends it, or another instance takes over; then drain.

        Returns:
            Whether all answers were complete.

        Raises:
            ConfigError: The admin port cannot be opened.
            ProxyError: No worker could start, or none lives long.
        """
        listener = self._given.admin or open_listeners(self.settings.admin)[0]
        admin = AdminServer(listener, application(self, self.settings.admin.hosts))
        if self._given.taken is None:
            await admin.start()
        self._pool.start(self._stop.set)
        self._shutdown.watch_signals(self._on_hangup)
        embedded = write_metrics(self._noted, lambda: self.settings.log.metrics == "emf")
        always = [self._feed.run(), self._watch_config(), self._watch_figures(), embedded]
        if self._certificate is not None:
            always.append(self._certificate.run(lambda pair: self._swap(certificate=pair)))
        tasks = [asyncio.create_task(each) for each in always]
        try:
            await self._pool.ready(self._stop)
            gc.freeze()  # the list and the modules stay: collections need not visit them
            gc.enable()
            if await self._shutdown.take_over(self.not_ready):
                await admin.start()
            tasks.append(asyncio.create_task(self._shutdown.hand_over(self.settings, admin)))
            self._announce(admin)
            self._check_credentials()
            self._origin_check.use(self.settings.sites)
            self._listings.use(self.settings)
            await self._stop.wait()
        finally:
            self._stop.set()
            self._listings.stop()
            self._origin_check.close()
            how = self._shutdown.drain(self.settings.limits, serving=self._pool.serving > 0)
            for task in tasks:
                task.cancel()
            complete = await self._pool.drain(how)
            await admin.close()
        self._pool.raise_failure()
        _log.info("drained; %s", "goodbye" if complete else "answers were cut: exit code 1")
        return complete

    def _announce(self, admin: AdminServer) -> None:
        config = fingerprint(self.settings), self._config.name
        _log.info("nearbucket %s: configuration %s from %s", version_text(), *config)
        _log.info("listen on %s port %d", *self._address)
        _log.info("admin on %s port %d", *admin.address)
        warn_of_targets(self.settings)

    def _check_credentials(self) -> None:
        self._credentials_task = asyncio.create_task(self._log_credentials())

    async def _log_credentials(self) -> None:
        """Log why there are no AWS credentials, if a bucket needs them."""
        if uses_ambient_credentials(self.settings):
            try:
                await self._pool.credentials.get()
            except OriginError as error:
                _log.error("%s; until then no request is sent to S3", error.detail)

    # Reload

    async def _watch_figures(self) -> None:
        """Ask the workers for their figures: one that is killed loses what it counted since."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            try:
                await self._note_figures()
            except Exception:
                _log.exception("the figures of this second are not noted")

    async def _note_figures(self) -> None:
        """Note what the admin port shows later; a killed worker loses what it counted since."""
        if self._observations.history.is_due(time.time()):
            await self._noted()
        else:
            self._observations.look(await self._pool.figures(), self._pool.down)

    async def _watch_config(self) -> None:
        """Reload when the configuration changes."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            try:
                if await self._config.changed():
                    await self.reload()
            except Exception:
                _log.exception("whether the configuration has changed is not known")

    def _on_hangup(self) -> None:
        self._reloading = asyncio.create_task(self.reload())

    async def reload(self) -> None:
        """Read the configuration again; one that cannot be used is refused whole.

        Settings that are read only at the start stay as they are. The rest is applied all the same:
        a target may have to be switched off at once.
        """
        if self._reload_waits:  # it will read the same
            return
        self._reload_waits = True
        async with self._reloading_in_turn:  # a signal, and a change that is seen meanwhile
            self._reload_waits = False
            before = self.settings
            try:
                read = load(await self._config.read())
                refuse_variables(read)
                settings = without_restart(before, read)
                await self._swap(settings=settings)
            except Exception as error:
                self._refuse(error)
            else:
                changes, name = changes_line(before, settings), fingerprint(settings)
                self._reloads.add(Reload(time.time(), APPLIED, name, changes))
                _log.info("configuration reloaded: %s; %s", name, changes)
                self._note_restart(restart_needed(before, read))
                warn_of_targets(self.settings)
                self._check_credentials()
                self._origin_check.use(self.settings.sites)

    def _note_restart(self, keys: Sequence[str]) -> None:
        """Log and keep which settings of the file are not in use."""
        self._needs_restart = None
        if keys:
            self._needs_restart = (
                f"{', '.join(keys)}: changed in the configuration, which takes a restart; until "
                "then the old value is used, and everything else in it is applied"
            )
            _log.warning("%s", self._needs_restart)

    def _refuse(self, error: Exception) -> None:
        expected = isinstance(error, ProxyError)
        why = "; ".join(str(error).splitlines()) if expected else repr(error)
        self._reloads.add(Reload(time.time(), REFUSED, fingerprint(self.settings), why))
        trace = None if expected else error
        _log.error("configuration not reloaded, the old one stays in use: %s", why, exc_info=trace)

    # Refresh of the list

    async def _publish(self, ranges: Ranges) -> None:
        await self._swap(ranges=ranges)

    async def _swap(
        self,
        *,
        settings: Settings | None = None,
        ranges: Ranges | None = None,
        certificate: KeyPair | None = None,
    ) -> None:
        """Have the workers and the admin port use new settings, a new list or a new certificate.

        Raises:
            ProxyError: A worker cannot apply them. Nothing has changed.
        """
        async with self._swapping:
            before, settings = self.settings, settings or self.settings
            ranges = ranges or self._ranges
            certificate = certificate or self._snapshot.certificate
            snapshot = await in_background(snapshot_of, settings, ranges, certificate)
            engine = engine_of(snapshot)
            await self._pool.broadcast_snapshot(snapshot)
            self._use(snapshot, engine)
            self._ranges = ranges  # not before the workers have it: /readyz depends on it
            if LISTED_BY(settings) != LISTED_BY(before):
                self._listings.use(self.settings)
            self._note_prefixes()

    def _note_prefixes(self) -> None:
        self._list_warnings = list_warnings(self.settings, self._ranges)
        for warning in self._list_warnings:
            _log.warning("%s", warning)

    def _use(self, snapshot: Snapshot, engine: Engine) -> None:
        self._snapshot, self.engine = snapshot, engine
        self._observations.apply(snapshot.settings)
        logging.getLogger().setLevel(snapshot.settings.log.level.upper())

    # What the admin port shows

    def not_ready(self) -> Sequence[str]:
        """Why traffic may not come now; empty if it may."""
        reasons = []
        if self._stop.is_set():
            reasons.append("draining")
        if self._ranges is None and self.settings.regions.required:
            why = f": {self._feed.problem}" if self._feed.problem else ""
            reasons.append(f"ranges not loaded{why} (regions.required: false serves without)")
        if self._pool.serving == 0:
            reasons.append("no worker answers")
        return reasons

    def warnings(self) -> Sequence[str]:
        """What keeps it from working as configured, though traffic may come."""
        problem = self._pool.credentials.problem
        found = [problem] if problem and uses_ambient_credentials(self.settings) else []
        if self._config.problem is not None:
            found.append(self._config.problem)
        if self._reloads.refused is not None:
            text = "the last configuration was refused, the old one stays in use"
            found.append(f"{text}: {self._reloads.refused}")
        if self._needs_restart is not None:
            found.append(self._needs_restart)
        if self._certificate is not None:
            found += self._certificate.warnings
        found += self._feed.warnings()
        found += self._pool.problems
        found += origins_down(self.settings, self._pool.down)
        return [*found, *self._origin_check.problems, *self._list_warnings]

    async def explain(self, query: ExplainQuery) -> Sequence[Explanation]:
        """The explanations of all workers, which ask S3 where they do not know the copy.

        Without a User-Agent it is that of a client whose redirects fail, if the address has one.
        """
        stuck = (each for each in self._pool.stuck_clients if each.client == query.ip)
        if (client := next(stuck, None)) and not any(
            name.lower() == "user-agent" for name in query.headers
        ):
            query = query._replace(headers={**query.headers, "User-Agent": client.user_agent})
        return await self._pool.explain(query, self.settings.catalog.wait + EXPLAIN_MARGIN)

    def hosts(self) -> Sequence[str]:
        """Every host that clients may be redirected to."""
        return self.settings.sent_to

    async def figures(self) -> Values:
        """All metrics as they are shown, summed over the workers."""
        return self._observations.held(await self._noted())

    async def _noted(self) -> Values:
        """All metrics as they are now; savings may have fallen."""
        own: Values = {
            "nearbucket_log_lines_dropped_total": {("process",): lines_dropped()},
            "nearbucket_config_reloads_total": self._reloads.counts,
            "nearbucket_config_info": {(fingerprint(self.settings),): 1},
            LIST_REQUESTS: {(): self._listings.requests},
            **figures_of_list(self._feed, self._snapshot.table if self._ranges else None),
            **(self._certificate.figures(time.time()) if self._certificate else {}),
        }
        values = total([own, await self._pool.figures()])
        return self._observations.noted(values, self._pool.down)

    async def status(self) -> Mapping[str, Any]:
        """The document of ``/api/status``."""
        # what may change while the workers send their metrics
        snapshot, reasons, refused = self._snapshot, self.not_ready(), self._reloads.refused
        warnings = self.warnings()
        return status_of(
            snapshot,
            await self.figures(),
            reasons=reasons,
            refused=refused,
            warm_up=self._listings.warm_up,
            warnings=warnings,
            down=self._pool.down,
            stuck_clients=self._pool.stuck_clients,
            past=self._observations.past(snapshot.settings, self._reloads.last, self._pool.workers),
        )

    async def history(self, window: str) -> Mapping[str, Any]:
        """The document of ``/api/history`` for one of ``WINDOWS``."""
        await self._noted()
        return history_of(self._observations.history, window)

    def decisions(self) -> Sequence[RecentAnswer]:
        """The last answers, the last one first; empty if ``log.access`` is off."""
        return decisions_of(self._pool.workers)
