"""The servers of the comparison, started and checked.

In: the list of prefixes, a folder for temporary files. Out: servers that answer a redirect
to every client of the case, with and without an access log. Refuses to measure them.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import http.client
import os
import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from case import PATH, BenchError, locations, nginx_config
from processes import free_port, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from proxy.decide.regions import Ranges

FAST, AIOHTTP, NGINX = "nearbucket", "nearbucket, aiohttp lane", "nginx"
_START_TIMEOUT = 20.0
_LOG_TIMEOUT = 10.0
_CHECKED = 20
_PAUSE = 0.01


class Kind(NamedTuple):
    """One row of the comparison: which server, and whether it logs."""

    name: str
    log: bool


class Server(NamedTuple):
    """A running server."""

    kind: Kind
    pid: int
    port: int
    log: Path | None

    def empty_log(self) -> None:
        """Forget the lines so far, so that a long run does not fill the disk."""
        if self.log is not None:
            os.truncate(self.log, 0)

    def finish_log(self, lines: int) -> None:
        """Wait until so many lines are written: they gather, and are part of the cost.

        Raises:
            BenchError: They do not come.
        """
        if self.log is None:
            return
        deadline = time.monotonic() + _LOG_TIMEOUT
        while (found := self.log.read_bytes().count(b"\n")) < lines:
            if time.monotonic() > deadline:
                raise BenchError(f"{self.kind.name}: {found} log lines for {lines} requests")
            time.sleep(_PAUSE * 5)


class Starter(NamedTuple):
    """Starts servers.

    Attributes:
        folder: For configurations, logs and error output.
        ranges_file: The list of prefixes.
        ranges: Its content.
        core: Where servers run.
    """

    folder: Path
    ranges_file: Path
    ranges: Ranges
    core: int

    @contextmanager
    def start(self, kind: Kind, clients: Sequence[tuple[str, str]]) -> Iterator[Server]:
        """A server that has shown that it redirects these clients.

        Raises:
            BenchError: It does not start, or answers otherwise.
        """
        port = free_port()
        stem = f"{kind.name.replace(', ', '-').replace(' ', '-')}-{'log' if kind.log else 'quiet'}"
        log = self.folder / f"{stem}.access" if kind.log else None
        if log is not None:
            log.touch()
        command = self._nginx(stem, port, log) if kind.name == NGINX else self._worker(
            "fast" if kind.name == FAST else "aiohttp", port, log
        )  # fmt: skip
        errors = self.folder / f"{stem}.errors"
        with (
            errors.open("wb") as stderr,
            running(command, core=self.core, stderr=stderr) as process,
        ):
            deadline = time.monotonic() + _START_TIMEOUT
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise BenchError(f"{kind.name} did not start:\n{errors.read_text()[-2000:]}")
                time.sleep(_PAUSE)
            _check(kind, port, clients)
            yield Server(kind, process.pid, port, log)

    def _nginx(self, stem: str, port: int, log: Path | None) -> list[str]:
        config = self.folder / f"{stem}.conf"
        text = nginx_config(self.ranges, port=port, log=log, folder=self.folder)
        config.write_text(text, encoding="ascii")
        return [nginx_program() or NGINX, "-p", str(self.folder), "-e", "stderr", "-c", str(config)]

    def _worker(self, lane: str, port: int, log: Path | None) -> list[str]:
        script = Path(__file__).parent / "serve_one.py"
        command = [sys.executable, str(script), lane, str(port), str(self.ranges_file)]
        return [*command, str(log)] if log else command


def nginx_program() -> str | None:
    """Path of nginx, or None; Debian keeps it where only root's PATH leads."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _answers(port: int) -> bool:
    try:
        http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
    except OSError:
        return False
    return True


def _check(kind: Kind, port: int, clients: Sequence[tuple[str, str]]) -> None:
    bases = locations()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for address, region in clients[:_CHECKED]:
        connection.request("GET", PATH, headers={"X-Forwarded-For": address})
        answer = connection.getresponse()
        answer.read()
        found = (answer.status, answer.getheader("Location"))
        wanted = (301, f"{bases[region]}{PATH}")
        if found != wanted:
            raise BenchError(f"{kind.name}: {address} got {found}, not {wanted}")
    connection.close()
