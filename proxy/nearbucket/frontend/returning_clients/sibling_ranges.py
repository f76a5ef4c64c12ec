"""Tells whether a range belongs to a download that began before its object changed.

All ranges of a download (sibling ranges) must be of one version. While a copy is known to be older
than the origin's object, new downloads are streamed; but if the first ranges of a download were
redirected to the copy, its other ranges are redirected there too, for up to two seconds.

Downloads do not name themselves. What is known is an asker (client address and User-Agent), an
object, and the answers to its ranges (redirects, and streams of ranges that a redirect could have
sent as well):

- No download is under way if the bytes of these ranges are as many as those of the object, times
  the answers to the range that had most: 16 answers of 100 bytes each, at most 2 to one range, are
  two whole downloads of an object of 800 bytes. The next first range (the one from byte 0) then
  begins a download of the new version, and from then on all ranges of the asker are streamed.
- Otherwise ranges belong to downloads that are under way, and are redirected. Only a first range
  waits until these are complete. But if another range has been answered more often since it came,
  or shortly before, it belongs to a download that gets several ranges at a time, and which is under
  way: it is redirected too.

Askers, objects and ranges are known by hashes, their marks. The figures are in memory that all
workers share, in ``SLOTS`` slots for the objects and as many for their ranges; of two marks in one
slot the later stays. A slot is locked while it is written, since
two workers often get ranges of one download at the same time.
"""

from __future__ import annotations

from enum import IntEnum
from fcntl import LOCK_EX, LOCK_UN, lockf
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.policy.model import Reason

if TYPE_CHECKING:
    from nearbucket.replicas.replica_status import OlderCopy

SLOTS = 1 << 18
"""With 1,000 askers of 8 ranges each, 0.4 % of the objects and 3 % of the ranges share a slot."""
_OBJECT_FIELDS = 9
_RANGE_FIELDS = 3
RANGES_SIZE = SLOTS * (_OBJECT_FIELDS + _RANGE_FIELDS) * 8
"""Bytes of the table."""

WITHOUT_COPY = frozenset({Reason.NOT_REPLICATED, Reason.UNVERIFIED, Reason.SMALL})
"""Reasons that a range is streamed while the copy is older than the origin's object, which may be
small now."""

COUNTED_BEFORE = 0.0
"""``ReplicaStatus.until`` of a redirect to an older copy: it holds for one request, which the
decider counts at once, because the next decision depends on it."""

PAUSE = 2.0
"""A download is under way until no range of its object was answered for so many seconds."""

QUIET = 0.5
"""Seconds without an answer after which the count begins anew, so that ranges that were repeated or
never asked for do not stand in the way for ever."""

TOLD = 0.25
"""Seconds after a change in which all workers learn of it. Until then every range is redirected, so
that no worker streams or holds back one range of a download while another redirects the rest."""

TOGETHER = 0.01
"""Seconds between the ranges that a client asks for at the same time."""

AGAIN = 0.1
"""Seconds in which a download that gets several ranges at a time asks for its first range."""


class RangeOf(IntEnum):
    """The download that a range belongs to."""

    NEW = 0
    """One that began after the change."""
    OLDER = 1
    """One that began before the change."""
    NEXT = 2
    """One that has to wait until others, which began before the change, are complete."""


NEW, OLDER, NEXT = RangeOf


class AskedRange(NamedTuple):
    """A range that is asked for.

    Attributes:
        mark: Mark of asker and object.
        part: Mark of the range.
        length: Bytes of the range.
    """

    mark: int
    part: int
    length: int


