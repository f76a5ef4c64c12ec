"""A client connection that is closed when it waits too long, or idles while draining.

In: the time, once a tick. Out: closed or broken connections. Refuses to know what is sent over
them.
"""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from time import monotonic
from typing import TYPE_CHECKING

from nearbucket.frontend.patience import Patience

if TYPE_CHECKING:
    from nearbucket.frontend.worker_context import WorkerContext


class Phase(Enum):
    """What a connection is waiting for."""

    IDLE = auto()
    HEAD = auto()
    BUSY = auto()


IDLE, HEAD, BUSY = Phase  # an enumeration's own look-up is slow in Python 3.11


class Watched(asyncio.Protocol):
    """One client connection.

    Attributes:
        phase: What it waits for; with ``since``, all there is to its timeouts.
        since: Monotonic time at which the phase began.
    """

    __slots__ = ("_at_home", "_context", "_patience", "_transport", "phase", "since")

    def __init__(self, context: WorkerContext) -> None:
        """Args: what the lanes of a worker share."""
        self._context = context
        self._transport: asyncio.Transport
        self._patience: Patience | None = None
        self._at_home = True
        self.phase = IDLE
        self.since = 0.0

    def _close(self) -> None:
        """Send what there is, then close; whatever still comes is not for anyone."""
        self._at_home = False
        self._transport.close()

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = monotonic()

    def _watch_answer(self, now: float) -> None:
        """An answer is under way."""

    def check(self, now: float) -> None:
        """Close the connection if it has waited too long, or idles while draining."""
        limits = self._context.settings.limits
        if not self._lets_go(now, limits.idle_timeout):
            self._transport.abort()
            return
        if self._transport.is_closing():
            return
        if self.phase is BUSY:
            self._watch_answer(now)
            return
        waited = now - self.since
        late = (self.phase is HEAD and waited > limits.header_timeout) or (
            self.phase is IDLE and (waited > limits.idle_timeout or self._context.draining)
        )
        if late:
            self._close()

    def _lets_go(self, now: float, most: float) -> bool:
        """Whether the client, or after a close its side, still takes what it was sent."""
        transport = self._transport
        closing = transport.is_closing()
        if not closing and not transport.get_write_buffer_size():
            self._patience = None
            return True
        if self._patience is None:
            self._patience = Patience(now)
        watched = self._patience.with_close if closing else self._patience.with_reader
        return watched(transport, now, most)

    def abort(self) -> None:
        """Break the connection off: what was sent must not look whole."""
        self._transport.abort()
