"""Programs that copy one bucket to another, and what one run takes: CPU time, time, requests."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import BenchError
from bench.lib.processes import module_command, running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from bench.lib.processes import Cores
    from bench.sync.stage import Stage

OURS, S5CMD, AWS, RCLONE = "nearbucket sync", "s5cmd sync", "aws s3 sync", "rclone copy"
_OTHERS = {S5CMD: "s5cmd", AWS: "aws", RCLONE: "rclone"}
_PARALLEL = 32


class Run(NamedTuple):
    """One run of a program.

    Attributes:
        cpu: Seconds of CPU time, of the process, its threads and its children.
        wall: Seconds.
        requests: Requests that the server got.
    """

    cpu: float
    wall: float
    requests: int


def installed() -> tuple[dict[str, str], list[str]]:
    """Programs with their executables, ours first and without one; names of those that lack."""
    beside = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    found = {name: shutil.which(program, path=beside) for name, program in _OTHERS.items()}
    there = {name: path for name, path in found.items() if path}
    return {OURS: "", **there}, [name for name in found if name not in there]


@contextmanager
def started(
    name: str, path: str, stage: Stage, target: str, cores: Cores
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that brings a bucket up to the origin."""
    origin, copies, server = f"s3://{stage.origin}", f"s3://{target}", stage.server.endpoint
    commands = {
        OURS: module_command("nearbucket", "sync", "--config", stage.config(target)),
        S5CMD: [path, "--endpoint-url", server, "sync", f"{origin}/*", f"{copies}/"],
        AWS: [path, "--endpoint-url", server, "s3", "sync", "--only-show-errors", origin, copies],
        RCLONE: [
            path, "copy", f"s3:{stage.origin}", f"s3:{target}", "--checksum", "--fast-list",
            "--metadata", f"--transfers={_PARALLEL}", f"--checkers={_PARALLEL}",
        ],
    }  # fmt: skip
    with stage.environment(), running(commands[name], core=cores) as process:
        yield process


def run_once(name: str, path: str, stage: Stage, target: str, cores: Cores) -> Run:
    """Run a program to its end.

    Raises:
        BenchError: It failed.
    """
    asked, begin = stage.requests(), time.monotonic()
    with started(name, path, stage, target, cores) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - begin
    if process.returncode:
        raise BenchError(f"{name} ended with {process.returncode}")
    return Run(used.ru_utime + used.ru_stime, wall, stage.requests() - asked)
