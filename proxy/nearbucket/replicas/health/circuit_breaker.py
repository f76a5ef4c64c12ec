"""A circuit breaker: opens when many of the last attempts failed.

While it is closed, attempts (redirects to a target) are made; while it is open, none. After
``OPEN_TIME`` it is half-open: attempts are made, and fewer failures open it again.

For most attempts it is never known whether they succeeded. So to open it, failures have to be more
than half of the known results, and also at least a quarter of all attempts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

LEAST, LEAST_HALF_OPEN = 20, 5
"""Known results that it takes to open: when closed, and when half-open."""
SHARE_OF_RESULTS, SHARE_OF_ATTEMPTS = 0.5, 0.25
WINDOW = 300.0
"""Seconds for which a result counts."""
OPEN_TIME = 60.0
"""Seconds for which it stays open."""

_SLOTS = 5
_SLOT = WINDOW / _SLOTS


@dataclass(slots=True)
class _Slot:
    """A part of the window; ``attempts`` is the running total at its beginning."""

    number: int
    attempts: float
    results: int = 0
    failures: int = 0


class CircuitBreaker:
    """The results of the last minutes."""

    __slots__ = ("_half_open", "_opened", "_slots")

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque(maxlen=_SLOTS)
        self._opened = -inf
        self._half_open = False

    def advance(self, attempts: float, now: float) -> None:
        """Note how many attempts there have been in all, at a monotonic time."""
        number = int(now / _SLOT)
        if not self._slots or self._slots[-1].number < number:
            self._slots.append(_Slot(number, attempts))
            while self._slots[0].number <= number - _SLOTS:
                self._slots.popleft()

    def note(self, *, failed: bool, attempts: float, now: float) -> str:
        """Note a result.

        Args:
            failed: Whether it is a failure.
            attempts: How many attempts there have been in all.
            now: Monotonic time.

        Returns:
            If this result opens the breaker, how many known results are failures ("15 of 20");
            otherwise an empty text.
        """
        if self.is_open(now):
            return ""
        self.advance(attempts, now)
        self._slots[-1].results += 1
        self._slots[-1].failures += failed
        results = sum(slot.results for slot in self._slots)
        failures = sum(slot.failures for slot in self._slots)
        if results < (LEAST_HALF_OPEN if self._half_open else LEAST):
            return ""
        made = attempts - self._slots[0].attempts
        if failures <= SHARE_OF_RESULTS * results or failures < SHARE_OF_ATTEMPTS * made:
            self._half_open = self._half_open and results < LEAST
            return ""
        self._opened, self._half_open = now, True
        self._slots.clear()
        return f"{failures} of {results}"

    def is_open(self, now: float) -> bool:
        """Whether no attempt is to be made."""
        return now - self._opened < OPEN_TIME
