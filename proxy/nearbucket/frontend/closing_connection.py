"""Connections that were closed in a drain, until their clients have all that was sent.

The kernel sends the last bytes of a closed connection by itself, to a slow client for minutes. They
would be lost where the network ends with the process, as that of a container does.
"""

from __future__ import annotations

import contextlib
import os
import socket
from time import monotonic
from typing import TYPE_CHECKING

from nearbucket.frontend.limits.unread_bytes import kernel_queue

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_TCP_CLOSE = 7  # include/net/tcp_states.h: reset, or given up; its queue is not sent


class ClosingConnection:
    """One of them, with a descriptor of its own: the transport closes the one it had."""

    __slots__ = ("_idle_timeout", "_on_end", "_since", "_socket", "_unread")

    def __init__(
        self,
        sock: socket.socket,
        idle_timeout: float,
        on_end: Callable[[ClosingConnection], None],
    ) -> None:
        """Take a socket that sends no more.

        Args:
            sock: The socket.
            idle_timeout: Seconds for which the client may take nothing.
            on_end: Called once, when the socket is closed.
        """
        self._socket = sock
        self._idle_timeout = idle_timeout
        self._on_end = on_end
        self._unread = kernel_queue(sock)
        self._since = monotonic()  # since when it is that much

    @property
    def is_answering(self) -> bool:
        """Whether the client is there, and has not all of what was sent."""
        return kernel_queue(self._socket) > 0 and not self._is_lost()

    def check(self, now: float) -> None:
        """Close it if the client has everything, has gone, or takes nothing for too long."""
        unread = kernel_queue(self._socket)
        if unread != self._unread:
            self._unread, self._since = unread, now
        if now - self._since > self._idle_timeout or not self.is_answering:
            self.abort()

    def _is_lost(self) -> bool:
        try:
            return self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _TCP_CLOSE
        except OSError:  # no kernel of Linux
            return False

    def abort(self) -> None:
        """Close it."""
        self._socket.close()
        self._on_end(self)


def closing_connection(
    transport: asyncio.Transport,
    idle_timeout: float,
    on_end: Callable[[ClosingConnection], None],
) -> ClosingConnection | None:
    """What is left of a connection whose transport is about to close its socket.

    Returns:
        None if the client has everything, or the socket cannot be kept open.
    """
    sock = transport.get_extra_info("socket")
    if not kernel_queue(sock):
        return None
    with contextlib.suppress(OSError):  # no descriptor is free
        own = socket.socket(fileno=os.dup(sock.fileno()))
        with contextlib.suppress(OSError):  # the connection is reset
            own.shutdown(socket.SHUT_WR)  # the FIN that closing sends
        return ClosingConnection(own, idle_timeout, on_end)
    return None
