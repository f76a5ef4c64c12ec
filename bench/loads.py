"""The load: so many requests over keep-alive connections, from each client address in turn.

In: a port of loopback and a number of requests. Out: how many were answered. Uses wrk where
it is installed, else ``requester.py``. Refuses to look at the server.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from case import PATH, BenchError
from processes import running

if TYPE_CHECKING:
    from collections.abc import Iterable

CONNECTIONS = 32
_LONGEST = 60
"""Seconds a load may take before the run is given up."""

_HERE = Path(__file__).parent


def generator() -> str:
    """Name of the program that asks."""
    return "wrk" if shutil.which("wrk") else "requester.py"


def write_heads(file: Path, addresses: Iterable[str]) -> None:
    """Write the requests to send, one head after another."""
    file.write_bytes(b"".join(
        f"GET {PATH} HTTP/1.1\r\nHost: downloads.example\r\nUser-Agent: curl/8.5.0\r\n"
        f"Accept: */*\r\nX-Forwarded-For: {address}\r\n\r\n".encode()
        for address in addresses
    ))  # fmt: skip


class Load(NamedTuple):
    """Sends requests from one core."""

    heads: Path
    core: int

    def send(self, port: int, requests: int) -> int:
        """Send requests and wait for the answers.

        Returns:
            How many were answered; wrk leaves up to one a connection unread at the end.

        Raises:
            BenchError: An answer was wrong, or they took too long.
        """
        wrk = shutil.which("wrk")
        command = (
            [wrk, "-t1", f"-c{CONNECTIONS}", f"-d{_LONGEST}s", "-s", str(_HERE / "rotate.lua"),
             f"http://127.0.0.1:{port}{PATH}", "--", str(self.heads), str(requests)]
            if wrk else
            [sys.executable, str(_HERE / "requester.py"), str(port), str(self.heads),
             str(CONNECTIONS), str(requests)]
        )  # fmt: skip
        with running(command, core=self.core, stdout=subprocess.PIPE) as process:
            if wrk:
                _line(process)  # "enough": wrk itself would wait for the end of its time
                process.send_signal(signal.SIGINT)
            try:
                output, _ = process.communicate(timeout=_LONGEST)
            except subprocess.TimeoutExpired:
                raise BenchError(f"{requests} requests took over {_LONGEST} s") from None
        return _answered(output.decode())


def _line(process: subprocess.Popen[bytes]) -> None:
    """Wait for something on standard output, or its end."""
    if process.stdout is not None and not select.select([process.stdout], (), (), _LONGEST)[0]:
        raise BenchError(f"the load did not end in {_LONGEST} s; give fewer --requests")


def _answered(output: str) -> int:
    for line in output.splitlines():
        match line.split():
            case ["figures", answered, failed]:
                if int(failed) or not int(answered):
                    raise BenchError(f"{failed} requests failed, {answered} were answered")
                return int(answered)
    raise BenchError(f"the load generator said nothing of use: {output[-500:]!r}")
