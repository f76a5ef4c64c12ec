"""What a bucket holds under one key, as far as telling two copies apart takes.

In: the header fields of a HEAD, or an entry of a listing. Out: an ``ObjectVersion``, and whether
two of them are the same object. Refuses to know how long that is true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKSUMS = ("x-amz-checksum-crc64nvme", "x-amz-checksum-crc32", "x-amz-checksum-crc32c",
             "x-amz-checksum-sha256", "x-amz-checksum-sha1")  # fmt: skip


class ObjectVersion(NamedTuple):
    """One object.

    Attributes:
        size: In bytes; ``ABSENT``'s is -1.
        etag: Without quotes.
        checksums: Checksums over all bytes that S3 gives, as ``name=value`` separated by spaces;
            empty where there are none. None where nobody asked: a listing does not have them.
    """

    size: int
    etag: str
    checksums: str | None = ""

    @classmethod
    def of(cls, fields: Mapping[str, str]) -> ObjectVersion:
        """What a HEAD says; ``fields`` finds names in any case.

        Raises:
            ValueError: It does not say how large the object is.
        """
        etag = fields.get("ETag", "").strip('"')
        return cls(int(fields.get("Content-Length", "")), etag, _sums(fields))

    def equals(self, other: ObjectVersion) -> bool | None:
        """Whether both are the same bytes, as far as S3 says so; None where it was not asked.

        ETags differ for the same bytes where they were uploaded in other parts, or encrypted by
        a key of KMS; then a checksum of all bytes has to say it (API reference, "Object").
        """
        if self.size != other.size:
            return False
        if self.etag and self.etag == other.etag:
            return True
        if self.checksums is None or other.checksums is None:
            return None
        return not set(self.checksums.split()).isdisjoint(other.checksums.split())


ABSENT = ObjectVersion(-1, "")
"""Nothing is held."""


CatalogEntry = tuple[str, int, str]
"""Key without the bucket's prefix, size in bytes, ETag without quotes."""


@dataclass(frozen=True, slots=True)
class CatalogBatch:
    """What a listing or an inventory says of some objects of one bucket.

    Attributes:
        base_url: ``Bucket.object_base_url``.
        objects: One entry an object.
        seen: Unix time after which changes may be missing.
    """

    base_url: str
    objects: tuple[CatalogEntry, ...]
    seen: float


def _sums(fields: Mapping[str, str]) -> str:
    """A checksum of parts' checksums depends on where the parts end: it does not count.

    Kept beside an MD5 sum as well: the other copy's ETag may be none.
    """
    if fields.get("x-amz-checksum-type") == "COMPOSITE":
        return ""
    found = [(name.removeprefix("x-amz-checksum-"), fields.get(name)) for name in CHECKSUMS]
    # "value-3": a sum of three parts' sums, where S3 does not name its type
    return " ".join(f"{name}={value}" for name, value in found if value and "-" not in value)
