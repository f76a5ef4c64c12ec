"""Clients of the chaos suite: raw HTTP/1.1, SHA-256 of what came, and a verdict."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from tests.chaos.objects import digest
from tests.story.doors import Head, read_head

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

PATIENCE = 90.0
"""Seconds without a byte after which a client gives up: longer than any timeout of the product."""

OUTSIDE = "203.0.113.9"
"""A client in no region: it is streamed."""

LANES = {"streaming": (), "aiohttp": ("If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT",)}
"""Fields that decide which lane streams: a condition is for aiohttp alone."""

UNAVAILABLE = frozenset({502, 503, 504})


class Verdict(Enum):
    """What a client can say of its download."""

    WHOLE = "whole"
    """All bytes that were announced, and they are right."""
    BROKEN = "visibly broken"
    """The connection ended before Content-Length, or before there was an answer."""
    REFUSED = "refused"
    """502, 503 or 504, or no connection."""
    LEFT = "client left"
    """The client closed its connection, and what it had was right."""
    WRONG = "WRONG"
    """Other bytes, another length, another status, or no end: what must never be."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object, or a range of it.

    Attributes:
        key: The object, without its scene's folder.
        size: Its size.
        span: First byte, and the one after the last; None for the whole object.
        versions: Versions of which one has to be the answer, whole.
    """

    key: str
    size: int
    span: tuple[int, int] | None = None
    versions: Sequence[int] = (1,)

    @property
    def bounds(self) -> tuple[int, int]:
        """First byte, and the one after the last."""
        return self.span or (0, self.size)

    @property
    def length(self) -> int:
        """Bytes of the answer."""
        first, end = self.bounds
        return end - first


@dataclass(frozen=True, slots=True)
class Client:
    """How downloads are requested.

    Attributes:
        port: Of the product.
        host: The scene's host.
        tls: For a product that serves HTTPS.
        lane: Key of ``LANES``.
        pause: Seconds between two reads: a slow client.
        piece: Bytes of a read.
        leaves: Number of bytes after which it closes its connection, if it does.
        gate: It reads no second piece until this is set.
        address: By which the product knows it.
    """

    port: int
    host: str
    tls: ssl.SSLContext | None = None
    lane: str = "streaming"
    pause: float = 0.0
    piece: int = 1 << 16
    leaves: int | None = None
    gate: asyncio.Event | None = None
    address: str = OUTSIDE

    def head(self, wanted: Wanted) -> bytes:
        """The request."""
        lines = [
            f"GET /{wanted.key} HTTP/1.1",
            f"Host: {self.host}",
            f"X-Forwarded-For: {self.address}",
            *LANES[self.lane],
        ]
        if wanted.span is not None:
            lines.append(f"Range: bytes={wanted.span[0]}-{wanted.span[1] - 1}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a download ended.

    Attributes:
        verdict: Of the client.
        status: Of the answer; 0 if there was none.
        why: For people.
    """

    verdict: Verdict
    status: int = 0
    why: str = ""


async def download(client: Client, wanted: Wanted) -> Outcome:
    """Download on a connection of its own."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                "localhost", client.port, ssl=client.tls, limit=client.piece
            )
    except OSError as error:
        return Outcome(Verdict.REFUSED, why=f"no connection: {error!r}")
    try:
        writer.write(client.head(wanted))
        return await _answer(client, wanted, reader)
    except TimeoutError:
        return Outcome(Verdict.WRONG, why=f"nothing for {PATIENCE:g} s")
    finally:
        writer.transport.abort()


async def _answer(client: Client, wanted: Wanted, reader: asyncio.StreamReader) -> Outcome:
    try:
        async with asyncio.timeout(PATIENCE):
            head = await read_head(reader)
    except (OSError, asyncio.IncompleteReadError) as error:
        if isinstance(error, TimeoutError):
            raise
        return Outcome(Verdict.BROKEN, why=f"no answer: {error!r}")
    if head is None:
        return Outcome(Verdict.BROKEN, why="closed without an answer")
    announced = head.fields.get("content-length", "")
    if not announced.isdigit():
        return Outcome(Verdict.WRONG, head.status, "no Content-Length")
    got, summed = await _body(client, reader, int(announced))
    verdict, why = _verdict(wanted, head, got, summed)
    if verdict is Verdict.BROKEN and client.leaves is not None and got >= client.leaves:
        verdict = Verdict.LEFT
    return Outcome(verdict, head.status, why)


async def _body(client: Client, reader: asyncio.StreamReader, length: int) -> tuple[int, bytes]:
    """How many bytes came before the connection ended, and their SHA-256."""
    got, summed = 0, hashlib.sha256()
    while got < (length if client.leaves is None else min(length, client.leaves)):
        piece = await _piece(reader, min(client.piece, length - got))
        if not piece:
            break
        got += len(piece)
        summed.update(piece)
        if client.pause:
            await asyncio.sleep(client.pause)
        if client.gate is not None:
            await client.gate.wait()
    return got, summed.digest()


async def _piece(reader: asyncio.StreamReader, most: int) -> bytes:
    """The next bytes; none if the connection has ended."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await reader.read(most)
    except TimeoutError:
        raise
    except OSError:  # reset, or a TLS connection that ended without close_notify
        return b""


def _verdict(wanted: Wanted, head: Head, got: int, summed: bytes) -> tuple[Verdict, str]:
    announced, status = int(head.fields["content-length"]), head.status
    if status in UNAVAILABLE and got == announced and "retry-after" in head.fields:
        return Verdict.REFUSED, f"status {status}"
    if status != (200 if wanted.span is None else 206):
        return Verdict.WRONG, f"status {status}, {head.fields}"
    if announced != wanted.length:
        return Verdict.WRONG, f"{announced} bytes announced, not {wanted.length}"
    first = wanted.bounds[0]
    right = {digest(wanted.key, each, wanted.size, first, first + got) for each in wanted.versions}
    if summed not in right:
        return Verdict.WRONG, f"other bytes among the first {got}"
    if got < announced:
        return Verdict.BROKEN, f"{got} of {announced} bytes"
    return Verdict.WHOLE, ""
