"""Bytes and text of HTTP to and from values: requests, keys, redirects.

In: a chunk as it came from a socket, or a request target. Out: a ``Request``, an object
key, the bytes of a redirect. Refuses to know any rule about who is sent where. What is
not simple is somebody else's to parse: it is named, never guessed at.
"""

from __future__ import annotations

import re
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

import httptools

from proxy.decide.model import Redirect, Request, RequestError

MAX_SIMPLE = 8190
"""Largest request head in bytes that is read here; aiohttp's own line limit."""

MAX_KEY = 1024
"""Longest object key in bytes (S3 user guide, "Creating object key names")."""

SERVER = "nearbucket"
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9_~./-]*")
_URL_PATH = re.compile(r"/(?:[!-\"$&-\[\]-~]|%[0-9A-Fa-f]{2})*")
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f\\]|(?:^|/)\.{1,2}(?:/|$)")
_ABSOLUTE = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_UNUSUAL = frozenset({b"expect", b"upgrade", b"te", b"http2-settings", b"proxy-connection"})
_CONNECTION = frozenset({b"keep-alive", b"close"})


class Handover(StrEnum):
    """Why a chunk is not answered in the fast lane: the metric's ``cause``."""

    STREAM = "stream"
    REFUSE = "refuse"
    PARTIAL = "partial"
    PIPELINED = "pipelined"
    BODY = "body"
    UNPARSABLE = "unparsable"
    UNUSUAL = "unusual"


class Simple(NamedTuple):
    """One plain request, and whether its connection stays open afterwards."""

    request: Request
    keep_alive: bool


class Target(NamedTuple):
    """A request target taken apart; still encoded."""

    authority: str | None
    path: str
    query: str


class SimpleReader:
    """Reads chunks that are exactly one complete, plain GET or HEAD.

    One reader serves any number of connections: it holds no state between calls. Parsing
    is llhttp's, through httptools, as in aiohttp; on top of it only heads are taken about
    which no two parsers could disagree (RFC 9112 sections 2.2, 3 and 5).
    """

    __slots__ = ("_complete", "_fields", "_keep_alive", "_parser", "_url")

    def __init__(self) -> None:
        self._renew()

    def _renew(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._fields: list[tuple[bytes, bytes]] = []
        self._url = b""
        self._complete = False
        self._keep_alive = False

    def on_url(self, url: bytes) -> None:
        """Called by the parser with the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser with each field."""
        self._fields.append((name.lower(), value))

    def on_message_complete(self) -> None:
        """Called by the parser at the end of the request."""
        self._complete = True
        self._keep_alive = self._parser.should_keep_alive()

    def read(self, chunk: bytes, peer: str | None) -> Simple | Handover:
        """The request in ``chunk``, or why it is not a simple one.

        Args:
            chunk: Bytes as the socket gave them.
            peer: The socket's remote address.
        """
        doubt = _doubt(chunk)
        if doubt is not None:
            return doubt
        try:
            self._parser.feed_data(chunk)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._renew()
            return Handover.UNPARSABLE
        url, fields = self._url, self._fields
        complete, keep_alive = self._complete, self._keep_alive
        version, method = self._parser.get_http_version(), self._parser.get_method()
        self._fields, self._url, self._complete = [], b"", False
        if not complete or not keep_alive:
            self._renew()  # llhttp takes nothing more after a message that closes
        headers = dict(fields)
        if b"content-length" in headers or b"transfer-encoding" in headers:
            return Handover.BODY
        if not complete or version != "1.1" or len(headers) != len(fields) or _unusual(headers):
            return Handover.UNUSUAL
        request = Request(method.decode("ascii"), url.decode("ascii"), headers, peer)
        return Simple(request, keep_alive)


def _doubt(chunk: bytes) -> Handover | None:
    """What the bytes alone rule out: more or less than one head, odd line ends or letters."""
    end = chunk.find(b"\r\n\r\n")
    if end < 0:
        return Handover.PARTIAL
    if end != len(chunk) - 4:
        return Handover.PIPELINED
    simple = (
        chunk.startswith((b"GET /", b"HEAD /"))
        and len(chunk) <= MAX_SIMPLE
        and chunk.isascii()
        and chunk.count(b"\n") == chunk.count(b"\r\n") == chunk.count(b"\r")
        and b"\r\n " not in chunk
        and b"\r\n\t" not in chunk
    )
    return None if simple else Handover.UNUSUAL


def _unusual(headers: dict[bytes, bytes]) -> bool:
    return (
        b"host" not in headers
        or not _UNUSUAL.isdisjoint(headers)
        or headers.get(b"connection", b"close").lower() not in _CONNECTION
    )


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


def redirect_bytes(
    decision: Redirect, *, date: str, head: bool, keep_alive: bool, reason_header: bool
) -> tuple[bytes, int]:
    """The whole answer to a redirected request, and how many bytes of it are body.

    Args:
        decision: What was decided.
        date: Value of the Date header.
        head: Whether the method was HEAD: the fields of GET, and no body.
        keep_alive: Whether the connection stays open.
        reason_header: Whether ``X-Nearbucket`` is sent.
    """
    body = redirect_body(decision.location)
    lines = [f"HTTP/1.1 {decision.status} {HTTPStatus(decision.status).phrase}"]
    lines += [
        f"{name}: {value}" for name, value in redirect_fields(decision, reason_header=reason_header)
    ]
    lines += [f"Content-Length: {len(body)}", f"Date: {date}"]
    if not keep_alive:
        lines.append("Connection: close")
    answer = ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
    return (answer, 0) if head else (answer + body, len(body))
