"""A running copy of the project that docker-compose.yml describes, and the engine it runs on."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.running import Answer, ask
from tests.skips import NO_ENGINE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[3]
KIT = ROOT.parent / "shared/docker/engine"
STAND_INS = ("python", "seaweedfs", "prometheus", "dockerfile")
IMAGES = ("python:3.13-slim-trixie", "chrislusf/seaweedfs:latest", "prom/prometheus:latest")
COMPILED = os.environ.get("COMPILE_NEARBUCKET", "0")
"""``1`` to have these tests of the compiled build: ``COMPILE_NEARBUCKET=1 make compose``."""

Labels = frozenset[tuple[str, str]]
Figures = dict[tuple[str, Labels], float]


@dataclass(frozen=True, slots=True)
class Stack:
    """One running copy of the project."""

    environ: Mapping[str, str] = field(repr=False)
    name: str = f"nearbucket-e2e-{os.getpid()}"
    ports: Mapping[str, int] = field(
        default_factory=lambda: free_ports("", "ADMIN", "S3", "PROMETHEUS", "CDN")
    )

    def run(self, *arguments: str, check: bool = True, limit: float = 120) -> str:
        """Output of a docker command; the command's own words when it fails."""
        ports = {
            "_".join(filter(None, ("NEARBUCKET", service, "PORT"))): str(port)
            for service, port in self.ports.items()
        }
        done = subprocess.run(
            ["docker", *arguments],
            cwd=ROOT,
            env={
                **self.environ,
                **ports,
                "NEARBUCKET_IMAGE": self.name,
                "COMPILE_NEARBUCKET": COMPILED,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=limit,
            check=False,
        )
        if check and done.returncode != 0:
            pytest.fail(f"docker {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}")
        return done.stdout

    def compose(self, *arguments: str, check: bool = True, limit: float = 120) -> str:
        """Output of a docker compose command on this copy."""
        return self.run(
            *("compose", "--ansi", "never", "-p", self.name, "--profile", "cdn", *arguments),
            check=check,
            limit=limit,
        )

    def python(self, code: str, *, check: bool = True) -> str:
        """Output of Python code in the proxy's container, which has no other program."""
        return self.compose("exec", "-T", "proxy", "python", "-c", code, check=check)

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows about a service's container."""
        container = self.compose("ps", "-aq", service).strip()
        found: dict[str, Any] = json.loads(self.run("inspect", container))[0]
        return found

    def url(self, service: str, path: str = "") -> str:
        """A published URL."""
        return f"http://127.0.0.1:{self.ports[service]}/{path}"

    def get(self, key: str, client: str, *, method: str = "GET", **fields: str) -> Answer:
        """Ask the proxy for an object as a client with that address."""
        url = self.url("", quote(key, safe="/"))
        return ask(url, {"X-Forwarded-For": client, **fields}, method=method)

    def query(self, path: str, **parameters: str) -> Any:
        """``data`` of an answer of Prometheus, or what is wrong with the question."""
        answer = json.loads(
            ask(self.url("PROMETHEUS", f"api/v1/{path}?{urlencode(parameters)}"), {}).body
        )
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]

    def figures(self) -> Figures:
        """Every sample of the proxy's own /metrics."""
        text = ask(self.url("ADMIN", "metrics"), {}).body.decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


def free_ports(*services: str) -> dict[str, int]:
    """A free port for each; held together, so that they differ."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in services]
    ports = {service: each.getsockname()[1] for service, each in zip(services, held, strict=True)}
    for each in held:
        each.close()
    return ports


def eventually(truth: Callable[[], bool], seconds: float = 30) -> bool:
    """Whether it becomes true in time; for what other programs do when they get to it."""
    deadline = time.monotonic() + seconds
    while not truth():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def engine() -> dict[str, str]:
    """An environment in which ``docker`` reaches an engine with the images; else a skip."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith("NEARBUCKET_")
    }
    reached = _succeeds(environ, "info") and _succeeds(environ, "compose", "version")
    if reached and (_succeeds(environ, "image", "inspect", *IMAGES) or not KIT.exists()):
        return environ
    problem = _start_engine(environ)
    if problem and not reached:
        pytest.skip(f"{NO_ENGINE}: {' '.join(problem.split())}")
    return environ


def _succeeds(environ: Mapping[str, str], *arguments: str) -> bool:
    if shutil.which("docker") is None:
        return False
    command = ["docker", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, check=False).returncode == 0


def _start_engine(environ: dict[str, str]) -> str | None:
    """Have the kit start an engine and make the images; what stood against it, if anything did."""
    if not KIT.exists():
        return f"`docker info` fails, and there is no {KIT}"
    if os.geteuid() != 0:
        return f"`docker info` fails, and {KIT} needs root"
    for arguments in (["up"], ["images", *STAND_INS]):
        done = subprocess.run(
            [KIT, *arguments], env=environ, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            return f"{KIT} {arguments[0]}: {done.stderr.strip()}"
        if arguments == ["up"]:
            environ["DOCKER_HOST"] = done.stdout.strip().rpartition("=")[2]
    return None
