"""The process log: lines of ``logging`` on standard error, as text or as JSON.

No event loop waits for the reader of standard error: ``line_writer.py`` writes the lines. All
processes write to the same descriptor, so what would not be written whole is cut.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Literal

from nearbucket.telemetry.line_writer import LineWriter

MAX_WAITING = 10_000
"""Lines kept while standard error is blocked; more are dropped and counted."""

_CUTS = (3000, 2000, 1000, 500, 100)
"""Characters that are left of a line of text, or in JSON of a message and of a traceback: the first
of these with which the line fits."""

_TEXT = {
    "supervisor": "%(asctime)s %(levelname)s %(name)s: %(message)s",
    "worker": "%(asctime)s %(levelname)s worker[%(process)d]: %(message)s",
}


class JsonLine(logging.Formatter):
    """A record as a JSON object on one line."""

    def __init__(self, role: str, limit: int) -> None:
        """Make lines of a process of this kind, of up to ``limit`` bytes with their ends."""
        super().__init__()
        self._role = role
        self._limit = limit

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        time = datetime.fromtimestamp(record.created, UTC)
        fields = {
            "time": time.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._role,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        line = json.dumps(fields)
        for most in _CUTS:
            if len(line) < self._limit:
                break
            texts = {name: str(fields[name]) for name in ("message", "exception") if name in fields}
            line = json.dumps(fields | {name: _cut(texts[name], most) for name in texts})
        return line


def _cut(text: str, most: int) -> str:
    """A text without its middle, if it is longer: the end of a traceback names the error."""
    over = len(text) - most
    return f"{text[: most // 2]} … {over} left out … {text[-(most // 2) :]}" if over > 0 else text


def _text_lines(text: bytes, limit: int) -> list[bytes]:
    """The lines of a text with their ends, each cut to at most ``limit`` bytes."""
    lines = []
    for each in text.splitlines(keepends=True):
        cuts = (_cut(each.decode(errors="replace"), most).encode() for most in _CUTS)
        lines.append(each if len(each) <= limit else next(cut for cut in cuts if len(cut) <= limit))
    return lines


class ProcessLog(logging.Handler):
    """The process log of one process: the only handler of the root logger."""

    def __init__(
        self,
        form: Literal["text", "json"],
        role: Literal["supervisor", "worker"],
        descriptor: int = 2,
    ) -> None:
        """Make it the handler of all messages. They are held until ``start`` or ``close``.

        Args:
            form: Format of the lines.
            role: Kind of this process.
            descriptor: File descriptor to write to.
        """
        super().__init__()
        self._writer = LineWriter("process-log", descriptor)
        limit = self._writer.limit
        text = logging.Formatter(_TEXT[role])
        self.setFormatter(JsonLine(role, limit) if form == "json" else text)
        self._held: list[bytes] | None = []
        self._refused = 0
        # A fork has its parent's handler. Not closed: what that holds, the parent writes.
        logging.getLogger().handlers = [self]
        for sdk in ("aiobotocore", "botocore"):  # their debug lines have session tokens
            logging.getLogger(sdk).setLevel(logging.INFO)

    @property
    def dropped(self) -> int:
        """Lines that were not written."""
        return self._refused + self._writer.lost

    def start(self) -> None:
        """Write, in a thread: to be called when no more process is forked."""
        self.acquire()
        try:
            held, self._held = self._held, None
            if held:
                self._writer.give(held)
        finally:
            self.release()

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a record; ``logging`` calls this."""
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        except Exception:  # logging's own rule: a bad call does not end the caller
            self.handleError(record)
        else:
            limit = self._writer.limit
            self._keep([line] if len(line) <= limit else _text_lines(line, limit))

    def write(self, line: str) -> None:
        """Write a line as it is."""
        self.acquire()
        try:
            self._keep([f"{line}\n".encode(errors="backslashreplace")])
        finally:
            self.release()

    def close(self, patience: float = 2.0) -> None:
        """Wait for so many seconds until all is written; what the reader did not take is lost."""
        self.start()
        self._writer.close(patience)
        super().close()

    def _keep(self, lines: list[bytes]) -> None:
        if self._held is not None:
            self._held += lines
        elif self._writer.waiting >= MAX_WAITING:
            self._refused += len(lines)
        else:
            self._writer.give(lines)


def lines_dropped() -> int:
    """Lines of this process's log that were not written."""
    return sum(handler.dropped for handler in _process_logs())


def write_line(line: str) -> None:
    """Write a line into this process's log as it is, whatever ``log.level`` and ``log.format``."""
    for handler in _process_logs():
        handler.write(line)


def _process_logs() -> list[ProcessLog]:
    handlers = logging.getLogger().handlers
    return [handler for handler in handlers if isinstance(handler, ProcessLog)]
