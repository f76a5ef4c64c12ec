"""Finds clients that take less than ``limits.min_rate``: each holds buffers and a socket to S3.

So that a client may pause, it has a credit in seconds. Each second in which bytes wait for it takes
one off; each ``min_rate`` bytes that it takes give one back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.frontend.limits.tcp_info import TcpField, tcp_info

if TYPE_CHECKING:
    import asyncio

GRACE = 2.0
"""Largest credit, in multiples of ``limits.idle_timeout``: a client that took nothing for nearly
that time, and was not disconnected for it, has time to catch up."""

_MEASURED_AFTER = 5.0
"""Seconds of waiting after which the bytes that the client took are measured."""


class ClientCredit:
    """For how long one client may still take less than the minimum rate."""

    __slots__ = ("_acked", "_checked", "_left", "_waited")

    def __init__(self, transport: asyncio.Transport, now: float, grace: float) -> None:
        """Give a client ``grace`` seconds, at this monotonic time."""
        self._checked = now
        self._left = grace
        self._waited = 0.0
        (self._acked,) = tcp_info(transport, TcpField.BYTES_ACKED) or [0]

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
        info = tcp_info(transport, TcpField.BYTES_ACKED)
        if info is not None:
            gained = (info[0] - self._acked) / rate
            self._left = min(grace, self._left + gained - self._waited)
            self._acked, self._waited = info[0], 0.0
        return self._left <= 0
