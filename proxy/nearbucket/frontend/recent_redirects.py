"""Clients that were redirected in the last seconds, in a table that all workers share.

A client that asks for the same again within the window could not use its redirect, and is streamed.
A mark is a hash of site, client address, User-Agent, Range, method and key. The table has ``SLOTS``
marks and times and does not grow; of two marks in one slot the later stays, so that of a thousand
clients in a window about eight are missed. Nothing is locked: of two workers that write one slot at
the same time, one mark stays, or neither.

Two clients behind one address that ask for the same within the window look like one that came back,
and the second is streamed: that costs money, not a download. Then its mark is removed, so that
every other request of a crowd behind one address is redirected.
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
"""Bytes of the table: eight for the mark and eight for the time of each slot."""


class SharedTable:
    """The table, in memory that other processes may map as well.

    Attributes:
        marks: Marks of redirects.
        times: Their monotonic times, which are the same in all processes of a machine.
    """

    __slots__ = ("marks", "times")

    def __init__(self, memory: mmap | None = None) -> None:
        """Use ``SIZE`` bytes of shared memory; by default memory of this process alone."""
        view = memoryview(bytearray(SIZE) if memory is None else memory)
        self.marks = view[: SIZE // 2].cast("Q")
        self.times = view[SIZE // 2 :].cast("d")


class RecentRedirects:
    """The recent redirects of one site.

    Attributes:
        window: For how many seconds they count.
    """

    __slots__ = ("_marks", "_times", "window")

    def __init__(self, window: float, table: SharedTable) -> None:
        """Use the table of all sites; a redirect counts for ``window`` seconds."""
        self.window = window
        self._marks = table.marks
        self._times = table.times

    def came_back(self, mark: int, now: float) -> bool:
        """Whether there was a redirect with this mark less than a window ago."""
        slot = mark % SLOTS
        return self._marks[slot] == mark and now - self._times[slot] < self.window

    def record(self, mark: int, now: float) -> None:
        """Note a redirect."""
        slot = mark % SLOTS
        self._marks[slot] = mark
        self._times[slot] = now

    def forget(self, mark: int) -> None:
        """Remove the mark of a client that came back and is being streamed to."""
        slot = mark % SLOTS
        if self._marks[slot] == mark:
            self._times[slot] = -inf


def mark_of_client(site: str, client: str | None, request: Request) -> int:
    """The client's half of a mark."""
    fields = request.headers
    agent, part = fields.get(b"user-agent", b""), fields.get(b"range", b"")
    return _hashed(site.encode(), (client or "").encode(), agent, part)


def mark_of_object(method: str, key: str) -> int:
    """The object's half of a mark; both halves are joined by ``^``."""
    return _hashed(method.encode(), key.encode())


def _hashed(*parts: bytes) -> int:
    """A hash that is the same in every process, unlike ``hash``."""
    return int.from_bytes(blake2b(b"\0".join(parts), digest_size=8).digest(), "little")
