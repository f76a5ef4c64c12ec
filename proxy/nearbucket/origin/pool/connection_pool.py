"""The idle connections of one worker to one S3 host.

The connection that was used last is taken first, so that those not needed grow old and are closed.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from nearbucket.origin.pool.connection import UpstreamConnection
from nearbucket.origin.pool.tls_stream import TlsStream
from nearbucket.s3.http_session import IDLE_TIMEOUT

if TYPE_CHECKING:
    import ssl

    from nearbucket.origin.pool.read_buffer import ReadBuffers


class ConnectionPool:
    """Opens connections to one host, and keeps those that are idle.

    Attributes:
        idle: Connections in the order in which they became idle.
    """

    def __init__(
        self, host: str, port: int, *, tls: ssl.SSLContext | None, buffers: ReadBuffers
    ) -> None:
        """Take the host, the context for TLS (None for plain HTTP) and the worker's buffers."""
        self._buffers = buffers
        self._address = host, port
        self._context = tls
        self.idle: deque[UpstreamConnection] = deque()

    def take(self) -> UpstreamConnection | None:
        """Take the connection that became idle last, if there is one."""
        while self.idle:
            upstream = self.idle.pop()
            if not upstream.closing():
                return upstream
        return None

    async def open(self, seconds: float) -> UpstreamConnection:
        """Open a connection.

        Args:
            seconds: Time limit, with the TLS handshake.

        Raises:
            OSError: That failed (TimeoutError and ssl.SSLError are among these).
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
            ready.cancel()  # its exception is not needed any more
            if transport is not None:
                transport.abort()
            raise
        return upstream

    def discard(self, upstream: UpstreamConnection) -> None:
        """Forget a connection that is gone."""
        if upstream in self.idle:
            self.idle.remove(upstream)

    def check(self, now: float) -> None:
        """Close connections that have been idle for too long; called once a second."""
        while self.idle and now - self.idle[0].idle_since > IDLE_TIMEOUT:
            self.idle.popleft().close()

    def close(self) -> None:
        """Close the idle connections; those in use end with their receivers."""
        while self.idle:
            self.idle.popleft().close()
