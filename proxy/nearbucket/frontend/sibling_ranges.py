"""Tells whether a range belongs to a download that began before its object changed.

All ranges of a download (sibling ranges) must be of one version. While a copy is known to be older
than the origin's object, new downloads are streamed; but if the first ranges of a download were
redirected to the copy, its other ranges are redirected there too, for up to two seconds.

Downloads do not name themselves. What is known is an asker (client address and User-Agent), an
object, and how often each range was redirected:

- A range from byte 0 begins a new download. It waits until the moment is over; so does the rest of
  the download, if the client gets one range after the other.
- If it gets several at a time, the others come meanwhile. A range that was redirected less often
  than another one is missing from an older download. One that was redirected as often as any
  belongs to the new download, and waits too; if none begins, an older one has repeated it.

Counts are in memory that all workers share, in ``SLOTS`` slots for the objects and as many for
their ranges; of two marks in one slot the later stays. Nothing is locked: two redirects for one
range at the same time in two workers may count as one.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

SLOTS = 1 << 18
"""With 1,000 askers of 8 ranges each, 0.4 % of the objects and 3 % of the ranges share a slot."""
_OBJECT_FIELDS = 5
_RANGE_FIELDS = 3
RANGES_SIZE = SLOTS * (_OBJECT_FIELDS + _RANGE_FIELDS) * 8
"""Bytes of the table."""

PAUSE = 2.0
"""A download is under way until there was no redirect for its object for so many seconds."""

COUNTED = 10.0
"""Seconds after which counting begins anew, so that ranges that were repeated do not add up."""

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


class SiblingRanges:
    """The redirects for ranges of all sites."""

    __slots__ = (
        "_began", "_counts", "_largest", "_marks", "_next", "_range_began", "_range_marks",
        "_times",
    )  # fmt: skip

    def __init__(self, view: memoryview) -> None:
        """Use ``RANGES_SIZE`` bytes."""
        size = SLOTS * 8
        parts = [view[start : start + size] for start in range(0, RANGES_SIZE, size)]
        self._marks = parts[0].cast("Q")
        self._began = parts[1].cast("d")  # of the first redirect that is counted
        self._times = parts[2].cast("d")  # of the last one
        self._next = parts[3].cast("d")  # of the last range from byte 0 that had to wait
        self._largest = parts[4].cast("Q")  # of the counts
        self._range_marks = parts[5].cast("Q")
        self._range_began = parts[6].cast("d")
        self._counts = parts[7].cast("Q")

    def record(self, mark: int, part: int, now: float) -> None:
        """Note a redirect for a range.

        Args:
            mark: Mark of asker and object.
            part: Mark of the range.
            now: Monotonic time.
        """
        slot, own, began, counts = mark % SLOTS, (mark ^ part) % SLOTS, self._began, self._counts
        paused = now - self._times[slot] > PAUSE or now - began[slot] > COUNTED
        if self._marks[slot] != mark or paused:
            self._marks[slot], began[slot] = mark, now
            self._largest[slot] = 0
        if self._range_marks[own] != mark ^ part or self._range_began[own] != began[slot]:
            self._range_marks[own], self._range_began[own] = mark ^ part, began[slot]
            counts[own] = 0
        self._times[slot] = now
        counts[own] += 1
        self._largest[slot] = max(self._largest[slot], counts[own])

    def download_of(
        self, mark: int, part: int, changed: float, now: float, waited: float = 0.0
    ) -> RangeOf:
        """The download of a range that is asked for after its object changed.

        Args:
            mark: Mark of asker and object.
            part: Mark of the range.
            changed: Monotonic time of the change.
            now: Monotonic time.
            waited: Seconds since the request came.
        """
        slot, own = mark % SLOTS, (mark ^ part) % SLOTS
        if self._marks[slot] != mark or now - self._times[slot] > PAUSE:
            return NEW
        if part & 1:
            self._next[slot] = now
            return NEXT
        known = (
            self._range_marks[own] == mark ^ part and self._range_began[own] == self._began[slot]
        )
        if not known or self._counts[own] < self._largest[slot]:
            return OLDER
        # counted as often as any: of a new download, or repeated by an older one
        return OLDER if waited > AGAIN and self._next[slot] < changed else NEXT


def mark_of_bytes(range_: str) -> int:
    """The mark of a range in canonical form, the same in every process.

    It is odd if the range begins at byte 0.
    """
    mark = int.from_bytes(blake2b(range_.encode(), digest_size=8).digest(), "little")
    return mark | 1 if range_.startswith("bytes=0-") else mark & ~1
