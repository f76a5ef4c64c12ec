"""An HTTP server that says exactly what a test wants S3 to say, byte for byte.

For what no real server does on demand: slow down, drop a body, lie about its length.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.certificates import client_side, server_side

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nearbucket.config.settings import Tls

ETAG = '"d41d8cd98f00b204e9800998ecf8427e"'


@dataclass(frozen=True)
class Asked:
    """One request as it came: header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Say:
    """One answer of the script.

    Attributes:
        raw: The bytes that go out.
        then: ``keep`` the connection, ``close`` it, or ``hang``: say no more on it.
        after: Seconds before it is given.
        mebibytes: How many MiB of zeros follow; a test that wants many holds only one.
        rest: Bytes that follow, in pieces of their own.
    """

    raw: bytes
    then: str = "keep"
    after: float = 0.0
    mebibytes: int = 0
    rest: tuple[bytes, ...] = ()


MEBIBYTE = bytes(1 << 20)


class ScriptedS3:
    """Gives the answers of its script, one a request, and remembers the requests.

    Attributes:
        connections: Number of connections so far.
        left: Set when a connection that hangs was closed by its client.
        trust: How to speak TLS to it, where it does.
    """

    def __init__(self, *script: Say, tls: Tls | None = None) -> None:
        """Give these answers; with a certificate, over TLS."""
        self.script = list(script)
        self.trust = client_side(tls) if tls else None
        self._tls = server_side(tls) if tls else None
        self.asked: list[Asked] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.left = asyncio.Event()
        self.endpoint = ""
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.endpoint = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        # a task of our own: the one asyncio makes for a coroutine logs its cancellation
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # not in _serve: a task that is cancelled before its first step has no end
        task.add_done_callback(lambda _task: writer.close())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while self.script:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                line, *fields = head.rstrip("\r\n").split("\r\n")
                method, target, _ = line.split(" ")
                headers = dict(one.split(": ", 1) for one in fields)
                lower = {name.lower(): value for name, value in headers.items()}
                self.asked.append(Asked(method, target, lower))
                self.arrived.set()
                say = self.script.pop(0)
                await asyncio.sleep(say.after)
                writer.write(say.raw)
                for piece in say.rest:
                    await writer.drain()
                    await asyncio.sleep(0.05)  # so that it is read on its own
                    writer.write(piece)
                for _ in range(say.mebibytes):
                    writer.write(MEBIBYTE)
                    await writer.drain()
                await writer.drain()
                if say.then == "hang":
                    await reader.read()
                    self.left.set()
                if say.then != "keep":
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass


@asynccontextmanager
async def without_tls() -> AsyncIterator[str]:
    """A server that speaks no TLS; its URL, as if it did."""

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def reply(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    """A whole HTTP answer; ``length`` is what it announces, by default the truth."""
    announced = len(body) if length is None else length
    head = [f"HTTP/1.1 {status}", f"Content-Length: {announced}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def error(status: str, code: str, *headers: str) -> bytes:
    """S3's error document."""
    document = f"<?xml version='1.0'?>\n<Error><Code>{code}</Code><Message>no</Message></Error>"
    return reply(status, document.encode(), "Content-Type: application/xml", *headers)


def chunked(said: bytes) -> bytes:
    """The same answer as S3 sends its error documents: in chunks."""
    head, _, body = said.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    pieces = body[:20], body[20:]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", chunks]) + b"0\r\n\r\n"


def rest(body: bytes, first: int, etag: str = ETAG, *, sent: int | None = None) -> bytes:
    """The 206 for ``body`` from ``first`` on, of which only ``sent`` bytes are sent."""
    part = body[first:]
    return reply(
        "206 Partial Content",
        part[:sent],
        f"ETag: {etag}",
        f"Content-Range: bytes {first}-{len(body) - 1}/{len(body)}",
        length=len(part),
    )
