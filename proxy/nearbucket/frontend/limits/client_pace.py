"""Bounds the bytes that the kernel may keep unsent for one client, by the client's speed.

A proxy that writes as fast as S3 sends fills the client's socket up to ``net.ipv4.tcp_wmem`` (4 MiB
by default), however slowly the client reads; and because S3 was read that fast, its socket may hold
``tcp_rmem`` (6 MiB) as well. So the limit of a client begins low, and becomes what the client
takes in a quarter of a second.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

LIMITED = 256 * 1024
"""Bytes of a body up to which nothing is limited."""

FIRST_STEP, STEP = 256 * 1024, 1 << 20
"""Bytes of a body after which the speed is measured: the first time, and from then on."""

_MEASURED_WITHIN = 1.0
"""Seconds after which it is measured again, however few bytes the client has taken."""

LEAST = 64 * 1024
"""Bytes for a client that is slow, or whose speed is not known yet."""

_MOST = 4 << 20  # from here on the kernel's own limit is enough (net.ipv4.tcp_wmem)
_SECONDS = 0.25  # for which the kernel may keep bytes
_SHARE = 2  # the kernel may keep this part of what the client has taken

_TCP_NOTSENT_LOWAT = 25  # linux/tcp.h; not in Python's socket before 3.12


class ClientPace:
    """The speed of one client connection, and the limit of its socket (TCP_NOTSENT_LOWAT).

    Bytes on their way to the client do not count. The congestion window bounds them: a distant
    client gets all that the network carries.

    Attributes:
        limit: Bytes that the kernel may keep unsent.
        since: Monotonic time of the last measurement.
        was_behind: Whether bytes have waited for the client since then.
    """

    __slots__ = ("_is_behind", "_socket", "_taken", "limit", "since", "was_behind")

    def __init__(self, transport: asyncio.Transport) -> None:
        """Limit a client of which nothing is known."""
        self._socket = transport.get_extra_info("socket")
        self._taken = 0
        self._is_behind = False
        self.limit = 0
        self.begin()
        self._use(LEAST)

    def begin(self) -> None:
        """A body begins."""
        self.since = monotonic()
        self.was_behind = self._is_behind

    def wait(self) -> None:
        """Bytes wait for the client from now on."""
        self._is_behind = self.was_behind = True

    def caught_up(self) -> None:
        """The client has taken what waited."""
        self._is_behind = False

    def is_late(self, now: float) -> bool:
        """Whether to measure, at this monotonic time, because the client may have become slow."""
        return self.was_behind and now - self.since > _MEASURED_WITHIN

    def is_due(self, count: int) -> bool:
        """Whether to measure after so many bytes."""
        return count >= STEP or self.is_late(monotonic())

    def measure(self, count: int) -> int:
        """The kernel has taken ``count`` bytes since the last call; returns the new limit."""
        now = monotonic()
        self._taken += count
        limit = int(count / max(now - self.since, 1e-3) * _SECONDS)
        if not self.was_behind:  # S3 is the slower side
            limit = max(limit, 2 * self.limit)
        self.since, self.was_behind = now, self._is_behind
        self._use(max(LEAST, min(limit, _MOST, self._taken // _SHARE)))
        return self.limit

    def _use(self, limit: int) -> None:
        if limit == self.limit:
            return
        self.limit = limit
        if self._socket is not None:  # of TLS: the connection below is lost
            value = 0 if limit == _MOST else limit  # 0: no limit but the kernel's own
            with suppress(OSError):  # closed meanwhile
                self._socket.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, value)
