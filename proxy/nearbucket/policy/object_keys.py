"""From a request target to an object key, and from a key to a URL path."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote_to_bytes

from nearbucket.errors import RequestError

MAX_KEY = 1024
"""Longest object key in bytes (S3 user guide, "Creating object key names")."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_~./-]*")
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_~./-]*")
_URL_PATH = re.compile(r"/(?:[!-\"$&-\[\]-~]|%[0-9A-Fa-f]{2})*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{1,2}(?:/|$)")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


RequestTarget = tuple[str | None, str, str]
"""Authority, path and query of a request target, still encoded."""


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
    return authority, path, query


def object_key(path: str) -> str:
    """The object key of a URL path, decoded once; ``+`` stays a plus.

    Keys that another server on the way might change (dot segments, control characters,
    backslashes) are errors, and so are keys that S3 does not allow.

    Args:
        path: Path of the request target, with its leading slash.

    Returns:
        The key, without the leading slash; empty for ``/``.

    Raises:
        RequestError: The path is not the encoding of one allowed key.
    """
    if "/." not in path and _PLAIN_PATH.fullmatch(path):
        key = path[1:]
    else:
        if not _URL_PATH.fullmatch(path):
            raise RequestError("the path has a character that is not allowed in a URL path")
        try:
            key = unquote_to_bytes(path).decode("utf-8")[1:]
        except UnicodeDecodeError:
            raise RequestError("the path is not UTF-8") from None
        if _FORBIDDEN.search(key):
            raise RequestError("the path has a dot segment, control character or backslash")
    if len(key) > MAX_KEY // 4 and len(key.encode()) > MAX_KEY:
        raise RequestError(f"the path is longer than an object key ({MAX_KEY} bytes)")
    return key


def is_plain(key: str) -> bool:
    """Whether the URL path of a key is the key itself behind a slash."""
    return not key.startswith(".") and "/." not in key and _PLAIN_KEY.fullmatch(key) is not None


def encode_key(key: str) -> str:
    """A key for a URL path: every byte but ``A-Za-z0-9-_.~/`` percent-encoded.

    S3 signatures prescribe this encoding (S3 API reference, "Create a canonical request"), so it is
    used for Location as well.
    """
    return key if _PLAIN_KEY.fullmatch(key) else quote(key, safe="/~")
