"""Processes of a bench: started on one core, their CPU time and memory read, always ended.

A process ends with its ``with`` block, and with this process however this one ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

from bench.lib.case import ROOT, BenchError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_END_TIMEOUT = 5.0
_CPUCLOCK_SCHED = 2
_BUSY = (0, 1, 2, 5, 6)  # user, nice, system, irq, softirq of proc_stat(5)
_ESTABLISHED = "01"  # of /proc/net/tcp


class Cores(NamedTuple):
    """The cores of server and load; the same one twice on a machine with a single core."""

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


def module_command(name: str, *arguments: object) -> list[str]:
    """The command that runs a module of the benches; ``running`` starts it where it is found."""
    return [sys.executable, "-m", name, *map(str, arguments)]


@contextmanager
def running(
    command: Sequence[str],
    *,
    core: int | Iterable[int],
    stdout: int | IO[bytes] | None = subprocess.DEVNULL,
    stderr: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process on one core or on some, started in the project's root, ended with the block.

    It has a session of its own, so that Ctrl-C reaches this process alone, which then ends
    it; setpriv (util-linux) has the kernel end it should this process be killed.
    """
    before = os.sched_getaffinity(0)
    guard = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    cores = {core} if isinstance(core, int) else set(core)
    os.sched_setaffinity(0, cores)  # inherited from the first instruction on, by all threads
    try:
        process = subprocess.Popen(  # noqa: S603  # fixed commands of the benches
            [*guard, *command],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            cwd=ROOT,
        )
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
    """A port of loopback that is not bound right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Usage(NamedTuple):
    """CPU time in seconds; differences of two of them are what counts.

    Attributes:
        process: User and system time of the process, to the nanosecond.
        user: User time alone, to the hundredth of a second.
        core: Busy time of the core, whichever process made it busy, to the hundredth.
    """

    process: float
    user: float
    core: float

    def since(self, before: Usage) -> Usage:
        """The CPU time used since an earlier reading."""
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))


def cpu_seconds(pid: int) -> float:
    """CPU time used so far by a process, all threads.

    From the process's CPU clock (clock_getcpuclockid(3), whose encoding of a process id this
    is): what /proc/PID/stat shows as utime plus stime, without rounding to ticks.

    Raises:
        BenchError: The process has ended.
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED) / 1e9
    except OSError:
        raise BenchError(f"process {pid} ended while it was measured") from None


def usage(pid: int | Iterable[int], core: int) -> Usage:
    """CPU time used so far by a process or by several, all threads, and by a core.

    A process's is that of ``cpu_seconds``. The core's (proc_stat(5)) also has the network
    stack's work in softirqs.

    Raises:
        BenchError: The process has ended.
    """
    tick = os.sysconf("SC_CLK_TCK")
    pids = [pid] if isinstance(pid, int) else list(pid)
    total = sum(map(cpu_seconds, pids))
    user = sum(int(_stat(each)[11]) for each in pids) / tick
    lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    line = next(each for each in lines if each.startswith(f"cpu{core} "))
    columns = [int(column) for column in line.split()[1:]]
    busy = sum(columns[column] for column in _BUSY)
    return Usage(total, user, busy / tick)


def _stat(pid: int) -> list[str]:
    """The fields of proc_pid_stat(5) from the third on."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    except OSError:
        raise BenchError(f"process {pid} ended while it was measured") from None


def children(pid: int) -> list[int]:
    """Processes that a process started and that still are there, in order of their start."""
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return sorted(int(child) for task in tasks for child in task.read_text("ascii").split())


class Memory(NamedTuple):
    """Memory of a process in KiB, from /proc/PID/smaps_rollup.

    Attributes:
        rss: All that is resident.
        pss: The same, what is shared divided by those who share it.
    """

    rss: int
    pss: int


def memory(pid: int) -> Memory:
    """Memory of a process now."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
    fields = {name: value for name, _, value in (line.partition(":") for line in lines)}
    return Memory(*(int(fields[name].split()[0]) for name in ("Rss", "Pss")))


def connections(pid: int, port: int) -> int:
    """Connections that a process has accepted on a port of IPv4."""
    lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    rows = (line.split() for line in lines)
    sockets = {
        f"socket:[{row[9]}]"
        for row in rows
        if row[3] == _ESTABLISHED and int(row[1].partition(":")[2], 16) == port
    }
    opened = Path(f"/proc/{pid}/fd").iterdir()
    return sum(_link(descriptor) in sockets for descriptor in opened)


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except OSError:  # closed meanwhile
        return ""


def end_at_signals() -> None:
    """End at SIGINT and SIGTERM by an exception, which leaves every ``with`` on the way out."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(130))
