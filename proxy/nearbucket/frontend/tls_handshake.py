"""Accepts TLS connections: those in their handshake count in ``limits.max_connections``.

The event loop's TLS server tells of a connection when its handshake is complete, and so cannot
bound those that never complete one. Here its plain server accepts connections, and each is given to
``connect_accepted_socket``, which tells how the handshake ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from nearbucket.frontend.worker_context import WorkerContext

SHUTDOWN_MARGIN = 30.0
"""Seconds that the end of TLS has beyond ``limits.idle_timeout``, which ``ClientConnection`` has
passed before."""


class TlsHandshake(asyncio.Protocol):
    """A new connection: has TLS negotiated, and then a ``ClientConnection`` made."""

    __slots__ = ("_context", "_make", "_tls")

    def __init__(
        self, context: WorkerContext, tls: ssl.SSLContext, make: Callable[[], asyncio.Protocol]
    ) -> None:
        """``make`` makes the protocol of a connection whose handshake is complete."""
        self._context = context
        self._tls = tls
        self._make = make

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected; over ``limits.max_connections`` it is closed without a handshake."""
        context = self._context
        if len(context.connections) + len(context.handshakes) >= context.max_connections:
            context.refuse_connection()
        else:
            with contextlib.suppress(OSError):  # no descriptor is free, which ``FileLimit`` logs
                # One of our own: the transport closes its own, and has read nothing yet.
                sock = socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno()))
                task = asyncio.create_task(self._negotiate(sock))
                context.handshakes.add(task)
                task.add_done_callback(context.handshakes.discard)
        cast("asyncio.Transport", transport).abort()  # uvloop's is no ``asyncio.Transport``

    async def _negotiate(self, sock: socket.socket) -> None:
        context, limits = self._context, self._context.settings.limits
        context.counters.connections += 1
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._make,
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=limits.header_timeout,
                ssl_shutdown_timeout=limits.idle_timeout + SHUTDOWN_MARGIN,
            )
        except OSError:
            pass  # no handshake, or none in time: the connection is closed
        finally:
            context.counters.connections -= 1
