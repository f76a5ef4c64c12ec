"""What supervisor and workers say to each other, over one socket pair a worker.

In and out: snapshots and the messages below, pickled, each part behind its length. Refuses to
know what is done with them. Both ends are processes of one program and one user, so pickle is safe.

A snapshot would take a worker 3 ms to read at once. So it is sent in parts: one pickler writes
them all, and a later part refers to what an earlier one holds. Between two parts the worker's loop
goes on answering clients.
"""

from __future__ import annotations

import asyncio
import gc
import io
import pickle
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearbucket.replicas.object_version import CatalogBatch
from nearbucket.supervisor.snapshot import Snapshot

if TYPE_CHECKING:
    import socket

    from nearbucket.s3.credentials import Credentials
    from nearbucket.telemetry.metrics import Values

LAST_STATS = 1 << 62
"""The number of a worker's last ``Stats``: it answers every request."""

_LENGTH = struct.Struct("!I")
_MORE = 1 << 31  # in a length: the message goes on after this part


@dataclass(frozen=True, slots=True)
class StatsRequest:
    """To a worker: send your figures, and the number of this request with them."""

    number: int


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: take no new connection, finish what runs, end."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: it answers."""


@dataclass(frozen=True, slots=True)
class SnapshotRefused:
    """From a worker: the last snapshot cannot be applied, and the one before is in use."""

    error: str


@dataclass(frozen=True, slots=True)
class Stats:
    """From a worker: its figures, for a request; ``LAST_STATS`` when it ends."""

    number: int

    values: Values


@dataclass(frozen=True, slots=True)
class CredentialsRequest:
    """From a worker: send what the SDK's credential chain gives."""


@dataclass(frozen=True, slots=True)
class CredentialsReply:
    """To a worker: credentials, or status and text of the error."""

    credentials: Credentials | None
    status: int = 0
    detail: str = ""


Message = (
    Snapshot
    | StatsRequest
    | CredentialsRequest
    | Drain
    | CatalogBatch
    | CredentialsReply
    | Ready
    | SnapshotRefused
    | Stats
)


def encoded(message: Message) -> bytes:
    """A message as it is sent. Takes 10 ms for a snapshot: in the background, where possible."""
    parts = message.table.parts() if isinstance(message, Snapshot) else ()
    frames, body = bytearray(), io.BytesIO()
    pickler = pickle.Pickler(body, protocol=pickle.HIGHEST_PROTOCOL)
    for part in (*parts, message):
        pickler.dump(part)
        more = 0 if part is message else _MORE
        frames += _LENGTH.pack(body.tell() | more) + body.getvalue()
        body.seek(0)
        body.truncate()
    return bytes(frames)


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
        self.send_encoded(encoded(message))

    def send_encoded(self, data: bytes) -> None:
        """Queue what ``encoded`` made of a message, once for several ends."""
        if not self._writer.is_closing():  # the other end may be gone, which receive tells
            self._writer.write(data)

    async def receive(self) -> Message | None:
        """The next message, or None when the other end is gone."""
        body = io.BytesIO()
        unpickler = pickle.Unpickler(body)  # noqa: S301  # see the top of the file
        try:
            while await self._part(body):
                unpickler.load()
                # At a few tuples a time, the collector sees that they need no watching. Else it
                # looks at some hundred of the table's at once, for 2 ms.
                gc.collect(0)
                await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        message: Message = unpickler.load()
        return message

    async def _part(self, body: io.BytesIO) -> bool:
        """Replace the body by the next part's, and say whether the message goes on after it."""
        (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
        data = await self._reader.readexactly(length & ~_MORE)
        body.seek(0)
        body.truncate()
        body.write(data)
        body.seek(0)
        return bool(length & _MORE)

    async def close(self) -> None:
        """Send what is queued and end the conversation."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
