"""Listening sockets that systemd passes."""

from __future__ import annotations

import os
import socket
from typing import Any

import pytest

from nearbucket.errors import ConfigError
from nearbucket.supervisor.sockets.socket_activation import PassedSockets
from tests.build import settings


def environment(pid: int | None = None) -> dict[str, str]:
    """That of a process that gets one socket."""
    return {"LISTEN_PID": str(pid or os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a"}


@pytest.mark.parametrize("section", ["listen", "admin"])
def test_a_socket_is_that_of_the_setting_with_its_port(section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        ports: dict[str, Any] = {"listen": {"port": 1}, "admin": {"port": 2}}
        ports[section] = {"port": passed.getsockname()[1]}
        copy, variables = os.dup(passed.fileno()), environment()
        found = PassedSockets(settings(**ports), variables, copy)
        opened = [*found.public, *([found.admin] if found.admin else [])]
        assert [each.getsockname() for each in opened] == [passed.getsockname()]
        assert bool(found.public) is (section == "listen")
        assert variables == {}
        opened[0].close()


@pytest.mark.parametrize(
    ("listens", "text"),
    [(True, "is for port [0-9]+; pass sockets for listen.port 1 and"), (False, "does not listen")],
)
def test_a_socket_that_fits_no_setting_is_named(text: str, *, listens: bool) -> None:
    with socket.socket() as passed:
        passed.bind(("127.0.0.1", 0))
        if listens:
            passed.listen()
        chosen = settings(listen={"port": 1}, admin={"port": 2})
        copy = os.dup(passed.fileno())
        with pytest.raises(ConfigError, match=f"listen: socket {copy} of LISTEN_FDS {text}"):
            PassedSockets(chosen, environment(), copy)


def test_a_second_socket_of_the_admin_port_is_refused_since_nobody_would_answer_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        chosen = settings(listen={"port": 1}, admin={"port": passed.getsockname()[1]})
        first = 200  # numbers in a row that nothing has
        for number in (first, first + 1):
            os.dup2(passed.fileno(), number)
        with pytest.raises(ConfigError, match=f"admin: socket {first + 1} of LISTEN_FDS is a sec"):
            PassedSockets(chosen, environment() | {"LISTEN_FDS": "2"}, first)


def test_what_is_no_socket_is_named() -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(ConfigError, match=f"number {reading} of LISTEN_FDS is no socket"):
            PassedSockets(settings(), environment(), reading)
    finally:
        os.close(reading)
        os.close(writing)


def test_variables_for_another_process_are_of_no_use() -> None:
    assert PassedSockets(settings(), environment(1), 3).public == []


@pytest.mark.parametrize("count", [{}, {"LISTEN_FDS": ""}, {"LISTEN_FDS": "two"}], ids=repr)
def test_without_their_number_no_sockets_are_passed(count: dict[str, str]) -> None:
    given = {"LISTEN_PID": str(os.getpid()), **count}
    assert PassedSockets(settings(), given).public == []
    assert given == {}
