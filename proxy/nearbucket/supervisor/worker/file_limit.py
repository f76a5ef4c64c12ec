"""Notices that a process has no free file descriptor.

libuv then accepts each new connection and closes it at once, without an error for the program
(``uv__emfile_trick``): clients see a closed connection, and no other counter moves. So once a
second it is tried whether a file can be opened, which takes a few microseconds.
"""

from __future__ import annotations

import logging
import os
import resource
from errno import EMFILE, ENFILE
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nearbucket.telemetry.metrics import Counters

_log = logging.getLogger(__name__)


class FileLimit:
    """Counts and logs the seconds in which no file descriptor is free."""

    __slots__ = ("_counters", "_since")

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._since: float | None = None

    def check(self, now: float) -> None:
        """Once a second, at this monotonic time: try to open a file."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno in {EMFILE, ENFILE}:
                self._exhausted(now)
        else:
            self._free(now)

    def _exhausted(self, now: float) -> None:
        self._counters.add("nearbucket_file_limit_seconds_total")
        if self._since is None:
            self._since = now
            _log.error(
                "no file descriptor is free (%d are allowed): new connections are closed without "
                "an answer, and S3 is not reached; raise the process's nofile limit, or lower "
                "limits.max_connections",
                resource.getrlimit(resource.RLIMIT_NOFILE)[0],
            )

    def _free(self, now: float) -> None:
        if self._since is not None:
            _log.warning("file descriptors are free again, after %.0f s", now - self._since)
            self._since = None
