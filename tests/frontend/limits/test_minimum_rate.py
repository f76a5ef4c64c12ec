"""A client has credit, in seconds: waiting takes it off, and what it takes gives it back."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, cast

import pytest

from nearbucket.frontend.limits.minimum_rate import ClientCredit

if TYPE_CHECKING:
    import asyncio

KIB, GRACE = 1024, 150.0


class Connection:
    """Stands for a transport and its socket."""

    def __init__(self) -> None:
        self.acked = 0
        self.waiting = 1
        self.is_closed = False

    def get_extra_info(self, _name: str) -> Connection:
        return self

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def getsockopt(self, _level: int, _option: int, size: int) -> bytes:
        if self.is_closed:
            raise OSError(errno.EBADF, "Bad file descriptor")
        return struct.pack("=120xQ", self.acked).ljust(size, b"\0")


def ended_after(rate: float, *, waiting: int = 1, pause: int = 0) -> int | None:
    """Seconds after which a client is ended that pauses and then takes ``rate`` bytes a second."""
    connection = Connection()
    connection.waiting = waiting
    transport = cast("asyncio.Transport", connection)
    credit = ClientCredit(transport, 0.0, GRACE)
    for second in range(1, 7200):
        connection.acked += int(rate) if second > pause else 0
        if credit.used_up(transport, float(second), KIB, GRACE):
            return second
    return None


@pytest.mark.parametrize(
    ("rate", "least", "most"),
    [(0, 150, 155), (100, 163, 170), (512, 300, 305), (900, 1230, 1250)],
)
def test_a_client_below_the_rate_is_ended_when_its_credit_is_used_up(
    rate: float, least: int, most: int
) -> None:
    ended = ended_after(rate)
    assert ended is not None
    assert least <= ended <= most


@pytest.mark.parametrize("rate", [KIB, 2 * KIB, 1 << 20])
def test_a_client_at_the_rate_is_not_ended(rate: float) -> None:
    assert ended_after(rate) is None


def test_a_pause_that_idle_timeout_allows_is_made_good() -> None:
    assert ended_after(2 * KIB, pause=74) is None


def test_nothing_is_taken_off_while_s3_is_the_slower_side() -> None:
    assert ended_after(0, waiting=0) is None


def test_a_connection_that_was_closed_meanwhile_keeps_its_credit() -> None:
    connection = Connection()
    transport = cast("asyncio.Transport", connection)
    credit = ClientCredit(transport, 0.0, GRACE)
    connection.is_closed = True
    assert not credit.used_up(transport, 2 * GRACE, KIB, GRACE)
