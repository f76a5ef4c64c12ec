"""TLS of one connection to S3: bytes to bytes.

In: what came from the socket, and what is to be sent. Out: plaintext in a buffer that all
connections of a worker share, and what goes to the socket. Refuses to know sockets, loops and
HTTP; whom to trust is its context's.

Not the loop's own TLS: that gives every connection a read buffer of 256 KiB, which a slow client
holds for hours, and which pushes the others' out of the processor's cache.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 16 * 1024  # bytes given to OpenSSL at a time: its buffer stays as large as the largest
_MAX_PLAINTEXT = 1 << 14  # bytes in a record

LARGEST = 5 + _MAX_PLAINTEXT + 2048
"""Bytes of the largest record, of TLS 1.2 (RFC 5246 section 6.2.3); TLS 1.3 allows less."""


class TlsStream:
    """The client's side.

    Attributes:
        ready: Whether the handshake is over.
        over: Whether the other side has said that nothing more comes (close_notify).
    """

    __slots__ = ("_decrypt", "_incoming", "_outgoing", "_tls", "over", "ready")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """Begin the handshake: there is something ``to_send``.

        Args:
            context: Whom to trust, and how to speak.
            host: Whose certificate it has to be.

        Raises:
            ValueError: There can be none for such a host.
        """
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        # typeshed knows only the other way to call it
        self._decrypt = cast("Callable[[int, memoryview], int]", self._tls.read)
        self.ready = False
        self.over = False
        self._shake()

    def to_send(self) -> bytes:
        """What the socket is to be given now; mostly nothing."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def seal(self, data: bytes) -> bytes:
        """What to send so that the other side reads ``data``; only when ``ready``."""
        self._tls.write(data)
        return self._outgoing.read()

    def open(self, data: memoryview, into: memoryview) -> int:
        """Take what came.

        Args:
            data: Bytes of the connection.
            into: Where the plaintext goes: room for ``data``, and ``LARGEST`` more. It may end
                with ``data`` itself: what is there is copied before it is written over.

        Returns:
            Bytes of plaintext.

        Raises:
            ssl.SSLError: Not what a trusted server sends.
        """
        filled = 0
        for start in range(0, len(data), _PIECE):
            self._incoming.write(data[start : start + _PIECE])
            if self.ready or self._shake():
                # asking for an incomplete record costs an exception: until the last piece,
                # enough is left for OpenSSL to have a complete one
                is_last = start + _PIECE >= len(data)
                filled = self._read(into, filled, 0 if is_last else LARGEST)
        return filled

    def _read(self, into: memoryview, filled: int, keep: int) -> int:
        """Decrypt all but the last ``keep`` bytes of ciphertext; where the plaintext ends."""
        incoming, decrypt = self._incoming, self._decrypt
        try:
            while incoming.pending > keep and not self.over:
                if filled >= len(into):  # to OpenSSL, an empty place would look like the end
                    raise ssl.SSLError("more plaintext than there is room for")
                count = decrypt(_MAX_PLAINTEXT, into[filled:])
                filled += count
                self.over = not count
        except ssl.SSLWantReadError:  # the next record is not complete
            pass
        return filled

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.ready = True
        return True
