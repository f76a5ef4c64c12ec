"""Processes of the comparison: started on one core, asked for their CPU time, always ended.

In: commands. Out: running processes that end with the ``with`` block, and with this process
however it ends. Refuses to know what they do.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from case import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_END_TIMEOUT = 5.0
_CPUCLOCK_SCHED = 2
_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq of proc_stat(5)


class Cores(NamedTuple):
    """Who runs where. The same core twice on a machine with only one."""

    server: int
    load: int

    @property
    def apart(self) -> bool:
        """Whether the load leaves the server's core alone."""
        return self.server != self.load


def choose_cores() -> Cores:
    """The last core for the server, the first for the load and for this process."""
    allowed = sorted(os.sched_getaffinity(0))
    return Cores(server=allowed[-1], load=allowed[0])


@contextmanager
def running(
    command: Sequence[str], *, core: int, stdout: int | None = subprocess.DEVNULL,
    stderr: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:  # fmt: skip
    """A process on one core, ended when the block is left.

    It has a session of its own, so that Ctrl-C reaches this process alone, which then ends
    it; setpriv (util-linux) has the kernel end it should this process be killed.
    """
    before = os.sched_getaffinity(0)
    guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    os.sched_setaffinity(0, {core})  # inherited from the first instruction on, by all threads
    try:
        process = subprocess.Popen(  # noqa: S603  # fixed commands of this folder
            [*guard, *command], stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr,
            start_new_session=True,
        )  # fmt: skip
    finally:
        os.sched_setaffinity(0, before)
    try:
        yield process
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


def free_port() -> int:
    """A port of loopback that nobody has bound right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Usage(NamedTuple):
    """CPU time in seconds; differences of two of them are what counts.

    Attributes:
        process: User and system time of the process, to the nanosecond.
        user: User time alone, to the hundredth of a second.
        core: Busy time of the core, whoever made it busy, to the hundredth.
    """

    process: float
    user: float
    core: float

    def since(self, before: Usage) -> Usage:
        """What was used in between."""
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))


def usage(pid: int, core: int) -> Usage:
    """CPU time used so far by a process, all threads, and by a core.

    The sum comes from the process's CPU clock (clock_getcpuclockid(3), whose encoding of a
    process id this is): what /proc/PID/stat shows as utime plus stime, without rounding to
    ticks. The core's time (proc_stat(5)) also has the network stack's work in softirqs.

    Raises:
        BenchError: The process has ended.
    """
    tick = os.sysconf("SC_CLK_TCK")
    try:
        total = time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED) / 1e9
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        raise BenchError(f"process {pid} ended while it was measured") from None
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    line = next(each for each in lines if each.startswith(f"cpu{core} "))
    columns = [int(column) for column in line.split()[1:]]
    busy = sum(columns[column] for column in _BUSY)
    return Usage(total, int(fields[11]) / tick, busy / tick)
