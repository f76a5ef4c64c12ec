"""A proxy between the product and the S3 server that spoils responses as a plan says.

It listens on a port of its own, with TLS or without, and passes on one request at a time. Only
responses to GETs of objects are spoilt, so that the plan's numbers are downloads; everything else
passes. ``close`` refuses connections and resets those that there are.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from contextlib import suppress
from math import isinf
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from tests.chaos.faults import NONE, Act, Fault, always
from tests.story.doors import HEAD_LIMIT, read_head

if TYPE_CHECKING:
    import ssl

    from tests.chaos.faults import Plan
    from tests.story.doors import Head

PIECE = 1 << 17
ABORT_WITH_RST = struct.pack("ii", 1, 0)
"""SO_LINGER of no seconds: the kernel drops what is not sent, and sends RST (socket(7))."""

_XML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>SlowDown</Code><Message>Please reduce '
    b"your request rate.</Message><RequestId>4Q2M8N0S7T1V6W3X</RequestId></Error>"
)
SLOW_DOWN = (
    b"HTTP/1.1 503 Slow Down\r\nx-amz-request-id: 4Q2M8N0S7T1V6W3X\r\n"
    b"x-amz-id-2: k3d5c9vZ0lQ4nS3mTzV1b8yqkqj0u0p5Zr1T0xw2mE4=\r\n"
    b"Content-Type: application/xml\r\nTransfer-Encoding: chunked\r\n"
    b"Server: AmazonS3\r\nConnection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(_XML), _XML)
)
"""S3's answer to too many requests, in the form in which S3 sends its errors."""


class FaultProxy:
    """A port in front of the S3 server.

    Attributes:
        port: Of 127.0.0.1.
        plan: Gives the fault of each response.
        done: How often each act was done.
        connections: How many connections there have been.
    """

    def __init__(
        self, endpoint: str, port: int, plan: Plan | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        """Lead from a port to ``endpoint``."""
        self.port = port
        self.plan = plan or always(NONE)
        self.done: Counter[Act] = Counter()
        self.connections = 0
        self._to = urlsplit(endpoint)
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        """Its address, for the setting ``endpoint``."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://localhost:{self.port}"

    async def open(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(
            self._connected,
            "127.0.0.1",
            self.port,
            limit=HEAD_LIMIT,
            backlog=512,
            ssl=self._tls,
        )

    async def close(self) -> None:
        """Refuse connections, and reset those that there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = dict(self._tasks)
        for task, writer in tasks.items():
            reset(writer)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def fault_of(self, head: Head) -> Fault:
        """The fault of the response to a request; counted."""
        path = head.target.partition("?")[0]
        if head.method != "GET" or path.count("/") < 3:  # /bucket/folder/key
            return NONE
        fault = self.plan()
        self.done[fault.act] += 1
        return fault

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._server is None:  # it was accepted before the proxy closed
            reset(writer)
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = writer
        self.connections += 1
        writer.transport.set_write_buffer_limits(
            1, 0
        )  # after drain the kernel has all (0: asyncio hangs)
        passage = _Passage(self, self._to.hostname or "", self._to.port or 80, reader, writer)
        try:
            while await passage.one():
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            del self._tasks[task]
            passage.end()


class _Passage:
    """One connection of the product, and its own connection to the S3 server."""

    def __init__(
        self,
        proxy: FaultProxy,
        host: str,
        port: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._proxy, self._host, self._port = proxy, host, port
        self._reader, self._writer = reader, writer
        self._server: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def one(self) -> bool:
        """Pass on a request and its response, or a part of it; whether another may come."""
        head = await read_head(self._reader)
        if head is None:
            return False
        fault = self._proxy.fault_of(head)
        if fault.act is Act.SLOW_DOWN:
            self._writer.write(SLOW_DOWN)
            await self._writer.drain()
            return False
        if fault.act is Act.LATENCY:
            await asyncio.sleep(fault.seconds)
        reader, writer = await self._to_server()
        writer.write(head.raw)
        response = await read_head(reader)
        if response is None:
            return False
        whole = response.raw
        if response.fields.get("transfer-encoding", "").lower() == "chunked":  # an error's
            whole += await _chunks(reader)
        bodiless = head.method == "HEAD" or response.status in {204, 304}
        length = 0 if bodiless else int(response.fields.get("content-length", "0"))
        return await self._respond(fault, _Response(whole, reader, length))

    async def _to_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A new connection: one that is kept may be closed, and that fault was not planned."""
        if self._server is not None:
            self._server[1].transport.abort()
        self._server = await asyncio.open_connection(self._host, self._port, limit=PIECE)
        return self._server

    async def _respond(self, fault: Fault, response: _Response) -> bool:
        """Pass on a response as a fault has it; whether the connection may be used again."""
        match fault.act:
            case Act.RST:
                await self._pass(response, fault.at)
                reset(self._writer)
                return False
            case Act.FIN | Act.TRUNCATED:
                there = fault.at if fault.act is Act.FIN else response.left - fault.at
                await self._pass(response, there)
                await self._finish()
                return False
            case Act.STALL:
                await self._pass(response, fault.at)
                if response.left:  # after the whole response there may come another request
                    await self._silence(fault.seconds)
            case Act.DRIP:
                while response.left:
                    await self._pass(response, max(1, fault.at))
                    await asyncio.sleep(fault.seconds)
            case Act.HALF_OPEN:
                await self._pass(response, response.left)
                while await self._reader.read(PIECE):
                    pass
                return False
        await self._pass(response, response.left)
        return True

    async def _pass(self, response: _Response, count: int) -> None:
        """Pass on so many bytes, or all that are left."""
        ends = max(0, response.left - max(0, count))
        while response.left > ends:
            self._writer.write(await response.read(response.left - ends))
            await self._writer.drain()

    async def _finish(self) -> None:
        """Send FIN, over TLS without the close_notify before it, and wait for the other side's."""
        there = self._writer.get_extra_info("socket")
        if there is None:  # the other side has closed it
            return
        there.shutdown(socket.SHUT_WR)
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                while await self._reader.read(PIECE):
                    pass

    async def _silence(self, seconds: float) -> None:
        """Send nothing for a while; the product may close the connection meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if isinf(seconds) else seconds):
                if not await self._reader.read(1):
                    raise ConnectionAbortedError

    def end(self) -> None:
        """Close both ends."""
        self._writer.transport.abort()
        if self._server is not None:
            self._server[1].transport.abort()


class _Response:
    """A response of the S3 server, to be read in parts.

    Attributes:
        left: Bytes of it that have not been read, head included.
    """

    def __init__(self, head: bytes, reader: asyncio.StreamReader, length: int) -> None:
        self._head, self._reader = head, reader
        self.left = len(head) + length

    async def read(self, most: int) -> bytes:
        """The next bytes, of which there are some left."""
        piece, self._head = self._head[:most], self._head[most:]
        piece = piece or await self._reader.read(min(most, PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", self.left)
        self.left -= len(piece)
        return piece


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    """A body in chunks, as it is."""
    raw = b""
    while not raw.endswith(b"0\r\n\r\n"):
        line = await reader.readline()
        raw += line + await reader.readexactly(int(line, 16) + 2)
    return raw


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    there = writer.get_extra_info("socket")
    if there is not None:  # the other side has not closed it
        with suppress(OSError):
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, ABORT_WITH_RST)
    writer.transport.abort()
