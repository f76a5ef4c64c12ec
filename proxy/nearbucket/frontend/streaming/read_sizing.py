"""How much of a large body is read from S3 at a time.

Few large reads cost less than many small ones. But what a client does not take is copied and waits
(``client_writer.py``), so reads become large only for a client that took more without a pause than
both kernels keep for it (``net.ipv4.tcp_wmem`` here, ``tcp_rmem`` there, by default 4 and 6 MiB).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearbucket.origin.pool.connection import UpstreamConnection

LARGE = 1 << 20
"""Bytes of a body from which on it has a ``ReadSizer``."""

_USUAL, _WIDE = 128 * 1024, 256 * 1024  # bytes that are waited for
_FAST = 16 << 20  # bytes without a pause that show a fast client


class ReadSizer:
    """Chooses how many bytes of one response body to read at a time (SO_RCVLOWAT)."""

    __slots__ = ("_upstream", "_waits_for", "_widens")

    def __init__(self, upstream: UpstreamConnection, length: int) -> None:
        """Read a body of ``length`` bytes from this connection to S3."""
        self._upstream = upstream
        self._waits_for = 0
        self._widens = length - _FAST  # where so many are left, the client is fast
        self._wait_for(_USUAL)

    def _wait_for(self, count: int) -> None:
        self._waits_for = count
        self._upstream.set_low_water_mark(count or 1)

    def on_passed(self, left: int) -> None:
        """Bytes came from S3; ``left`` are still to come."""
        waits_for = self._waits_for
        if not waits_for:
            return
        if left < 2 * waits_for:  # soon fewer are left than are waited for
            self._wait_for(0)
        elif left < self._widens and waits_for < _WIDE:
            self._wait_for(_WIDE)

    def on_backpressure(self, left: int) -> None:
        """The client is slower than S3; ``left`` bytes are still to come."""
        self._widens = left - _FAST
        if self._waits_for == _WIDE:
            self._wait_for(_USUAL)

    def read_immediately(self) -> bool:
        """Read whatever comes, however little, from here on; False if that is so already."""
        if not self._waits_for:
            return False
        self._wait_for(0)
        return True
