"""Doors in front of the S3 server: an address of its own for each bucket, with a chosen latency.

A door passes on HTTP requests as they are, counts them, and can be closed, made to refuse unsigned
requests, or lose its bucket, while the S3 server behind it goes on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import contextmanager
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

PIECE = 1 << 16
HEAD_LIMIT = 1 << 17
KEPT = 4
"""Idle connections to the S3 server that a door keeps."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Mode(Enum):
    """What a door does."""

    OPEN = "open"
    CLOSED = "closed"
    """Nothing listens: connections are refused, and those that there were are reset."""
    SIGNED_ONLY = "signed only"
    """403 for requests without a signature: a bucket policy or Block Public Access."""
    LOST = "lost"
    """404 NoSuchBucket for everything."""


class Asker(Enum):
    """Where a request comes from."""

    PRODUCT = "product"
    """Signed."""
    CLIENT = "client"
    """Has the field that the clients of this harness send."""
    UNSIGNED = "unsigned"
    """Neither: the product, asking as a client does."""


class Head(NamedTuple):
    """The head of a request or response: first line, fields by lower-case name, and its bytes."""

    line: str
    fields: Mapping[str, str]
    raw: bytes

    @property
    def method(self) -> str:
        """Method of a request."""
        return self.line.partition(" ")[0]

    @property
    def target(self) -> str:
        """Target of a request."""
        return self.line.split(" ")[1]

    @property
    def status(self) -> int:
        """Status of a response."""
        return int(self.line.split(" ")[1])


CLIENT_FIELD = "x-story"
"""The field that marks the requests of this harness's clients."""


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read the head of a message; None if the connection ends before one begins."""
    try:
        raw = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return None
    line, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    fields = {}
    for each in lines:
        name, _, value = each.partition(":")
        fields[name.lower()] = value.strip()
    return Head(line, fields, raw)


class Door:
    """An HTTP door to the S3 server.

    Attributes:
        latency: Seconds before a request is passed on.
        asked: How often the product asked, by who, method and what: ``object``, ``bucket``.
        sent: Body bytes that clients got through this door.
    """

    def __init__(self, endpoint: str, port: int, latency: float = 0.0) -> None:
        """Lead to ``endpoint`` from a port of 127.0.0.1."""
        self.latency = latency
        self.asked: Counter[tuple[Asker, str, str]] = Counter()
        self.copied: Counter[str] = Counter()
        self.sent = 0
        self.port = port
        self._to_server = _ToServer(endpoint)
        self._mode = Mode.OPEN
        self._passes = asyncio.Event()
        self._passes.set()
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """The door's address, for the setting ``endpoint``."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def mode(self) -> Mode:
        """What the door does."""
        return self._mode

    async def set(self, mode: Mode) -> None:
        """Change what the door does; requests under way end as they began, unless it closes."""
        self._mode = mode
        if mode is Mode.CLOSED:
            await self.close()
        elif self._server is None:
            await self.open()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let all requests wait until the end of the block."""
        self._passes.clear()
        try:
            yield
        finally:
            self._passes.set()

    async def passes(self) -> None:
        """Wait as long as a request has to."""
        await self._passes.wait()
        if self.latency:
            await asyncio.sleep(self.latency)

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._connected, "127.0.0.1", self.port, limit=HEAD_LIMIT, backlog=512
        )

    async def close(self) -> None:
        """Stop listening, and reset all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = dict(self._tasks)
        for task, writer in tasks.items():
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._to_server.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def requests(self, method: str | None = None, what: str | None = None) -> int:
        """How many requests the product sent, of a method and for objects or the bucket."""
        return sum(
            count
            for (asker, its_method, its_object), count in self.asked.items()
            if asker is not Asker.CLIENT
            and method in {None, its_method}
            and what in {None, its_object}
        )

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # it was accepted before the door closed
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        visit = _Visit(self, self._to_server, reader, writer)
        try:
            while await visit.one():
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            del self._tasks[task]
            writer.close()

    def note(self, head: Head) -> Asker:
        """Count a request."""
        asker = _asker(head)
        path = head.target.partition("?")[0].rstrip("/")
        what = "object" if path.count("/") > 1 else "bucket"
        self.asked[asker, head.method, what] += 1
        if "x-amz-copy-source" in head.fields:
            self.copied[head.method] += 1
        return asker

    def refuses(self, head: Head) -> tuple[int, str] | None:
        """Status and error code in place of S3's response; None to pass the request on."""
        if self._mode is Mode.LOST:
            return 404, "NoSuchBucket"
        if self._mode is Mode.SIGNED_ONLY and _asker(head) is not Asker.PRODUCT:
            return 403, "AccessDenied"
        return None


