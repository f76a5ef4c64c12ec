"""The bytes of one connection that the aiohttp lane has not parsed yet, and where heads end.

aiohttp bounds each line of a head and the number of fields, which together allow a megabyte, and
parses up to 32 requests ahead. Here a head as a whole is bounded (``limits.header_size``), and the
next one is parsed when the answer before it is complete.
"""

from __future__ import annotations

_END = b"\r\n\r\n"
_BEFORE = len(_END) - 1


class UnparsedBytes:
    """What a client has sent, cut into the heads of requests and what is between them.

    Attributes:
        start: The first bytes of the last head, its first line at least; None inside a body whose
            end only aiohttp finds.
    """

    __slots__ = ("_before", "_size", "_waiting", "start")

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._size = 0  # bytes of the head that is being read, as far as they were taken
        self._before = b""  # the last of them
        self.start: bytes | None = b""

    def add(self, data: bytes) -> None:
        """Append bytes of the client."""
        self._waiting += data

    def __len__(self) -> int:
        return len(self._waiting)

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting.clear()

    def take(self, size: int | None) -> bytes:
        """Take so many bytes of a body, at most; None: all."""
        taken = bytes(self._waiting[:size])
        del self._waiting[:size]
        return taken

    def take_head(self, limit: int, longest_line: int) -> bytes:
        """Take bytes of a head, to its end at most.

        Args:
            limit: Bytes that a head may have.
            longest_line: Bytes of the head that ``start`` keeps.

        Returns:
            Nothing if bytes wait, but the head would be larger than ``limit``.
        """
        taken = self.take(min(self._end_of_head(), limit - self._size))
        start = b"" if self._size == 0 or self.start is None else self.start
        self.start = start if b"\n" in start else (start + taken)[:longest_line]
        self._size += len(taken)
        self._before = (self._before + taken)[-_BEFORE:]
        return taken

    def _end_of_head(self) -> int:
        """Where the head ends in the bytes that wait; their number if that has not come."""
        before = self._before
        end = (before + self._waiting[:_BEFORE]).find(_END)
        if end >= 0:
            return end + len(_END) - len(before)
        end = self._waiting.find(_END)
        return len(self._waiting) if end < 0 else end + len(_END)

    def begin_head(self) -> None:
        """The head before is complete: what comes next belongs to another one."""
        self._size = 0
        self._before = b""
