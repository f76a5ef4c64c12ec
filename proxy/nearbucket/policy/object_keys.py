"""Text of HTTP to values and back: targets, keys, redirects.

In: a request target; a decision. Out: an object key; the bytes of a redirect. Refuses to know
any rule about who is sent where.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from nearbucket.errors import RequestError

if TYPE_CHECKING:
    from nearbucket.policy.model import Redirect

MAX_KEY = 1024
"""Longest object key in bytes (S3 user guide, "Creating object key names")."""

SERVER = "nearbucket"
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_~./-]*")
_URL_PATH = re.compile(r"/(?:[!-\"$&-\[\]-~]|%[0-9A-Fa-f]{2})*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{1,2}(?:/|$)")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class Target(NamedTuple):
    """A request target taken apart; still encoded."""

    authority: str | None
    path: str
    query: str


def split_target(target: str) -> Target:
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
    return Target(authority, path, query)


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


def reason_value(action: str, region: str | None, reason: str) -> str:
    """Value of ``X-Nearbucket``."""
    return f"{action}; region={region or 'UNKNOWN'}; reason={reason}"


def redirect_body(location: str) -> bytes:
    """Text for people and scripts whose client did not follow."""
    return f"Moved to {location}\nTo follow redirects with curl, add -L.\n".encode()


def redirect_fields(decision: Redirect, *, reason_header: bool) -> list[tuple[str, str]]:
    """Header fields of a redirect, but for Date, Content-Length and Connection."""
    fields = [
        ("Server", SERVER),
        ("Location", decision.location),
        # Whoever is redirected depends on the client: no cache may share or keep it.
        ("Cache-Control", "private, no-store"),
        ("Content-Type", "text/plain; charset=utf-8"),
    ]
    if decision.browser:
        # A cross-origin redirect is followed only if this answer permits it as well (Fetch,
        # "HTTP-redirect fetch"); whether the object may be read is the target's rule.
        fields.append(("Access-Control-Allow-Origin", "*"))
    if reason_header:
        fields.append(
            ("X-Nearbucket", reason_value("redirect", decision.region, decision.reason.value))
        )
    return fields


@dataclass(frozen=True, slots=True, eq=False)
class RedirectText:
    """The bytes of every redirect of one site to one target, but for path and Date.

    Attributes:
        status: Status of the answers.
        size: Bytes of a body without the path.
    """

    status: int
    size: int
    _head: bytes
    _middle: bytes
    _body: bytes
    _end: bytes

    @classmethod
    def of(cls, decision: Redirect, *, reason_header: bool) -> RedirectText:
        """Cut the path out of a redirect.

        Args:
            decision: Any redirect of the site to the target.
            reason_header: Whether ``X-Nearbucket`` is sent.
        """
        bare = replace(decision, path="\0")  # which no URL holds
        lines = [f"HTTP/1.1 {bare.status} {HTTPStatus(bare.status).phrase}"]
        lines += [
            f"{name}: {value}" for name, value in redirect_fields(bare, reason_header=reason_header)
        ]
        head, middle = "\r\n".join([*lines, "Content-Length: "]).encode("ascii").split(b"\0")
        before, after = redirect_body(bare.location).split(b"\0")
        return cls(bare.status, len(before) + len(after), head, middle, b"\r\n\r\n" + before, after)

    def fill(self, path: bytes, date: bytes) -> bytes:
        """The answer to a GET on a connection that stays open."""
        length = b"%d\r\nDate: " % (self.size + len(path))
        return b"".join((self._head, path, self._middle, length, date, self._body, path, self._end))

    def fill_otherwise(self, path: bytes, date: bytes, *, head: bool, keep_alive: bool) -> bytes:
        """The answer to a HEAD (the fields of GET, and no body), or on one that closes."""
        whole = self.fill(path, date)
        if not keep_alive:
            end = whole.index(b"\r\n\r\n")
            whole = whole[:end] + b"\r\nConnection: close" + whole[end:]
        return whole[: whole.index(b"\r\n\r\n") + 4] if head else whole
