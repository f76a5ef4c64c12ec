"""Size, ETag and checksums of an object: tells whether a copy equals the origin's object."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.s3.unreadable import SOON, Unreadable, unreadable_by_head

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_PREFIX = "x-amz-checksum-"
CHECKSUMS = tuple(_PREFIX + name for name in ("crc64nvme", "crc32", "crc32c", "sha256", "sha1"))


class ObjectVersion(NamedTuple):
    """What tells one version of an object from another.

    Attributes:
        size: In bytes; negative for ``ABSENT`` and ``LOCKED``.
        etag: Without quotes.
        checksums: What else identifies the bytes, as ``name=value`` separated by spaces: S3's
            checksums of all bytes, and ``etag=`` with the ETag of the origin's object that a mark
            names (``s3/copy_mark.py``). Empty if there is nothing; None if unknown, because only
            the response to a HEAD has it.
        modified: Unix time of Last-Modified; 0 if unknown. Versions are not compared by it, and the
            object cache does not keep it, but ``CachedObject.since``.
        unreadable: What keeps clients from reading it (``s3/unreadable.py``); empty if nothing
            does; None if unknown, because only the response to a HEAD has it.
    """

    size: int
    etag: str
    checksums: str | None = ""
    modified: float = 0.0
    unreadable: str | None = ""

    @classmethod
    def of(cls, fields: Mapping[str, str], lasting: float = SOON) -> ObjectVersion:
        """Read the response to a HEAD; ``fields`` finds names in any case.

        Args:
            fields: The header fields of the response.
            lasting: Seconds for which a restored object has to stay readable.

        Raises:
            ValueError: It has no Content-Length.
        """
        etag, size = fields.get("ETag", "").strip('"'), int(fields.get("Content-Length", ""))
        modified, unreadable = fields.get("Last-Modified", ""), unreadable_by_head(fields, lasting)
        return cls(size, etag, _sums(fields), unix_time(modified), _plain(unreadable))

    def equals(self, other: ObjectVersion) -> bool | None:
        """Whether both are known to be the same bytes; None if that takes unknown checksums.

        The same bytes have different ETags if they were uploaded in other parts, or are encrypted
        with a KMS key; then a checksum of all bytes decides (API reference, "Object"), or a mark.
        """
        if self.size != other.size:
            return False
        if self.etag and self.etag == other.etag:
            return True
        ours, theirs = (self.checksums or "").split(), (other.checksums or "").split()
        if self._is_marked_in(theirs) or other._is_marked_in(ours):
            return True
        if self.checksums is None or other.checksums is None:
            return None
        return not set(ours).isdisjoint(theirs)

    @property
    def known_size(self) -> int | None:
        """Size in bytes; None if there is no object, or S3 does not say."""
        return self.size if self.size >= 0 else None

    def ends(self, known: ObjectVersion, barriers: Collection[str]) -> bool:
        """Whether redirects to a known version end: this is another one, or clients cannot read it.

        The second is so when an object is archived: its size and ETag stay.

        Args:
            known: The known version.
            barriers: What keeps clients from reading objects of the bucket.
        """
        was = known.unreadable
        return self[:2] != known[:2] or (
            was is not None and was != self.unreadable and self.unreadable in barriers
        )

    def _is_marked_in(self, checksums: list[str]) -> bool:
        return self.etag != "" and f"etag={self.etag}" in checksums

    def marked(self, etag: str) -> ObjectVersion:
        """The same version, marked as equal to the origin's object with this ETag."""
        return self._replace(checksums=f"{self.checksums or ''} etag={etag}".strip())


ABSENT = ObjectVersion(-1, "")
"""The bucket has no such object."""

DENIED = ObjectVersion(-1, "")
"""S3 does not say whether the bucket has the object (403). Equal to ``ABSENT``, since the object
cannot be read; ``is`` tells them apart."""

LOCKED = ObjectVersion(-2, "", unreadable=str(Unreadable.CUSTOMER_KEY.value))
"""An object that is encrypted with a customer-provided key: S3 says nothing else of it."""


CatalogEntry = tuple[str, int, str, float]
"""Key without the bucket's prefix, size in bytes, ETag without quotes, Unix time of the upload."""


@dataclass(frozen=True, slots=True)
class CatalogBatch:
    """Some objects of one bucket, from a listing or an inventory.

    Attributes:
        base_url: ``Bucket.object_base_url``.
        objects: One entry an object.
        seen: Monotonic time of the state that is shown: later changes may be missing. All processes
            of a machine have the same monotonic clock.
        renews: True: workers only renew entries that they have. False: they add all objects.
    """

    base_url: str
    objects: tuple[CatalogEntry, ...]
    seen: float
    renews: bool = False


class VersionReport(NamedTuple):
    """From one worker to the others: a version of an object, or of a copy, that it has just seen.

    Attributes:
        base_url: ``Bucket.object_base_url``.
        key: Object key, decoded, without the bucket's prefix.
        version: The version, or ``ABSENT``.
        seen: As in ``CachedObject``; monotonic time is the same in all processes of a machine.
        since: As in ``CachedObject``.
        older: The version that this one has replaced at the origin a short time ago; None if there
            is none.
        changed: Monotonic time at which it did so.
    """

    base_url: str
    key: str
    version: ObjectVersion
    seen: float
    since: float
    older: ObjectVersion | None = None
    changed: float = 0.0


def _plain(unreadable: Unreadable | None) -> str:
    """As plain text, with which an entry of the object cache is no work for garbage collection."""
    return "" if unreadable is None else str(unreadable.value)


def unix_time(date: str) -> float:
    """The Unix time of a Last-Modified field; 0 if it is not a date."""
    try:
        return parsedate_to_datetime(date).replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def _sums(fields: Mapping[str, str]) -> str:
    """The checksums of all bytes; one of the parts' checksums depends on where the parts end."""
    if fields.get("x-amz-checksum-type") == "COMPOSITE":
        return ""
    found = [(name.removeprefix(_PREFIX), fields.get(name)) for name in CHECKSUMS]
    # "value-3": a checksum of three parts' checksums, for which S3 may name no type
    return " ".join(f"{name}={value}" for name, value in found if value and "-" not in value)
