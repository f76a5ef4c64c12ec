"""How long a connection may take to let go of what it was sent.

In: a transport and the time, once a tick. Out: whether to break the connection off. Refuses
to know what was sent. One object a connection that has something to let go of.
"""

from __future__ import annotations

import fcntl
import sys
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

CLOSE_GRACE = 1.0
"""Seconds for the other side to close as well, when all it was sent is there."""


class Patience:
    """Watches one connection."""

    __slots__ = ("_held", "_since")

    def __init__(self, now: float) -> None:
        self._held = -1
        self._since = now

    def with_reader(self, transport: asyncio.Transport, now: float, most: float) -> bool:
        """Whether the client took something in the last ``most`` seconds.

        What the kernel holds counts as well: a slow client that lives takes from there long
        before the transport may write again.
        """
        held = transport.get_write_buffer_size() + _kernel_queue(transport)
        if held != self._held:
            self._held, self._since = held, now
        return now - self._since <= most

    def with_close(self, transport: asyncio.Transport, now: float, most: float) -> bool:
        """Whether a closed connection may stay open until its other side lets go, too.

        Over TLS a close waits for the client's own, which a pooled connection never sends.
        """
        lives = self.with_reader(transport, now, most)
        return lives and (self._held > 0 or now - self._since <= CLOSE_GRACE)


def _kernel_queue(transport: asyncio.Transport) -> int:
    """Bytes of a connection that the kernel has and the client has not (SIOCOUTQ)."""
    sock = transport.get_extra_info("socket")
    try:
        packed = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:  # closed meanwhile
        return 0
    return int.from_bytes(packed, sys.byteorder)
