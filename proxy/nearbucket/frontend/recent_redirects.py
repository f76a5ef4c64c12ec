"""Who was sent away a moment ago: a client that asks again did not get through.

In: marks of redirects. Out: whether one was given so lately. Refuses to know clients and objects,
of which a mark is the hash, and to grow: ``SLOTS`` marks and times, 1 MiB, shared by all workers,
since whoever comes back may meet another one. Of two marks with one slot the later stays, so of
a thousand clients in a window about eight in a thousand are missed; nothing is locked, and
what two workers write at once is one of the two, or neither.

A mark stands for site, client address, User-Agent, Range, method and key. Two clients behind one
address that ask for the same within the window look like one that came back, and the second is
streamed: that costs money, not a download. Having been streamed, it is forgotten, so of a crowd
behind one address every other request is redirected.
"""

from __future__ import annotations

from hashlib import blake2b
from math import inf
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mmap import mmap

    from nearbucket.policy.model import Request

SLOTS = 1 << 16
SIZE = SLOTS * 16
"""Bytes of the table: a mark and a time in each slot."""


class SharedTable:
    """The table, in memory of its own or of all workers.

    Attributes:
        marks: What was redirected.
        times: When, by the monotonic clock, which all processes of a machine share.
    """

    __slots__ = ("marks", "times")

    def __init__(self, memory: mmap | None = None) -> None:
        """Args: ``SIZE`` bytes that other processes see as well; by default nobody else does."""
        view = memoryview(bytearray(SIZE) if memory is None else memory)
        self.marks = view[: SIZE // 2].cast("Q")
        self.times = view[SIZE // 2 :].cast("d")


class RecentRedirects:
    """The redirects of one site's last seconds.

    Attributes:
        window: For how many seconds they count.
    """

    __slots__ = ("_marks", "_times", "window")

    def __init__(self, window: float, table: SharedTable) -> None:
        """Args: seconds for which a redirect counts; the table of all sites."""
        self.window = window
        self._marks = table.marks
        self._times = table.times

    def came_back(self, mark: int, now: float) -> bool:
        """Whether this was sent away less than a window ago."""
        slot = mark % SLOTS
        return self._marks[slot] == mark and now - self._times[slot] < self.window

    def record(self, mark: int, now: float) -> None:
        """A redirect was given."""
        slot = mark % SLOTS
        self._marks[slot] = mark
        self._times[slot] = now

    def forget(self, mark: int) -> None:
        """It came back, and was streamed."""
        slot = mark % SLOTS
        if self._marks[slot] == mark:
            self._times[slot] = -inf


def mark_of_client(site: str, client: str | None, request: Request) -> int:
    """The half of a mark that says who asks."""
    fields = request.headers
    agent, part = fields.get(b"user-agent", b""), fields.get(b"range", b"")
    return _hashed(site.encode(), (client or "").encode(), agent, part)


def mark_of_object(method: str, key: str) -> int:
    """The half of a mark that says what for; both are joined by ``^``."""
    return _hashed(method.encode(), key.encode())


def _hashed(*parts: bytes) -> int:
    """The same in every process, which ``hash`` is not."""
    return int.from_bytes(blake2b(b"\0".join(parts), digest_size=8).digest(), "little")
