"""A pipe for an access log, records for it, and the threads that write."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from tests.log_lines import FULL, LogRecord, json_line, line_of

if TYPE_CHECKING:
    from nearbucket.telemetry.access_log import AccessLog

PIPE_BUF = 4096


class Pipe:
    """A pipe; ``O_DIRECT`` makes each write one read."""

    def __init__(self, stack: ExitStack, flags: int) -> None:
        self.reader, self.writer = os.pipe2(flags)
        stack.callback(self.close)

    def close_reader(self) -> None:
        reader, self.reader = self.reader, -1
        if reader >= 0:
            os.close(reader)

    def close_writer(self) -> None:
        writer, self.writer = self.writer, -1
        if writer >= 0:
            os.close(writer)

    def close(self) -> None:
        self.close_writer()
        self.close_reader()

    def pieces(self) -> list[bytes]:
        """Everything until the last writer is gone, read by read."""
        return list(iter(lambda: os.read(self.reader, 1 << 20), b""))

    def fill(self) -> int:
        """Fill the pipe; returns the number of bytes."""
        os.set_blocking(self.writer, False)
        filled = 0
        with suppress(BlockingIOError):
            while True:
                filled += os.write(self.writer, b"." * PIPE_BUF)
        os.set_blocking(self.writer, True)
        return filled

    def drain(self) -> None:
        """Read what is in the pipe, so that a waiting write ends."""
        os.set_blocking(self.reader, False)
        with suppress(BlockingIOError):
            while os.read(self.reader, 1 << 20):
                pass


def add(log: AccessLog, record: LogRecord) -> None:
    """Keep the line of a record, as a worker does unless the log is off."""
    if log.format is not None:
        log.keep(line_of(log.format, record))


def threads() -> list[threading.Thread]:
    """The threads of all access logs of this process."""
    return [each for each in threading.enumerate() if each.name == "access-log"]


def sized(size: int) -> LogRecord:
    """A record whose JSON line has this many bytes."""
    return FULL._replace(path="/" + "a" * (size - len(json_line(FULL._replace(path="/")))))
