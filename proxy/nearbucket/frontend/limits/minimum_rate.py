"""Finds clients that take less than ``limits.min_rate``: each holds buffers and a socket to S3.

So that a client may pause, it has a credit in seconds. Each second in which bytes wait for it takes
one off; each ``min_rate`` bytes that it takes give one back.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

GRACE = 2.0
"""Largest credit, in multiples of ``limits.idle_timeout``: a client that took nothing for nearly
that time, and was not disconnected for it, has time to catch up."""

_MEASURED_AFTER = 5.0
"""Seconds of waiting after which the bytes that the client took are measured."""

_TCP_INFO = 192  # bytes that are asked for, linux/tcp.h
_BYTES_ACKED = slice(120, 128)  # tcpi_bytes_acked: bytes that the other side has confirmed


class ClientCredit:
    """For how long one client may still take less than the minimum rate."""

    __slots__ = ("_acked", "_checked", "_left", "_waited")

    def __init__(self, transport: asyncio.Transport, now: float, grace: float) -> None:
        """Give a client ``grace`` seconds, at this monotonic time."""
        self._checked = now
        self._left = grace
        self._waited = 0.0
        self._acked = _acked(transport) or 0

    def used_up(self, transport: asyncio.Transport, now: float, rate: int, grace: float) -> bool:
        """Once a second: whether the client has taken too little for too long.

        Args:
            transport: Its connection.
            now: Monotonic time.
            rate: Bytes a second that it has to take on average.
            grace: Seconds for which it may take nothing.
        """
        if transport.get_write_buffer_size():  # otherwise S3 is the slower side
            self._waited += now - self._checked
        self._checked = now
        if self._waited < _MEASURED_AFTER:
            return False
        acked = _acked(transport)
        if acked is not None:
            gained = (acked - self._acked) / rate
            self._left = min(grace, self._left + gained - self._waited)
            self._acked, self._waited = acked, 0.0
        return self._left <= 0


def _acked(transport: asyncio.Transport) -> int | None:
    """Bytes that the client's side has confirmed, always 0 if the kernel does not tell.

    None if the connection is lost.
    """
    sock = transport.get_extra_info("socket")
    if sock is None:  # of TLS: the transport's end is to come
        return None
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO)
    except OSError:  # closed meanwhile
        return None
    return int.from_bytes(info[_BYTES_ACKED], sys.byteorder)
