"""Cached object versions of one bucket, and the HEAD requests for them that are under way."""

from __future__ import annotations

from math import inf
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nearbucket.event_loop import clear_incrementally
from nearbucket.replicas.check_queue import CheckQueue
from nearbucket.replicas.object_version import ObjectVersion

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Iterable

    from nearbucket.replicas.check_queue import Ticket
    from nearbucket.replicas.object_version import CatalogBatch

CLOCK_SKEW = 900.0
"""Seconds by which the clocks of S3 and of this machine may differ: over that, S3 refuses requests
(``RequestTimeTooSkewed``)."""

_SAME_TIME = 2.0
"""Seconds by which two times of one Last-Modified may differ: a HEAD has whole seconds."""

RENEW_AFTER = 0.75
"""Share of the time for which a good result is valid, after which the copy is checked again."""

_AT_ONCE = 64
"""Requests to one bucket at a time."""
_MOST_WAITING = 2048
"""Checks of one bucket that wait for their turn."""


class Probe(Protocol):
    """``BucketProbe``, as far as it is needed here."""

    base_url: str

    @property
    def barriers(self) -> Collection[str]:
        """What keeps clients from reading objects there."""

    async def head_object(self, key: str) -> ObjectVersion:
        """The version of an object."""


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


_Kept = tuple[int, str, str | None, str | None, float, float, bool]
"""An entry as it is kept: a tuple of plain values, which the garbage collector does not visit.
200,000 of anything else would hold the event loop for 50 ms at each full collection. The last one
is whether a listing has renewed the entry, and it was not looked up since."""


class BucketCache:
    """The cached objects of one bucket, and the checks under way.

    Attributes:
        failure: Why the last HEAD failed; empty if it did not, or if a listing came after it.
        longest: Seconds for which a result is valid at most, by any rule.
        renewals: HEADs that renewed entries of at least half that age and found no change; listings
            could have replaced them.
        spared: HEADs that listings have replaced: entries that one has renewed, and that were
            looked up before they were due again.
    """

    __slots__ = (
        "_bound", "_forgotten", "_old", "failure", "flights", "longest", "probe", "queue",
        "renewals", "spared", "tickets", "young",
    )  # fmt: skip

    def __init__(self, probe: Probe, bound: Callable[[], None]) -> None:
        self.probe = probe
        self.young: dict[str, _Kept] = {}
        self._old: dict[str, _Kept] = {}
        self._bound = bound
        self._forgotten = -inf
        self.failure = ""
        self.longest = inf
        self.renewals = self.spared = 0
        # for each bucket: one that hangs must not block the others
        self.flights: dict[str, asyncio.Task[float | None]] = {}
        self.tickets: dict[str, Ticket] = {}  # of the same keys
        self.queue = CheckQueue(_AT_ONCE, _MOST_WAITING)

    def get(self, key: str) -> CachedObject | None:
        """The cached version of a key; counts a spared HEAD if a listing has renewed the entry."""
        found = self.young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is None:
                return None
            self._keep(key, found)
        if found[6]:
            self.spared += monotonic() - found[4] < self.longest * RENEW_AFTER
            self.young[key] = (*found[:6], False)
        return _entry(found)

    def peek(self, key: str) -> CachedObject | None:
        """The same, for no request: counts nothing, and an old entry stays old."""
        found = self.young.get(key) or self._old.get(key)
        return None if found is None else _entry(found)

    def renew(self, batch: CatalogBatch, origins: Iterable[BucketCache]) -> list[str]:
        """Renew the entries of objects that a listing shows, as ``confirm`` does.

        Not those of copies that differ from their origin's object: a mark that makes them equal
        shows in HEADs alone.

        Args:
            batch: What the listing shows.
            origins: Origins with copies in this bucket.

        Returns:
            The keys of which it shows another version than the known one. It may be the older one.
        """
        self.failure, offset, others = "", time() - monotonic(), []
        for key, size, etag, modified in batch.objects:
            if any(not o.has(key, size, etag) and self._differs(o, key) for o in origins):
                continue
            if self.confirm(key, size, etag, modified - offset, batch.seen):
                others.append(key)
        return others

    def _differs(self, origin: BucketCache, key: str) -> bool:
        ours, theirs = self.peek(key), origin.peek(key)
        return ours is not None and theirs is not None and not ours.version.equals(theirs.version)

    def confirm(self, key: str, size: int, etag: str, since: float, seen: float) -> bool:
        """Renew the entry of an object that a listing has shown; adds no entry.

        A listing does not show checksums, marks and encryption. They change only when the object is
        written again, so the entry is renewed only if that has certainly not happened since it was
        last seen: Last-Modified is the known one, or earlier than that by more than ``CLOCK_SKEW``.
        Missing objects are left to HEADs: that they are missing is known for seconds only.

        Args:
            key: The object.
            size: In bytes.
            etag: Without quotes.
            since: Last-Modified as monotonic time.
            seen: Monotonic time at which the listing began.

        Returns:
            Whether the listing shows another version than an entry that is older than the listing.
        """
        generation = self.young if key in self.young else self._old
        known = generation.get(key)
        if known is None or known[0] < 0 or known[4] >= seen:
            return False
        if known[0] != size or known[1] != etag:
            return True
        if since < known[4] - CLOCK_SKEW or abs(since - known[5]) < _SAME_TIME:
            generation[key] = (*known[:4], seen, known[5], True)
        return False

    def has(self, key: str, size: int | None, etag: str) -> bool:
        """Whether this version of a key is cached, of this size if one is given."""
        found = self.young.get(key) or self._old.get(key)
        return found is not None and found[1] == etag and (size is None or size == found[0])

    def make_younger(self, key: str, since: float) -> bool:
        """Treat a key as uploaded at a later time; does nothing unless that halves its age.

        Returns whether it did.
        """
        found = self.peek(key)
        if found is None or monotonic() - since > (monotonic() - found.since) / 2:
            return False
        version, seen, _ = found
        self._keep(key, (*version[:3], version.unreadable, seen, since, False))
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
        known, replaces = self.peek(key), False
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
        self._keep(key, (size, etag, sums, unreadable, seen, since, False))
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

    async def ask(self, key: str) -> tuple[ObjectVersion, float]:
        """Send a HEAD for an object; again, if another version became known meanwhile.

        Returns:
            The version, and the monotonic time of the request, since later changes may not show.
        """
        while True:
            before, asked = self.peek(key), monotonic()
            version = await self.probe.head_object(key)
            now = self.peek(key)
            if now == before or (now is not None and now.version[:2] == version[:2]):
                return version, asked


def _entry(kept: _Kept) -> CachedObject:
    size, etag, sums, unreadable, seen, since, _ = kept
    return CachedObject(ObjectVersion(size, etag, sums, unreadable=unreadable), seen, since)
