"""A whole ``nearbucket serve``, supervisor and workers, and the time until it is ready."""

from __future__ import annotations

import http.client
import json
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from bench.lib.case import BenchError
from bench.lib.processes import children, cpu_seconds, free_port, running

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

_START_TIMEOUT = 30.0
_LOOK = 0.005  # seconds between two looks: each costs the supervisor a part of a millisecond
_OK = 200


class Service(NamedTuple):
    """A running service.

    Attributes:
        supervisor: Process id.
        workers: Process ids.
        port: The public one, of loopback.
        admin: The admin port.
        ready: Seconds from exec to the first 200 of ``/readyz``: one worker answers.
        whole: Seconds from exec until all workers do.
        cpu: CPU time of all processes until then, in seconds.
    """

    supervisor: int
    workers: tuple[int, ...]
    port: int
    admin: int
    ready: float
    whole: float
    cpu: float

    def status(self) -> dict[str, Any]:
        """``/api/status``."""
        return _status(self.admin)


@contextmanager
def serving(
    configuration: Mapping[str, Any],
    workers: int,
    *,
    folder: Path,
    ranges: Path,
    cores: Iterable[int],
) -> Iterator[Service]:
    """A service that is ready.

    Args:
        configuration: What ``case.configuration`` returns.
        workers: Number of workers.
        folder: For its files; the copy of the list that an earlier service kept there is used.
        ranges: The list, asked for every second.
        cores: Where it runs.

    Raises:
        BenchError: It does not get ready.
    """
    folder.mkdir(exist_ok=True)
    port, admin = free_port(), free_port()
    config = folder / "nearbucket.json"
    config.write_text(
        json.dumps(
            {
                **configuration,
                "listen": {"host": "127.0.0.1", "port": port, "workers": workers},
                "admin": {"port": admin},
                "regions": {
                    "source": str(ranges),
                    "refresh": "1s",
                    "cache": str(folder / "kept.json"),
                },
            }
        ),
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "nearbucket", "serve", "--config", str(config)]
    with (folder / "output").open("ab") as output, (folder / "errors").open("w+b") as errors:
        started = time.monotonic()
        with running(command, core=cores, stdout=output, stderr=errors) as process:
            try:
                _wait(process, lambda: _get(admin, "/readyz")[0] == _OK)
                ready = time.monotonic() - started
                _wait(process, lambda: _status(admin)["workers"]["serving"] == workers)
                whole = time.monotonic() - started
            except TimeoutError:
                said = (folder / "errors").read_text("utf-8", "replace")[-2000:]
                raise BenchError(f"nearbucket serve did not get ready:\n{said}") from None
            family = tuple(children(process.pid))
            cpu = sum(map(cpu_seconds, (process.pid, *family)))
            yield Service(process.pid, family, port, admin, ready, whole, cpu)


def _wait(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not reached():
        if process.poll() is not None or time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_LOOK)


def _status(admin: int) -> dict[str, Any]:
    status, body = _get(admin, "/api/status")
    if status != _OK:
        raise BenchError(f"/api/status: status {status}")
    return cast("dict[str, Any]", json.loads(body))


def _get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body; 0 if there is no answer yet."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
