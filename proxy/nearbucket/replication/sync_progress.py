"""What a run of ``sync`` for one target has found and done so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.replication.multipart_copy import parts_of

if TYPE_CHECKING:
    from nearbucket.errors import ProxyError
    from nearbucket.s3.listing.list_page import ListedObject


class SyncFailure(NamedTuple):
    """An object that could not be copied or deleted: its key, S3's code, and what that means."""

    key: str
    code: str
    text: str


@dataclass(slots=True)
class SyncProgress:
    """What a run has found and done so far.

    Attributes:
        begun: Whether both buckets could be listed.
        listed: Whether both listings have been read to their ends.
        same: Objects that are up to date.
        objects: Objects found to be missing or different.
        size: Bytes of these objects.
        requests: How many requests their copies take.
        copied: Objects that were copied, and marked if that is necessary.
        copied_size: Bytes of the copied objects.
        moved: Bytes copied, or read to prove a copy, those of unfinished objects included.
        other_etag: Copies that could not get the origin's ETag.
        marked: Copies that got a mark because a checksum of S3 shows that they are equal.
        adopted: Copies of other tools that got a mark because their bytes were found to be equal.
        adopted_size: Bytes of the adopted copies.
        other_headers: Adopted copies that have other headers or metadata than the origin's object.
        differing: Keys of objects whose bytes were found to differ, and which were copied.
        other_parts: Copies of equal size that may be equal, and were neither read nor copied again.
        other_parts_size: Bytes of the objects in ``other_parts``.
        unreadable: Keys of copies that clients cannot read, by the verdict's word.
        orphans: Chosen objects of the target that are not at the origin.
        deleted: Orphans that were deleted.
        failures: Objects that could not be copied or deleted.
        problem: The error that ended the run.
    """

    begun: bool = False
    listed: bool = False
    same: int = 0
    objects: int = 0
    size: int = 0
    requests: int = 0
    copied: int = 0
    copied_size: int = 0
    moved: int = 0
    other_etag: int = 0
    marked: int = 0
    adopted: int = 0
    adopted_size: int = 0
    other_headers: int = 0
    differing: list[str] = field(default_factory=list)
    other_parts: int = 0
    other_parts_size: int = 0
    unreadable: dict[str, list[str]] = field(default_factory=dict)
    orphans: int = 0
    deleted: int = 0
    failures: list[SyncFailure] = field(default_factory=list)
    problem: ProxyError | None = None

    @property
    def done(self) -> int:
        """Objects that were copied or adopted."""
        return self.copied + self.adopted

    def note_unreadable(self, why: str, key: str) -> None:
        """Note a copy that clients cannot read."""
        self.unreadable.setdefault(why, []).append(key)

    def expect(self, what: ListedObject, sign: int = 1) -> None:
        """Count an object to be copied, or with -1 one that turned out to need nothing."""
        parts = parts_of(what.etag)
        self.objects += sign
        self.size += sign * what.size
        # one a part, one to begin and one to complete; or one for the whole object
        self.requests += sign * (1 if parts is None else parts + 2)


class MovedBytes:
    """Counts the bytes of one object in ``SyncProgress.moved``, and can undo that."""

    def __init__(self, progress: SyncProgress) -> None:
        """Count into this progress."""
        self._progress, self._size = progress, 0

    def add(self, size: int) -> None:
        """Count bytes that were copied or read; a negative number is subtracted."""
        self._size += size
        self._progress.moved += size

    def take_back(self) -> None:
        """Subtract all that was counted."""
        self.add(-self._size)