def _asker(head: Head) -> Asker:
    if CLIENT_FIELD in head.fields:
        return Asker.CLIENT
    signed = "authorization" in head.fields or "X-Amz-Signature=" in head.target
    return Asker.PRODUCT if signed else Asker.UNSIGNED


class _ToServer:
    """A door's connections to the S3 server: held while a request needs one, few are kept.

    The product keeps many idle connections to each door; with one behind each, a story would need
    more descriptors than the 1,024 that a user usually has.
    """

    def __init__(self, endpoint: str) -> None:
        parts = urlsplit(endpoint)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._idle: list[Streams] = []

    async def take(self) -> Streams:
        """One on which no request is under way."""
        while self._idle:
            streams = self._idle.pop()
            if not streams[0].at_eof() and not streams[1].is_closing():
                return streams
        return await asyncio.open_connection(self._host, self._port, limit=HEAD_LIMIT)

    def give_back(self, streams: Streams) -> None:
        """Keep one whose response has been read whole."""
        if len(self._idle) < KEPT:
            self._idle.append(streams)
        else:
            streams[1].transport.abort()

    def close(self) -> None:
        """Close those that are kept."""
        for _, writer in self._idle:
            writer.transport.abort()
        self._idle.clear()


class _Visit:
    """One connection through a door."""

    def __init__(
        self,
        door: Door,
        to_server: _ToServer,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._door, self._to_server = door, to_server
        self._reader, self._writer = reader, writer

    async def one(self) -> bool:
        """Pass on one request and its response; whether another may come."""
        head = await read_head(self._reader)
        if head is None:
            return False
        asker = self._door.note(head)
        await self._door.passes()
        refused = self._door.refuses(head)
        if refused is not None:
            self._writer.write(_error(*refused, body=head.method != "HEAD"))
            await self._writer.drain()
            return False
        streams = await self._to_server.take()
        try:
            response, sent = await self._exchange(head, *streams)
        except BaseException:
            streams[1].transport.abort()
            raise
        if response is None or _closes(response):
            streams[1].transport.abort()
        else:
            self._to_server.give_back(streams)
        if response is None:
            return False
        if asker is Asker.CLIENT and response.status in {200, 206}:
            self._door.sent += sent
        await self._writer.drain()
        return not (_closes(head) or _closes(response))

    async def _exchange(
        self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[Head | None, int]:
        """Pass on a request and its response; the response's head, and how many bytes of body."""
        writer.write(head.raw)
        await _pass_on(self._reader, writer, _length(head.fields))
        response = await read_head(reader)
        if response is None:
            return None, 0
        self._writer.write(response.raw)
        if head.method == "HEAD" or response.status in {204, 304}:
            return response, 0
        return response, await self._body(reader, response)

    async def _body(self, reader: asyncio.StreamReader, response: Head) -> int:
        if response.fields.get("transfer-encoding", "").lower() != "chunked":
            return await _pass_on(reader, self._writer, _length(response.fields))
        while True:
            line = await reader.readline()
            self._writer.write(line)
            size = int(line, 16)
            await _pass_on(reader, self._writer, size + 2)
            if not size:
                return 0


def _closes(head: Head) -> bool:
    return head.fields.get("connection", "").lower() == "close"


def _length(fields: Mapping[str, str]) -> int:
    return int(fields.get("content-length", "0"))


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int) -> int:
    """Pass on so many bytes of a body."""
    left = size
    while left:
        piece = await reader.read(min(left, PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", left)
        writer.write(piece)
        left -= len(piece)
        await writer.drain()
    return size


def _error(status: int, code: str, *, body: bool) -> bytes:
    xml = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code></Error>'.encode()
    head = (
        f"HTTP/1.1 {status} {code}\r\nContent-Type: application/xml\r\n"
        f"Content-Length: {len(xml)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + (xml if body else b"")
