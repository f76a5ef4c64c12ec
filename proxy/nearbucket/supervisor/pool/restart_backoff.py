"""The pauses before a worker that ended is replaced, and how many failures end the server."""

from __future__ import annotations

YOUNG = 10.0  # seconds; a worker that lived longer did not die of its start
FIRST_PAUSE = 1.0  # seconds before the second failure is replaced, then 2, 4, 8 …
LONGEST_PAUSE = 30.0  # seconds
FIRST_STARTS = 3  # failures in a row on every socket that end the server if none was ever ready
FAILURES = 7  # failures in a row on every socket that end the server: with pauses of 31 s


class RestartBackoff:
    """The pauses between the processes on one socket.

    Attributes:
        failures: How many of them in a row died young.
    """

    def __init__(self) -> None:
        """Begin without a failure."""
        self.failures = 0

    def ended(self, lived: float) -> None:
        """Note that a process has ended, this many seconds after its start."""
        self.failures = self.failures + 1 if lived < YOUNG else 0

    @property
    def pause(self) -> float:
        """Seconds to wait before the next start."""
        if self.failures < 2:  # noqa: PLR2004  # the first is replaced at once
            return 0.0
        return min(FIRST_PAUSE * 2.0 ** (self.failures - 2), LONGEST_PAUSE)
