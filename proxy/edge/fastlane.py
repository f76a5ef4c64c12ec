"""The fast lane: a simple request that is a redirect is answered here, below aiohttp.

In: chunks from a client's socket. Out: the bytes of a redirect, or the chunk, untouched,
to an aiohttp protocol of this connection. Refuses to know how anything else is answered;
it owns the connection's timeouts and its part of the drain all the same.

A connection whose handed-over chunk was one plain request comes back when that answer is
whole: load balancers reuse one connection for many clients.
"""

from __future__ import annotations

import asyncio
import fcntl
import sys
import termios
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol, cast

from proxy.decide.model import Redirect, Refuse
from proxy.decide.wire import Handover, Simple, SimpleReader, redirect_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.edge.state import WorkerState

FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nServer: nearbucket\r\nRetry-After: 5\r\n"
    b"Cache-Control: no-store\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)
"""The answer to a connection over ``limits.max_connections``; no request was read."""


CLOSE_GRACE = 1.0  # seconds for the other side to close as well, when all it was sent is there


class Inner(Protocol):
    """What the lane needs of the protocol it hands over to, beside asyncio's calls."""

    @property
    def unanswered(self) -> int:
        """Requests that will still be answered if the client sends nothing more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As of ``asyncio.Protocol``."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """As of ``asyncio.Protocol``."""

    def data_received(self, data: bytes) -> None:
        """As of ``asyncio.Protocol``."""

    def pause_writing(self) -> None:
        """As of ``asyncio.Protocol``."""

    def resume_writing(self) -> None:
        """As of ``asyncio.Protocol``."""


class Phase(Enum):
    """What a connection is waiting for."""

    IDLE = auto()
    HEAD = auto()
    BUSY = auto()


class FastLane(asyncio.Protocol):
    """One client connection.

    Attributes:
        phase: What it waits for; with ``since``, all there is to its timeouts.
        since: Loop time at which the phase began.
    """

    __slots__ = (
        "_at_home", "_build", "_closing", "_eof", "_held", "_held_since", "_inner", "_peer",
        "_reader", "_returns", "_state", "_transport", "_whole", "phase", "since",
    )  # fmt: skip

    def __init__(
        self,
        state: WorkerState,
        reader: SimpleReader | None,
        build: Callable[[FastLane], Inner],
    ) -> None:
        """Args: what is shared, the reader (None forces everything to aiohttp), aiohttp."""
        self._state = state
        self._reader = reader
        self._build = build
        self._inner: Inner | None = None
        self._at_home = True
        self._returns = False
        self._eof = False
        self._peer: str | None = None
        self._transport: asyncio.Transport
        self._whole = True
        self._held = 0
        self._held_since = 0.0
        self._closing: tuple[int, float] | None = None
        self.phase = Phase.IDLE
        self.since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected; over the limit it is told so at once."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._peer = peer[0] if isinstance(peer, tuple) else None
        self._enter(Phase.IDLE)
        state = self._state
        state.lanes.add(self)
        state.counters.connections += 1
        if len(state.lanes) > state.max_lanes:
            state.counters.add("nearbucket_connections_refused_total")
            self._transport.write(FULL)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._state.lanes.discard(self)
        self._state.counters.connections -= 1
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def data_received(self, chunk: bytes) -> None:
        """Answer, or hand over."""
        if self._transport.is_closing():
            return
        if not self._at_home:
            self._returns = False  # more than the one request that was handed over
            self._pass_on(chunk)
            return
        if self._reader is None:
            self._hand_over(chunk, Handover.UNUSUAL, returns=False)
            return
        started = asyncio.get_running_loop().time()
        found = self._reader.read(chunk, self._peer)
        if isinstance(found, Handover):
            self._hand_over(chunk, found, returns=False)
            return
        decision = self._state.engine.decide(found.request)
        if isinstance(decision, Redirect):
            self._redirect(found, decision, started)
        else:
            refused = isinstance(decision, Refuse)
            cause = Handover.REFUSE if refused else Handover.STREAM
            self._hand_over(chunk, cause, returns=True)

    def _redirect(self, found: Simple, decision: Redirect, started: float) -> None:
        state = self._state
        keep_alive = found.keep_alive and not state.draining
        answer, body = redirect_bytes(
            decision,
            date=state.date,
            head=found.request.method == "HEAD",
            keep_alive=keep_alive,
            reason_header=state.settings.log.reason_header,
        )
        self._transport.write(answer)
        now = asyncio.get_running_loop().time()
        self.since = now
        state.record(
            found.request, decision, status=decision.status, sent=body, seconds=now - started
        )
        if not keep_alive:
            self._transport.close()

    def _hand_over(self, chunk: bytes, cause: Handover, *, returns: bool) -> None:
        self._state.counters.add("nearbucket_handovers_total", cause.value)
        if self._inner is None:
            self._inner = self._build(self)
            self._inner.connection_made(self._transport)
        self._at_home = False
        self._returns = returns
        self._pass_on(chunk)

    def _pass_on(self, chunk: bytes) -> None:
        self._whole = chunk.endswith(b"\r\n\r\n")  # or a head may have begun behind it
        if self.phase is Phase.IDLE:
            self._enter(Phase.HEAD)
        if self._inner is not None:
            self._inner.data_received(chunk)

    def answering(self) -> None:
        """Aiohttp has read a request and starts on its answer."""
        self._enter(Phase.BUSY)

    def answered(self, *, keep_alive: bool, had_body: bool) -> None:
        """Aiohttp has written an answer whole; behind a body nothing tells of a next head."""
        between = self._whole or self._returns or had_body
        self._enter(Phase.IDLE if between else Phase.HEAD)
        if self._eof and not self._working():
            self._transport.close()
        elif self._returns and keep_alive:
            self._at_home = True

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.since = asyncio.get_running_loop().time()

    def eof_received(self) -> bool:
        """A half-closed client still gets the answer that is on its way (RFC 9112 9.6)."""
        self._eof = True
        if self._transport.get_extra_info("sslcontext") is not None:
            return False  # TLS has no half-closed connections
        return self._working()

    def _working(self) -> bool:
        return self._inner is not None and self._inner.unanswered > 0

    def pause_writing(self) -> None:
        """The client reads slower than it is sent to: take nothing more from it either."""
        if self._inner is not None:
            self._inner.pause_writing()
        if self._at_home:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client caught up."""
        if self._inner is not None:
            self._inner.resume_writing()
        if self._at_home:
            self._transport.resume_reading()

    def check(self, now: float) -> None:
        """Close the connection if it has waited too long, or idles while draining."""
        limits = self._state.settings.limits
        if self._transport.is_closing():
            self._check_closing(now, limits.idle_timeout)
            return
        if self._stalled(now, limits.idle_timeout):
            self._transport.abort()
            return
        waited = now - self.since
        late = (self.phase is Phase.HEAD and waited > limits.header_timeout) or (
            self.phase is Phase.IDLE and (waited > limits.idle_timeout or self._state.draining)
        )
        if late:
            self._transport.close()

    def _check_closing(self, now: float, patience: float) -> None:
        """End a connection that was closed, and whose other side does not let go.

        Over TLS a close waits for the client's own, which a pooled connection never sends.
        """
        left = self._transport.get_write_buffer_size() + _kernel_queue(self._transport)
        if self._closing is None or self._closing[0] != left:
            self._closing = left, now
        if now - self._closing[1] > (patience if left else CLOSE_GRACE):
            self._transport.abort()

    def _stalled(self, now: float, patience: float) -> bool:
        """Whether the client has taken no byte for too long, of those that wait for it.

        What the kernel holds counts as well: a slow client that lives takes from there long
        before the transport may write again.
        """
        held = self._transport.get_write_buffer_size()
        if not held:
            self._held = 0
            return False
        held += _kernel_queue(self._transport)
        if held != self._held:
            self._held, self._held_since = held, now
        return now - self._held_since > patience

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
