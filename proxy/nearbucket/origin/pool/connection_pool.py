"""The open connections of one worker to one S3 host, kept while they are good.

The connection that was free last is lent first, so that those not needed grow old and are closed.
Nothing is tried twice here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from nearbucket.origin.pool.connection import UpstreamConnection
from nearbucket.origin.pool.tls_stream import TlsStream

if TYPE_CHECKING:
    import ssl

    from nearbucket.origin.pool.read_buffer import ReadBuffers

IDLE_TIMEOUT = 12.0
"""Seconds an idle connection is kept: S3 drops them later than this (aiobotocore's choice)."""


class ConnectionPool:
    """The connections of one worker to one host.

    Attributes:
        idle: Those that nobody has asked now; who was free last is asked first.
    """

    def __init__(
        self, host: str, port: int, *, tls: ssl.SSLContext | None, buffers: ReadBuffers
    ) -> None:
        """Args: the host, how TLS is spoken (None: not at all), the worker's buffers."""
        self._buffers = buffers
        self._address = host, port
        self._context = tls
        self.idle: deque[UpstreamConnection] = deque()

    def take(self) -> UpstreamConnection | None:
        """The connection that was free last, or None."""
        while self.idle:
            upstream = self.idle.pop()
            if not upstream.closing():
                return upstream
        return None

    async def open(self, seconds: float) -> UpstreamConnection:
        """A new connection.

        Args:
            seconds: How long that may take, TLS included.

        Raises:
            OSError: There is none (TimeoutError and ssl.SSLError among them).
        """
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        host, port = self._address
        tls = TlsStream(self._context, host) if self._context else None
        transport = None
        try:
            async with asyncio.timeout(seconds):
                transport, upstream = await loop.create_connection(
                    lambda: UpstreamConnection(
                        self._buffers, tls, ready, self.idle.append, self.discard
                    ),
                    host,
                    port,
                )
                await ready
        except BaseException:
            ready.cancel()  # nobody asks for its outcome any more
            if transport is not None:
                transport.abort()
            raise
        return upstream

    def discard(self, upstream: UpstreamConnection) -> None:
        """A connection is gone."""
        if upstream in self.idle:
            self.idle.remove(upstream)

    def check(self, now: float) -> None:
        """Once a tick: close what was free for too long."""
        while self.idle and now - self.idle[0].idle_since > IDLE_TIMEOUT:
            self.idle.popleft().close()

    def close(self) -> None:
        """Close what is free; what is lent ends with its receiver."""
        while self.idle:
            self.idle.popleft().close()
