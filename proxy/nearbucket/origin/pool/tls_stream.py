"""TLS of one connection to S3, in memory: ciphertext in, plaintext out, and the reverse.

docs/design.md, "TLS to S3 without the event loop's buffers", says why asyncio's TLS is not used.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 16 * 1024  # bytes given to OpenSSL at a time: its buffer never becomes smaller again
_MAX_PLAINTEXT = 1 << 14  # bytes in a record

MAX_RECORD = 5 + _MAX_PLAINTEXT + 2048
"""Bytes of the largest record, of TLS 1.2 (RFC 5246 section 6.2.3); TLS 1.3 allows less."""


class TlsStream:
    """The client's side of a TLS connection.

    Attributes:
        ready: Whether the handshake is complete.
        over: Whether the server has announced the end (close_notify).
    """

    __slots__ = ("_decrypt", "_incoming", "_outgoing", "_tls", "over", "ready")

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        """Begin the handshake; ``to_send`` has its first message.

        Args:
            context: Certificate authorities and TLS versions.
            host: The name that the certificate has to have.

        Raises:
            ValueError: No certificate can have that name.
        """
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        # typeshed has only the other signature
        self._decrypt = cast("Callable[[int, memoryview], int]", self._tls.read)
        self.ready = False
        self.over = False
        self._handshake()

    def to_send(self) -> bytes:
        """Ciphertext that has to be sent now: of the handshake, or an alert; mostly empty."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def seal(self, data: bytes) -> bytes:
        """Encrypt ``data``; only when ``ready``."""
        self._tls.write(data)
        return self._outgoing.read()

    def open(self, data: memoryview, into: memoryview) -> int:
        """Decrypt what the socket gave.

        Args:
            data: Ciphertext.
            into: Where the plaintext goes: room for ``data`` and ``MAX_RECORD`` bytes more. It may
                end with ``data`` itself, which is copied before it is overwritten.

        Returns:
            Bytes of plaintext.

        Raises:
            ssl.SSLError: Not TLS, changed on the way, or from a server that is not trusted.
        """
        filled = 0
        for start in range(0, len(data), _PIECE):
            self._incoming.write(data[start : start + _PIECE])
            if self.ready or self._handshake():
                # asking for an incomplete record costs an exception: until the last piece, as
                # many bytes are left as the largest record has
                is_last = start + _PIECE >= len(data)
                filled = self._read(into, filled, 0 if is_last else MAX_RECORD)
        return filled

    def _read(self, into: memoryview, filled: int, keep: int) -> int:
        """Decrypt all but the last ``keep`` bytes; returns where the plaintext ends."""
        incoming, decrypt = self._incoming, self._decrypt
        try:
            while incoming.pending > keep and not self.over:
                if filled >= len(into):  # reading into nothing would look like the end
                    raise ssl.SSLError("more plaintext than there is room for")
                count = decrypt(_MAX_PLAINTEXT, into[filled:])
                filled += count
                self.over = not count
        except ssl.SSLWantReadError:  # the next record is not complete
            pass
        return filled

    def _handshake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.ready = True
        return True
