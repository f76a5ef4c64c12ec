"""A cache of two buckets whose responses come when a test releases them, and what it reports."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from nearbucket.replicas.object_cache import ObjectCache
from nearbucket.replicas.object_version import ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.replicas.bucket_cache import BucketCache, CachedObject

ONE = ObjectVersion(1, "one")


class Bucket:
    """A bucket whose responses come when a test releases them."""

    def __init__(self, place: str, answer: Callable[[str], ObjectVersion] = lambda _: ONE) -> None:
        self.base_url, self.answer = place, answer
        self.barriers: frozenset[str] = frozenset()
        self.asked: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()

    async def head_object(self, key: str) -> ObjectVersion:
        self.asked[key] += 1
        await self.gate.wait()
        return self.answer(key)


class World:
    """A cache of two buckets, and what it reports."""

    def __init__(self, entries: int = 1000) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.said: list[tuple[str, str]] = []
        self.changes = 0
        self.news: list[tuple[str, str, ObjectVersion | None]] = []
        self.object_cache = ObjectCache(self.count, self, self.changed, self.on_head)
        self.east, self.west = Bucket("east"), Bucket("west")
        self.object_cache.use(self.object_cache.prepare([self.east, self.west]), entries)

    def count(self, name: str, *labels: str) -> None:
        self.counts[name, *labels] += 1

    def changed(self) -> None:
        self.changes += 1

    def on_head(self, bucket_cache: BucketCache, key: str, known: CachedObject | None) -> None:
        self.news.append((bucket_cache.probe.base_url, key, known and known.version))

    def answered(self, place: str, key: str, version: ObjectVersion | None) -> None:
        self.said.append((place, key if version else f"listed: {key}"))

    def failed(self, place: str, why: str) -> None:
        self.said.append((place, f"failed: {why}"))

    def get(self, key: str, place: str = "east") -> CachedObject | None:
        return self.object_cache.buckets[place].get(key)

    def begin(self) -> asyncio.Task[float | None]:
        """A check of ``a`` in ``east``; its response comes when ``east.gate`` is set."""
        self.east.gate.clear()
        flight = self.object_cache.check(self.object_cache.buckets["east"], "a")
        assert flight is not None
        return flight

    async def ask(self, key: str, place: str = "east") -> CachedObject | None:
        flight = self.object_cache.check(self.object_cache.buckets[place], key)
        if flight is not None:
            await flight
        return self.get(key, place)
