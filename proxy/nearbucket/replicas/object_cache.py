"""What the buckets hold: known for a while, asked once however many want to know.

In: a bucket's ``BucketProbe`` and a key; what listings said. Out: what is known, at once; or the
same after S3 was asked, within a budget. Refuses to know sites and rules, and to grow: of all
buckets together it keeps ``entries`` objects, those asked for last.

The bound is kept by generations: what is used moves to the young half, and when that is full the
old half is dropped whole. So nothing is forgotten that was among the last ``entries / 2`` to be
used, and a look costs one dictionary, not the upkeep of a list. An entry takes about 0.5 KiB: a
key of 60 characters, an ETag, a tuple and the place in the dictionary.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nearbucket.errors import OriginError
from nearbucket.event_loop import clear_incrementally
from nearbucket.replicas.object_version import ABSENT, ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NEGATIVE_TTL = 30.0
"""Seconds for which the absence of an object, or a difference, is not asked about again."""

FAILURE_PAUSE = 1.0
"""Seconds for which a question that S3 did not answer is not asked again."""

_AT_ONCE = 64
_MOST_FLIGHTS = 2048
"""Questions to one bucket that are under way, and of which most wait their turn."""

_log = logging.getLogger(__name__)


class CountCallback(Protocol):
    """Who counts what was found."""

    def __call__(self, name: str, *labels: str) -> None:
        """Count under a metric's name."""


class ProbeObserver(Protocol):
    """Who judges a bucket by how it answers."""

    def answered(self, base_url: str, key: str | None) -> None:
        """It did; ``key`` was there, where one is given."""

    def failed(self, base_url: str, why: str) -> None:
        """It did not."""


class SupportsHeadObject(Protocol):
    """Who asks a bucket."""

    base_url: str

    async def head_object(self, key: str) -> ObjectVersion:
        """What is version under a key; an ``OriginError`` where that is not said."""


class CachedObject(NamedTuple):
    """One object of one bucket, and the monotonic time at which that was so."""

    version: ObjectVersion
    seen: float


_Kept = tuple[int, str, str | None, float]
"""An entry as it is kept. A plain tuple of plain values, since the garbage collector does not
look at those: 200,000 of anything else would hold the loop for 50 ms at each full collection."""


class BucketCache:
    """What is known of one bucket, and who asks it now.

    Attributes:
        failing: Whether the last question was not answered.
    """

    __slots__ = ("_bound", "_old", "failing", "flights", "probe", "slots", "young")

    def __init__(self, probe: SupportsHeadObject, bound: Callable[[], None]) -> None:
        self.probe = probe
        self.young: dict[str, _Kept] = {}
        self._old: dict[str, _Kept] = {}
        self._bound = bound
        self.failing = False
        # of each bucket: one that hangs must not keep the others from being asked
        self.flights: dict[str, asyncio.Task[None]] = {}
        self.slots = asyncio.Semaphore(_AT_ONCE)

    def get(self, key: str) -> CachedObject | None:
        """What is known of a key."""
        found = self.young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is None:
                return None
            self._keep(key, found)
        size, etag, sums, seen = found
        return CachedObject(ObjectVersion(size, etag, sums), seen)

    def put(self, key: str, entry: CachedObject) -> None:
        """Take note, unless something newer is known; what was asked for stays known."""
        known = self.get(key)
        version = entry.version
        if known is not None:
            if known.seen > entry.seen:
                return
            if version.checksums is None and known.version[:2] == version[:2]:
                version = known.version
        self._keep(key, (*version, entry.seen))

    def _keep(self, key: str, kept: _Kept) -> None:
        self.young[key] = kept
        self._bound()

    def age(self) -> None:
        """Forget what was not used since the last time."""
        clear_incrementally(self._old)
        self._old, self.young = self.young, {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)


