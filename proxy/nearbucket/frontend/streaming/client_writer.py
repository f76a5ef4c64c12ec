"""Writing to a client that may take bytes more slowly than they come.

Bytes go to the client's socket at once. What the socket does not take is copied once and left to
the transport; then nothing more may be sent until the client has taken it.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class ClientWriter:
    """Writes streamed responses to one client."""

    __slots__ = ("_descriptor", "_drained", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        """Write to the connection of a client."""
        self._transport = transport
        self._drained: asyncio.Event | None = None
        self._descriptor = -1  # under TLS all goes through the transport
        if transport.get_extra_info("sslcontext") is None:
            self._descriptor = transport.get_extra_info("socket").fileno()

    def send(self, head: bytes, data: memoryview) -> int | None:
        """Write a response's head (may be empty) and bytes of its body.

        Returns how many bytes wait in the transport; if there are any, nothing more may be sent
        until ``resume_writing``. None: the client is gone.
        """
        transport = self._transport
        if transport.is_closing():  # its descriptor may belong to another connection by now
            return None
        pieces = (head, data) if head else (data,)
        if self._descriptor < 0 or transport.get_write_buffer_size():
            transport.write(b"".join(pieces))
        else:
            try:
                left = len(head) + len(data) - os.writev(self._descriptor, pieces)
            except BlockingIOError:
                left = len(head) + len(data)
            except OSError:
                return None
            if not left:
                return 0
            transport.write(_tail_of(pieces, left))
        waiting = transport.get_write_buffer_size()
        if waiting:
            self._ask_for_resume()
        return waiting

    def resume_writing(self) -> None:
        """The client has taken what waited."""
        if self._drained is not None:
            self._drained.set()

    async def write(self, data: bytes) -> None:
        """Write, and wait until the client has taken it."""
        transport = self._transport
        transport.write(data)
        self._drained = self._drained or asyncio.Event()
        while transport.get_write_buffer_size():
            self._drained.clear()
            self._ask_for_resume()
            await self._drained.wait()

    def _ask_for_resume(self) -> None:
        """Have ``resume_writing`` called when the client has taken all that waits.

        TLS pauses at the limit, other transports above it: at 0, TLS would pause with nothing to
        wait for, and never resume.
        """
        self._transport.set_write_buffer_limits(high=1 if self._descriptor < 0 else 0, low=0)


def _tail_of(pieces: Sequence[bytes | memoryview], left: int) -> bytes:
    """The last ``left`` bytes of the pieces, copied."""
    *before, last = pieces
    if left <= len(last):
        return bytes(last[len(last) - left :])
    return b"".join((*before, last))[-left:]
