"""Statuses of two targets, by what a test says is known of the buckets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.policy.model import Reason, ReplicaStatus
from nearbucket.replicas.bucket_cache import CachedObject
from nearbucket.replicas.object_version import ObjectVersion
from nearbucket.replicas.replica_status import ReplicaStatuses
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.telemetry.metrics import Counters
from tests import build

if TYPE_CHECKING:
    from nearbucket.replicas.bucket_cache import BucketCache

KEY, TTL, NOW = "a.tar.gz", 600.0, 10_000.0
OBJECT, OTHER = ObjectVersion(100, "e"), ObjectVersion(100, "f")
PARTS, COPY = ObjectVersion(100, "e-2", "crc32=x"), ObjectVersion(100, "e-3", "crc32=x sha1=y")
BUCKETS = {"bucket": "downloads", "region": "us-east-1", "credentials": "anonymous"}


class Known(NamedTuple):
    """The version in one bucket, how many seconds ago it was seen, and its age then."""

    held: ObjectVersion
    seen: float = 0.0
    age: float = 1e6


class World:
    """Statuses of two targets: the origin's own bucket, and another."""

    def __init__(self, session: Any, **redirect: Any) -> None:
        self.now = NOW
        self.asked: list[str] = []
        self.one = ReplicaStatuses(session, SdkCredentials(), Counters(), lambda: None)
        self.one.object_cache.check = self.ask  # type: ignore[method-assign,assignment]
        chosen = {"verify_ttl": TTL, **redirect}
        origin = BUCKETS | ({"credentials": "ambient"} if "presign" in redirect else {})
        self.one.prepare(build.settings(site={"origin": origin, "redirect": chosen}))()
        self.bucket_caches = {
            url.partition("//")[2].partition(".")[0]: bucket_cache
            for url, bucket_cache in self.one.object_cache.buckets.items()
        }

    def ask(
        self,
        bucket_cache: BucketCache,
        _key: str,
        _network: bytes = b"",
        *,
        renews: bool = False,  # noqa: ARG002
    ) -> None:
        self.asked.append(
            next(name for name, one in self.bucket_caches.items() if one is bucket_cache)
        )

    def know(self, bucket: str, known: Known | None) -> None:
        if known is not None:
            seen = self.now - known.seen
            self.bucket_caches[bucket].put(KEY, CachedObject(known.held, seen, seen - known.age))

    def status(self, region: str = "us-west-2") -> ReplicaStatus:
        return self.one.status("*", region, KEY)

    def opens(self, region: str = "us-west-2") -> list[str]:
        """The buckets that are asked while a request waits."""
        del self.asked[:]
        asyncio.run(self.one.settle("*", region, KEY))
        return self.asked


def judged(
    verify: str,
    origin: Known | None,
    target: Known | None,
    *,
    smallest: int = 0,
    region: str = "us-west-2",
) -> ReplicaStatus:
    world = World(None, verify=verify, min_size=smallest)
    world.know("downloads", origin)
    world.know("us-west-2-downloads", target)
    return world.status(region)


GONE, DIFFERS, SMALL = Reason.NOT_REPLICATED, Reason.NOT_REPLICATED, Reason.SMALL
NOWHERE = Reason.ABSENT
ASK = Reason.UNVERIFIED
HERE, THERE = Known(OBJECT), Known(OBJECT)
