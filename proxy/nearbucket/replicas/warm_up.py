"""Reads at the start what the buckets hold, so that first requests need not wait for S3.

Runs once, in the supervisor, and sends batches of objects to the object caches of all workers. It
takes a quarter of a core of each process at most: a batch holds a worker's event loop for 0.4 ms,
and a page of a listing the supervisor's for 10 ms. A bucket that cannot be read is logged and left
out: its objects are asked for when a client comes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from nearbucket.errors import ProxyError
from nearbucket.event_loop import CpuShare

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.config.settings import Settings
    from nearbucket.replicas.catalog_source import CatalogSource
    from nearbucket.replicas.object_version import CatalogBatch

    _State = Literal["waiting", "running", "done", "failed"]

_log = logging.getLogger(__name__)

BATCH = 250  # objects
PAUSE = 0.0025  # seconds between two batches, of whatever buckets
SHARE = 0.25  # of one core
_LOG_INTERVAL = 5.0  # seconds


class WarmUpProgress(NamedTuple):
    """How far the warm-up has come.

    Attributes:
        state: ``failed`` has ended too, but could not read every bucket.
        learned: Objects sent to the workers.
        read: Objects read, those that no policy chooses among them.
        done: Buckets that are finished with, whether read or not.
        buckets: Buckets in all.
        problem: The first thing that went wrong, and what helps.
    """

    state: _State = "waiting"
    learned: int = 0
    read: int = 0
    done: int = 0
    buckets: int = 0
    problem: str | None = None


class WarmUp:
    """One run over all buckets."""

    def __init__(
        self,
        settings: Settings,
        send: Callable[[CatalogBatch], None],
        on_page: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare a run.

        Args:
            settings: The configuration; ``catalog.warm_up`` is the caller's to obey.
            send: Sends a batch of at most 250 objects to all workers.
            on_page: Called for each LIST request.
        """
        self._settings, self._send, self._on_page = settings, send, on_page
        self._sources: list[CatalogSource] = []
        self._state: _State = "waiting"
        self._learned, self._done = 0, 0
        self._problem: str | None = None
        self._turn, self._pace = asyncio.Lock(), CpuShare(SHARE, PAUSE)

    @property
    def progress(self) -> WarmUpProgress:
        """How far the run has come."""
        read, buckets = sum(source.read for source in self._sources), len(self._sources)
        return WarmUpProgress(self._state, self._learned, read, self._done, buckets, self._problem)

    async def run(self) -> None:
        """Read every bucket, to its end or to its share of the object caches; never raises."""
        from nearbucket.replicas.catalog_source import sources_of  # noqa: PLC0415  # 10 ms

        self._sources, self._state = sources_of(self._settings, self._on_page), "running"
        _log.info("warm-up: reads %d buckets", len(self._sources))
        began, ticker = time.monotonic(), asyncio.create_task(self._log_progress())
        try:
            # object caches are sure to keep half of their entries (``object_cache.py``)
            await self._read_all(self._settings.catalog.entries // 2)
        finally:
            ticker.cancel()
            for source in self._sources:
                await source.close()
        self._state, self._done = "failed" if self._problem else "done", len(self._sources)
        ended = "failed in part" if self._problem else "done"
        took = time.monotonic() - began
        _log.info("warm-up %s: %s, in %.1f s", ended, self._figures(), took)

    async def _read_all(self, left: int) -> None:
        """Read all buckets in equal shares, so that the same first keys of each are known.

        What a bucket leaves of its share goes to the others in the next round.
        """
        reading = self._sources
        while reading and (share := left // len(reading)):
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._read(source, share)) for source in reading]
            sent = [task.result() for task in tasks]
            left -= sum(sent)
            reading = [each for each, size in zip(reading, sent, strict=True) if size == share]
        for source in reading:
            _log.info("warm-up: %s: catalog.entries reached before its end", source.location.name)

    async def _read(self, source: CatalogSource, share: int) -> int:
        """Send up to ``share`` objects of a bucket; returns how many: fewer if it has no more."""
        sent = 0
        try:
            while sent < share and (batch := await source.take(min(BATCH, share - sent))):
                async with self._turn:
                    self._send(batch)
                    sent += len(batch.objects)
                    self._learned += len(batch.objects)
                    await self._pace.rest()
        except ProxyError as error:
            self._fail(str(error))
        except Exception:
            _log.exception("warm-up")
            self._fail(f"{source.location.name}: a fault of nearbucket's; the log has more")
        self._done += sent < share
        return sent

    async def _log_progress(self) -> None:
        while True:
            await asyncio.sleep(_LOG_INTERVAL)
            _log.info("warm-up: %s so far", self._figures())

    def _figures(self) -> str:
        now = self.progress
        return (
            f"{now.learned:,} objects learned, {now.read:,} listed; {now.done} of {now.buckets} "
            "buckets finished"
        )

    def _fail(self, problem: str) -> None:
        _log.warning("warm-up: %s", problem)
        self._problem = self._problem or problem
