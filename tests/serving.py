"""A worker inside the test's loop, and a client that speaks raw bytes to it.

Tests of behaviour know the product by this module, ``build`` and ``tuning`` alone: what they need
of its internals is a method of ``Served`` or a function there. So they stay as they are when those
change.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from asyncio.subprocess import PIPE
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from itertools import compress
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import pytest
import uvloop
from aiohttp import ClientTimeout

from nearbucket.config.settings import Listen
from nearbucket.frontend.client_connection import ClientConnection
from nearbucket.frontend.returning_clients.came_back import AskerState
from nearbucket.frontend.returning_clients.recent_redirects import _STATE
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.s3.tls_trust import trusted
from nearbucket.supervisor.prefork import open_listeners
from nearbucket.supervisor.sockets.accept_queue import ignore_new_connections
from nearbucket.supervisor.worker.worker import Worker
from nearbucket.telemetry.savings import Savings
from tests.build import snapshot
from tests.skips import NO_FILTERS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from nearbucket.config.settings import Settings
    from nearbucket.telemetry.metrics import Labels

    Serve = Callable[..., AbstractAsyncContextManager["Served"]]
    """``serving``, through the lanes of a test."""

PATIENCE = 10.0
"""Seconds before a silent server fails a test."""
RESET = struct.pack("ii", 1, 0)
"""Value of SO_LINGER with which a connection ends with RST."""

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}
"""The event loops: the one that serves, and the standard library's."""


def _takes_filters() -> bool:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return ignore_new_connections(listener)


needs_socket_filters = pytest.mark.skipif(not _takes_filters(), reason=NO_FILTERS)
"""For tests in which no connection is reset when a listening socket is closed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One parsed answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def comparable(self) -> Answer:
        """The answer without what may differ from one second to the next."""
        return Answer(
            self.status, {k: v for k, v in self.headers.items() if k != "date"}, self.body
        )


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> Self:
        """Send each piece on its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)
        return self

    async def answer(self, *, head: bool = False) -> Answer:
        """Read one answer."""
        return await read_answer(self.reader, head=head)

    async def rest(self) -> bytes:
        """Everything until the server closes."""
        with suppress(ConnectionError):
            return await asyncio.wait_for(self.reader.read(), PATIENCE)
        return b""

    async def skip(self, size: int) -> None:
        """Read and discard so many bytes."""
        while size:
            piece = await asyncio.wait_for(self.reader.read(min(size, 1 << 20)), PATIENCE)
            assert piece
            size -= len(piece)

    async def get(self, target: str, *fields: str, method: str = "GET") -> Answer:
        """One request and its answer."""
        await self.send(head_of(target, *fields, method=method))
        return await self.answer(head=method == "HEAD")

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """End the connection with RST: after a FIN the client could still wait for its answer."""
        ours = self.writer.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.writer.transport.abort()


async def read_answer(reader: asyncio.StreamReader, *, head: bool = False) -> Answer:
    """Read one answer, as HTTP/1.1 frames it."""
    raw = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
    lines = raw.decode("latin-1").split("\r\n")
    headers: dict[str, str] = {}
    for line in lines[1:-2]:
        name, _, value = line.partition(":")
        assert name.lower() not in headers, f"{name} twice"
        headers[name.lower()] = value.strip()
    status = int(lines[0].split()[1])
    assert "transfer-encoding" not in headers
    empty = head or status in {204, 304}
    length = 0 if empty else int(headers["content-length"])
    body = await asyncio.wait_for(reader.readexactly(length), PATIENCE)
    return Answer(status, headers, body)


