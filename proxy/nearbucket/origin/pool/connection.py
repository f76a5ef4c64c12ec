"""One connection to S3: sends a request, and passes what comes back to a receiver, unread."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from typing import TYPE_CHECKING, Protocol, cast

from nearbucket.origin.pool.read_buffer import USUAL
from nearbucket.s3.receive_buffer import fix_receive_buffer

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.origin.pool.read_buffer import ReadBuffers
    from nearbucket.origin.pool.tls_stream import TlsStream


class Receiver(Protocol):
    """Gets the response to a request."""

    def received(self, data: memoryview) -> None:
        """Take the next bytes; they are overwritten when this returns."""

    def lost(self, error: Exception | None) -> None:
        """Take notice that the connection is gone."""


class UpstreamConnection(asyncio.BufferedProtocol):
    """One connection: idle, or in use by one receiver.

    Attributes:
        used: Whether it has been idle before: S3 may have closed it meanwhile.
        idle_since: Monotonic time since which it has been idle.
        paused: Whether reading is paused.
        closing: Whether the connection is being closed.
        moved: Whether bytes came since this was last set to False.
    """

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
            buffers: The worker's buffers.
            tls: TLS of the connection; None for plain HTTP.
            ready: Done when a request may be sent, failed if that is not going to happen.
            on_idle: Called when a response has been read to its end.
            on_closed: Called when the connection cannot be used any more.
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
        self._is_fixed = True  # the socket's receive buffer does not grow
        self.paused = False
        self.used = False
        self.moved = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the TLS handshake, or be ready."""
        self._transport = cast("asyncio.Transport", transport)
        self.closing = transport.is_closing
        sock = transport.get_extra_info("socket")
        self._file = sock.fileno()
        fix_receive_buffer(sock, fixed=True)
        if self._tls is not None:
            self._write(self._tls.to_send())
        elif not self._ready.done():
            self._ready.set_result(None)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  # asyncio's signature
        """Where the event loop reads into."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Pass bytes on; an idle connection on which bytes come is closed."""
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
        """Over TLS, read what came while ``data`` was decrypted, without waiting.

        Otherwise every third response of 64 KiB took a second turn of the event loop, and a second
        write to the client.

        Args:
            data: What ``received`` was given, or the end of it.

        Returns:
            ``data``, and behind it what came.
        """
        tls, filled = self._tls, self._filled
        if tls is None or filled >= USUAL or self.closing():
            return data
        raw = self._buffer[filled:USUAL]
        try:
            size = os.readv(self._file, [raw])
            self._filled += self._open(tls, raw[:size], filled)
        except ssl.SSLError as error:  # after what came before it has been passed on
            asyncio.get_running_loop().call_soon(self._fail, error)
        except OSError:  # nothing came, or an error that the transport will find too
            return data
        return self._plain[filled - len(data) : self._filled]

    def _open(self, tls: TlsStream, data: memoryview, filled: int) -> int:
        """Decrypt into ``_plain`` from ``filled`` on; returns the bytes of plaintext."""
        try:
            return tls.open(data, self._plain[filled:])
        finally:
            reply = tls.to_send()  # of the handshake, or an alert
            if reply:
                self._write(reply)
            if tls.ready and not self._ready.done():
                self._ready.set_result(None)

    def _fail(self, error: Exception) -> None:
        if not self._ready.done():
            self._ready.set_exception(error)
        self._transport.abort()
        self._leave(error)

    def eof_received(self) -> bool:
        """Let the transport close: half-open connections are of no use."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the receiver, or the opener that waits for the handshake."""
        if not self._ready.done():
            self._ready.set_exception(exc or ConnectionResetError("closed in the TLS handshake"))
        self._leave(exc)

    def _leave(self, error: Exception | None) -> None:
        self._on_closed(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.lost(error)

    def send(self, request: bytes, receiver: Receiver) -> None:
        """Send a request; what comes goes to ``receiver`` until ``release`` or ``close``."""
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
                sent = os.write(self._file, data)  # half the cost of the transport's way
            except OSError:
                sent = 0  # the transport will find the error too
        if sent < len(data):
            transport.write(data[sent:])

    def pause(self) -> None:
        """Read nothing until ``resume``."""
        if not self.paused:
            self.paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self.paused:
            self.paused = False
            self.moved = True
            self._transport.resume_reading()

    def set_low_water_mark(self, count: int) -> None:
        """Read only when ``count`` bytes have come, at most four times as many at a time.

        With 1 they are read as they come, at most ``USUAL`` at a time.

        The caller lowers the mark before fewer bytes are left. The end of the connection is
        noticed at once all the same (socket(7), SO_RCVLOWAT).
        """
        if not self.closing():
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            self._room = self._buffer[: 4 * count if count > 1 else USUAL]

    def fix_receive_buffer(self, *, fixed: bool) -> None:
        """Keep the socket's receive buffer from growing, or let it grow again."""
        if self._is_fixed is not fixed and not self.closing():
            self._is_fixed = fixed
            fix_receive_buffer(self._transport.get_extra_info("socket"), fixed=fixed)

    def release(self, now: float) -> None:
        """Return to the pool, since the response has been read to its end; ``now`` is monotonic."""
        self._receiver = None
        self.used = True
        self.idle_since = now
        if self.paused:
            self.resume()
        self.fix_receive_buffer(fixed=True)
        self._on_idle(self)

    def close(self) -> None:
        """Close the connection at once, and drop what still comes."""
        self._receiver = None
        self._on_closed(self)
        self._transport.abort()
