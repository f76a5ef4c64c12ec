"""Messages between the supervisor and a worker, over a socket pair for each worker.

Messages are pickled, each part with its length before it. Both ends are processes of one program
and one user, so pickle is safe.

To read a snapshot at once would hold a worker's event loop for 3 ms. So it is sent in parts: one
pickler writes them all, and later parts refer to objects in earlier ones. Between two parts the
worker answers clients.
"""

from __future__ import annotations

import asyncio
import gc
import io
import pickle
import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from nearbucket.replicas.object_version import CatalogBatch, VersionReport
from nearbucket.supervisor.snapshot import Snapshot

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from nearbucket.frontend.returning_clients.stuck_clients import StuckClient
    from nearbucket.policy.explain import ExplainQuery, Explanation
    from nearbucket.s3.credentials import Credentials
    from nearbucket.telemetry.history.missing_copies import MissingCopy
    from nearbucket.telemetry.metrics import Values

LAST_STATS = 1 << 62
"""The number of a worker's last ``Stats``, which answers every request."""

_BEHIND = 8 << 20
"""Bytes in the queue; a snapshot has about 1 MiB."""

_LENGTH = struct.Struct("!I")
_MORE = 1 << 31  # bit of a length: more parts of the message follow


@dataclass(frozen=True, slots=True)
class StatsRequest:
    """To a worker: send your metrics, with this number."""

    number: int


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: finish the open connections, and end (``Worker.drain``).

    If it drains already, ``cut_after`` counts anew, and the rest has no meaning.
    """

    cut_after: float
    grace: float = 0.0
    sockets_stay: bool = False


@dataclass(frozen=True, slots=True)
class ServeSockets:
    """To a worker: accept connections on the sockets of these workers too, and on no others."""

    slots: frozenset[int]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """From a worker, once a second: its event loop runs."""


@dataclass(frozen=True, slots=True)
class Ready:
    """From a worker: it accepts connections."""


@dataclass(frozen=True, slots=True)
class SnapshotRefused:
    """From a worker: the last snapshot cannot be applied, and the one before is in use."""

    error: str


@dataclass(frozen=True, slots=True)
class Stats:
    """From a worker: its metrics, and what else the admin port shows.

    ``number`` is that of the request, or ``LAST_STATS``; ``down`` says why targets and origins are,
    by site, and region or key of the origin. ``recent`` has the last lines of the access log.
    """

    number: int
    values: Values
    stuck_clients: tuple[StuckClient, ...] = ()
    down: Mapping[tuple[str, str], str] = field(default_factory=dict)
    missing_copies: tuple[MissingCopy, ...] = ()
    recent: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class ExplainRequest:
    """To a worker: explain the decision for a request; ``number`` is for the reply."""

    number: int
    query: ExplainQuery


@dataclass(frozen=True, slots=True)
class ExplainReply:
    """From a worker: the explanation, by what it knows of the copies."""

    number: int
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class CredentialsRequest:
    """From a worker: send the credentials of the AWS SDK's chain."""


@dataclass(frozen=True, slots=True)
class CredentialsReply:
    """To a worker: credentials, or status and detail of an ``OriginError``."""

    credentials: Credentials | None
    status: int = 0
    detail: str = ""


Message = (
    Snapshot
    | StatsRequest
    | ExplainRequest
    | ExplainReply
    | CredentialsRequest
    | Drain
    | ServeSockets
    | CatalogBatch
    | VersionReport
    | CredentialsReply
    | Heartbeat
    | Ready
    | SnapshotRefused
    | Stats
)


def encoded(message: Message) -> bytes:
    """The bytes of a message. Takes 10 ms for a snapshot, so call it ``in_background`` then."""
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


class SnapshotMessage:
    """A snapshot, and its bytes once they are needed.

    Attributes:
        snapshot: The snapshot.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    @cached_property
    def encoded(self) -> bytes:
        """The bytes; the first time as slow as ``encoded``."""
        return encoded(self.snapshot)


class Channel:
    """One end of the socket pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """A channel over a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=end))

    def send(self, message: Message) -> None:
        """Queue a message; the other end reads all the time, so the queue stays short."""
        self.send_encoded(encoded(message))

    @property
    def is_behind(self) -> bool:
        """Whether the other end has stopped reading, so that messages pile up here."""
        return self._writer.transport.get_write_buffer_size() > _BEHIND

    def send_encoded(self, data: bytes) -> None:
        """Queue a message that ``encoded`` has made bytes of."""
        if not self._writer.is_closing():  # receive reports that the other end is gone
            self._writer.write(data)

    async def receive(self) -> Message | None:
        """The next message, or None when the other end is gone."""
        body, more = io.BytesIO(), True
        unpickler = pickle.Unpickler(body)  # noqa: S301  # see the top of the file
        try:
            while more:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                more = bool(length & _MORE)
                body.write(await self._reader.readexactly(length & ~_MORE))
                body.seek(0)
                message: Message = unpickler.load()
                body.seek(0)
                body.truncate()
                if more:
                    # The collector stops tracking the part's few tuples here. Otherwise it would
                    # visit hundreds of the table's tuples at once, for 2 ms.
                    gc.collect(0)
                    await asyncio.sleep(0)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return message

    async def close(self) -> None:
        """Send what is queued, and close this end."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return
