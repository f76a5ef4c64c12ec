"""How much of a large body is read from S3 at a time.

Few large reads cost less than many small ones. But what a client does not take is copied and waits
(``client_writer.py``), so reads become larger as the client shows that it is fast
(``frontend/limits/client_pace.py``). Only then may the kernel receive more from S3 than at the
beginning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.frontend.limits.client_pace import LEAST

if TYPE_CHECKING:
    from nearbucket.origin.pool.connection import UpstreamConnection

LARGE = 1 << 20
"""Bytes of a body from which on it has a ``ReadSizer``."""

_MOST = 256 * 1024  # bytes that are waited for
_SHARE = 4  # of the client's limit, this part is waited for


class ReadSizer:
    """Chooses how many bytes of one response body to read at a time (SO_RCVLOWAT)."""

    __slots__ = ("_limit", "_upstream", "_waits_for")

    def __init__(self, upstream: UpstreamConnection, limit: int) -> None:
        """Read from this connection to S3, for a client with this limit."""
        self._upstream = upstream
        self._limit = limit
        upstream.fix_receive_buffer(fixed=limit == LEAST)
        self._wait_for(min(_MOST, limit // _SHARE))

    def _wait_for(self, count: int) -> None:
        self._waits_for = count
        self._upstream.set_low_water_mark(count or 1)

    def on_passed(self, left: int) -> None:
        """Bytes came from S3; ``left`` are still to come."""
        if self._waits_for and left < 2 * self._waits_for:
            self._wait_for(0)  # soon fewer are left than are waited for

    def on_limit(self, limit: int, left: int) -> None:
        """The client has this limit now; ``left`` bytes are still to come."""
        if limit == self._limit:
            return
        self._upstream.fix_receive_buffer(fixed=limit == LEAST)
        self._limit = limit
        count = min(_MOST, limit // _SHARE)
        if self._waits_for not in {0, count} and left >= 2 * count:
            self._wait_for(count)

    def read_immediately(self) -> bool:
        """Read whatever comes, however little, from here on; False if that is so already."""
        if not self._waits_for:
            return False
        self._wait_for(0)
        return True