def head_of(target: str, *fields: str, method: str = "GET") -> bytes:
    """A request head with a Host and the given fields."""
    lines = [f"{method} {target} HTTP/1.1", "Host: dl.example", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def client_at(address: str) -> str:
    """The field by which loopback, a trusted proxy here, names the client."""
    return f"X-Forwarded-For: {address}"


_CROWD = """
import socket, sys
port, count, head = int(sys.argv[1]), int(sys.argv[2]), sys.stdin.buffer.read()
clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]
for client in clients:
    client.sendall(head)
for client in clients:
    while said := client.recv(65536):
        sys.stdout.buffer.write(said)
"""


class Served:
    """A worker that answers on a loopback port."""

    def __init__(self, worker: Worker, port: int) -> None:
        self.worker = worker
        self.port = port
        self._clients: list[Client] = []
        self._ahead = 0.0

    async def connect(self) -> Client:
        """A new connection."""
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(client)
        return client

    async def get(self, target: str, *fields: str, method: str = "GET") -> Answer:
        """One request on a connection of its own."""
        return await (await self.connect()).get(target, *fields, method=method)

    def count(self, name: str, *labels: str) -> float:
        """One value of the worker's metrics."""
        return self.figures(name).get(labels, 0)

    def figures(self, name: str) -> dict[Labels, float]:
        """All series of a metric, with the dollars that the supervisor adds."""
        savings = Savings(0)
        savings.apply(self.worker.context.settings)
        return savings.priced(self.worker.context.counters.snapshot(), 0)[name]

    def series(self) -> dict[str, int]:
        """How many series each metric has."""
        return {
            name: len(series) for name, series in self.worker.context.counters.snapshot().items()
        }

    def target_up(self, site: str, region: str) -> bool:
        """Whether clients are redirected to a target, as the metric says."""
        return bool(self.worker.figures()["nearbucket_target_up"][site, region])

    def target_was_readable(self) -> bool:
        """Whether an object of a target could be read as a client reads it."""
        return any(one.readable for one in self.worker._replicas.clients._checked.values())

    def seconds(self, action: str) -> float:
        """The sum of the histogram of request durations, for one action."""
        slots = self.figures("nearbucket_request_seconds")
        return next(value for (name, _), value in slots.items() if name == action)

    async def crowd(self, count: int, head: bytes) -> list[Answer]:
        """The answers to one head, which ends each connection, from many connections at once.

        The clients are another process: both ends in one would need more than the 1,024
        descriptors that an ordinary user has.
        """
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CROWD, str(self.port), str(count), stdin=PIPE, stdout=PIPE
        )
        try:
            said, _ = await asyncio.wait_for(child.communicate(head), 6 * PATIENCE)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert child.returncode == 0
        reader = asyncio.StreamReader()
        reader.feed_data(said)
        reader.feed_eof()
        return [await read_answer(reader) for _ in range(count)]

    def open_connections(self) -> int:
        """How many client connections are open."""
        return int(self.count("nearbucket_connections"))

    def client_connections(self) -> list[ClientConnection]:
        """The open client connections."""
        return [
            lane for lane in self.worker.context.connections if isinstance(lane, ClientConnection)
        ]

    def begun_heads(self) -> int:
        """How many connections have sent a part of a request head, and not yet the rest."""
        return sum(lane.timeouts.phase.name == "HEAD" for lane in self.client_connections())

    def streams(self) -> int:
        """How many objects are being streamed."""
        return int(self.count("nearbucket_streams_in_progress"))

    def unsent(self) -> int:
        """Bytes for clients that the kernel has not taken yet."""
        return sum(lane._transport.get_write_buffer_size() for lane in self.client_connections())

    def pass_time(self, seconds: float) -> None:
        """Let the worker's clock tick once, as if ``seconds`` had passed since the last call.

        From the first call on it ticks only when this is called.
        """
        self.worker._ticking.cancel()
        self._ahead += seconds
        self.worker.tick(monotonic() + self._ahead)

    def age_redirects(self, seconds: float) -> None:
        """Let it be so much longer ago that clients were redirected."""
        askers = self.worker.context.decider._redirect_table.askers
        slots = range(0, len(askers), _STATE.size)
        marks = askers.cast("Q")[:: _STATE.size // 8]  # of the askers; 0 where there is none
        for place in compress(slots, marks):
            state = AskerState._make(_STATE.unpack_from(askers, place))
            older = state._replace(time=state.time - seconds, minute=state.minute - seconds)
            _STATE.pack_into(askers, place, *older)

    def reload(self, settings: Settings) -> None:
        """Use another configuration from the next request on."""
        self.worker.apply(snapshot(settings))

    def origins_down(self) -> dict[tuple[str, str], str]:
        """Why origins are down, by site and key."""
        return {name: why for name, why in self.worker.down().items() if "-" not in name[1]}

    def stuck_clients(self) -> list[str]:
        """The addresses of clients whose redirects fail."""
        return [each.client for each in self.worker.stuck_clients()]

    def shorten_origin_timeout(self, seconds: float) -> None:
        """How long the origin may be silent in the aiohttp lane; the relay's lane goes by ticks."""
        session = self.worker._origins.session
        session._timeout = ClientTimeout(total=None, sock_read=seconds)

    async def write_log(self) -> None:
        """Write the log lines of all answers so far; no connection may be open."""
        await self.settled()
        log = self.worker.context.log
        async with asyncio.timeout(PATIENCE):
            for _ in range(3):  # what is being written, then the rest
                while log._writer.waiting:  # noqa: ASYNC110  # another thread writes
                    await asyncio.sleep(0.001)
                log.flush()

    async def drain(self, seconds: float | None = None) -> int:
        """Shut down as at SIGTERM, within ``limits.drain_timeout`` or so many seconds.

        Returns:
            The number of answers that were cut.
        """
        limit = self.worker.context.settings.limits.drain_timeout
        return await self.worker.drain(limit if seconds is None else seconds)

    def begin_drain(self) -> None:
        """Take no further requests, as at SIGTERM, without an end."""
        self.worker.context.drain()

    def kept_connections(self) -> int:
        """Connections that a drain waits for, or closes: open ones, and those being closed."""
        return len(self.worker.context.connections)

    async def settled(self) -> None:
        """Wait until no answer is under way."""
        async with asyncio.timeout(PATIENCE):
            while self.streams():  # noqa: ASYNC110  # a plain integer
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Close clients, then the worker."""
        for client in self._clients:
            await client.close()
        await self.worker.drain(
            self.worker.context.settings.limits.drain_timeout, sockets_stay=True
        )
        await self.worker.context.log.close()


@asynccontextmanager
async def serving(
    settings: Settings,
    *,
    fast_lane: bool = True,
    relay: bool = True,
    log: int | None = None,
    credentials: Callable[[], Awaitable[Any]] | None = None,
) -> AsyncIterator[Served]:
    """Serve a configuration.

    Args:
        settings: The configuration.
        fast_lane: Whether there is a lane below aiohttp.
        relay: Whether that streams, too.
        log: Descriptor of the access log; without one it goes nowhere.
        credentials: Finds botocore credentials in place of the AWS SDK's chain.
    """
    listener = open_listeners(Listen(host="127.0.0.1", port=0))[0]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    descriptor = nowhere if log is None else log
    worker = Worker(
        snapshot(settings),
        fast_lane=fast_lane,
        relay=relay,
        descriptor=descriptor,
        ambient=SdkCredentials(credentials),
    )
    listener.setblocking(False)  # noqa: FBT003  # the standard library's signature
    await worker.start(listener)
    served = Served(worker, listener.getsockname()[1])
    try:
        yield served
    finally:
        await served.close()
        os.close(nowhere)


@contextmanager
def trusting(authorities: Path) -> Iterator[None]:
    """Trust this file of certificate authorities on the way to S3, and no other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(authorities))
        trusted.cache_clear()
        try:
            yield
        finally:
            trusted.cache_clear()