class ObjectCache:
    """What one worker knows.

    Attributes:
        buckets: Place of a bucket to what is known of it.
    """

    def __init__(
        self, count: CountCallback, outcomes: ProbeObserver, changed: Callable[[], None]
    ) -> None:
        """Args: who counts what is found; who judges the buckets; called when an object changed."""
        self.buckets: dict[str, BucketCache] = {}
        self._count = count
        self._outcomes = outcomes
        self._changed = changed
        self._entries = 0
        self._paused: dict[tuple[str, str], float] = {}

    def use(self, probes: Iterable[SupportsHeadObject], entries: int) -> None:
        """Ask these buckets from now on; what is known of them stays.

        Args:
            probes: One for each bucket.
            entries: How many objects may be known of.
        """
        buckets = {}
        for probe in probes:
            bucket = self.buckets.get(probe.base_url)
            if bucket is None:  # an empty one is false
                bucket = BucketCache(probe, self._bound)
            bucket.probe = probe
            buckets[probe.base_url] = bucket
        self.buckets = buckets
        self._entries = entries
        while len(self) > entries:
            self._age()

    def learn(self, base_url: str, objects: Iterable[tuple[str, int, str]], seen: float) -> None:
        """Take what a listing said.

        Args:
            base_url: The bucket; one that nobody needs is passed over.
            objects: Key, size and ETag of each.
            seen: Monotonic time of the listing.
        """
        bucket = self.buckets.get(base_url)
        if bucket is not None:
            for key, size, etag in objects:
                bucket.put(key, CachedObject(ObjectVersion(size, etag, None), seen))

    def __len__(self) -> int:
        return sum(map(len, self.buckets.values()))

    def _bound(self) -> None:
        if sum([len(bucket.young) for bucket in self.buckets.values()]) >= self._entries // 2:
            self._age()

    def _age(self) -> None:
        for bucket in self.buckets.values():
            bucket.age()

    def check(
        self, bucket: BucketCache, key: str, *, renews: bool = False
    ) -> asyncio.Task[None] | None:
        """Ask the bucket, unless it is being asked: the one question there is.

        Args:
            bucket: The bucket.
            key: The object.
            renews: Whether an answer is known, which must not be lost to a crowd of new ones.

        Returns:
            What to wait for; None where asking now would be of no use.
        """
        flights = bucket.flights
        flight = flights.get(key)
        if flight is not None:
            return flight
        held_back = self._paused.get((bucket.probe.base_url, key), 0)
        if (len(flights) >= _MOST_FLIGHTS and not renews) or held_back > monotonic():
            return None
        flight = flights[key] = asyncio.create_task(self._head_object(bucket, key))
        flight.add_done_callback(lambda _: flights.pop(key, None))
        return flight

    async def _head_object(self, bucket: BucketCache, key: str) -> None:
        probe = bucket.probe
        async with bucket.slots:
            asked = monotonic()  # what changes while S3 answers was not seen
            try:
                version = await probe.head_object(key)
            except Exception as error:
                if not isinstance(error, OriginError):
                    _log.exception("a question to %s", probe.base_url)
                bucket.failing = True
                self._paused[probe.base_url, key] = monotonic() + FAILURE_PAUSE
                self._count("nearbucket_checks_total", "failed")
                self._outcomes.failed(probe.base_url, str(error))
                return
        self._count("nearbucket_checks_total", "absent" if version == ABSENT else "present")
        self._outcomes.answered(probe.base_url, None if version == ABSENT else key)
        known, bucket.failing = bucket.get(key), False
        bucket.put(key, CachedObject(version, asked))
        if known is not None and known.version[:2] != version[:2]:
            self._changed()

    def tick(self, now: float) -> None:
        """Once a second: forget which questions were not answered."""
        if self._paused:
            self._paused = {mark: until for mark, until in self._paused.items()
                               if until > now}  # fmt: skip

    async def close(self) -> None:
        """Ask nothing more."""
        flights = [flight for bucket in self.buckets.values() for flight in bucket.flights.values()]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
