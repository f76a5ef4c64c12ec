"""Connections of a worker that does not accept are accepted by another."""

from __future__ import annotations

import asyncio
import gc
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from nearbucket.supervisor.sockets.spare_sockets import SpareSockets

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 10.0


class Two:
    """Two bound sockets, and the spare ones of a worker that has neither."""

    def __init__(self, stack: ExitStack) -> None:
        self.listeners = {
            slot: stack.enter_context(socket.create_server(("127.0.0.1", 0))) for slot in (1, 2)
        }
        for listener in self.listeners.values():
            listener.setblocking(False)  # noqa: FBT003  # the standard library's signature
        copies = {slot: listener.dup() for slot, listener in self.listeners.items()}
        self.spare = SpareSockets(copies, self._accept)
        self._stack = stack

    async def _accept(self, listener: socket.socket) -> asyncio.Server:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello")
            writer.close()

        return await asyncio.start_server(answer, sock=listener)

    def client(self, slot: int) -> socket.socket:
        """A client that waits in the accept queue of a socket."""
        address = self.listeners[slot].getsockname()
        made = self._stack.enter_context(socket.create_connection(address))
        made.setblocking(False)  # noqa: FBT003  # the standard library's signature
        return made


@pytest.fixture
async def two() -> AsyncIterator[Two]:
    with ExitStack() as stack:
        made = Two(stack)
        yield made
        made.spare.close()


async def said(client: socket.socket) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await asyncio.get_running_loop().sock_recv(client, 100)


async def test_clients_that_wait_for_a_worker_are_answered_by_another(two: Two) -> None:
    waiting = two.client(1)
    two.spare.use([1])
    assert await said(waiting) == b"hello"
    assert await said(two.client(1)) == b"hello"


async def test_only_the_sockets_that_are_wanted_now_are_accepted_from(two: Two) -> None:
    two.spare.use([1])
    assert await said(two.client(1)) == b"hello"
    two.spare.use([2])
    two.spare.use([2])
    left = two.client(1)
    assert await said(two.client(2)) == b"hello"
    with pytest.raises(BlockingIOError):
        left.recv(1)
    accepted, _ = two.listeners[1].accept()  # it is still there for its own worker
    accepted.close()


async def test_a_socket_that_is_no_longer_wanted_when_it_would_be_opened_is_not(two: Two) -> None:
    two.spare.use([1])
    two.spare.use([])
    await asyncio.sleep(0)
    left = two.client(1)
    two.spare.use([2])
    assert await said(two.client(2)) == b"hello"
    with pytest.raises(BlockingIOError):
        left.recv(1)


async def test_all_sockets_are_accepted_from_before_they_are_closed(two: Two) -> None:
    waiting = two.client(1), two.client(2)
    two.spare.use_all()
    assert [await said(client) for client in waiting] == [b"hello", b"hello"]


async def test_then_a_worker_that_ends_does_not_keep_others_from_being_served(two: Two) -> None:
    two.spare.use_all()
    assert await said(two.client(2)) == b"hello"
    two.spare.use([1])  # the supervisor's word when worker 1 has ended its drain
    assert await said(two.client(2)) == b"hello"


async def test_a_socket_that_is_closed_before_it_could_be_opened_is_no_error(
    two: Two, caplog: pytest.LogCaptureFixture
) -> None:
    two.spare.use_all()
    two.spare.close()
    await asyncio.sleep(0)
    gc.collect()  # a task that failed says so when it is collected
    assert not caplog.records


async def test_a_worker_has_no_spare_socket_of_its_own(two: Two) -> None:
    two.spare.use([0, 1])
    assert await said(two.client(1)) == b"hello"


async def test_after_the_end_nothing_is_accepted_and_no_copy_keeps_the_port_open(two: Two) -> None:
    two.spare.use([1])
    assert await said(two.client(1)) == b"hello"
    two.spare.close()
    address = two.listeners[1].getsockname()
    two.listeners[1].close()
    await asyncio.sleep(0)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)
