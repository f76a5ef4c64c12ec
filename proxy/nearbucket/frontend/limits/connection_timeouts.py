"""How long a client connection may wait: for a request, for the rest of one, for its client.

The connection is checked once a second, so no connection has timers of its own.
"""

from __future__ import annotations

from enum import Enum, auto
from time import monotonic
from typing import TYPE_CHECKING, Final

from nearbucket.frontend.limits.unread_bytes import unread_bytes

if TYPE_CHECKING:
    import asyncio

    from nearbucket.config.settings import Limits

CLOSE_GRACE = 1.0
"""Seconds for the other side to close as well, when it has everything that was sent."""
FIRST_REQUEST = 3.0
"""Seconds that a new connection has for its first request during a drain."""


class Phase(Enum):
    """What a connection waits for."""

    IDLE = auto()
    """The first byte of a request: ``limits.idle_timeout``, and during a drain not at all, or for
    the first request ``FIRST_REQUEST``."""
    HEAD = auto()
    """The rest of a request's head: ``limits.header_timeout``."""
    BUSY = auto()
    """The end of an answer."""


# member access through the class is slow in Python 3.11
IDLE: Final = Phase.IDLE
HEAD: Final = Phase.HEAD
BUSY: Final = Phase.BUSY


class ConnectionTimeouts:
    """What one client connection waits for, and whether it has waited too long.

    Attributes:
        phase: What the connection waits for.
        since: Monotonic time at which the phase began.
    """

    __slots__ = ("_connected", "_unread", "_unread_since", "phase", "since")

    def __init__(self) -> None:
        self.phase = IDLE
        self.since = self._connected = monotonic()
        self._unread = -1  # bytes that the client had not read at the last check; -1: none waited
        self._unread_since = 0.0  # since when it is that many

    def enter(self, phase: Phase) -> None:
        """A phase begins."""
        self.phase = phase
        self.since = monotonic()

    def expired(self, now: float, limits: Limits, *, closing_idle: bool) -> bool:
        """Whether to close the connection: nothing came for too long."""
        waited = now - self.since
        if self.phase is IDLE and closing_idle:
            return self.since != self._connected or waited > FIRST_REQUEST
        if self.phase is IDLE:
            return waited > limits.idle_timeout
        return self.phase is HEAD and waited > limits.header_timeout

    def stalled(self, transport: asyncio.Transport, now: float, most: float) -> bool:
        """Whether to abort the connection: its client took nothing for ``most`` seconds.

        Bytes in the kernel count as well: a slow client takes from there long before the transport
        can write again. A closed connection stays open until the other side closes, too; over TLS
        a pooled client never does.
        """
        closing = transport.is_closing()
        if not closing and not transport.get_write_buffer_size():
            self._unread = -1
            return False
        unread = unread_bytes(transport)
        if unread != self._unread:
            self._unread, self._unread_since = unread, now
        if closing and not unread:
            most = min(most, CLOSE_GRACE)
        return now - self._unread_since > most
