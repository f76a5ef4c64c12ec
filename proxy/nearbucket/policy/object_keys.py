"""Text of HTTP to values and back: targets, keys, redirects.

In: a request target; a decision. Out: an object key; the bytes of a redirect. Refuses to know
any rule about who is sent where.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from nearbucket.errors import RequestError

MAX_KEY = 1024
"""Longest object key in bytes (S3 user guide, "Creating object key names")."""

_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_~./-]*")
_URL_PATH = re.compile(r"/(?:[!-\"$&-\[\]-~]|%[0-9A-Fa-f]{2})*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{1,2}(?:/|$)")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class RequestTarget(NamedTuple):
    """A request target taken apart; still encoded."""

    authority: str | None
    path: str
    query: str


def split_target(target: str) -> RequestTarget:
    """Authority, path and query of a request target (RFC 9112 section 3.2).

    The authority is None for origin-form; in absolute-form it replaces the Host header.

    Raises:
        RequestError: Neither origin-form nor absolute-form with http(s).
    """
    authority = None
    if not target.startswith("/"):
        found = _ABSOLUTE.fullmatch(target)
        if found is None:
            raise RequestError("the request target is not a path")
        authority, target = found[1], found[2]
        if not target.startswith("/"):
            target = "/" + target
    path, _, query = target.partition("?")
    return RequestTarget(authority, path, query)


def object_key(path: str) -> str:
    """The object key that an encoded path names: one decoding, ``+`` stays plus.

    S3 takes any UTF-8 key; refused are those that another hop could read as a different
    one (dot segments, control characters, backslash), and those S3 cannot hold.

    Args:
        path: Path of the request target, with its leading slash.

    Returns:
        The key, without the leading slash; empty for ``/``.

    Raises:
        RequestError: The path is not one encoding of a legal key.
    """
    if "/." not in path and _PLAIN_PATH.fullmatch(path):
        key = path[1:]
    else:
        if not _URL_PATH.fullmatch(path):
            raise RequestError("the path holds characters that a URL path cannot")
        try:
            key = unquote_to_bytes(path).decode("utf-8")[1:]
        except UnicodeDecodeError:
            raise RequestError("the path is not UTF-8") from None
        if _FORBIDDEN.search(key):
            raise RequestError("the path has a dot segment, control character or backslash")
    if len(key) > MAX_KEY // 4 and len(key.encode()) > MAX_KEY:
        raise RequestError(f"the path is longer than an object key ({MAX_KEY} bytes)")
    return key


def encode_key(key: str) -> str:
    """A key as it stands in a URL path: every byte but ``A-Za-z0-9-_.~/`` percent-encoded.

    This is the encoding S3's signature prescribes, so one encoding serves Location and
    signed requests alike (S3 API reference, "Create a canonical request").
    """
    return quote(key, safe="/~")
