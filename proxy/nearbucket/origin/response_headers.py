"""Header fields of S3's responses: which of them clients may see, and what those of a body say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

_CORS = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Allow-Credentials",
    "Access-Control-Expose-Headers",
    "Access-Control-Max-Age",
    "Vary",
)
"""What the bucket's CORS rules add to any answer, when the request names its Origin."""

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
"""Those of RFC 9110 section 15.4.5 that S3 has; no Content-Length, there is no content."""

CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+)")


class ResponseHead(NamedTuple):
    """A 200 or 206 with a body of known length.

    Attributes:
        status: 200 or 206.
        fields: Lines of the header fields that a client may see, each with its CRLF.
        length: Bytes of the body.
        end: Position behind the body's last byte in the object.
        total: Bytes of the object.
        etag: Its ETag, or an empty text.
        typed: Whether ``fields`` have a Content-Type.
        reusable: Whether the connection stays open behind the body.
    """

    status: int
    fields: bytes
    length: int
    end: int
    total: int
    etag: str
    typed: bool
    reusable: bool


def cors_fields(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """What the bucket's CORS rules say to a browser."""
    return visible_fields(headers, _CORS)


def visible_fields(headers: Mapping[str, str], names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Those of the named fields that can be sent on, in the order of the names."""
    found = [(name, headers[name]) for name in names if name in headers]
    kept = []
    for name, value in found:
        shown = _content_encoding(value) if name == "Content-Encoding" else value
        # bytes that are not UTF-8 arrive as surrogates, which cannot be sent on
        if shown and (shown.isascii() or _is_text(shown)):
            kept.append((name, shown))
    return kept


def _content_encoding(value: str) -> str:
    """Without ``aws-chunked``, which clones store as part of it: a framing of uploads."""
    tokens = [token.strip() for token in value.split(",")]
    return ", ".join(token for token in tokens if token and token.lower() != "aws-chunked")


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
