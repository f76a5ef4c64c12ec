"""Writes lines to a file descriptor in a thread of its own: access log and process log use it.

The reader of a log may be slow or gone. Serving never waits for it; the end of the process waits a
few seconds. The thread only writes: one that computes takes the interpreter from the event loop for
5 ms at a time (``sys.getswitchinterval``), so callers join lines to pieces.
"""

from __future__ import annotations

import os
import queue
import select
import stat
import threading
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.telemetry.log_format import MAX_LINE

if TYPE_CHECKING:
    from collections.abc import Sequence

_PIECE = 1 << 20  # bytes of one write, if the descriptor is neither a pipe nor a socket


class Piece(NamedTuple):
    """Whole lines that are written at once."""

    data: bytes
    lines: int


class LineWriter:
    """One thread that writes to one descriptor; it is started with the first lines.

    Attributes:
        limit: Bytes up to which a line is written whole, whatever other processes write.
        lost: Lines that could not be written.
        failure: Why the last write failed; None while nothing has.
    """

    def __init__(self, name: str, descriptor: int) -> None:
        """Write to ``descriptor`` in a thread of this name."""
        self.lost = 0
        self.failure: str | None = None
        self._name = name
        self._descriptor = descriptor
        self.limit = MAX_LINE if _is_pipe_or_socket(descriptor) else _PIECE
        self._batches: queue.SimpleQueue[Sequence[Piece] | None] = queue.SimpleQueue()
        self._given = 0  # lines that the thread has got; only callers add to it
        self._finished = 0  # lines that it has written or lost; only the thread adds to it
        self._gives_up = False
        self._is_torn = False  # the last line that is written may have no end
        self._thread: threading.Thread | None = None

    @property
    def waiting(self) -> int:
        """Lines that were given and are not yet written."""
        return self._given - self._finished

    @property
    def written(self) -> int:
        """Lines that were written."""
        return self._finished - self.lost

    def give(self, lines: Sequence[bytes], header: bytes = b"") -> None:
        """Have lines written, behind a header that does not count. One caller at a time."""
        pieces = _pieces(lines, self.limit)
        if header:
            pieces.insert(0, Piece(header, 0))
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._given += len(lines)
        self._batches.put(pieces)

    def close(self, patience: float) -> None:
        """Wait for so many seconds until all is written, and end the thread.

        What the reader has not taken by then is lost, and the thread ends with its last write.
        """
        if self._thread is None or self._gives_up:
            return
        self._batches.put(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            self._gives_up = True
            self.lost += self.waiting

    def _run(self) -> None:
        while (pieces := self._batches.get()) is not None:
            end = self._finished + sum(piece.lines for piece in pieces)
            if self._is_torn:  # the next line would be a part of it
                pieces = [Piece(b"\n", 0), *pieces]
            written = all(map(self._write, pieces))
            if self._gives_up:
                return
            if not written:
                self.lost += end - self._finished
                self._finished = end

    def _write(self, piece: Piece) -> bool:
        """Write a piece, waiting for the reader; False if the reader is gone, or the disk is full.

        ``_finished`` then has the lines that are written to their end.
        """
        data, lines = piece
        while not self._gives_up:
            try:
                size = os.write(self._descriptor, data)
            except BlockingIOError:  # another process made the shared descriptor non-blocking
                select.select((), (self._descriptor,), ())
                continue
            except OSError as error:  # serving goes on without a log
                self.failure = error.strerror
                self._is_torn = True  # also if another process wrote the part that did fit
                return False
            self._is_torn = data[size - 1 : size] != b"\n"
            if size == len(data):
                self._finished += lines
                return True
            if lines:  # the header's do not count
                whole = data.count(b"\n", 0, size)
                lines -= whole
                self._finished += whole
            data = data[size:]
        return False


def _is_pipe_or_socket(descriptor: int) -> bool:
    """Whether a long write can be mixed with those of other processes. systemd gives a socket."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _pieces(lines: Sequence[bytes], limit: int) -> list[Piece]:
    """The lines in pieces of up to ``limit`` bytes; a longer line is a piece of its own.

    The kernel writes a piece whole, so that no line of another process can get into it.
    """
    if lines and sum(map(len, lines)) <= limit:
        return [Piece(b"".join(lines), len(lines))]
    pieces: list[Piece] = []
    start = size = 0
    for number, line in enumerate(lines):
        if size and size + len(line) > limit:
            pieces.append(Piece(b"".join(lines[start:number]), number - start))
            start, size = number, 0
        size += len(line)
    if size:
        pieces.append(Piece(b"".join(lines[start:]), len(lines) - start))
    return pieces
