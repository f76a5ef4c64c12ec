"""The conditions of a request (RFC 9110, section 13): does the client have the current version?

Here they are evaluated only for the reason ``not-modified`` and for the savings, by the ETags that
the buckets are known to hold. ``origin/conditional_request.py`` prepares them for S3.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

ENTITY_TAG = re.compile(r'(W/)?"([^\x00-\x20"\x7f]*)"')
PRECONDITIONS = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since"}
)
"""Header fields for which S3 may answer 304 or 412, without a body."""
VERSION_FIELDS = PRECONDITIONS | {b"if-range"}
"""Header fields by which the answer depends on the version that a bucket has."""

_BARE = re.compile(r"[0-9A-Za-z-]+")


def entity_tags(value: str) -> list[tuple[str, str]]:
    """The tags of an If-Match or If-None-Match: ``W/`` or nothing, and the tag without quotes.

    A single tag may lack its quotes, as S3 allows (versity/versitygw#1715).
    """
    bare = _BARE.fullmatch(value.strip()) is not None
    return [("", value.strip())] if bare else ENTITY_TAG.findall(value)


def held_version(headers: Mapping[bytes, bytes], etags: Collection[str]) -> str | None:
    """The ETag of the version that the client has by its If-None-Match; None if it has none.

    Args:
        headers: The request's fields, by lower-case name.
        etags: ETags of the current version, without quotes; the first is the one that is sent.
    """
    value = headers.get(b"if-none-match")
    if value is None or not etags or b"if-match" in headers or b"if-unmodified-since" in headers:
        return None
    text = value.decode("latin-1")
    if text.strip() == "*":
        return next(iter(etags))
    # weak comparison: W/ makes no difference (section 13.1.2)
    asked = {tag for _, tag in entity_tags(text)}
    return next((etag for etag in etags if etag in asked), None)


def names_origin(headers: Mapping[bytes, bytes], etags: Collection[str]) -> bool:
    """Whether If-Match or If-Range holds for the origin's ETag, and not for the copy's.

    Args:
        headers: The request's fields, by lower-case name.
        etags: ETags of the current version, without quotes, the copy's first.
    """
    copy, *others = etags or ("",)
    if not others:
        return False
    for name in (b"if-match", b"if-range"):
        # strong comparison (sections 13.1.1 and 13.1.5)
        tags = {
            tag for weak, tag in entity_tags(headers.get(name, b"").decode("latin-1")) if not weak
        }
        if copy not in tags and not tags.isdisjoint(others):
            return True
    return False


def gets_body(headers: Mapping[bytes, bytes], etags: Collection[str]) -> bool:
    """Whether S3 is sure to answer a GET with the object, and not with 304 or 412.

    If-None-Match wins over If-Modified-Since (section 13.1.3).
    """
    given = PRECONDITIONS.intersection(headers)
    if not given:
        return True
    only_none_match = b"if-none-match" in given and given <= {
        b"if-none-match",
        b"if-modified-since",
    }
    return only_none_match and bool(etags) and held_version(headers, etags) is None
