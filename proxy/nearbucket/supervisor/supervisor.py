"""The supervisor: builds everything, owns what changes, signals, workers, drain.

In: a configuration file, ip-ranges, signals. Out: snapshots to the workers, the admin
port. Refuses to touch a client's request: workers do that. It changes state in one place:
``_swap`` makes a new frozen snapshot and spreads it.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from typing import TYPE_CHECKING, Any

from aiohttp import web

from nearbucket import __version__
from nearbucket.config.file import DEFAULT_FILE, load
from nearbucket.errors import ConfigError, ProxyError
from nearbucket.event_loop import in_background
from nearbucket.regions.feed import RangesFeed
from nearbucket.replicas.warm_up import WarmUp
from nearbucket.supervisor.admin_api import Readiness, application
from nearbucket.supervisor.snapshot import (
    engine_of,
    fingerprint,
    refuse_restart,
    regions_without_prefixes,
    snapshot_of,
)
from nearbucket.supervisor.status import SupervisorState, status_of
from nearbucket.supervisor.worker_pool import WorkerPool
from nearbucket.telemetry.metrics import total

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nearbucket.config.settings import Settings
    from nearbucket.policy.engine import Engine
    from nearbucket.regions.ip_ranges import Ranges
    from nearbucket.supervisor.prefork import PreforkedWorkers
    from nearbucket.supervisor.snapshot import Snapshot
    from nearbucket.telemetry.metrics import Values

WATCH = 1.0  # seconds between looks at the configuration file and the workers' figures
_NOBODY = "nobody is sent there; is the region right?"
FEED_PAUSE = 5.0  # seconds before a feed that failed starts again

_log = logging.getLogger(__name__)


class Supervisor:
    """One running server."""

    def __init__(self, path: Path | None, settings: Settings) -> None:
        self._path = path
        self._mark = _mark(path or DEFAULT_FILE)
        self._ranges: Ranges | None = None
        snapshot = snapshot_of(settings, None)
        self._swap_to(snapshot, engine_of(snapshot))
        self._feed: RangesFeed | None = None
        self._reloads: dict[tuple[str, ...], float] = {("applied",): 0, ("refused",): 0}
        self._refused: str | None = None
        self._stop = asyncio.Event()
        self._draining = False
        self._started = time.time()
        self._pool: WorkerPool | None = None
        self._swapping = asyncio.Lock()
        self._warmed: WarmUp | None = None
        self._warming: tuple[asyncio.Task[None], ...] = ()
        self.addresses: dict[str, tuple[str, int]] = {}

    def _swap_to(self, snapshot: Snapshot, engine: Engine) -> None:
        self._snapshot, self.engine = snapshot, engine
        logging.getLogger().setLevel(snapshot.settings.log.level.upper())

    @property
    def settings(self) -> Settings:
        """The configuration in use."""
        return self._snapshot.settings

    async def run(self, launched: PreforkedWorkers) -> None:
        """Serve until SIGTERM or SIGINT, then drain."""
        settings = self.settings
        self.addresses["listen"] = _address(launched.listeners[0])
        self._feed = feed = RangesFeed(settings.regions, self._publish)
        await feed.load_cached()
        runner = await self._open_admin(settings)
        self._pool = pool = WorkerPool(
            launched.listeners, self._snapshot, launched.first, launched.memory
        )
        self._watch_signals()
        tasks = [asyncio.create_task(_keep_feeding(feed)), asyncio.create_task(self._watch_file())]
        try:
            await self._announce(pool)
            self._warm_up(pool)
            await self._stop.wait()
        finally:
            self._draining = True
            for task in (*tasks, *self._warming):
                task.cancel()
            await pool.drain()
            await runner.cleanup()
        _log.info("drained; goodbye")

    async def _announce(self, pool: WorkerPool) -> None:
        ready, stop = (asyncio.create_task(each) for each in (pool.ready(), self._stop.wait()))
        await asyncio.wait({ready, stop}, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        if ready.done():
            ready.result()  # raises when no worker could start
        ready.cancel()
        _log.info(
            "nearbucket %s: configuration %s from %s",
            __version__, fingerprint(self.settings), self._path or DEFAULT_FILE,
        )  # fmt: skip
        for name, (host, port) in self.addresses.items():
            _log.info("%s on %s port %d", name, host, port)

    async def _open_admin(self, settings: Settings) -> web.AppRunner:
        runner = web.AppRunner(application(self), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, settings.admin.host, settings.admin.port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(
                f"admin: cannot listen on {settings.admin.host} port {settings.admin.port}: "
                f"{error.strerror}; change admin.host or admin.port"
            ) from None
        host, port = runner.addresses[0][:2]
        self.addresses["admin"] = (host, port)
        return runner

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)

    async def _watch_file(self) -> None:
        """Reload when the configuration file changes; keep the workers' figures fresh."""
        while True:
            await asyncio.sleep(WATCH)
            if self._pool is not None:
                await self._pool.figures()  # so that a worker that is killed loses little
            if _mark(self._path or DEFAULT_FILE) not in {self._mark, None}:
                await self.reload()

    def _on_hangup(self) -> None:
        self._reloading = asyncio.create_task(self.reload())

    async def reload(self) -> None:
        """Read the configuration again; a broken or unfit one is refused whole."""
        self._mark = _mark(self._path or DEFAULT_FILE)
        try:
            settings = load(self._path)
            refuse_restart(self.settings, settings)
            await self._swap(settings=settings)
        except ProxyError as error:
            self._reloads["refused",] += 1
            self._refused = " ".join(str(error).split())  # YAML's errors have lines of their own
            _log.error("configuration not reloaded, the old one goes on: %s", self._refused)
            return
        except Exception as error:
            self._reloads["refused",] += 1
            self._refused = repr(error)
            _log.exception("configuration not reloaded, the old one goes on")
            return
        self._reloads["applied",] += 1
        self._refused = None
        _log.info("configuration reloaded: %s", fingerprint(settings))

    async def _publish(self, ranges: Ranges) -> None:
        await self._swap(ranges=ranges)

    async def _swap(
        self, *, settings: Settings | None = None, ranges: Ranges | None = None
    ) -> None:
        """The one place where anything changes: a new snapshot, here and in every worker."""
        async with self._swapping:
            settings, ranges = settings or self.settings, ranges or self._ranges
            snapshot = await in_background(snapshot_of, settings, ranges)
            old, chosen = self.settings, snapshot.settings
            new = (chosen.sites, chosen.catalog) != (old.sites, old.catalog)
            engine = engine_of(snapshot)
            if self._pool is not None:
                await self._pool.broadcast_snapshot(snapshot)
            self._swap_to(snapshot, engine)
            if self._pool is not None and new:
                self._warm_up(self._pool)
            for each in regions_without_prefixes(settings, ranges):
                _log.warning("%s: the list of prefixes has no address there: %s", each, _NOBODY)
            self._ranges = ranges  # last: /readyz looks here whether the workers have a list

    def _warm_up(self, pool: WorkerPool) -> None:
        """Have the workers know what the buckets hold before anybody asks."""
        for task in self._warming:
            task.cancel()
        self._warming, self._warmed = (), None
        if self.settings.catalog.warm_up == "list":
            self._warmed = WarmUp(self.settings, pool.broadcast_batch)
            self._warming = (asyncio.create_task(self._warmed.run()),)

    def readiness(self) -> Readiness:
        """Readiness, and what stands against it."""
        reasons = []
        if self._draining or self._stop.is_set():
            reasons.append("draining")
        if self._ranges is None and self.settings.regions.required:
            why = f": {self._feed.problem}" if self._feed and self._feed.problem else ""
            reasons.append(f"ranges not loaded{why} (regions.required: false serves without)")
        if self._serving == 0:
            reasons.append("no worker answers yet")
        return Readiness(not reasons, reasons)

    def hosts(self) -> Sequence[str]:
        """Every host a client may be sent to."""
        return self.settings.sent_to

    @property
    def _serving(self) -> int:
        return self._pool.serving if self._pool else 0

    async def figures(self) -> Values:
        """Every figure, summed over the workers."""
        table = self._snapshot.table
        own: Values = {
            "nearbucket_workers": {(): self._serving},
            "nearbucket_ranges_refreshes_total": {
                (result.value,): count for result, count in self._feed.results.items()
            }
            if self._feed
            else {},
            "nearbucket_config_reloads_total": dict(self._reloads),
            "nearbucket_config_info": {(fingerprint(self.settings),): 1},
        }
        if self._ranges is not None:
            own["nearbucket_ranges_age_seconds"] = {(): self._age()}
            own["nearbucket_ranges_skipped_rows"] = {(): table.skipped}
            own["nearbucket_ranges_prefixes"] = {
                ("ipv4",): table.prefixes_v4,
                ("ipv6",): table.prefixes_v6,
            }
        return total([own, await self._pool.figures()]) if self._pool else own

    def _age(self) -> float:
        confirmed = self._feed.confirmed_at if self._feed else None
        return max(0.0, time.time() - confirmed) if confirmed is not None else 0.0

    async def status(self) -> Mapping[str, Any]:
        """What a person asks first."""
        state = SupervisorState(
            readiness=self.readiness(),
            serving=self._serving,
            started=self._started,
            ranges=self._ranges,
            age=self._age(),
            refused=self._refused,
            warm_up=self._warmed.progress if self._warmed else None,
            values=await self.figures(),
        )
        return status_of(self._snapshot, state)


async def _keep_feeding(feed: RangesFeed) -> None:
    """Run the feed for good; a fault in it is logged and leaves the list as it is."""
    while True:
        try:
            await feed.run()
        except Exception:
            _log.exception("the ranges feed failed; it starts again")
        await asyncio.sleep(FEED_PAUSE)


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is written or replaced; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _address(listener: socket.socket) -> tuple[str, int]:
    host, port = listener.getsockname()[:2]
    return host, port
