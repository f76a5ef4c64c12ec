"""The kernel's receive buffer of a connection to S3.

The kernel makes it larger while bytes are read as fast as they come, up to ``net.ipv4.tcp_rmem``,
and never smaller. So it may only grow for a client that is known to be fast.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Protocol

_SO_BUF_LOCK, _SOCK_RCVBUF_LOCK = 72, 2  # linux/socket.h; not in Python's socket


class Socket(Protocol):
    """A socket, or asyncio's view of one."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None:
        """See ``socket.socket``."""


def fix_receive_buffer(sock: Socket | None, *, fixed: bool) -> None:
    """Keep the buffer from growing, or let the kernel choose its size again.

    Before Linux 5.14 it always grows. A TLS transport whose connection is lost has no socket.
    """
    if sock is None:
        return
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, _SOCK_RCVBUF_LOCK if fixed else 0)
