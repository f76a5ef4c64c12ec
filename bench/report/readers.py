"""Programs that read access logs, and what one run takes: CPU time, time, memory."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import BenchError
from bench.lib.processes import module_command, running
from tests.analysis.log_writers import write
from tests.analysis.made_logs import Mixed
from tests.made_ranges import MADE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.lib.processes import Cores

_MIB = 1 << 20
_KIB = 1 << 10
_LOOK = 0.02
_IGZIP, _GOACCESS = "igzip", "goaccess"


class LogSet(NamedTuple):
    """Log files.

    Attributes:
        folder: Where they are, and nothing else.
        lines: Requests of all.
    """

    folder: Path
    lines: int


class Run(NamedTuple):
    """One run of a program.

    Attributes:
        cpu: Seconds of CPU time a million lines, of the process and its children.
        wall: Seconds a million lines.
        peak: MiB of memory of the process itself, at the most.
    """

    cpu: float
    wall: float
    peak: float


def write_logs(folder: Path, lines: int, files: int, addresses: int) -> LogSet:
    """Make mixed traffic with the generator of the tests, on all cores.

    Args:
        folder: Where to.
        lines: Requests.
        files: Files.
        addresses: Distinct clients at most.
    """
    spec = Mixed(lines, files, objects=20_000, addresses=addresses)
    write(folder, spec, processes=os.cpu_count() or 1)
    return LogSet(folder, lines)


def installed() -> tuple[bool, bool]:
    """Whether igzip and GoAccess are installed."""
    return shutil.which(_IGZIP) is not None, shutil.which(_GOACCESS) is not None


def igzip(logs: LogSet) -> list[str]:
    """Decompresses all files to nowhere, two at a time."""
    return _shell('find "$1" -name "*.gz" | xargs -P 2 -n 2 igzip -dc', logs)


def goaccess(logs: LogSet) -> list[str]:
    """GoAccess's report on all files, as JSON."""
    return _shell(
        'igzip -dc "$1"/*.gz | exec goaccess - --log-format=CLOUDFRONT --no-progress -o "$1".json',
        logs,
    )


def analyze(logs: LogSet, *options: object) -> list[str]:
    """The report of ``nearbucket analyze``; text, unless options say otherwise.

    Bytecode is kept, as it is where the package is installed: to compile it costs a fifth of a
    second.
    """
    command = module_command("nearbucket", "analyze", logs.folder, "--ranges", MADE, *options)
    return ["env", "-u", "PYTHONDONTWRITEBYTECODE", *command]


def _shell(script: str, logs: LogSet) -> list[str]:
    return ["sh", "-c", script, "sh", str(logs.folder)]


def run_once(command: Sequence[str], logs: LogSet, cores: Cores) -> Run:
    """Run a program to its end on both cores.

    Raises:
        BenchError: It failed.
    """
    before, begin, peak = _children(), time.monotonic(), 0.0
    with running(command, core=cores, stderr=sys.stderr.buffer) as process:
        while process.poll() is None:
            peak = max(peak, _peak(process.pid))
            time.sleep(_LOOK)
        wall = time.monotonic() - begin
        if process.returncode:
            raise BenchError(f"{' '.join(command[:4])} ended with {process.returncode}")
    millions = logs.lines / 1e6
    return Run((_children() - before) / millions, wall / millions, peak)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak(pid: int) -> float:
    """MiB that a process used at the most so far; 0 once it has ended."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:  # noqa: PTH123
            found = [line.split()[1] for line in file if line.startswith("VmHWM:")]
    except OSError:
        return 0.0
    return int(found[0]) * _KIB / _MIB if found else 0.0


def free_space(folder: Path) -> int:
    """Bytes that are free where a folder is."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
