"""The load: requests from a file of heads, in turn, as fast as they are answered.

wrk with ``rotate.lua`` where wrk is installed, else ``requester.py``. The result is how many
requests were answered, and their latency.
"""

from __future__ import annotations

import select
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

from bench.lib import requester
from bench.lib.case import PATH, BenchError
from bench.lib.processes import module_command, running

CONNECTIONS = 32
_LONGEST = 60
"""Seconds a load may take before the run is given up."""

_PATIENCE = 20
"""Seconds without an answer that wrk takes for a failure; on a busy machine its own 2 pass."""

_SCRIPT = Path(__file__).with_name("rotate.lua")


def generator() -> str:
    """Name of the program that sends the requests."""
    return "wrk" if shutil.which("wrk") else "requester.py"


class Answers(NamedTuple):
    """Counts and latencies of the answers.

    Attributes:
        total: Answers; wrk leaves up to one a connection unread at the end.
        p50: Median of the time from request to answer, in milliseconds.
        p99: The 99th percentile.
    """

    total: int
    p50: float
    p99: float


class Load:
    """Sends requests from one core; goes on in the file of heads where it stopped."""

    def __init__(self, heads: Path, core: int, connections: int = CONNECTIONS) -> None:
        self._heads, self._core, self._connections = heads, core, connections
        self._sent = 0

    def send(self, port: int, requests: int) -> Answers:
        """Send requests and wait for the answers.

        Raises:
            BenchError: An answer was wrong, or they took too long.
        """
        wrk = shutil.which("wrk")
        rest = [str(self._heads), str(requests), str(self._sent)]
        command = (
            [
                wrk,
                "-t1",
                f"-c{self._connections}",
                f"-d{_LONGEST}s",
                f"--timeout={_PATIENCE}s",
                "-s",
                str(_SCRIPT),
                f"http://127.0.0.1:{port}{PATH}",
                "--",
                *rest,
            ]
            if wrk
            else module_command(requester.__name__, port, self._connections, *rest)
        )
        self._sent += requests
        with running(command, core=self._core, stdout=subprocess.PIPE) as process:
            if wrk:
                _line(process)  # "enough": wrk itself would wait for the end of its time
                process.send_signal(signal.SIGINT)
            try:
                output, _ = process.communicate(timeout=_LONGEST)
            except subprocess.TimeoutExpired:
                raise BenchError(f"{requests} requests took over {_LONGEST} s") from None
        return _answers(output.decode())


def _line(process: subprocess.Popen[bytes]) -> None:
    """The next line of standard output; empty at its end."""
    if process.stdout is not None and not select.select([process.stdout], (), (), _LONGEST)[0]:
        raise BenchError(f"the load did not end in {_LONGEST} s")


def _answers(output: str) -> Answers:
    for line in output.splitlines():
        match line.split():
            case ["figures", answered, failed, p50, p99]:
                if int(failed) or not int(answered):
                    raise BenchError(f"{failed} requests failed, {answered} were answered")
                return Answers(int(answered), int(p50) / 1000, int(p99) / 1000)
    raise BenchError(f"the load generator said nothing of use: {output[-500:]!r}")
