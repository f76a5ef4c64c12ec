"""Timeouts of client connections."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from nearbucket.config.settings import Limits
from nearbucket.frontend.limits.connection_timeouts import (
    BUSY,
    CLOSE_GRACE,
    FIRST_REQUEST,
    HEAD,
    IDLE,
    ConnectionTimeouts,
    Phase,
)


class LostBelow(asyncio.Transport):
    """TLS's transport between the loss of its connection and its own end: it has no socket."""

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return True


def test_a_tls_connection_that_is_lost_below_is_aborted_after_the_grace() -> None:
    timeouts = ConnectionTimeouts()
    assert not timeouts.stalled(LostBelow(), 100.0, 75.0)
    assert not timeouts.stalled(LostBelow(), 100.0 + CLOSE_GRACE, 75.0)
    assert timeouts.stalled(LostBelow(), 101.0 + CLOSE_GRACE, 75.0)


class Written(asyncio.Transport):
    """A transport that has passed everything on, and is closed."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__()
        self._sock = sock

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._sock if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return True


def test_a_closed_connection_stays_while_its_client_takes_bytes_from_the_kernel() -> None:
    sender, receiver = socket.socketpair()
    with sender, receiver:
        sender.settimeout(0)
        for _ in range(4):
            sender.send(b"x" * 4096)
        transport, timeouts = Written(sender), ConnectionTimeouts()
        assert not timeouts.stalled(transport, 100.0, 75.0)
        receiver.recv(4096)
        assert not timeouts.stalled(transport, 174.0, 75.0)
        assert not timeouts.stalled(transport, 248.0, 75.0), "the client has taken some meanwhile"
        assert timeouts.stalled(transport, 250.0, 75.0)


@pytest.mark.parametrize(
    ("phase", "closing_idle", "most"),
    [
        (IDLE, False, 75.0),
        (HEAD, False, 10.0),
        (HEAD, True, 10.0),
        (IDLE, True, FIRST_REQUEST),
        (BUSY, True, None),
    ],
)
def test_a_connection_expires_when_it_has_waited_longer_than_its_phase_allows(
    phase: Phase, most: float | None, *, closing_idle: bool
) -> None:
    timeouts, limits = ConnectionTimeouts(), Limits(idle_timeout="75s", header_timeout="10s")
    timeouts.phase = phase
    timeouts.since = timeouts._connected = 1000.0
    for waited in (10.0, 75.0, FIRST_REQUEST, 1e6):
        for more in (0.0, 0.25):
            expired = timeouts.expired(1000.0 + waited + more, limits, closing_idle=closing_idle)
            assert expired is (most is not None and waited + more > most)
