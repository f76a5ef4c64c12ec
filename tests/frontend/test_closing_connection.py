"""Connections that were closed in a drain."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.frontend.closing_connection import ClosingConnection, closing_connection

if TYPE_CHECKING:
    from collections.abc import Iterator

BUFFER, IDLE = 16_384, 75.0


class Closed(asyncio.Transport):
    """A transport that is about to close its socket."""

    def __init__(self, sock: socket.socket | None) -> None:
        super().__init__()
        self._sock = sock

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._sock if name == "socket" else default


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """The proxy's socket and the client's."""
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as listener:
        client = stack.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        client.connect(listener.getsockname())
        yield stack.enter_context(listener.accept()[0]), client


@pytest.fixture
def full(pair: tuple[socket.socket, socket.socket]) -> tuple[socket.socket, socket.socket]:
    """The same, when the kernels take no more of a client that reads nothing."""
    sock = pair[0]
    sock.setblocking(False)  # noqa: FBT003  # the standard library's signature
    with suppress(BlockingIOError):
        while sock.send(bytes(1 << 20)):
            pass
    return pair


def left_of(sock: socket.socket, ended: list[ClosingConnection]) -> ClosingConnection:
    """What stays of a connection whose transport closes its socket."""
    closing = closing_connection(Closed(sock), IDLE, ended.append)
    assert closing is not None
    sock.close()
    return closing


def test_it_stays_open_while_the_client_takes_bytes_and_ends_when_it_takes_none(
    full: tuple[socket.socket, socket.socket],
) -> None:
    sock, client = full
    ended: list[ClosingConnection] = []
    closing = left_of(sock, ended)
    start = closing._since
    for step in range(1, 4):
        client.recv(8 * BUFFER, socket.MSG_WAITALL)  # more than its kernel holds
        closing.check(start + step * IDLE)
        assert not ended
    closing.check(start + 4 * IDLE)
    assert not ended
    assert closing.is_answering
    closing.check(start + 4 * IDLE + 1)
    assert ended == [closing]


def test_the_client_gets_everything_and_then_the_end(
    full: tuple[socket.socket, socket.socket],
) -> None:
    sock, client = full
    ended: list[ClosingConnection] = []
    closing = left_of(sock, ended)
    while client.recv(1 << 20):
        assert not ended
    while closing.is_answering:  # the client's kernel confirms the end at once, or after a moment
        assert not ended  # so a drain that ends before the next check has not cut it
    closing.check(closing._since)
    assert ended == [closing]


def test_nothing_is_kept_of_a_connection_whose_client_has_everything(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    assert closing_connection(Closed(pair[0]), IDLE, lambda _: None) is None


def test_nothing_is_kept_without_a_socket_or_without_a_free_descriptor(
    full: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dup(_descriptor: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    assert closing_connection(Closed(None), IDLE, lambda _: None) is None
    monkeypatch.setattr(os, "dup", dup)
    assert closing_connection(Closed(full[0]), IDLE, lambda _: None) is None
