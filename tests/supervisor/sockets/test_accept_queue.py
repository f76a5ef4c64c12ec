"""Closing a listening socket: what is in its queue is accepted, what comes later is not reset."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from nearbucket.supervisor.sockets.accept_queue import emptied, ignore_new_connections
from tests.serving import needs_socket_filters

if TYPE_CHECKING:
    from collections.abc import Iterator

WAITING = 20


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=WAITING) as made:
        yield made


@needs_socket_filters
def test_new_connections_are_ignored_and_those_in_the_queue_stay(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as early:
        assert ignore_new_connections(listener)
        with socket.socket() as late:
            late.settimeout(0.1)
            with pytest.raises(TimeoutError):  # neither accepted nor reset
                late.connect(listener.getsockname())
        early.sendall(b"asked")
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.recv(5) == b"asked"


class Closing(asyncio.Protocol):
    """Closes every connection, and counts them."""

    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        Closing.count += 1
        transport.close()


async def test_a_queue_is_empty_when_the_loop_has_accepted_all_of_it(
    listener: socket.socket,
) -> None:
    with ExitStack() as stack:
        for _ in range(WAITING):
            stack.enter_context(socket.create_connection(listener.getsockname()))
        ignore_new_connections(listener)
        server = await asyncio.get_running_loop().create_server(Closing, sock=listener)
        await emptied(listener)
        server.close()
        assert Closing.count == WAITING
