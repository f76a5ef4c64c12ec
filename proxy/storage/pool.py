"""Connections to one S3 host, below aiohttp: asked one after another, kept while they are good.

In: requests as bytes. Out: what comes back, in one buffer that all connections of a worker
share, to whoever asked. Refuses to read a response, and to try anything twice.

One shared buffer because nothing is kept in it: a receiver passes the bytes on, or copies what
its client does not take, before it returns. So a connection costs no read buffer of its own.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    import ssl

BUFFER = 256 * 1024
"""Bytes of the shared buffer: larger ones leave the processor's second-level cache."""

IDLE = 12.0
"""Seconds an idle connection is kept: S3 drops them later than this (aiobotocore's choice)."""


class Receiver(Protocol):
    """Who asked, and gets what comes back."""

    def received(self, data: memoryview) -> None:
        """Bytes came; they are there until this returns."""

    def lost(self, error: Exception | None) -> None:
        """The connection is gone; nothing comes any more."""


class Upstream(asyncio.BufferedProtocol):
    """One connection: free, or lent to one receiver.

    Attributes:
        used: Whether it answered before: an idle one may have been closed meanwhile.
        moved: Whether bytes came since this was last set to False.
    """

    __slots__ = ("_file", "_paused", "_pool", "_receiver", "_transport", "freed", "moved", "used")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport
        self._paused = False
        self._file = -1
        self.used = False
        self.moved = False
        self.freed = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As of ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)
        if transport.get_extra_info("sslcontext") is None:
            self._file = transport.get_extra_info("socket").fileno()

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        """As of ``asyncio.BufferedProtocol``."""
        return self._pool.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass bytes on; from a free connection they are nobody's answer."""
        self.moved = True
        if self._receiver is None:
            self.close()
        else:
            self._receiver.received(self._pool.buffer[:nbytes])

    def eof_received(self) -> bool:
        """No half-open connections."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        self._pool.forget(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(exc)

    def ask(self, request: bytes, receiver: Receiver) -> None:
        """Send a request; its response goes to ``receiver`` until ``free`` or ``close``."""
        self._receiver = receiver
        self.moved = True
        transport = self._transport
        if self._file < 0 or transport.is_closing():
            transport.write(request)
            return
        try:
            sent = os.write(self._file, request)  # half the cost of the loop's own way
        except OSError:
            sent = 0  # the transport finds out as well, and tells
        if sent < len(request):
            transport.write(request[sent:])

    def pause(self) -> None:
        """Take nothing until ``resume``."""
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take bytes again."""
        if self._paused:
            self._paused = False
            self.moved = True
            self._transport.resume_reading()

    @property
    def waiting(self) -> bool:
        """Whether bytes are wanted."""
        return not self._paused

    def free(self) -> None:
        """The response was read to its end: anyone may ask next."""
        self._receiver = None
        self.used = True
        self.resume()
        self._pool.give(self)

    def close(self) -> None:
        """Nothing that still comes is wanted."""
        self._receiver = None
        self._pool.forget(self)
        self._transport.abort()

    @property
    def usable(self) -> bool:
        """Whether the connection still stands, as far as is known here."""
        return not self._transport.is_closing()


class Pool:
    """The connections of one worker to one host.

    Attributes:
        buffer: What all of them read into.
    """

    def __init__(
        self, host: str, port: int, *, tls: ssl.SSLContext | None, buffer: memoryview
    ) -> None:
        """Args: the host, how TLS is spoken (None: not at all), the worker's shared buffer."""
        self.buffer = buffer
        self._address = host, port
        self._tls = tls
        self._free: deque[Upstream] = deque()

    def take(self) -> Upstream | None:
        """The connection that was free last, or None."""
        while self._free:
            upstream = self._free.pop()
            if upstream.usable:
                return upstream
        return None

    async def open(self, seconds: float) -> Upstream:
        """A new connection.

        Args:
            seconds: How long that may take, TLS included.

        Raises:
            OSError: There is none (TimeoutError among them).
        """
        host, port = self._address
        async with asyncio.timeout(seconds):
            _, upstream = await asyncio.get_running_loop().create_connection(
                lambda: Upstream(self), host, port, ssl=self._tls,
                server_hostname=host if self._tls else None,
            )  # fmt: skip
        return upstream

    def give(self, upstream: Upstream) -> None:
        """Take a free connection back."""
        if upstream.usable:
            upstream.freed = monotonic()
            self._free.append(upstream)

    def forget(self, upstream: Upstream) -> None:
        """A connection is gone."""
        if upstream in self._free:
            self._free.remove(upstream)

    def check(self, now: float) -> None:
        """Once a tick: close what was free for too long."""
        while self._free and now - self._free[0].freed > IDLE:
            self._free.popleft().close()

    def close(self) -> None:
        """Close what is free; what is lent ends with its receiver."""
        while self._free:
            self._free.popleft().close()
