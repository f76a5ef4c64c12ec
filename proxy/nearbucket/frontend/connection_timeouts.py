"""A client connection that is closed when it waits too long, or idles while draining.

In: the time, once a tick. Out: closed or broken connections. Refuses to know what is sent over
them.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from enum import Enum, auto
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearbucket.frontend.worker_context import WorkerContext

CLOSE_GRACE = 1.0
"""Seconds for the other side to close as well, when all it was sent is there."""


class Phase(Enum):
    """What a connection is waiting for."""

    IDLE = auto()
    HEAD = auto()
    BUSY = auto()


IDLE, HEAD, BUSY = Phase  # an enumeration's own look-up is slow in Python 3.11


class StallDetector:
    """Finds out whether a client still takes what it was sent; made only when something waits."""

    __slots__ = ("_since", "_unread")

    def __init__(self, now: float) -> None:
        self._unread = -1
        self._since = now

    def still_reading(self, transport: asyncio.Transport, now: float, most: float) -> bool:
        """Whether the client took something in the last ``most`` seconds.

        What the kernel holds counts as well: a slow client that lives takes from there long
        before the transport may write again.
        """
        held = transport.get_write_buffer_size() + _kernel_queue(transport)
        if held != self._unread:
            self._unread, self._since = held, now
        return now - self._since <= most

    def still_closing(self, transport: asyncio.Transport, now: float, most: float) -> bool:
        """Whether a closed connection may stay open until its other side lets go, too.

        Over TLS a close waits for the client's own, which a pooled connection never sends.
        """
        lives = self.still_reading(transport, now, most)
        return lives and (self._unread > 0 or now - self._since <= CLOSE_GRACE)


class ConnectionTimeouts(asyncio.Protocol):
    """One client connection.

    Attributes:
        phase: What it waits for; with ``since``, all there is to its timeouts.
        since: Monotonic time at which the phase began.
    """

    __slots__ = ("_context", "_reads_requests", "_stall", "_transport", "phase", "since")

    def __init__(self, context: WorkerContext) -> None:
        """Args: what the lanes of a worker share."""
        self._context = context
        self._transport: asyncio.Transport
        self._stall: StallDetector | None = None
        self._reads_requests = True
        self.phase = IDLE
        self.since = 0.0

    def _close(self) -> None:
        """Send what there is, then close; whatever still comes is not for anyone."""
        self._reads_requests = False
        self._transport.close()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = monotonic()

    def _check_response(self, now: float) -> None:
        """An answer is under way."""

    def check(self, now: float) -> None:
        """Close the connection if it has waited too long, or idles while draining."""
        limits = self._context.settings.limits
        if not self._takes_output(now, limits.idle_timeout):
            self._transport.abort()
            return
        if self._transport.is_closing():
            return
        if self.phase is BUSY:
            self._check_response(now)
            return
        waited = now - self.since
        late = (self.phase is HEAD and waited > limits.header_timeout) or (
            self.phase is IDLE and (waited > limits.idle_timeout or self._context.draining)
        )
        if late:
            self._close()

    def _takes_output(self, now: float, most: float) -> bool:
        """Whether the client, or after a close its side, still takes what it was sent."""
        transport = self._transport
        closing = transport.is_closing()
        if not closing and not transport.get_write_buffer_size():
            self._stall = None
            return True
        if self._stall is None:
            self._stall = StallDetector(now)
        watched = self._stall.still_closing if closing else self._stall.still_reading
        return watched(transport, now, most)

    def abort(self) -> None:
        """Break the connection off: what was sent must not look whole."""
        self._transport.abort()


def _kernel_queue(transport: asyncio.Transport) -> int:
    """Bytes of a connection that the kernel has and the client has not (SIOCOUTQ)."""
    sock = transport.get_extra_info("socket")
    try:
        packed = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    except OSError:  # closed meanwhile
        return 0
    return int.from_bytes(packed, sys.byteorder)
