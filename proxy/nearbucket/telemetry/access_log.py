"""Collects lines of the access log; ``line_writer.py`` writes them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Literal

from nearbucket.telemetry.line_writer import LineWriter
from nearbucket.telemetry.log_format import JsonFormat, LogFormat, W3cFormat

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WAITING = 100_000
"""Lines kept while standard output is blocked; more are dropped and counted."""

RECENT = 20
"""Lines that are kept for the dashboard."""

QUIET = 60.0
"""Seconds without a dropped line after which that is over; a slow reader drops some each second."""

_log = logging.getLogger(__name__)

_BATCH = 1024  # lines after which they are written before the tick, while they are in the cache


class AccessLog:
    """The access log of one worker.

    Lines are made and joined on the event loop: a thread that needs the interpreter takes it from
    the loop, and one that only writes needs it twice for each piece.

    Attributes:
        format: Format of the lines; None when the log is off.
        offset: Unix time less monotonic time, in seconds.
        recent: The last lines.
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
        self.recent: deque[bytes] = deque(maxlen=RECENT)
        self._lines: list[bytes] = []
        self._dropped = dropped
        self._header = self.format.header() if self.format else b""
        self._writer = LineWriter("access-log", descriptor)
        self._lost = 0  # lines of the writer that are counted
        self._dropped_at: float | None = None  # the last time; None when that is over
        self._written = 0  # lines of the writer that were written by then

    def keep(self, line: bytes) -> None:
        """Keep one line, of up to ``MAX_LINE`` bytes, for the next flush."""
        if len(self._lines) >= _BATCH:
            self.flush()
            if len(self._lines) >= MAX_WAITING:
                self._drop(1, "its reader is slow")
                return
        self._lines.append(line)

    def flush(self) -> None:
        """Have the collected lines written, unless the last ones are still being written."""
        if not self._writer.waiting:
            self._give()

    async def close(self, patience: float = 4.0) -> None:
        """Write what is left and end the thread; no line may be added afterwards.

        Args:
            patience: Seconds to wait for the reader of the log. Lines that it has not taken by then
                count as dropped.
        """
        self._give()
        await asyncio.to_thread(self._writer.close, patience)
        self._count_lost()

    def _give(self) -> None:
        if not self._count_lost():
            self._note_recovery()
        self.recent.extend(self._lines[-RECENT:])
        if self._lines or self._header:
            self._writer.give(self._lines, self._header)
            self._lines, self._header = [], b""

    def _note_recovery(self) -> None:
        if self._dropped_at is None or self._writer.written <= self._written:
            return
        if monotonic() - self._dropped_at > QUIET:
            self._dropped_at = None
            _log.info("lines of the access log are written again")

    def _count_lost(self) -> bool:
        """Whether lines were lost since the last time."""
        lost = self._writer.lost
        if lost == self._lost:
            return False
        self._drop(lost - self._lost, self._writer.failure or "its reader is slow")
        self._lost = lost
        return True

    def _drop(self, count: int, why: str) -> None:
        self._dropped(count)
        if self._dropped_at is None:
            _log.warning("lines of the access log are dropped: %s", why)
        self._dropped_at, self._written = monotonic(), self._writer.written
