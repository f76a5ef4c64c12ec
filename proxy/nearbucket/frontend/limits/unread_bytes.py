"""How much of what was sent the client has not taken: in the transport, and in the kernel."""

from __future__ import annotations

import fcntl
import sys
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    import socket


def unread_bytes(transport: asyncio.Transport) -> int:
    """Bytes of a connection that its client has not taken."""
    return transport.get_write_buffer_size() + kernel_queue(transport.get_extra_info("socket"))


def kernel_queue(sock: socket.socket | None) -> int:
    """Bytes, and the FIN, that the kernel has and the client has not (SIOCOUTQ).

    Without a socket 0: the connection below TLS is lost, and the transport's end is to come.
    """
    if sock is None:
        return 0
    try:
        packed = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:  # closed meanwhile
        return 0
    return int.from_bytes(packed, sys.byteorder)
