"""``nearbucket serve`` in processes of its own, and a client that asks it."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import urlsplit

import yaml

from tests.build import FORWARDED, ranges_document
from tests.command_server import start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.command_server import Started
    from tests.conftest import LocalS3

PATIENCE = 30.0
ROOT = Path(__file__).parent.parent.parent


class Answer(NamedTuple):
    """What a server answered: status, fields with lower-case names, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Running:
    """A server started from a configuration in ``folder``; ``with`` stops it.

    Attributes:
        port: The public port.
        admin_port: The admin port.
        config_name: What the command is told to read; by default the file.
        words: Further arguments of the command.
        sockets: Sockets that it is given as by systemd.
    """

    def __init__(self, folder: Path, config: dict[str, Any], env: dict[str, str]) -> None:
        self.config = folder / "nearbucket.yaml"
        self.output = folder / "stdout.log"
        self.errors = folder / "stderr.log"
        self.port, self.admin_port = free_port(), free_port()
        self.config_name = str(self.config)
        self.words: tuple[str, ...] = ()
        self.sockets: tuple[socket.socket, ...] = ()
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NEARBUCKET_", "AWS_"))
        } | env
        self._stack = ExitStack()
        self._process: Started
        self.write(config)

    def write(self, config: dict[str, Any]) -> None:
        """Replace the configuration file."""
        config = {
            "listen": {"host": "127.0.0.1", "port": self.port, "workers": 2},
            "admin": {"port": self.admin_port},
            "client_address": FORWARDED,
            "limits": {"drain_grace": 0},
            **config,
        }
        self.config.write_text(yaml.safe_dump(config), encoding="utf-8")

    def __enter__(self) -> Self:
        out, err = (
            self._stack.enter_context(path.open("wb")) for path in (self.output, self.errors)
        )
        self._process = start(
            *("serve", "--config", self.config_name, *self.words),
            env=self.environment,
            stdout=out,
            stderr=err,
            sockets=self.sockets,
        )
        self._stack.callback(self.stop)
        return self

    def __exit__(self, *_failure: object) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        """Process id of the supervisor."""
        return self._process.pid

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the supervisor and wait for its end; returns its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
            try:
                self._process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
        return self._process.wait()

    def signal(self, number: int) -> None:
        """Send a signal to the supervisor."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; returns the exit code."""
        return self._process.wait(PATIENCE)

    def said(self) -> str:
        """The process log."""
        return self.errors.read_text(encoding="utf-8")

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        return [int(child) for child in children.split()]

    def admin(self, path: str) -> tuple[int, str]:
        """Status and text of the admin port's answer; 0 while it is not there."""
        address = f"http://127.0.0.1:{self.admin_port}{path}"
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def until(self, path: str, holds: Any) -> str:
        """Ask the admin port until ``holds(status, text)``; fails with the log's tail."""
        deadline = time.monotonic() + PATIENCE
        pause = 0.02
        while time.monotonic() < deadline and self._process.poll() is None:
            status, text = self.admin(path)
            if holds(status, text):
                return text
            time.sleep(pause)
            pause = min(pause * 1.5, 0.2)
        raise AssertionError(self.errors.read_text(encoding="utf-8")[-3000:])

    def ready(self, workers: int = 2) -> Self:
        """Wait until traffic may come and all workers serve."""
        self.until("/readyz", lambda status, _: status == 200)
        self.until("/metrics", lambda _, text: f"nearbucket_workers {float(workers)}" in text)
        return self

    def figures(self) -> dict[str, float]:
        """Every sample of /metrics by its name and labels."""
        _, text = self.admin("/metrics")
        found = re.findall(r"^(nearbucket_\S+) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    def get(
        self,
        path: str,
        client: str,
        fields: Mapping[str, str | bytes] | None = None,
        *,
        follow: bool = False,
    ) -> Answer:
        """Ask the public port as ``client``; see ``ask``."""
        url = f"http://127.0.0.1:{self.port}{path}"
        return ask(url, {**(fields or {}), "X-Forwarded-For": client}, follow=follow)

    def lines(self) -> list[dict[str, Any]]:
        """The access log."""
        text = self.output.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]


def ask(
    url: str, fields: Mapping[str, str | bytes], *, method: str = "GET", follow: bool = False
) -> Answer:
    """One request of the URL as it is written; a body that ends early is an error.

    Args:
        url: With ``http:``. No proxy of the environment is asked.
        fields: Those of the head; no others but Host are sent.
        method: Method of the request.
        follow: Whether to go on where an answer redirects to, with the same fields.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.netloc, timeout=PATIENCE)
    with closing(connection):
        connection.putrequest(
            method, url.partition(place.netloc)[2] or "/", skip_accept_encoding=True
        )
        for name, value in fields.items():
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as response:
            headers = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, headers, response.read())
    return ask(headers["location"], fields) if follow and "location" in headers else answer


def site_of(s3: LocalS3, **more: Any) -> dict[str, Any]:
    """A site with an origin that needs keys and a public target in us-west-2."""

    def bucket(name: str, region: str) -> dict[str, Any]:
        return {"bucket": name, "region": region, "endpoint": s3.server.endpoint}

    return {
        "origin": bucket(s3.private, "us-east-1"),
        "targets": {
            "us-east-1": bucket(s3.public, "us-east-1"),
            "us-west-2": bucket(s3.public, "us-west-2"),
        },
        # clients of tests come back within seconds, each for a reason of its own
        "redirect": {"scheme": "http", "came_back": "off", **more.pop("redirect", {})},
        **more,
    }


def config_of(folder: Path, site: dict[str, Any], **regions: Any) -> dict[str, Any]:
    """A configuration whose list has documentation addresses only, with more of ``regions``."""
    source = folder / "ip-ranges.json"
    source.write_bytes(ranges_document())
    section = {"source": str(source), "cache": str(folder / "cache.json"), **regions}
    return {"regions": section, "catalog": {"wait": "10s"}, "sites": [site]}


def keys_of(s3: LocalS3) -> dict[str, str]:
    """The server's keys as the environment of the AWS SDK."""
    return {
        "AWS_ACCESS_KEY_ID": s3.server.access_key,
        "AWS_SECRET_ACCESS_KEY": s3.server.secret_key,
    }


def free_port() -> int:
    """A port of 127.0.0.1 that is not bound.

    Below those that Linux gives to outgoing connections (net.ipv4.ip_local_port_range), one of
    which another test could open before the server is started.
    """
    while True:
        port = random.randrange(20_000, 32_768)  # noqa: S311  # not a secret
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    with suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").split()[2] == "Z"
    return True


def until_gone(processes: list[int]) -> None:
    """Wait for the end of processes."""
    deadline = time.monotonic() + PATIENCE
    while not all(map(gone, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
