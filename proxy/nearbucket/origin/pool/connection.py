"""Connections to one S3 host, below aiohttp: asked one after another, kept while they are good.

In: requests as bytes. Out: what comes back, in buffers that all connections of a worker
share, to whoever asked. Refuses to read a response, and to try anything twice.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, Protocol, cast

from nearbucket.origin.pool.read_buffer import USUAL

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.origin.pool.read_buffer import ReadBuffers
    from nearbucket.origin.pool.tls_stream import TlsStream


class Receiver(Protocol):
    """Who asked, and gets what comes back."""

    def received(self, data: memoryview) -> None:
        """Bytes came; they are there until this returns."""

    def lost(self, error: Exception | None) -> None:
        """The connection is gone; nothing comes any more."""


class UpstreamConnection(asyncio.BufferedProtocol):
    """One connection: free, or lent to one receiver.

    Attributes:
        used: Whether it answered before: an idle one may have been closed meanwhile.
        idle_since: Monotonic time since when it is free.
        paused: Whether bytes that come have to wait.
        closing: Whether the connection is known to be of no use.
        moved: Whether bytes came since this was last set to False.
    """

    __slots__ = (
        "_buffer", "_file", "_filled", "_on_closed", "_on_idle", "_plain", "_ready", "_receiver",
        "_room", "_tls", "_transport", "closing", "idle_since", "moved", "paused", "used",
    )  # fmt: skip

    def __init__(
        self,
        buffers: ReadBuffers,
        tls: TlsStream | None,
        ready: asyncio.Future[None],
        on_idle: Callable[[UpstreamConnection], None],
        on_closed: Callable[[UpstreamConnection], None],
    ) -> None:
        """Make a connection that is not open yet.

        Args:
            buffers: What all connections of the worker read into, and decrypt into.
            tls: How TLS is spoken; None: not at all.
            ready: Done when a request may be sent, or failed when none ever can.
            on_idle: Called when the response was read to its end.
            on_closed: Called when the connection is of no more use.
        """
        self._buffer, self._plain = buffers
        self._tls = tls
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._ready = ready
        self._receiver: Receiver | None = None
        self._transport: asyncio.Transport
        self.closing: Callable[[], bool]
        self._file = -1
        self._room = self._buffer[:USUAL]
        self._filled = 0  # bytes decrypted in this turn of the loop
        self.paused = False
        self.used = False
        self.moved = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As of ``asyncio.Protocol``."""
        self._transport = cast("asyncio.Transport", transport)
        self.closing = transport.is_closing
        self._file = transport.get_extra_info("socket").fileno()
        if self._tls is not None:
            self._write(self._tls.to_send())
        elif not self._ready.done():
            self._ready.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        """As of ``asyncio.BufferedProtocol``."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Pass bytes on; from a free connection they are nobody's answer."""
        self.moved = True
        data = self._buffer[:nbytes]
        tls = self._tls
        if tls is not None:
            try:
                self._filled = self._open(tls, data, 0)
            except ssl.SSLError as error:
                self._fail(error)
                return
            data = self._plain[: self._filled]
        if self._receiver is None:
            if tls is None or data:
                self.close()
        elif data:
            self._receiver.received(data)
        if tls is not None and tls.over:
            self._transport.close()

    def read_now(self, data: memoryview) -> memoryview:
        """What was just received, and behind it what has come meanwhile; never waits.

        Over TLS alone: decrypting takes long enough for that (bench, 64 KiB: every third
        response took a second turn of the loop, and a second write to the client).

        Args:
            data: What ``received`` was given, or the end of it.
        """
        tls, filled = self._tls, self._filled
        if tls is None or filled >= USUAL or self.closing():
            return data
        raw = self._buffer[filled:USUAL]
        try:
            size = os.readv(self._file, [raw])
            self._filled += self._open(tls, raw[:size], filled)
        except ssl.SSLError as error:  # once what came before it is passed on
            asyncio.get_running_loop().call_soon(self._fail, error)
        except OSError:  # nothing, or an end that the transport finds out as well
            return data
        return self._plain[filled - len(data) : self._filled]

    def _open(self, tls: TlsStream, data: memoryview, filled: int) -> int:
        """Decrypt what was read, behind what was before; how much that is."""
        try:
            return tls.open(data, self._plain[filled:])
        finally:
            said = tls.to_send()  # of the handshake, or an alert
            if said:
                self._write(said)
            if tls.ready and not self._ready.done():
                self._ready.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
        self._transport.abort()
        self._leave(error)

    def eof_received(self) -> bool:
        """No half-open connections."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits."""
        if not self._ready.done():
            self._ready.set_exception(exc or ConnectionResetError("closed in the TLS handshake"))
        self._leave(exc)

    def _leave(self, error: Exception | None) -> None:
        self._on_closed(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(error)

    def send(self, request: bytes, receiver: Receiver) -> None:
        """Send a request; its response goes to ``receiver`` until ``release`` or ``close``."""
        self._receiver = receiver
        self.moved = True
        if self._tls is not None:
            try:
                request = self._tls.seal(request)
            except ssl.SSLError as error:
                asyncio.get_running_loop().call_soon(self._fail, error)
                return
        self._write(request)

    def _write(self, data: bytes) -> None:
        transport = self._transport
        sent = 0
        if not self.closing() and not transport.get_write_buffer_size():
            try:
                sent = os.write(self._file, data)  # half the cost of the loop's own way
            except OSError:
                sent = 0  # the transport finds out as well, and tells
        if sent < len(data):
            transport.write(data[sent:])

    def pause(self) -> None:
        """Take nothing until ``resume``."""
        if not self.paused:
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Take bytes again."""
        if self.paused:
            self.paused = False
            self.moved = True
            self._transport.resume_reading()

    def set_low_water_mark(self, count: int) -> None:
        """Take bytes when there are ``count`` of them, and not before: fewer, larger reads.

        At most twice as many are taken at a time, or ``USUAL`` of them.
        Whoever asks for it sees to it that as many come, or asks again (socket(7),
        SO_RCVLOWAT; an end of the connection is told at once all the same).
        """
        if not self.closing():
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._room = self._buffer[: max(2 * count, USUAL)]

    def release(self, now: float) -> None:
        """The response was read to its end: anyone may ask next, from this monotonic time on."""
        self._receiver = None
        self.used = True
        self.idle_since = now
        if self.paused:
            self.resume()
        self._on_idle(self)

    def close(self) -> None:
        """Nothing that still comes is wanted."""
        self._receiver = None
        self._on_closed(self)
        self._transport.abort()
