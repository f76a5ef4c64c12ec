"""How many copies a further bucket needs in a month, estimated from the objects that a log shows.

A log tells nothing of objects that were not requested in its period: what a pattern matches besides
is known to the bucket alone (``nearbucket sync --dry-run``).
"""

from __future__ import annotations

from typing import NamedTuple

from nearbucket.config.prices import GB, MONTH_DAYS

_STOCK_MONTHS = 12
"""Objects that were there before are copied once; that is paid for by the savings of a year."""
_FEWEST_DAYS = 4
"""Days of a log in which new objects can be told from those that were there before."""


class CopyVolume(NamedTuple):
    """What a bucket with copies of some objects needs.

    Attributes:
        objects: Objects of the log.
        copies_month: Objects copied in a month.
        transfer_gb_month: Their GB.
        stored_gb: GB stored.
    """

    objects: int = 0
    copies_month: float = 0.0
    transfer_gb_month: float = 0.0
    stored_gb: float = 0.0


class ObjectCount:
    """Counts objects, to tell what their copies need.

    An object of which the second half of the log has the first request is taken for a new one, of
    which as many come in each month. The others were there before. A log that is too short for
    this has all of its objects copied within a month.
    """

    __slots__ = ("_days", "_half", "new", "new_bytes", "old", "old_bytes")

    def __init__(self, days: int) -> None:
        """Count none; ``days`` are those of the log."""
        self._days, self._half = days, days // 2 if days >= _FEWEST_DAYS else 0
        self.new = self.new_bytes = self.old = self.old_bytes = 0

    def add(self, size: int | None, first_day: int) -> None:
        """Count an object.

        Args:
            size: Bytes; None if not known: then it counts, but has no bytes.
            first_day: Day of the first request, from 0.
        """
        if first_day < self._half:
            self.old += 1
            self.old_bytes += size or 0
        else:
            self.new += 1
            self.new_bytes += size or 0

    def include(self, other: ObjectCount) -> None:
        """Count those of another count, too."""
        self.old += other.old
        self.old_bytes += other.old_bytes
        self.new += other.new
        self.new_bytes += other.new_bytes

    @property
    def volume(self) -> CopyVolume:
        """What a bucket with copies of all these objects needs."""
        month = MONTH_DAYS / (self._days - self._half) if self._half else 1.0
        old_gb, new_gb = self.old_bytes / GB, self.new_bytes / GB
        coming = new_gb * month if self._half else 0.0  # beside those of the log
        return CopyVolume(
            self.old + self.new,
            self.old / _STOCK_MONTHS + self.new * month,
            old_gb / _STOCK_MONTHS + new_gb * month,
            old_gb + new_gb + coming,
        )
