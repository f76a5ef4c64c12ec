"""Whether an origin is asked, where a site has several: a circuit breaker for each of them.

A timeout opens it at once, because it costs each request seconds; other failures (no connection,
5xx, throttling) cost a round trip, so it takes several in a row. While it is open, requests go to
the next origin. After a pause it is half-open for one request, a HEAD for the bucket that the proxy
sends itself: no client waits for it. Any response but a failure closes it.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE = 3.0
"""Seconds for a connection and the head of a response where another origin can be asked: a SYN that
is lost is sent again after 1 s (RFC 6298), and S3 takes 0.1 s."""

FALL = 5
"""Failures in a row that open it."""

PAUSE, LONGEST_PAUSE = 5.0, 60.0
"""Seconds until the first HEAD, and at most: twice as long each time that it opens again soon."""
SOON = 60.0
"""Seconds after it was closed."""

_FIRST_FAILURE, _TOO_MANY = 500, 429


def is_failure(status: int) -> bool:
    """Whether a status of S3 means that another origin may have an answer; 0 is no response."""
    return status >= _FIRST_FAILURE or status in {0, _TOO_MANY}


class OriginBreaker:
    """The last results of one origin.

    Attributes:
        why: Why it is open; empty while it is closed.
    """

    __slots__ = ("_closed", "_failures", "_on_change", "_pause", "_probe_at", "why")

    def __init__(self, on_change: Callable[[], None]) -> None:
        """Begin closed; ``on_change`` is called when it has opened or closed."""
        self._on_change = on_change
        self._failures = 0
        self._pause = PAUSE
        self._probe_at = inf
        self._closed = -inf
        self.why = ""

    def on_status(self, status: int) -> None:
        """Note a response by its status; 0 if there was none."""
        if not is_failure(status):
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= FALL:
            last = f"it answered {status}" if status else "no connection, or no response"
            self._open(f"{FALL} failures in a row, at last {last}")

    def on_timeout(self) -> None:
        """Note that there was no connection or response in time."""
        self._open("no connection or response in time")

    def _open(self, why: str) -> None:
        if self.why:
            return
        now = monotonic()
        flaps = now - self._closed < SOON
        self._pause = min(2 * self._pause, LONGEST_PAUSE) if flaps else PAUSE
        self.why, self._probe_at = why, now + self._pause
        self._on_change()

    def begin_probe(self, now: float) -> bool:
        """Whether the HEAD has to be sent at this monotonic time; ``end_probe`` has to follow."""
        if now < self._probe_at:
            return False
        self._probe_at = inf
        return True

    def end_probe(self, *, failed: bool) -> None:
        """Close it, or wait for the next HEAD."""
        if failed:
            self._probe_at = monotonic() + self._pause
        elif self.why:
            self.why, self._failures, self._closed = "", 0, monotonic()
            self._on_change()
