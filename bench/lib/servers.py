"""The servers that are compared, started and checked.

Each redirects every client of the case, with an access log or without one.
"""

from __future__ import annotations

import http.client
import os
import pickle
import shutil
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from bench.lib import serve_one
from bench.lib.case import PATH, ROOT, BenchError, locations, settings
from bench.lib.policies import Place, haproxy_config, nginx_config
from bench.lib.processes import free_port, module_command, running
from nearbucket.supervisor.snapshot import snapshot_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from nearbucket.regions.ip_ranges import Ranges

FAST, AIOHTTP, NGINX, HAPROXY = "nearbucket", "nearbucket, aiohttp lane", "nginx", "HAProxy"
COMPILED = "nearbucket, compiled"
COMPILED_BUILD = ROOT / "build" / "compiled" / "lib"
"""Where ``make compiled`` leaves the compiled build."""
_START_TIMEOUT = 20.0
_LOG_TIMEOUT = 10.0
_CHECKED = 20
_PAUSE = 0.01


class Kind(NamedTuple):
    """One row of the comparison: which server, and whether it logs."""

    name: str
    log: bool

    @property
    def labels(self) -> tuple[str, str]:
        """The row's labels."""
        return self.name, "json" if self.log else "off"

    def __str__(self) -> str:
        return f"{self.name}, {'JSON' if self.log else 'no'} log"


class Server(NamedTuple):
    """A running server."""

    kind: Kind
    pid: int
    port: int
    log: Path | None

    def empty_log(self) -> None:
        """Empty the log, so that a long run does not fill the disk."""
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
        folder: Folder for configurations, logs and error output.
        ranges: The list of prefixes.
        core: Where servers run.
        clients: Addresses of the clients, each with its region.
    """

    folder: Path
    ranges: Ranges
    core: int
    clients: Sequence[tuple[str, str]]

    @contextmanager
    def start(self, kind: Kind) -> Iterator[Server]:
        """A server that has shown that it redirects the clients.

        Raises:
            BenchError: It does not start, or answers otherwise.
        """
        folder = self.folder / str(kind).replace(", ", "-").replace(" ", "-")
        folder.mkdir(exist_ok=True)
        place = Place(free_port(), folder / "access.log" if kind.log else None, folder)
        with ExitStack() as stack:
            output = stack.enter_context((place.log or folder / "output").open("ab"))
            errors = stack.enter_context((folder / "errors").open("wb"))
            process = stack.enter_context(
                running(self.command(kind, place), core=self.core, stdout=output, stderr=errors)
            )
            deadline = time.monotonic() + _START_TIMEOUT
            while not answers(place.port):
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (folder / "errors").read_text()[-2000:]
                    raise BenchError(f"{kind.name} did not start:\n{said}")
                time.sleep(_PAUSE)
            check_redirects(kind.name, place.port, self.clients)
            yield Server(kind, process.pid, place.port, place.log)

    def command(self, kind: Kind, place: Place) -> list[str]:
        """What to run; writes the configuration first."""
        config = place.folder / "config"
        match kind.name:
            case "nginx":
                config.write_text(nginx_config(self.ranges, place), encoding="ascii")
                program = _found(nginx_program(), kind)
                return [program, "-p", str(place.folder), "-e", "stderr", "-c", str(config)]
            case "HAProxy":
                config.write_text(haproxy_config(self.ranges, place), encoding="ascii")
                return [_found(haproxy_program(), kind), "-db", "-f", str(config)]
        config.write_bytes(pickle.dumps(snapshot_of(settings(log=kind.log), self.ranges)))
        lanes = "aiohttp" if kind.name == AIOHTTP else "all"
        logs = [place.log] if place.log else []
        command = module_command(serve_one.__name__, lanes, place.port, config, *logs)
        build = ["env", f"PYTHONPATH={COMPILED_BUILD}"] if kind.name == COMPILED else []
        return build + command


def _found(program: str | None, kind: Kind) -> str:
    if program is None:
        raise BenchError(f"{kind.name} is not installed")
    return program


def compiled_is_current() -> bool:
    """Whether there is a compiled build, and no source is newer."""
    built = [each.stat().st_mtime for each in COMPILED_BUILD.glob("*.so")]
    sources = (each.stat().st_mtime for each in ROOT.glob("proxy/nearbucket/**/*.py"))
    return bool(built) and max(sources) <= min(built)


def nginx_program() -> str | None:
    """Path of nginx, or None."""
    return _program("nginx")


def haproxy_program() -> str | None:
    """Path of HAProxy, or None."""
    return _program("haproxy")


def _program(name: str) -> str | None:
    """Path of a program, also in Debian's folders that are only in root's PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


def answers(port: int) -> bool:
    """Whether a server accepts connections on the port."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def check_redirects(name: str, port: int, clients: Sequence[tuple[str, str]]) -> None:
    """Check that some clients get the right redirect.

    Raises:
        BenchError: One does not.
    """
    bases = locations()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    for address, region in clients[:_CHECKED]:
        connection.request("GET", PATH, headers={"X-Forwarded-For": address})
        answer = connection.getresponse()
        answer.read()
        found = (answer.status, answer.getheader("Location"))
        wanted = (301, f"{bases[region]}{PATH}")
        if found != wanted:
            raise BenchError(f"{name}: {address} got {found}, not {wanted}")
    connection.close()