class SiblingRanges:
    """The answers to ranges, of all sites."""

    __slots__ = (
        "_began", "_bytes", "_change", "_counts", "_exceeded", "_file", "_first", "_largest",
        "_marks", "_range_began", "_range_marks", "_size", "_times",
    )  # fmt: skip

    def __init__(self, view: memoryview, file: int | None = None) -> None:
        """Use ``RANGES_SIZE`` bytes.

        Args:
            view: The memory.
            file: Descriptor of the memory if other processes use it as well, for the locks.
        """
        self._file = file
        size = SLOTS * 8
        parts = [view[start : start + size] for start in range(0, RANGES_SIZE, size)]
        self._marks = parts[0].cast("Q")
        self._began = parts[1].cast("d")  # when the count began
        self._times = parts[2].cast("d")  # of the last one
        self._bytes = parts[3].cast("Q")  # of the ranges that are counted
        self._largest = parts[4].cast("Q")  # of the counts
        self._first = parts[5].cast("Q")  # count of the first range
        self._exceeded = parts[6].cast("d")  # of the last answer to a range that has more
        self._change = parts[7].cast("d")  # after which downloads of the new version have begun
        self._size = parts[8].cast("Q")  # of the object
        self._range_marks = parts[9].cast("Q")
        self._range_began = parts[10].cast("d")
        self._counts = parts[11].cast("Q")

    def record(self, asked: AskedRange, size: int, now: float) -> None:
        """Count an answer to a range.

        Args:
            asked: The range.
            size: Bytes of the object.
            now: Monotonic time.
        """
        slot = asked.mark % SLOTS
        self._lock(slot)
        try:
            self._count(slot, asked, size, now)
        finally:
            self._unlock(slot)

    def take(self, asked: AskedRange, older: OlderCopy, now: float, came: float) -> RangeOf:
        """The download of a range that is answered now; the arguments are those of ``download_of``.

        A redirect to the older copy is counted. Between the two no other worker decides.
        """
        slot = asked.mark % SLOTS
        self._lock(slot)
        try:
            found = self.download_of(asked, older, now, came)
            if found is OLDER and asked.length:
                self._count(slot, asked, older.size or 0, now)
            elif found is NEW and not self._has_begun(asked.mark, older):
                self._begin(slot, asked.mark, older.size or 0, now)
                self._change[slot] = older.changed
        finally:
            self._unlock(slot)
        return found

    def download_of(self, asked: AskedRange, older: OlderCopy, now: float, came: float) -> RangeOf:
        """The download of a range that is asked for after its object changed.

        Args:
            asked: The range.
            older: The older copy; it has the same time of the change in all workers.
            now: Monotonic time.
            came: Monotonic time at which the request came.
        """
        slot, is_first = asked.mark % SLOTS, asked.part & 1
        if now < older.changed + TOLD:
            return OLDER
        if self._has_begun(asked.mark, older) or not self.is_under_way(asked.mark, now):
            return NEW
        if self._size[slot] != older.size:  # counted was another version
            return NEW
        if self._is_complete(slot):
            if is_first:
                return NEW
            return NEXT if now - came <= AGAIN else OLDER  # repeated, unless a first range comes
        if is_first and self._exceeded[slot] < came - TOGETHER:
            return NEXT
        return OLDER

    def is_under_way(self, mark: int, now: float) -> bool:
        """Whether a range of an asker and object was answered a short time ago."""
        slot = mark % SLOTS
        return self._marks[slot] == mark and now - self._times[slot] <= PAUSE

    def _has_begun(self, mark: int, older: OlderCopy) -> bool:
        """Whether the asker has begun to get the new version."""
        slot = mark % SLOTS
        return self._marks[slot] == mark and self._change[slot] == older.changed

    def _count(self, slot: int, asked: AskedRange, size: int, now: float) -> None:
        mark, part, length = asked
        own, began, counts = (mark ^ part) % SLOTS, self._began, self._counts
        if (
            self._marks[slot] != mark
            or now - self._times[slot] > QUIET
            or self._size[slot] != size
            or self._is_complete(slot)
        ):
            self._begin(slot, mark, size, now)
        if self._range_marks[own] != mark ^ part or self._range_began[own] != began[slot]:
            self._range_marks[own], self._range_began[own] = mark ^ part, began[slot]
            counts[own] = 0
        self._times[slot] = now
        self._bytes[slot] += length
        counts[own] += 1
        self._largest[slot] = max(self._largest[slot], counts[own])
        if part & 1:
            self._first[slot] = counts[own]
        elif counts[own] > self._first[slot]:
            self._exceeded[slot] = now

    def _begin(self, slot: int, mark: int, size: int, now: float) -> None:
        """Count anew."""
        if self._marks[slot] != mark:
            self._marks[slot], self._change[slot], self._exceeded[slot] = mark, 0.0, 0.0
        self._size[slot], self._began[slot], self._times[slot] = size, now, now
        self._bytes[slot] = self._first[slot] = self._largest[slot] = 0

    def _is_complete(self, slot: int) -> bool:
        """Whether no download is under way."""
        return self._bytes[slot] == self._largest[slot] * self._size[slot]

    def _lock(self, slot: int) -> None:
        """Other processes wait; the kernel unlocks for one that ends."""
        if self._file is not None:
            lockf(self._file, LOCK_EX, 1, slot)

    def _unlock(self, slot: int) -> None:
        if self._file is not None:
            lockf(self._file, LOCK_UN, 1, slot)


def mark_of_bytes(range_: str) -> int:
    """The mark of a range in canonical form, the same in every process.

    It is odd if the range begins at byte 0.
    """
    mark = int.from_bytes(blake2b(range_.encode(), digest_size=8).digest(), "little")
    return mark | 1 if range_.startswith("bytes=0-") else mark & ~1
