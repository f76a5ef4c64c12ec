"""The sockets of the public port and of the admin port."""

from __future__ import annotations

import socket
from contextlib import closing

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
