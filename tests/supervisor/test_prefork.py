"""The sockets of the public port and of the admin port."""

from __future__ import annotations

import os
import select
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from errno import EACCES, EADDRINUSE, EADDRNOTAVAIL
from itertools import chain
from typing import Any

import pytest

from nearbucket.config.settings import Admin, Listen
from nearbucket.errors import ConfigError
from nearbucket.supervisor.prefork import open_listeners
from tests.skips import NO_IPV6


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


WITH_IPV6 = pytest.mark.skipif(not has_ipv6(), reason=NO_IPV6)


@pytest.mark.parametrize("section", [Listen, Admin])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@WITH_IPV6
def test_two_colons_as_host_take_both_kinds_of_addresses_on_either_port(
    section: type[Listen | Admin], address: str
) -> None:
    (listener,) = open_listeners(section(host="::", port=0))
    with listener:
        listener.listen()
        with closing(socket.create_connection((address, listener.getsockname()[1]), 5)) as client:
            assert client.getpeername()[0] == address


@pytest.mark.parametrize("section", [Listen, Admin])
@WITH_IPV6
def test_two_colons_as_host_are_refused_where_the_ipv4_port_is_taken(
    section: type[Listen | Admin],
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as other, pytest.raises(ConfigError) as error:
        open_listeners(section(host="::", port=other.getsockname()[1]))
    name = section.__name__.lower()
    assert str(error.value).startswith(f"{name}: cannot listen on :: port ")
    assert f"change {name}.host or {name}.port" in str(error.value)


@pytest.mark.parametrize(
    ("number", "helps"),
    [
        (EADDRINUSE, "change admin.host or admin.port, or stop the program that holds it"),
        (EACCES, "change admin.port, or give this process the capability CAP_NET_BIND_SERVICE"),
        (EADDRNOTAVAIL, "change admin.host or admin.port"),
    ],
)
def test_what_helps_depends_on_why_the_address_cannot_be_bound(
    number: int, helps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Socket(socket.socket):
        def bind(self, _: Any) -> None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, "socket", Socket)
    with pytest.raises(ConfigError) as error:
        open_listeners(Admin())
    assert str(error.value).endswith(f" port 9090: {os.strerror(number)}; {helps}")


def test_two_servers_that_start_in_the_same_moment_do_not_share_a_port() -> None:
    (first,) = open_listeners(Listen(host="127.0.0.1", port=0))
    with first:  # whose workers do not listen yet
        section = Listen(host="127.0.0.1", port=first.getsockname()[1])
        with pytest.raises(ConfigError, match="Address already in use"):
            open_listeners(section, 2)


def test_of_servers_that_bind_a_port_at_once_one_alone_gets_it() -> None:
    count, rounds = 4, 20
    together = threading.Barrier(count)

    def bind(section: Listen) -> list[socket.socket]:
        together.wait()
        try:
            return open_listeners(section, 2)
        except ConfigError:
            return []

    with ThreadPoolExecutor(count) as pool:
        for _ in range(rounds):
            with socket.create_server(("127.0.0.1", 0)) as free:
                section = Listen(host="127.0.0.1", port=free.getsockname()[1])
            opened = list(pool.map(bind, [section] * count))
            assert sum(map(bool, opened)) <= 1
            for listener in chain.from_iterable(opened):
                listener.close()


def test_a_server_that_cannot_bind_all_its_sockets_leaves_none_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[socket.socket] = []

    class Socket(socket.socket):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            made.append(self)

        def bind(self, address: Any) -> None:
            if len(made) == 3:  # another server listens for a moment
                raise OSError(EADDRINUSE, os.strerror(EADDRINUSE))
            super().bind(address)

    monkeypatch.setattr(socket, "socket", Socket)
    with pytest.raises(ConfigError, match="cannot listen on"):
        open_listeners(Listen(host="127.0.0.1", port=0), 4)
    assert [each.fileno() for each in made] == [-1] * 3


def test_the_sockets_of_all_workers_get_connections() -> None:
    listeners = open_listeners(Listen(host="127.0.0.1", port=0), 3)
    with ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener).listen()
        for _ in range(100):
            stack.enter_context(socket.create_connection(listeners[0].getsockname()))
        waiting, _, _ = select.select(listeners, [], [], 0)
        assert len(waiting) == len(listeners)
