"""The bytes of redirects and of the heads of streamed objects, the same in all lanes."""

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


def reason_value(action: str, region: str | None, reason: str) -> str:
    """Value of ``X-Nearbucket``."""
    return f"{action}; region={region or 'UNKNOWN'}; reason={reason}"


def redirect_body(location: str) -> bytes:
    """Body of a redirect, for people whose client does not follow it."""
    return f"Moved to {location}\nTo follow redirects with curl, add -L.\n".encode()


def redirect_fields(decision: RedirectTo, *, reason_header: bool) -> list[tuple[str, str]]:
    """Header fields of a redirect, but for Date, Content-Length and Connection."""
    fields = [
        ("Server", SERVER),
        ("Location", decision.location),
        # The answer depends on the client: no cache may share or keep it.
        ("Cache-Control", "private, no-store"),
        ("Content-Type", "text/plain; charset=utf-8"),
    ]
    if decision.browser:
        # A browser follows a cross-origin redirect only with this field (Fetch, "HTTP-redirect
        # fetch"); whether the object may be read is up to the target.
        fields.append(("Access-Control-Allow-Origin", "*"))
    if reason_header:
        fields.append(
            ("X-Nearbucket", reason_value("redirect", decision.region, decision.reason.value))
        )
    return fields


@dataclass(frozen=True, slots=True, eq=False)
class RedirectText:
    """A redirect of one site to one target, without path and Date.

    Attributes:
        status: Status of the answers.
        size: Bytes of the body without the path.
    """

    status: int
    size: int
    _head: bytes
    _middle: bytes
    _body: bytes
    _end: bytes

    @classmethod
    def of(
        cls, decision: RedirectTo, *, reason_header: bool, keep_alive: bool = True
    ) -> RedirectText:
        """Make a redirect and cut its path out.

        Args:
            decision: Any redirect of the site to the target.
            reason_header: Whether ``X-Nearbucket`` is sent.
            keep_alive: Whether the connection stays open.
        """
        bare = replace(decision, path="\0")  # which no URL holds
        lines = [f"HTTP/1.1 {bare.status} {HTTPStatus(bare.status).phrase}"]
        lines += [
            f"{name}: {value}" for name, value in redirect_fields(bare, reason_header=reason_header)
        ]
        head, middle = "\r\n".join([*lines, "Content-Length: "]).encode("ascii").split(b"\0")
        before, after = redirect_body(bare.location).split(b"\0")
        body = (b"" if keep_alive else b"\r\nConnection: close") + b"\r\n\r\n" + before
        return cls(bare.status, len(before) + len(after), head, middle, body, after)

    def fill(self, path: bytes, date: bytes) -> bytes:
        """The answer to a GET."""
        length = b"%d\r\nDate: " % (self.size + len(path))
        return b"".join((self._head, path, self._middle, length, date, self._body, path, self._end))

    def fill_head(self, path: bytes, date: bytes) -> bytes:
        """The answer to a HEAD, which has no body."""
        whole = self.fill(path, date)
        return whole[: whole.index(b"\r\n\r\n") + 4]


def head_of(
    response: ResponseHead,
    stamp: bytes,
    date: bytes,
    keep_alive: bool,  # noqa: FBT001  # on a hot path
) -> bytes:
    """The head of a streamed object, byte for byte as in the aiohttp lane.

    Args:
        response: Head of S3's response.
        stamp: Our own header lines for this client.
        date: Value of Date.
        keep_alive: Whether the connection stays open.
    """
    end = b"\r\n\r\n" if keep_alive else b"\r\nConnection: close\r\n\r\n"
    return b"".join((_STATUS[response.status], response.fields, stamp, b"Date: ", date, end))


def stamp_of(decision: Stream, *, reason_header: bool) -> bytes:
    """Our own header lines of every object that is streamed to a client."""
    if not reason_header:
        return _SERVER
    value = reason_value("stream", decision.region, decision.reason.value)
    return _SERVER + f"X-Nearbucket: {value}\r\n".encode()
