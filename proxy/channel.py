"""What supervisor and workers say to each other, over one socket pair a worker.

In and out: snapshots and the messages below, pickled, each behind its length. Refuses to
know what is done with them. Both ends are processes of one program and one user, so pickle is safe.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.snapshot import Snapshot

if TYPE_CHECKING:
    import socket

    from proxy.edge.metrics import Values

LAST = 1 << 62
"""The number of a worker's last report: it answers every question."""

_LENGTH = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Ask:
    """To a worker: report your figures, and the number of this question with them."""

    question: int


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: take no new connection, finish what runs, end."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: it answers."""


@dataclass(frozen=True, slots=True)
class Report:
    """From a worker: its figures, for a question; ``LAST`` when it ends."""

    question: int

    values: Values


Message = Snapshot | Ask | Drain | Ready | Report


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Speak over a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Message) -> None:
        """Queue a message; the other end always reads."""
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def receive(self) -> Message | None:
        """The next message, or None when the other end is gone."""
        try:
            head = await self._reader.readexactly(_LENGTH.size)
            data = await self._reader.readexactly(_LENGTH.unpack(head)[0])
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        message: Message = pickle.loads(data)  # noqa: S301  # see the top of the file
        return message

    async def close(self) -> None:
        """Send what is queued and end the conversation."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
