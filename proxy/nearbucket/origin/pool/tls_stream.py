"""TLS of one connection to S3: bytes to bytes.

In: what came from the socket, and what is to be sent. Out: plaintext in a buffer that all
connections of a worker share, and what goes to the socket. Refuses to know sockets, loops and
HTTP; whom to trust is its context's.

Not the loop's own TLS: that gives every connection a read buffer of 256 KiB, which a slow client
holds for hours, and which pushes the others' out of the processor's cache. And OpenSSL is
asked only for records that are whole: to be told that one is not costs an exception, 3 to 5 us,
which is half of what decrypting a record costs.
"""

from __future__ import annotations

import ssl
from struct import Struct
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE = 32 * 1024  # bytes given to OpenSSL at a time: its buffer stays as large as the largest
_RECORD = Struct("!BBxH").unpack_from  # type, version, length of what follows (RFC 8446 5.1)
_HEADER = 5  # bytes of that
_TYPES = range(20, 25)
_MAJOR = 3  # version since SSL 3
_MOST = (1 << 14) + 2048  # of what follows, in TLS 1.2 (RFC 5246 6.2.3); 1.3 allows less

LARGEST = _HEADER + _MOST
"""Bytes of the largest record."""


class TlsStream:
    """The client's side.

    Attributes:
        ready: Whether the handshake is over.
        over: Whether the other side has said that nothing more comes (close_notify).
    """

    __slots__ = ("_decrypt", "_header", "_incoming", "_left", "_outgoing", "_tls", "over", "ready")

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
        self._header = b""  # of the next record, where only a part of it came
        self._left = 0  # bytes that the last record lacks
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
        filled = start = 0
        end, position = len(data), self._resume(data)
        whole = 1 if 0 < position <= end else 0
        while start < end:
            stop = start + _PIECE
            while position < stop and position + _HEADER <= end:
                position += _HEADER + _length(data, position)
                if position <= end:
                    whole += 1
            cut = position if position + _HEADER <= end else end
            self._incoming.write(data[start:cut])
            filled = self._read(whole, into, filled)
            start, whole = cut, 0
        if position < end:
            self._header += data[position:]
        self._left = position - end if position > end else 0
        return filled

    def _resume(self, data: memoryview) -> int:
        """Where in ``data`` the record ends that was begun before; 0 when there is none."""
        if not self._header:
            return self._left
        missing = _HEADER - len(self._header)
        header = self._header + data[:missing]
        if len(header) < _HEADER:
            return 0
        self._header = b""
        return missing + _length(header, 0)

    def _read(self, records: int, into: memoryview, filled: int) -> int:
        """Decrypt so many records that are whole; where their plaintext ends."""
        if not self.ready and not self._shake():
            return filled
        decrypt = self._decrypt
        for _ in range(records):
            if filled >= len(into):  # to OpenSSL, an empty place would look like the end
                raise ssl.SSLError("more plaintext than there is room for")
            try:
                count = decrypt(_MOST, into[filled:])
            except ssl.SSLWantReadError:  # it was a ticket's, or the handshake's last
                continue
            if not count:
                self.over = True
            filled += count
        return filled

    def _shake(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.ready = True
        return True


def _length(data: bytes | memoryview, position: int) -> int:
    """Bytes behind the header of a record that begins there."""
    kind, major, length = _RECORD(data, position)
    if length > _MOST or major != _MAJOR or kind not in _TYPES:
        raise ssl.SSLError(f"not TLS: {bytes(data[position : position + _HEADER])!r}")
    return length  # type: ignore[no-any-return]  # what Struct unpacks has no type
