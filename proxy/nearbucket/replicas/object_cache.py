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
from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nearbucket.errors import OriginError
from nearbucket.event_loop import clear_incrementally
from nearbucket.replicas.check_queue import NO_CLIENT, CheckQueue
from nearbucket.replicas.object_version import ABSENT, ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from nearbucket.replicas.check_queue import Ticket
    from nearbucket.replicas.object_version import CatalogEntry

FAILURE_PAUSE = 1.0
"""Seconds for which a HEAD that failed is not repeated."""

_AT_ONCE = 64
"""Requests to one bucket at a time."""
_MOST_WAITING = 2048
"""Checks of one bucket that wait for their turn."""

_log = logging.getLogger(__name__)


class _Health(Protocol):  # ``HealthChecker``, as far as it is needed here
    def answered(self, base_url: str, key: str, version: ObjectVersion | None) -> None: ...
    def failed(self, base_url: str, why: str) -> None: ...


class _Probe(Protocol):  # ``BucketProbe``, as far as it is needed here
    base_url: str

    @property
    def barriers(self) -> Collection[str]: ...
    async def head_object(self, key: str) -> ObjectVersion: ...


class CachedObject(NamedTuple):
    """The version of an object, and when it was that.

    Attributes:
        version: The version.
        seen: Monotonic time at which the bucket certainly had this version.
        since: Monotonic time since which it has had it: that of Last-Modified; for a missing object
            that of the first of the answers in a row without it; for an archive with a newer side
            file that of the side file.
    """

    version: ObjectVersion
    seen: float
    since: float

    @classmethod
    def of(cls, version: ObjectVersion, seen: float) -> CachedObject:
        """An entry that was seen at this monotonic time, and is as old as Last-Modified says."""
        modified = version.modified
        since = min(seen, modified - (time() - monotonic())) if modified else seen
        return cls(version, seen, since)

    @property
    def age(self) -> float:
        """Age of this version in seconds when it was seen."""
        return self.seen - self.since


_Kept = tuple[int, str, str | None, str | None, float, float]
"""An entry as it is kept: a tuple of plain values, which the garbage collector does not visit.
200,000 of anything else would hold the event loop for 50 ms at each full collection."""


class BucketCache:
    """The cached objects of one bucket, and the checks under way.

    Attributes:
        failure: Why the last HEAD failed; empty if it did not.
    """

    __slots__ = (
        "_bound", "_forgotten", "_old", "failure", "flights", "probe", "queue", "tickets", "young",
    )  # fmt: skip

    def __init__(self, probe: _Probe, bound: Callable[[], None]) -> None:
        self.probe = probe
        self.young: dict[str, _Kept] = {}
        self._old: dict[str, _Kept] = {}
        self._bound = bound
        self._forgotten = -inf
        self.failure = ""
        # for each bucket: one that hangs must not block the others
        self.flights: dict[str, asyncio.Task[float | None]] = {}
        self.tickets: dict[str, Ticket] = {}  # of the same keys
        self.queue = CheckQueue(_AT_ONCE, _MOST_WAITING)

    def get(self, key: str) -> CachedObject | None:
        """The cached version of a key."""
        found = self.young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is None:
                return None
            self._keep(key, found)
        size, etag, sums, unreadable, seen, since = found
        version = ObjectVersion(size, etag, sums, unreadable=unreadable)
        return CachedObject(version, seen, since)

    def has(self, key: str, size: int | None, etag: str) -> bool:
        """Whether this version of a key is cached, of this size if one is given."""
        found = self.young.get(key) or self._old.get(key)
        return found is not None and found[1] == etag and (size is None or size == found[0])

    def make_younger(self, key: str, since: float) -> bool:
        """Treat a key as uploaded at a later time; does nothing unless that halves its age.

        Returns whether it did.
        """
        found = self.get(key)
        if found is None or monotonic() - since > (monotonic() - found.since) / 2:
            return False
        version, seen, _ = found
        self._keep(key, (*version[:3], version.unreadable, seen, since))
        return True

    def forget(self, key: str) -> None:
        """Drop a key."""
        self.young.pop(key, None)
        self._old.pop(key, None)

    def put(self, key: str, entry: CachedObject) -> bool:
        """Keep a version, unless a newer one is known.

        The version that is known already keeps its age, and what else is known of it.

        Returns:
            Whether it has taken the place of another version.
        """
        known, replaces = self.get(key), False
        if entry.seen < self._forgotten:
            return False
        (size, etag, sums, _, unreadable), seen, since = entry
        if known is not None:
            if known.seen > seen:
                return False
            replaces = known.version[:2] != (size, etag)
            if not replaces:
                since = known.since
                if sums is None:  # not from a HEAD, which has all
                    sums = known.version.checksums
                    if known.version.unreadable is not None:
                        unreadable = known.version.unreadable
        self._keep(key, (size, etag, sums, unreadable, seen, since))
        return replaces

    def _keep(self, key: str, kept: _Kept) -> None:
        self.young[key] = kept
        self._bound()

    def clear(self) -> None:
        """Drop all objects, and the answers to requests that were sent before."""
        self._forgotten = monotonic()
        clear_incrementally(self.young, self._old)
        self.young, self._old = {}, {}

    def age(self) -> None:
        """Drop the old half; the young half becomes the old one."""
        clear_incrementally(self._old)
        self._old, self.young = self.young, {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)


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

    def prepare(self, probes: Iterable[_Probe]) -> list[tuple[_Probe, BucketCache]]:
        """Each probe with the cache of its bucket, which is new where the bucket is."""
        caches = []
        for probe in probes:
            cache = self.buckets.get(probe.base_url)
            if cache is None:  # an empty one is false
                cache = BucketCache(probe, self._bound)
            caches.append((probe, cache))
        return caches

    def use(self, caches: Iterable[tuple[_Probe, BucketCache]], entries: int) -> None:
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
            version, asked = await _asked(bucket, key)
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
        known, bucket.failure = bucket.get(key), ""
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


async def _asked(bucket: BucketCache, key: str) -> tuple[ObjectVersion, float]:
    """Send a HEAD for an object; again, if another version became known meanwhile.

    Returns:
        The version, and the monotonic time of the request, since later changes may not show.
    """
    while True:
        before, asked = bucket.get(key), monotonic()
        version = await bucket.probe.head_object(key)
        now = bucket.get(key)
        if now == before or (now is not None and now.version[:2] == version[:2]):
            return version, asked
