"""Cache of object versions, for all buckets of a worker, filled by HEAD requests and by listings.

However many requests want to know an object, S3 is asked once. The cache keeps at most ``entries``
objects of all buckets together, in two generations: an object that is used moves to the young
half, and when that is full the old half is dropped whole. So the last ``entries / 2`` objects used
are never forgotten, and a look-up costs one dictionary. An entry takes about 0.5 KiB: a key of 60
characters, an ETag, a tuple and its slot in the dictionary.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from nearbucket.errors import OriginError
from nearbucket.replicas.bucket_cache import BucketCache, CachedObject
from nearbucket.replicas.check_queue import NO_CLIENT
from nearbucket.replicas.object_version import ABSENT, ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nearbucket.replicas.bucket_cache import Probe
    from nearbucket.replicas.check_queue import Ticket
    from nearbucket.replicas.object_version import CatalogEntry

RENEWALS = "renewals"
"""Name of ``ObjectCache.renewals`` among the values that workers send to the supervisor."""

FAILURE_PAUSE = 1.0
"""Seconds for which a HEAD that failed is not repeated."""

_log = logging.getLogger(__name__)


class _Health(Protocol):  # ``HealthChecker``, as far as it is needed here
    def answered(self, base_url: str, key: str, version: ObjectVersion | None) -> None: ...
    def failed(self, base_url: str, why: str) -> None: ...


class ObjectCache:
    """The caches of all buckets of one worker.

    Attributes:
        buckets: ``object_base_url`` to the cache of the bucket.
    """

    def __init__(
        self,
        count: Callable[[str, str], None],
        health: _Health,
        changed: Callable[[], None],
        on_head: Callable[[BucketCache, str, CachedObject | None], None],
    ) -> None:
        """Make an empty cache.

        Args:
            count: Counts checks by result.
            health: Is told which buckets answer.
            changed: Called when an object has changed, or entries are dropped.
            on_head: Called when a HEAD has shown another version of a key than the known one, or
                that clients can no longer read it: with bucket, key, and what was known.
        """
        self.buckets: dict[str, BucketCache] = {}
        self._count = count
        self._health = health
        self._changed = changed
        self._on_head = on_head
        self._entries = 0
        self._paused: dict[tuple[str, str], float] = {}

    def prepare(self, probes: Iterable[Probe]) -> list[tuple[Probe, BucketCache]]:
        """Each probe with the cache of its bucket, which is new where the bucket is."""
        caches = []
        for probe in probes:
            cache = self.buckets.get(probe.base_url)
            if cache is None:  # an empty one is false
                cache = BucketCache(probe, self._bound)
            caches.append((probe, cache))
        return caches

    def use(self, caches: Iterable[tuple[Probe, BucketCache]], entries: int) -> None:
        """Use these buckets from now on; what is cached of them stays.

        Args:
            caches: What ``prepare`` returned.
            entries: How many objects may be cached.
        """
        self.buckets = {}
        for probe, cache in caches:
            cache.probe = probe
            self.buckets[probe.base_url] = cache
        self._entries = entries
        while len(self) > entries:
            self._age()

    def learn(self, base_url: str, objects: Iterable[CatalogEntry], seen: float) -> None:
        """Cache objects of a listing.

        Args:
            base_url: The bucket; ignored if it is not in use.
            objects: The objects.
            seen: Monotonic time of the listing.
        """
        bucket = self.buckets.get(base_url)
        if bucket is None:
            return
        replaced = False
        for number, (key, size, etag, modified) in enumerate(objects):
            if number == 0:
                self._health.answered(base_url, key, None)
            version = ObjectVersion(size, etag, None, modified)
            replaced |= bucket.put(key, CachedObject.of(version, seen))
        if replaced:
            self._changed()

    def forget(self, base_url: str, keys: Iterable[str] | None) -> None:
        """Drop keys of a bucket, so that they are checked again before use; None: all of them."""
        bucket = self.buckets.get(base_url)
        if bucket is None:
            return
        if keys is None:
            bucket.clear()
        for key in keys or ():
            bucket.forget(key)

    def renewals(self) -> dict[tuple[str, ...], float]:
        """By bucket, ``BucketCache.renewals`` as ``head`` and ``spared`` as ``list``."""
        found: dict[tuple[str, ...], float] = {}
        for url, bucket in self.buckets.items():
            found[url, "head"], found[url, "list"] = bucket.renewals, bucket.spared
        return found

    def __len__(self) -> int:
        return sum(map(len, self.buckets.values()))

    def _bound(self) -> None:
        if sum([len(bucket.young) for bucket in self.buckets.values()]) >= self._entries // 2:
            self._age()

    def _age(self) -> None:
        self._changed()  # no cached decision may outlive the entries that it depends on
        for bucket in self.buckets.values():
            bucket.age()

    def check(
        self, bucket: BucketCache, key: str, network: bytes = NO_CLIENT, *, renews: bool = False
    ) -> asyncio.Task[float | None] | None:
        """Send a HEAD for an object, unless one is under way.

        Args:
            bucket: The bucket.
            key: The object.
            network: Network of the client that waits for it.
            renews: Whether a cached version is renewed: that is not refused however many
                objects are being checked.

        Returns:
            The task to wait for; its result is the monotonic time of the request if S3 answered
            404, else None. No task if there are too many, or if the last HEAD just failed.
        """
        flights = bucket.flights
        flight = flights.get(key)
        if flight is not None:
            bucket.queue.join(bucket.tickets[key], network)
            return flight
        if self._paused.get((bucket.probe.base_url, key), 0) > monotonic():
            return None
        ticket = bucket.queue.enter(network, refusable=not renews)
        if ticket is None:
            return None
        bucket.tickets[key] = ticket
        flight = flights[key] = asyncio.create_task(self._head_object(bucket, key, ticket))
        flight.add_done_callback(lambda _: (flights.pop(key, None), bucket.tickets.pop(key, None)))
        return flight

    async def _head_object(self, bucket: BucketCache, key: str, ticket: Ticket) -> float | None:
        if not await ticket.turn:
            return None
        try:
            return await self._learn_object(bucket, key)
        finally:
            bucket.queue.leave()

    async def _learn_object(self, bucket: BucketCache, key: str) -> float | None:
        probe = bucket.probe
        try:
            version, asked = await bucket.ask(key)
        except Exception as error:
            if not isinstance(error, OriginError):
                _log.exception("HEAD to %s", probe.base_url)
            bucket.failure = str(error) or repr(error)
            self._paused[probe.base_url, key] = monotonic() + FAILURE_PAUSE
            self._count("nearbucket_checks_total", "failed")
            self._health.failed(probe.base_url, str(error))
            return None
        self._count("nearbucket_checks_total", "absent" if version == ABSENT else "present")
        if version != ABSENT:
            self._health.answered(probe.base_url, key, version)
        known, bucket.failure = bucket.peek(key), ""
        if known is not None and known.version[:2] == version[:2]:
            bucket.renewals += asked - known.seen >= bucket.longest / 2
        bucket.put(key, CachedObject.of(version, asked))
        if known is None or version.ends(known.version, probe.barriers):
            if known is not None:
                self._changed()
            self._on_head(bucket, key, known)
        return asked if version is ABSENT else None

    def tick(self, now: float) -> None:
        """Once a second: allow HEAD requests again that failed a while ago."""
        if self._paused:
            self._paused = {name: until for name, until in self._paused.items() if until > now}

    async def close(self) -> None:
        """Cancel the requests under way."""
        flights = [flight for bucket in self.buckets.values() for flight in bucket.flights.values()]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
