"""Measures for how long the event loop of a worker has not run although it could have.

Each worker sends a heartbeat every second, whatever waits in its end of the channel. The time
without one is added up in small steps, so that only time counts in which this process itself ran:
if the supervisor was held up or the machine suspended, that is one step, however long it took. Nor
does time count in which the worker was ready to run and other processes had the CPU.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

HEARTBEAT = 1.0  # seconds between two heartbeats
STEP = 0.5  # seconds between two calls of ``check``
SUSPECT_AFTER = 2.5  # seconds of silence; then the other workers accept its connections
HUNG_AFTER = 5.0  # seconds of silence; then it is killed
START_LIMIT = 60.0  # seconds until a new worker has to be ready; 12 were seen on a busy machine

STATES = {
    "R": "it computes without a pause",
    "S": "it waits inside a call",
    "D": "it waits for the kernel, perhaps for a disk or a network file system",
    "T": "it was stopped by a signal",
    "t": "a debugger has stopped it",
}
"""What the letters in ``/proc/PID/stat`` mean for an event loop that does not run."""


class _Scheduling(NamedTuple):
    """What the kernel says of a process's main thread; times in nanoseconds."""

    state: str
    ran: int
    waited: int


class WorkerSilence:
    """The silence of one worker.

    Attributes:
        seconds: How long it has been silent.
    """

    def __init__(self, pid: int) -> None:
        """Measure from now on."""
        self.seconds = 0.0
        self._pid = pid
        self._checked = time.monotonic()
        self._before: _Scheduling | None = None

    def end(self) -> None:
        """The worker has sent something."""
        self.seconds = 0.0
        self._before = None

    def check(self) -> None:
        """Every ``STEP`` seconds: add up."""
        now = time.monotonic()
        passed, self._checked = min(now - self._checked, 2 * STEP), now
        if self.seconds > HEARTBEAT:  # one is missing
            passed -= self._waited_for_cpu(passed)
        self.seconds += passed

    @property
    def state(self) -> str:
        """What the worker does, as far as the kernel knows."""
        found = _scheduling(self._pid)
        return STATES.get(found.state, found.state) if found else "its state is unknown"

    @property
    def is_stopped(self) -> bool:
        """Whether the worker cannot act on signals."""
        found = _scheduling(self._pid)
        return found is not None and found.state in "Tt"

    def _waited_for_cpu(self, passed: float) -> float:
        """Seconds of the last ``passed`` in which other processes had the CPU that it needed."""
        before, now = self._before, _scheduling(self._pid)
        self._before = now
        if before is None or now is None:
            return 0.0
        if now.state == "R" and now.ran == before.ran:
            return passed  # the kernel adds up the time of a wait when it is over
        return min(passed, (now.waited - before.waited) / 1e9)


def _scheduling(pid: int) -> _Scheduling | None:
    """None if the process is gone, or where the kernel keeps no such figures."""
    process = Path("/proc", str(pid))
    try:
        state = (process / "stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
        ran, waited, _ = (process / "schedstat").read_text("ascii").split()
    except (OSError, ValueError, IndexError):
        return None
    return _Scheduling(state, int(ran), int(waited))
