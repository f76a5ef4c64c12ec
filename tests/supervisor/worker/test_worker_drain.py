"""The sockets of other workers at the end of a worker."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest

from nearbucket.config.settings import Listen
from nearbucket.supervisor.prefork import open_listeners
from nearbucket.supervisor.worker.worker import Worker
from nearbucket.supervisor.worker.worker_drain import WorkerDrain
from tests.build import settings, snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nearbucket.supervisor.worker.worker_drain import Accepting

PATIENCE = 10.0
REQUEST = b"GET /.well-known/nearbucket/none HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
async def worker() -> AsyncIterator[tuple[Worker, socket.socket]]:
    """A worker, and the socket of another one that does not accept."""
    own, other = open_listeners(Listen(host="127.0.0.1", port=0), 1), socket.socket()
    other.bind(("127.0.0.1", 0))
    other.listen()
    for each in (*own, other):
        each.setblocking(False)  # noqa: FBT003  # the standard library's signature
    made = Worker(snapshot(settings()))
    await made.start(own[0], {1: other.dup()})
    with closing(other):
        yield made, other
    await made.context.log.close()


def client_of(listener: socket.socket) -> socket.socket:
    client = socket.create_connection(listener.getsockname())
    client.sendall(REQUEST)
    client.setblocking(False)  # noqa: FBT003  # the standard library's signature
    return client


async def test_what_waits_for_another_worker_is_answered_before_the_sockets_are_closed(
    worker: tuple[Worker, socket.socket],
) -> None:
    draining, other = worker
    with closing(client_of(other)) as client:
        assert await draining.drain(PATIENCE) == 0
        async with asyncio.timeout(PATIENCE):
            answer = await asyncio.get_running_loop().sock_recv(client, 100)
        assert answer.startswith(b"HTTP/1.1 ")
    address = other.getsockname()
    other.close()
    with pytest.raises(ConnectionRefusedError):  # the worker has no copy any more
        socket.create_connection(address)


async def test_a_worker_without_a_connection_accepts_new_ones_for_the_whole_grace(
    worker: tuple[Worker, socket.socket],
) -> None:
    draining, other = worker
    ended = asyncio.create_task(draining.drain(PATIENCE, grace=0.5))
    with socket.socket() as client:
        client.setblocking(False)  # noqa: FBT003  # the standard library's signature
        await asyncio.sleep(0)  # the drain begins
        async with asyncio.timeout(PATIENCE):
            await asyncio.get_running_loop().sock_connect(client, other.getsockname())
        client.sendall(REQUEST)
        assert await ended == 0
        assert client.recv(100).startswith(b"HTTP/1.1 ")


async def test_nothing_is_accepted_from_sockets_that_stay_open(
    worker: tuple[Worker, socket.socket],
) -> None:
    draining, other = worker
    with closing(client_of(other)) as client:
        assert await draining.drain(PATIENCE, sockets_stay=True) == 0
        with pytest.raises(BlockingIOError):
            client.recv(1)
        accepted, _ = other.accept()
        accepted.close()


class LateConnection:
    """One that the event loop has accepted, and makes when the sockets are closed already."""

    is_answering = True

    def __init__(self, connections: set[Any]) -> None:
        self.connections = connections
        self.was_cut = False

    def stop_now(self) -> None:
        """In the place of ``Accepting``."""
        asyncio.get_running_loop().call_soon(self.connections.add, self)

    def check(self, _now: float) -> None:
        self.connections.discard(self)  # it has been answered

    def abort(self) -> None:
        self.was_cut = True


async def test_a_connection_that_was_accepted_last_is_answered(
    worker: tuple[Worker, socket.socket],
) -> None:
    context = worker[0].context
    late = LateConnection(cast("set[Any]", context.connections))
    drain = WorkerDrain(context, cast("Accepting", late), PATIENCE)
    assert await drain.run(0.0, sockets_stay=True) == 0
    assert (context.connections, late.was_cut) == (set(), False)
    await worker[0].drain(PATIENCE)
