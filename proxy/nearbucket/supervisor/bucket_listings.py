"""The supervisor's tasks that list buckets: the warm-up, and the verification by listings."""

from __future__ import annotations

import asyncio
from operator import attrgetter
from typing import TYPE_CHECKING

from nearbucket.replicas.list_verification import ListVerification
from nearbucket.replicas.object_cache import RENEWALS
from nearbucket.replicas.warm_up import WarmUp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.supervisor.pool.worker_pool import WorkerPool

LISTED_BY = attrgetter("sites", "catalog", "prices")
"""The settings that what is listed depends on; ``prices`` decide whether listings cost less."""


class BucketListings:
    """Lists the buckets of a configuration for all workers.

    Attributes:
        requests: LIST requests so far.
        warm_up: The last warm-up; None if the configuration wants none.
    """

    def __init__(self, pool: WorkerPool) -> None:
        """Prepare for the workers of a pool."""
        self._pool = pool
        self._tasks: list[asyncio.Task[None]] = []
        self.requests = 0
        self.warm_up: WarmUp | None = None

    def use(self, settings: Settings) -> None:
        """List the buckets of these settings from now on, and no others."""
        self.stop()
        told, self.warm_up = (self._pool.broadcast, self._count), None
        if settings.catalog.warm_up == "list":
            self.warm_up = WarmUp(settings, *told)
            self._tasks.append(asyncio.create_task(self.warm_up.run()))
        verification = ListVerification(settings, *told, self._renewals)
        self._tasks.append(asyncio.create_task(verification.run()))

    def stop(self) -> None:
        """End all tasks."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    def _count(self) -> None:
        self.requests += 1

    async def _renewals(self) -> Mapping[tuple[str, ...], float]:
        return (await self._pool.figures()).get(RENEWALS, {})
