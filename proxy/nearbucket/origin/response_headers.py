"""Header fields of S3's responses that clients may see."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from multidict import MultiMapping

_CORS = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Credentials",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
    "Vary",
)
"""Fields that the bucket's CORS rules add if the request has an Origin."""

VISIBLE = (
    "Content-Type",
    "Content-Length",
    "Content-Range",
    "Content-Encoding",
    "Content-Disposition",
    "Content-Language",
    "Cache-Control",
    "Expires",
    "ETag",
    "Last-Modified",
    "Accept-Ranges",
    *_CORS,
)
VISIBLE_304 = ("Cache-Control", "Expires", "ETag", "Last-Modified", *_CORS)
"""Fields of RFC 9110 section 15.4.5 that S3 sends, without Content-Length: there is no content."""

UNTYPED = "application/octet-stream"
"""Content-Type of an object that has none."""

_PLACES = {name: place for place, name in enumerate(VISIBLE)}
_DIRECTIVE = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*"?)+')
_SHARED_DIRECTIVES = frozenset({"public", "private", "s-maxage", "proxy-revalidate"})
"""Directives of Cache-Control that are about shared caches alone (RFC 9111 section 5.2.2)."""

_LISTS = frozenset({
    "Content-Encoding", "Content-Language", "Cache-Control", "Accept-Ranges", "Vary",
    "Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Access-Control-Expose-Headers",
})  # fmt: skip
"""Fields of which several lines are one list (RFC 9110 section 5.3); of others the first counts."""

_UNSENDABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})")


class ResponseHead(NamedTuple):
    """The head of a 200 or 206 with a body of known length.

    Attributes:
        status: 200 or 206.
        fields: Lines of the header fields that a client may see, each with its CRLF.
        length: Bytes of the body.
        end: Position in the object behind the body's last byte.
        total: Bytes of the object.
        etag: ETag of the object; empty if there is none.
        modified: Last-Modified of the object; empty if there is none.
        reusable: Whether the connection stays open after the body.
    """

    status: int
    fields: bytes
    length: int
    end: int
    total: int
    etag: str
    modified: str
    reusable: bool


def body_position(status: int, content_range: str, length: int) -> tuple[int, int] | None:
    """Position in the object behind a body of ``length`` bytes, and size of the object.

    Args:
        status: 200 or 206.
        content_range: Content-Range of a 206.
        length: Content-Length.

    Returns:
        None if Content-Range is not valid (RFC 9110 section 14.4), or length does not fit.
    """
    if status == 200:  # noqa: PLR2004  # OK
        return length, length
    found = _CONTENT_RANGE.fullmatch(content_range)
    if found is None:
        return None
    first, last, total = map(int, found.groups())
    return (last + 1, total) if last - first + 1 == length and last < total else None


def cors_fields(headers: MultiMapping[str]) -> list[tuple[str, str]]:
    """The fields of the bucket's CORS rules."""
    return visible_fields(headers, _CORS)


def visible_fields(headers: MultiMapping[str], names: tuple[str, ...]) -> list[tuple[str, str]]:
    """The named fields that can be passed on, in the order of the names."""
    found = [
        (name, ", ".join(headers.getall(name)) if name in _LISTS else headers[name])
        for name in names
        if name in headers
    ]
    kept = []
    for name, value in found:
        shown = _content_encoding(value) if name == "Content-Encoding" else value
        # bytes that are not UTF-8 arrive as surrogates; these and controls cannot be passed on
        if shown and (shown.isprintable() or not _UNSENDABLE.search(shown)):
            kept.append((name, shown))
    return kept


@lru_cache(maxsize=256)
def private_value(value: str) -> str:
    """A Cache-Control that forbids shared caches to keep the answer, and tells clients the same."""
    given = (directive.strip() for directive in _DIRECTIVE.findall(value))
    kept = [
        directive
        for directive in given
        if directive and directive.partition("=")[0].strip().lower() not in _SHARED_DIRECTIVES
    ]
    return ", ".join(["private", *kept])


def private_fields(fields: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fields of ``visible_fields``, in their order, with ``private_value``."""
    given = dict(fields).get("Cache-Control", "")
    kept = [field for field in fields if field[0] != "Cache-Control"]
    kept.append(("Cache-Control", private_value(given)))
    return sorted(kept, key=lambda field: _PLACES[field[0]])


def _content_encoding(value: str) -> str:
    """Drop ``aws-chunked``, a framing of uploads that some S3 servers store."""
    tokens = [token.strip() for token in value.split(",")]
    return ", ".join(token for token in tokens if token and token.lower() != "aws-chunked")
