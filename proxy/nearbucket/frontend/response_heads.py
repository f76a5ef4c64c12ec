"""Heads of our responses, byte for byte: redirects, and what is sent before a streamed object.

All lanes answer with these, so that a client cannot tell which one it met.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearbucket.origin.response_headers import ResponseHead
    from nearbucket.policy.model import RedirectTo, Stream

SERVER = "nearbucket"

_STATUS = {200: b"HTTP/1.1 200 OK\r\n", 206: b"HTTP/1.1 206 Partial Content\r\n"}
_SERVER = f"Server: {SERVER}\r\n".encode()
_UNTYPED = b"Content-Type: application/octet-stream\r\n"  # as aiohttp says it


def reason_value(action: str, region: str | None, reason: str) -> str:
    """Value of ``X-Nearbucket``."""
    return f"{action}; region={region or 'UNKNOWN'}; reason={reason}"


def redirect_body(location: str) -> bytes:
    """Text for people and scripts whose client did not follow."""
    return f"Moved to {location}\nTo follow redirects with curl, add -L.\n".encode()


def redirect_fields(decision: RedirectTo, *, reason_header: bool) -> list[tuple[str, str]]:
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
    def of(cls, decision: RedirectTo, *, reason_header: bool) -> RedirectText:
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


def head_of(
    response: ResponseHead,
    stamp: bytes,
    date: bytes,
    keep_alive: bool,  # noqa: FBT001  # on a hot path
) -> bytes:
    """The head of a streamed answer, byte for byte as aiohttp's lane writes it.

    Args:
        response: What S3 said.
        stamp: Our own lines for this client.
        date: Value of Date.
        keep_alive: Whether the connection stays open.
    """
    return b"".join((
        _STATUS[response.status], response.fields, stamp, b"" if response.typed else _UNTYPED,
        b"Date: ", date, b"\r\n\r\n" if keep_alive else b"\r\nConnection: close\r\n\r\n",
    ))  # fmt: skip


def stamp_of(decision: Stream, *, reason_header: bool) -> bytes:
    """The lines that every streamed answer to a client carries."""
    if not reason_header:
        return _SERVER
    value = reason_value("stream", decision.region, decision.reason.value)
    return _SERVER + f"X-Nearbucket: {value}\r\n".encode()
