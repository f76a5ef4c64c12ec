"""Writing to a client that may be slower than what is written comes.

In: pieces of an answer. Out: the same on the client's socket, at once where that takes them.
Refuses to know what they are. What the socket does not take is copied once, and then whoever
writes has to stop until it is gone.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ClientWriter:
    """Writes one response to the client."""

    __slots__ = ("_drained", "_file", "_transport")

    def __init__(self, transport: asyncio.Transport, file: int) -> None:
        """Write nothing yet.

        Args:
            transport: The client's connection.
            file: The descriptor of that, to be written to directly; -1 under TLS.
        """
        self._transport = transport
        self._file = file
        self._drained: asyncio.Event | None = None

    def _send(self, head: bytes, data: memoryview) -> bool:
        """Write both; False when the client is gone."""
        transport = self._transport
        if transport.is_closing():  # its descriptor may be somebody else's by now
            return False
        pieces = (head, data) if head else (data,)
        if self._file < 0 or transport.get_write_buffer_size():
            transport.write(b"".join(pieces))
        else:
            try:
                left = len(head) + len(data) - os.writev(self._file, pieces)
            except BlockingIOError:
                left = len(head) + len(data)
            except OSError:
                return False
            if not left:
                return True
            transport.write(_tail_of(pieces, left))
        if transport.get_write_buffer_size():
            transport.set_write_buffer_limits(high=0)  # ask to be told when it has gone
            self._on_backpressure()
        return True

    def _on_backpressure(self) -> None:
        """The client is behind: let nothing more come until ``resume_writing``."""

    def resume_writing(self) -> None:
        """The client has taken what waited."""
        if self._drained is not None:
            self._drained.set()

    async def _write(self, data: bytes) -> None:
        """Write, and wait until the client has taken it."""
        transport = self._transport
        transport.write(data)
        self._drained = self._drained or asyncio.Event()
        while transport.get_write_buffer_size():
            self._drained.clear()
            transport.set_write_buffer_limits(high=0)
            await self._drained.wait()


def _tail_of(pieces: Sequence[bytes | memoryview], left: int) -> bytes:
    """The last ``left`` bytes of the pieces, copied."""
    *before, last = pieces
    if left <= len(last):
        return bytes(last[len(last) - left :])
    return b"".join((*before, last))[-left:]
