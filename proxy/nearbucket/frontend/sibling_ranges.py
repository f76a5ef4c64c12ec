"""Tells whether a range belongs to a download that began before its object changed.

All ranges of a download (sibling ranges) must be of one version. While a copy is known to be older
than the origin's object, new downloads are streamed; but if the first ranges of a download were
redirected to the copy, its other ranges are redirected there too, for up to two seconds.

A request does not say to which download it belongs. So the redirects for each range are counted, by
asker (client address and User-Agent) and object: the n-th request for a range belongs to the n-th
download. If some range was asked for three times before the change, three downloads began before
it, and a fourth request for any range is that of a new download. Where several clients have one
address, a new download waits until the others are complete, so that none overtakes another.

Counts are in memory that all workers share, in ``SLOTS`` slots; of two marks in one slot the later
stays. Nothing is locked: two redirects for one range at the same time in two workers may count as
one.
"""

from __future__ import annotations

from enum import IntEnum
from hashlib import blake2b

SLOTS = 1 << 14
_FIELDS = 6
RANGES_SIZE = SLOTS * _FIELDS * 8
"""Bytes of the table."""

PAUSE = 2.0
"""A download is under way until there was no redirect for its object for so many seconds."""


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
    """Counts the redirects for ranges, of all sites.

    A slot belongs to an asker and an object, or to an asker, an object and a range.
    """

    __slots__ = ("_began", "_counts", "_marks", "_ranges", "_times", "_totals")

    def __init__(self, view: memoryview) -> None:
        """Use ``RANGES_SIZE`` bytes."""
        size = SLOTS * 8
        parts = [view[number * size : (number + 1) * size] for number in range(_FIELDS)]
        self._marks = parts[0].cast("Q")
        self._began = parts[1].cast("d")  # of the first redirect after a pause
        self._times = parts[2].cast("d")  # of the last one
        self._counts = parts[3].cast("Q")  # for the range, or the largest of those
        self._ranges = parts[4].cast("Q")  # how many different ones
        self._totals = parts[5].cast("Q")

    def record(self, mark: int, part: int, now: float) -> None:
        """Note a redirect for a range.

        Args:
            mark: Mark of asker and object.
            part: Mark of the range.
            now: Monotonic time.
        """
        slot, own, began, counts = mark % SLOTS, (mark ^ part) % SLOTS, self._began, self._counts
        if self._marks[slot] != mark or now - self._times[slot] > PAUSE:
            self._marks[slot], began[slot] = mark, now
            counts[slot] = self._ranges[slot] = self._totals[slot] = 0
        if self._marks[own] != mark ^ part or began[own] != began[slot]:
            self._marks[own], began[own], counts[own] = mark ^ part, began[slot], 0
            self._ranges[slot] += 1
        self._times[slot] = now
        self._totals[slot] += 1
        counts[own] += 1
        counts[slot] = max(counts[slot], counts[own])

    def download_of(self, mark: int, part: int, changed: float) -> RangeOf:
        """The download of a range that is asked for after its object changed.

        Args:
            mark: Mark of asker and object.
            part: Mark of the range.
            changed: Monotonic time of the change.
        """
        slot, own, counts = mark % SLOTS, (mark ^ part) % SLOTS, self._counts
        if self._marks[slot] != mark or changed - self._times[slot] > PAUSE:
            return NEW
        known = self._marks[own] == mark ^ part and self._began[own] == self._began[slot]
        if (counts[own] if known else 0) < counts[slot]:
            return OLDER
        complete = self._totals[slot] >= counts[slot] * self._ranges[slot]
        return NEW if complete else NEXT


def mark_of_bytes(range_: str) -> int:
    """The mark of a range in canonical form, the same in every process."""
    return int.from_bytes(blake2b(range_.encode(), digest_size=8).digest(), "little")
