"""The open connections of one worker to one S3 host, kept while they are good.

The connection that was free last is lent first, so that those not needed grow old and are closed.
Nothing is tried twice here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from nearbucket.origin.pool.connection import Upstream
from nearbucket.origin.pool.tls_stream import Tls

if TYPE_CHECKING:
    import ssl

    from nearbucket.origin.pool.read_buffer import Buffers

IDLE = 12.0
"""Seconds an idle connection is kept: S3 drops them later than this (aiobotocore's choice)."""


class Pool:
    """The connections of one worker to one host.

    Attributes:
        free: Those that nobody has asked now; who was free last is asked first.
    """

    def __init__(
        self, host: str, port: int, *, tls: ssl.SSLContext | None, buffers: Buffers
    ) -> None:
        """Args: the host, how TLS is spoken (None: not at all), the worker's buffers."""
        self._buffers = buffers
        self._address = host, port
        self._context = tls
        self.free: deque[Upstream] = deque()

    def take(self) -> Upstream | None:
        """The connection that was free last, or None."""
        while self.free:
            upstream = self.free.pop()
            if not upstream.closing():
                return upstream
        return None

    async def open(self, seconds: float) -> Upstream:
        """A new connection.

        Args:
            seconds: How long that may take, TLS included.

        Raises:
            OSError: There is none (TimeoutError and ssl.SSLError among them).
        """
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        host, port = self._address
        tls = Tls(self._context, host) if self._context else None
        transport = None
        try:
            async with asyncio.timeout(seconds):
                transport, upstream = await loop.create_connection(
                    lambda: Upstream(self._buffers, tls, ready, self.free.append, self.forget),
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

    def forget(self, upstream: Upstream) -> None:
        """A connection is gone."""
        if upstream in self.free:
            self.free.remove(upstream)

    def check(self, now: float) -> None:
        """Once a tick: close what was free for too long."""
        while self.free and now - self.free[0].freed > IDLE:
            self.free.popleft().close()

    def close(self) -> None:
        """Close what is free; what is lent ends with its receiver."""
        while self.free:
            self.free.popleft().close()
