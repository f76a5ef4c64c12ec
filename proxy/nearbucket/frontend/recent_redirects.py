"""Clients that were redirected in the last seconds, in a table that all workers share.

A client that asks for the same again within the window could not use its redirect, and is streamed.
The mark of an asker is a hash of site, client address and User-Agent, that of an object of its key,
and that of a part of method and Range. The table has ``SLOTS`` slots and does not grow; of two marks
in one slot the later stays, so that of a thousand clients in a window about eight are missed.
Nothing is locked: of two workers that write one slot at the same time, one mark stays, or neither.

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
SIZE = SLOTS * 32
"""Bytes of the table: two marks of eight bytes and their times in each slot."""


class SharedTable:
    """The table, in memory that other processes may map as well.

    Attributes:
        marks: Marks of redirects: asker, object and part.
        times: Their monotonic times, which are the same in all processes of a machine.
        object_marks: Marks of redirects: asker and object.
        object_times: Their times.
    """

    __slots__ = ("marks", "object_marks", "object_times", "times")

    def __init__(self, memory: mmap | None = None) -> None:
        """Use ``SIZE`` bytes of shared memory; by default memory of this process alone."""
        view = memoryview(bytearray(SIZE) if memory is None else memory)
        quarter = SIZE // 4
        self.marks = view[:quarter].cast("Q")
        self.times = view[quarter : 2 * quarter].cast("d")
        self.object_marks = view[2 * quarter : 3 * quarter].cast("Q")
        self.object_times = view[3 * quarter :].cast("d")


class RecentRedirects:
    """The recent redirects of one site.

    Attributes:
        window: For how many seconds they count.
    """

    __slots__ = ("_marks", "_object_marks", "_object_times", "_times", "window")

    def __init__(self, window: float, table: SharedTable) -> None:
        """Use the table of all sites; a redirect counts for ``window`` seconds."""
        self.window = window
        self._marks = table.marks
        self._times = table.times
        self._object_marks = table.object_marks
        self._object_times = table.object_times

    def redirected_lately(self, asker: int, object_mark: int, now: float, within: float) -> bool:
        """Whether an asker was redirected for an object, any part of it, so many seconds ago."""
        mark = asker ^ object_mark
        slot = mark % SLOTS
        return self._object_marks[slot] == mark and now - self._object_times[slot] < within

    def came_back(self, mark: int, now: float) -> bool:
        """Whether there was a redirect with this mark less than a window ago."""
        slot = mark % SLOTS
        return self._marks[slot] == mark and now - self._times[slot] < self.window

    def record(self, asker: int, object_mark: int, part: int, now: float) -> None:
        """Note a redirect."""
        mark = asker ^ object_mark
        slot = mark % SLOTS
        self._object_marks[slot] = mark
        self._object_times[slot] = now
        mark ^= part
        slot = mark % SLOTS
        self._marks[slot] = mark
        self._times[slot] = now

    def forget(self, mark: int) -> None:
        """Remove the mark of a client that came back and is being streamed to."""
        slot = mark % SLOTS
        if self._marks[slot] == mark:
            self._times[slot] = -inf


def mark_of_asker(site: str, client: str | None, request: Request) -> int:
    """The mark of who asks: site, client address and User-Agent."""
    agent = request.headers.get(b"user-agent", b"")
    return _hashed(site.encode(), (client or "").encode(), agent)


def mark_of_object(key: str) -> int:
    """The mark of an object; marks are joined by ``^``."""
    return _hashed(key.encode())


def mark_of_part(request: Request) -> int:
    """The mark of what is asked of an object: method and Range."""
    return _hashed(request.method.encode(), request.headers.get(b"range", b""))


def _hashed(*parts: bytes) -> int:
    """A hash that is the same in every process, unlike ``hash``."""
    return int.from_bytes(blake2b(b"\0".join(parts), digest_size=8).digest(), "little")
