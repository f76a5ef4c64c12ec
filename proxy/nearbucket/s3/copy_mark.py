"""Marks of copies that equal the origin's object though their ETag is another one.

The same bytes have another ETag if they were uploaded in other parts, as by ``aws s3 sync``, or are
encrypted with another key. A copy that was shown to be equal gets a tag. It names both ETags, so
it no longer applies when either object is replaced. S3 also drops the tags of an object that is
overwritten.

If S3 refuses the tag (the object has ten, or the right is missing), the copy is copied onto itself
with user metadata that names the origin's ETag. Its own need not be named: metadata cannot be
changed without writing the object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELD = "x-amz-meta-nearbucket-origin-etag"
"""Header field of the mark in user metadata."""

TAG = "nearbucket-origin-etag"
"""Key of the tag. ``nearbucket sync`` writes it; ``sync``, ``check`` and ``serve`` read it."""


def mark_of(origin_etag: str, copy_etag: str) -> str:
    """The tag's value for a copy; S3 allows spaces in it, and 256 characters."""
    return f"{origin_etag} {copy_etag}"


def marked_etag(value: str, copy_etag: str) -> str | None:
    """ETag of the origin's object that a copy equals; None if the mark is not about this copy."""
    origin_etag, _, marked = value.partition(" ")
    return origin_etag if origin_etag and marked == copy_etag else None


def etag_in_metadata(fields: Mapping[str, str]) -> str | None:
    """ETag of the origin's object that a copy equals by its metadata, or None.

    Args:
        fields: The response to a HEAD; names in lower case, or found in any case.
    """
    return fields.get(FIELD) or None
