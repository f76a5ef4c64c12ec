"""Collects lines of the access log and writes them to a file descriptor in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import queue
import select
import stat
import threading
from typing import TYPE_CHECKING, Literal, NamedTuple

from nearbucket.telemetry.log_format import MAX_LINE, JsonFormat, LogFormat, W3cFormat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_WAITING = 100_000
"""Lines kept while standard output is blocked; more are dropped and counted."""

_BATCH = 1024  # lines after which they are written before the tick, while they are in the cache
_PIECE = 1 << 20  # bytes of one write, if the descriptor is not a pipe


class AccessLog:
    """The access log of one worker.

    A thread writes the lines and does nothing else: the reader of the log may be slow or gone, and
    neither serving nor the end of the process waits for it. Lines are made on the event loop,
    because a thread that computes takes the interpreter from it for 5 ms at a time
    (``sys.getswitchinterval``).

    Attributes:
        format: Format of the lines; None when the log is off.
        offset: Unix time less monotonic time, in seconds.
    """

    def __init__(
        self,
        form: Literal["json", "w3c", "off"],
        dropped: Callable[[int], None] = lambda _count: None,
        descriptor: int = 1,
        scheme: str = "http",
    ) -> None:
        """Write to ``descriptor``; ``dropped`` counts lines that cannot be written."""
        forms: dict[str, LogFormat | None] = {
            "json": JsonFormat(),
            "w3c": W3cFormat(scheme),
            "off": None,
        }
        self.format = forms[form]
        self.offset = 0.0
        self._lines: list[bytes] = []
        self._dropped = dropped
        self._descriptor = descriptor
        self._header = self.format.header() if self.format else b""
        self._limit = MAX_LINE if _is_pipe(descriptor) else _PIECE
        self._batches: queue.SimpleQueue[list[_Piece] | None] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._handed = 0  # lines that the thread has got and not yet written
        self._lost = 0
        self._thread: threading.Thread | None = None

    def keep(self, line: bytes) -> None:
        """Keep one line, of up to ``MAX_LINE`` bytes, for the next flush."""
        if len(self._lines) >= _BATCH:
            self.flush()
            if len(self._lines) >= MAX_WAITING:
                self._dropped(1)
                return
        self._lines.append(line)

    def flush(self) -> None:
        """Give the collected lines to the thread, unless it is still writing the last ones.

        The pieces are joined here: each time the thread needs the interpreter, it takes it from
        the event loop, and a thread that only writes needs it twice for each piece.
        """
        if self.format is None or not self._idle.is_set():
            return
        lost, self._lost = self._lost, 0
        if lost:
            self._dropped(lost)
        if self._lines or self._header:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="access-log", daemon=True)
                thread.start()
                self._thread = thread
            self._idle.clear()
            self._handed = len(self._lines)
            pieces = list(_pieces(self._lines, self._limit))
            if self._header:
                pieces.insert(0, _Piece(self._header, 0))
                self._header = b""
            self._batches.put(pieces)
            self._lines = []

    async def close(self, patience: float = 2.0) -> None:
        """Write what is left and end the thread; no line may be added afterwards.

        Args:
            patience: Seconds to wait for the reader of the log, twice at most. Lines that it has
                not taken by then count as dropped, and the thread ends with its last write.
        """
        for _ in range(2):  # what is being written, then the rest
            if not await asyncio.to_thread(self._idle.wait, patience):
                self._dropped(len(self._lines) + self._handed)
                self._lines = []
                self._batches.put(None)
                return
            self.flush()
        if self._thread is not None:
            self._batches.put(None)
            await asyncio.to_thread(self._thread.join, patience)

    def _run(self) -> None:
        while (pieces := self._batches.get()) is not None:
            if not all(map(self._write, pieces)):
                self._lost += self._handed
            self._idle.set()

    def _write(self, piece: _Piece) -> bool:
        """Write a piece, waiting for the reader; False if the reader is gone, or the disk is full.

        ``_handed`` is then the number of lines that are not written, or not to their end.
        """
        data, lines = piece
        while True:
            try:
                size = os.write(self._descriptor, data)
            except BlockingIOError:  # another process made the shared descriptor non-blocking
                select.select((), (self._descriptor,), ())
                continue
            except OSError:  # serving goes on without a log
                return False
            if size == len(data):
                self._handed -= lines
                return True
            if lines:  # the header's do not count
                whole = data.count(b"\n", 0, size)
                lines -= whole
                self._handed -= whole
            data = data[size:]


class _Piece(NamedTuple):
    """Whole lines that are written at once."""

    data: bytes
    lines: int


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def _pieces(lines: list[bytes], limit: int) -> Iterator[_Piece]:
    """The lines in pieces of up to ``limit`` bytes; a longer line is a piece of its own.

    The kernel writes a piece whole, so that no line of another worker can get into it.
    """
    if lines and sum(map(len, lines)) <= limit:
        yield _Piece(b"".join(lines), len(lines))
        return
    start = size = 0
    for number, line in enumerate(lines):
        if size and size + len(line) > limit:
            yield _Piece(b"".join(lines[start:number]), number - start)
            start, size = number, 0
        size += len(line)
    if size:
        yield _Piece(b"".join(lines[start:]), len(lines) - start)
