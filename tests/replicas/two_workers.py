"""Two workers, with what they know of an origin and a target."""

from __future__ import annotations

from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.replicas.replica_status import ReplicaStatuses
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.telemetry.metrics import Counters
from tests import build
from tests.bucketserver import BucketServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

    from nearbucket.policy.model import Reason
    from nearbucket.replicas.object_version import VersionReport

KEY, OLD, NEW = "a.tar.gz", (b"old", "etag-3"), (b"newer", "etag-5")


class Shown(NamedTuple):
    """What a response shows."""

    etag: str
    total: int | None
    modified: str = ""


class World:
    """Two workers with what they know of an origin and a target that hold the same."""

    def __init__(self, session: ClientSession, origin: BucketServer, target: BucketServer) -> None:
        self.origin, self.target = origin, target
        self.changes = 0
        self.reports: list[VersionReport] = []
        self.one, self.other = (
            ReplicaStatuses(session, SdkCredentials(), Counters(), self.changed, report)
            for report in (self.tell, lambda _: None)
        )

    @property
    def origin_url(self) -> str:
        return next(url for url in self.one.object_cache.buckets if str(self.origin.port) in url)

    def changed(self) -> None:
        self.changes += 1

    def tell(self, report: VersionReport) -> None:
        self.reports.append(report)
        self.other.origin_versions.on_report(report)

    def use(self, **redirect: Any) -> None:
        site = {
            "origin": self.origin.entry(),
            "targets": {"us-west-2": self.target.entry()},
            "redirect": {"verify": "match", "scheme": "http", **redirect},
        }
        for worker in (self.one, self.other):
            worker.prepare(build.settings(site=site, catalog={"wait": "5s"}))()

    async def settle(self) -> None:
        """Both workers know the object, and redirect to its copy."""
        for worker in (self.one, self.other):
            await worker.settle("*", "us-west-2", KEY)
        assert self.against() == [None, None]
        self.origin.asked.clear()
        self.target.asked.clear()
        self.reports.clear()
        self.changes = 0

    def against(self) -> list[Reason | None]:
        return [worker.status("*", "us-west-2", KEY).against for worker in (self.one, self.other)]

    def change_times(self) -> list[float]:
        """When the object changed, as each worker knows it."""
        found = [
            worker.origin_versions.replaced(self.origin_url, KEY)
            for worker in (self.one, self.other)
        ]
        return [replaced.changed for replaced in found if replaced is not None]

    def see(self, held: tuple[bytes, str], *, asked: float | None = None, key: str = KEY) -> None:
        """One worker sees a response with this object."""
        data, etag = held
        when = monotonic() if asked is None else asked
        shown = Shown(f'"{etag}"', len(data))
        self.one.origin_versions.on_response("*", key, shown, when)

    def overwrite(self, held: tuple[bytes, str] = NEW) -> None:
        self.origin.objects[KEY] = held


@asynccontextmanager
async def opened_world(session: ClientSession) -> AsyncIterator[World]:
    """An origin and a target that hold the old version, and two workers that know of nothing."""
    async with BucketServer() as origin, BucketServer() as target:
        for server in (origin, target):
            server.objects[KEY] = OLD
        made = World(session, origin, target)
        made.use()
        yield made
        await made.one.close()
        await made.other.close()
