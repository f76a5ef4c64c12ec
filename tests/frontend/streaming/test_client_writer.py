"""Bytes reach a slow client whole and in order, and what waits is known."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest

from nearbucket.frontend.streaming.client_writer import ClientWriter
from tests.serving import LOOPS, PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops of every test here."""
    return LOOPS


class Connection(asyncio.Protocol):
    """The server's side, which passes on when the client has taken what waited."""

    writer: ClientWriter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.writer = ClientWriter(cast("asyncio.Transport", transport))

    def resume_writing(self) -> None:
        self.writer.resume_writing()


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[ClientWriter, asyncio.Transport, socket.socket]]:
    """A writer, its transport, and the client's socket, which nothing reads."""
    ours, client = socket.socketpair()
    with client:
        for each, option in ((ours, socket.SO_SNDBUF), (client, socket.SO_RCVBUF)):
            each.setsockopt(socket.SOL_SOCKET, option, 4096)
        client.setblocking(False)  # noqa: FBT003  # the standard library's signature
        ours.setblocking(False)  # noqa: FBT003
        loop = asyncio.get_running_loop()
        transport, connection = await loop.connect_accepted_socket(Connection, ours)
        try:
            yield connection.writer, transport, client
        finally:
            transport.abort()
            await asyncio.sleep(0)


async def taken(client: socket.socket, size: int) -> bytes:
    """So many bytes, as the client reads them."""
    loop, found = asyncio.get_running_loop(), b""
    async with asyncio.timeout(PATIENCE):
        while len(found) < size:
            found += await loop.sock_recv(client, size - len(found))
    return found


@pytest.mark.parametrize(
    ("head", "data"),
    [
        pytest.param(10, 20, id="all is taken at once"),
        pytest.param(10, 1 << 20, id="a part of the body waits"),
        pytest.param(1 << 20, 10, id="a part of the head waits"),
        pytest.param(0, 1 << 20, id="no head"),
    ],
)
async def test_what_the_client_does_not_take_waits_and_follows(head: int, data: int) -> None:
    first, second, more = os.urandom(head), os.urandom(data), os.urandom(1000)
    async with connected() as (writer, transport, client):
        waiting = writer.send(first, memoryview(second))
        assert waiting == transport.get_write_buffer_size()
        assert bool(waiting) is (head + data > 1000)
        then = writer.send(b"", memoryview(more))
        assert then == (waiting and waiting + 1000)
        assert await taken(client, head + data + 1000) == first + second + more


async def test_a_client_that_is_gone_takes_nothing() -> None:
    async with connected() as (writer, transport, _client):
        transport.abort()
        assert writer.send(b"head", memoryview(b"body")) is None


async def test_a_write_that_waits_ends_when_the_client_has_taken_it() -> None:
    async with connected() as (writer, transport, client):
        for _ in range(2):
            writing = asyncio.create_task(writer.write(bytes(1 << 20)))
            await asyncio.sleep(0.01)
            assert not writing.done()
            await taken(client, 1 << 20)
            await asyncio.wait_for(writing, PATIENCE)
            assert transport.get_write_buffer_size() == 0
