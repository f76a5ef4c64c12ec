"""Marks: tags of copies that equal the origin's object though their ETag is another one.

The same bytes have another ETag if they were uploaded in other parts, as by ``aws s3 sync``, or are
encrypted with another key. A copy that was shown to be equal gets this tag. It names both ETags, so
it no longer applies when either object is replaced. S3 also drops the tags of an object that is
overwritten.
"""

from __future__ import annotations

TAG = "nearbucket-origin-etag"
"""Key of the tag. ``nearbucket sync`` writes it; ``sync``, ``check`` and ``serve`` read it."""


def mark_of(origin_etag: str, copy_etag: str) -> str:
    """The tag's value for a copy; S3 allows spaces in it, and 256 characters."""
    return f"{origin_etag} {copy_etag}"


def marked_etag(value: str, copy_etag: str) -> str | None:
    """ETag of the origin's object that a copy equals; None if the mark is not about this copy."""
    origin_etag, _, marked = value.partition(" ")
    return origin_etag if origin_etag and marked == copy_etag else None
