"""Two workers and the supervisor's listings, before two folders on a real server."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter as Count
from contextlib import asynccontextmanager
from time import monotonic, time
from typing import TYPE_CHECKING, Any

from nearbucket.cli.demo.seaweedfs import make_bucket
from nearbucket.replicas.list_verification import ListVerification
from nearbucket.replicas.replica_status import ReplicaStatuses
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.telemetry.metrics import Counters
from tests import build
from tests.replication.watched import WatchedS3
from tests.storing import store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiohttp import ClientSession

    from nearbucket.policy.model import Reason
    from nearbucket.replicas.object_version import CatalogBatch
    from tests.conftest import LocalS3

TTL = 600.0
_NUMBERS = itertools.count()


class Clock:
    """The time of the product's modules, which tests advance by hours; S3's requests take none.

    Attributes:
        now: Seconds since the start.
        sleepers: When to wake the tasks that sleep.
        tasks: The most that have slept at a time.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.tasks = 1
        self._monotonic, self._time = monotonic(), time()

    def monotonic(self) -> float:
        return self._monotonic + self.now

    def time(self) -> float:
        return self._time + self.now

    async def sleep(self, seconds: float) -> None:
        waits = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + seconds, waits))
        await waits

    def wake(self) -> None:
        """Wake the tasks whose time has come."""
        self.tasks = max(self.tasks, len(self.sleepers))
        for due, waits in self.sleepers:
            if due <= self.now:
                waits.set_result(None)
        self.sleepers = [each for each in self.sleepers if not each[1].done()]


class World:
    """Two workers and the supervisor's listings, before two folders on a real server.

    Attributes:
        sent: Batches that were sent to the workers.
        hold: Whether batches wait until ``release``.
        lists: LIST requests.
    """

    def __init__(
        self, s3: LocalS3, watched: WatchedS3, session: ClientSession, clock: Clock, **redirect: Any
    ) -> None:
        self.s3, self.watched, self.bucket = s3, watched, f"listed-{next(_NUMBERS)}"
        self.clock = clock
        self.workers = [
            ReplicaStatuses(session, SdkCredentials(), Counters(), lambda: None) for _ in range(2)
        ]
        rules = {"scheme": "http", "verify": "match", "verify_ttl": TTL, "paths": ["hot/*"]}
        self.settings = build.settings(
            site={
                "origin": self.entry("origin"),
                "targets": {"us-west-2": self.entry("target")},
                "redirect": rules | redirect,
            },
            catalog={"wait": "60s"},
        )
        for worker in self.workers:
            worker.prepare(self.settings)()
        self.lists = 0
        self.sent: list[CatalogBatch] = []
        self.hold = False
        self._listing: asyncio.Task[None] | None = None

    def entry(self, folder: str) -> dict[str, Any]:
        entry = self.s3.entry(self.bucket, prefix=folder).model_dump(exclude_unset=True)
        return {**entry, "endpoint": self.watched.endpoint, "credentials": self.s3.files}

    async def put(self, folder: str, keys: Iterable[str], body: bytes) -> None:
        await store(self.s3.server, self.bucket, {f"{folder}/{key}": body for key in keys})

    async def start(self) -> None:
        told = self.send, self.count, self.renewals, self.clock.sleep
        self._listing = asyncio.create_task(ListVerification(self.settings, *told).run())
        await self.idle()

    def send(self, batch: CatalogBatch) -> None:
        self.sent.append(batch)
        if not self.hold:
            for worker in self.workers:
                worker.origin_versions.on_listing(batch)

    def release(self) -> None:
        self.hold, sent, self.sent = False, self.sent, []
        for batch in sent:
            self.send(batch)

    def count(self) -> None:
        self.lists += 1

    async def renewals(self) -> dict[tuple[str, ...], float]:
        found: Count[tuple[str, ...]] = Count()
        for worker in self.workers:
            found.update({name: int(n) for name, n in worker.object_cache.renewals().items()})
        return dict(found)

    def against(self, key: str) -> list[Reason | None]:
        """The reasons against a redirect, in each worker."""
        return [worker.status("*", "us-west-2", key).against for worker in self.workers]

    async def settle(self, keys: Iterable[str]) -> None:
        asked = [worker.settle("*", "us-west-2", key) for key in keys for worker in self.workers]
        await asyncio.gather(*asked)

    async def idle(self) -> None:
        """Wait until no HEAD is under way, and each bucket waits for its next turn."""
        async with asyncio.timeout(60):
            while (  # noqa: ASYNC110  # plain state of other tasks
                self._listing is not None and len(self.clock.sleepers) < self.clock.tasks
            ) or any(
                bucket.flights
                for worker in self.workers
                for bucket in worker.object_cache.buckets.values()
            ):
                await asyncio.sleep(0.002)

    async def live(self, seconds: float, keys: Iterable[str] = ()) -> Count[Reason | None]:
        """Let the time pass, while clients ask for keys each 30 s; the reasons that they get."""
        found: Count[Reason | None] = Count()
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += 30
            self.clock.wake()
            await self.idle()
            for key in keys:
                found.update(self.against(key))
            await self.idle()
        return found

    def asked(self, name: str) -> int:
        return sum(each.name == name for each in self.watched.asked)

    async def close(self) -> None:
        if self._listing is not None:
            self._listing.cancel()
        for worker in self.workers:
            await worker.close()


@asynccontextmanager
async def opened_world(
    s3: LocalS3, session: ClientSession, clock: Clock, **redirect: Any
) -> AsyncIterator[World]:
    async with WatchedS3(s3.server.endpoint) as watched:
        world = World(s3, watched, session, clock, **redirect)
        async with s3.server.client() as client:
            await make_bucket(client, world.bucket)
        try:
            yield world
        finally:
            await world.close()
