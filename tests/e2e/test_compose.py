"""docker-compose.yml as users run it: built, started, used over its published ports, taken down.

The container engine is the one that ``docker`` reaches, or one that the kit beside the repository
(``../shared/docker/engine``) can start; without one the tests are skipped, and the last line of the
run says why. The project has a name and free ports of its own, and all it made is removed.
"""

from __future__ import annotations

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.build import PACKAGE, VERSION
from tests.e2e.running import Answer, ask
from tests.skips import NO_ENGINE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

pytestmark = pytest.mark.compose

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT.parent / "shared/docker/engine"
STAND_INS = ("python", "seaweedfs", "prometheus", "dockerfile")
IMAGES = ("python:3.13-slim-trixie", "chrislusf/seaweedfs:latest", "prom/prometheus:latest")
SAMPLES: dict[str, bytes] = runpy.run_path(str(ROOT / "deploy/compose/fill.py"))["samples"]()

DEMO, PLUSES, README = "releases/demo-1.0.tar.gz", "releases/c++ tools-2.0.tar.gz", "README.txt"
COMPILED = os.environ.get("COMPILE_NEARBUCKET", "0")
"""``1`` to have these tests of the compiled build: ``COMPILE_NEARBUCKET=1 make compose``."""

EAST, WEST = "192.0.2.10", "198.51.100.10"
NO_TARGET, NO_REGION = "203.0.113.10", "203.0.113.200"

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


def say(text: str) -> None:
    """Show it with the failure, whatever pytest captures."""
    sys.stderr.write(f"\n{text}\n")


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


@pytest.fixture(scope="module")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The project, up and waited for; down again whatever happens, with its logs on failure."""
    running = Stack(engine())
    failed = request.session.testsfailed
    complete = False
    try:
        running.compose("up", "-d", "--build", "--wait", "--wait-timeout", "180", limit=900)
        yield running
        complete = request.session.testsfailed == failed
    finally:
        if not complete:
            capture = request.config.pluginmanager.get_plugin("capturemanager")
            with capture.global_and_fixture_disabled() if capture else nullcontext():
                say(running.compose("ps", "-a", check=False))
                say(running.compose("logs", "--tail", "40", check=False))
        running.compose("down", "-v", "--timeout", "30", check=False)
        running.run("image", "rm", running.name, check=False)


@pytest.mark.parametrize("key", [DEMO, PLUSES])
@pytest.mark.parametrize(
    ("client", "region", "bucket"),
    [
        pytest.param(EAST, "us-east-1", "downloads", id="us-east-1"),
        pytest.param(WEST, "us-west-2", "us-west-2-downloads", id="us-west-2"),
        pytest.param("2001:db8:2::1", "us-west-2", "us-west-2-downloads", id="ipv6"),
    ],
)
def test_client_in_a_region_is_sent_to_its_bucket_from_where_the_host_fetches_the_object(
    stack: Stack, key: str, client: str, region: str, bucket: str
) -> None:
    answer = stack.get(key, client)
    assert answer.status == 301
    assert answer.headers["x-nearbucket"] == f"redirect; region={region}; reason=in-region"
    assert answer.headers["cache-control"] == "private, no-store"
    location = answer.headers["location"]
    assert location == stack.url("S3", f"{bucket}/{quote(key, safe='/')}")
    fetched = ask(location, {})
    assert (fetched.status, fetched.body == SAMPLES[key]) == (200, True)


@pytest.mark.parametrize(
    ("client", "key", "note"),
    [
        pytest.param(NO_REGION, DEMO, "region=UNKNOWN; reason=outside-aws", id="outside-aws"),
        pytest.param(NO_REGION, PLUSES, "region=UNKNOWN; reason=outside-aws", id="pluses"),
        pytest.param(NO_TARGET, DEMO, "region=eu-west-1; reason=no-target", id="no-target"),
        pytest.param(EAST, README, "region=us-east-1; reason=path", id="path"),
    ],
)
def test_any_other_download_is_streamed_byte_for_byte(
    stack: Stack, client: str, key: str, note: str
) -> None:
    answer = stack.get(key, client)
    assert (answer.status, answer.body == SAMPLES[key]) == (200, True)
    assert answer.headers["x-nearbucket"] == f"stream; {note}"
    assert answer.headers["content-length"] == str(len(SAMPLES[key]))


def test_range_of_a_streamed_object_is_that_range(stack: Stack) -> None:
    answer = stack.get(DEMO, NO_REGION, Range="bytes=1000000-1000099")
    assert (answer.status, answer.body) == (206, SAMPLES[DEMO][1_000_000:1_000_100])


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)], ids=["inside first", "outside first"])
def test_behind_a_cdns_cache_three_clients_get_three_answers(
    stack: Stack, order: tuple[int, ...]
) -> None:
    places = [(EAST, "downloads"), (WEST, "us-west-2-downloads"), (NO_REGION, "")]
    for client, bucket in [places[number] for number in order] * 2:
        answer = ask(stack.url("CDN", DEMO), {"X-Viewer": client})
        assert answer.headers["x-cache"] == "Miss from cloudfront"
        if bucket:
            location = stack.url("S3", f"{bucket}/{DEMO}")
            assert (answer.status, answer.headers["location"]) == (301, location)
        else:
            assert (answer.status, answer.body == SAMPLES[DEMO]) == (200, True)
    kept = [ask(stack.url("CDN", README), {"X-Viewer": EAST}).headers["x-cache"] for _ in range(2)]
    assert kept[1] == "Hit from cloudfront"


def test_object_that_is_not_there_is_not_found(stack: Stack) -> None:
    assert stack.get("releases/none.tar.gz", NO_REGION).status == 404


def test_metrics_count_exactly_the_requests_made(stack: Stack) -> None:
    before = stack.figures()
    for client in (EAST, EAST, WEST, NO_REGION, NO_TARGET):
        stack.get(DEMO, client)
    stack.get(README, EAST)
    stack.get(DEMO, EAST, method="PUT")
    size, small = len(SAMPLES[DEMO]), len(SAMPLES[README])
    expected = {
        figure("redirects_total", region="us-east-1"): 2.0,
        figure("redirects_total", region="us-west-2"): 1.0,
        figure("bypasses_total", region="outside", reason="outside-aws"): 1.0,
        figure("bypasses_total", region="other-aws", reason="no-target"): 1.0,
        figure("bypasses_total", region="us-east-1", reason="path"): 1.0,
        ("nearbucket_refusals_total", frozenset({("reason", "method")})): 1.0,
        figure("streamed_bytes_total", region="outside"): float(size),
        figure("streamed_bytes_total", region="other-aws"): float(size),
        figure("streamed_bytes_total", region="us-east-1"): float(small),
        figure("origin_requests_total", status="200"): 3.0,
    }
    counted = tuple({name for name, _ in expected})

    def grown() -> Figures:
        return {
            each: value - before.get(each, 0.0)
            for each, value in stack.figures().items()
            if each[0] in counted and value != before.get(each, 0.0)
        }

    # A stream is counted when its last byte has been handed on, which is after the client has it.
    eventually(lambda: grown() == expected, seconds=5)
    assert grown() == expected


def figure(name: str, **labels: str) -> tuple[str, Labels]:
    """A sample of the one site that the demonstration has."""
    return f"nearbucket_{name}", frozenset({"site": "*", **labels}.items())


def test_prometheus_says_that_the_proxy_is_up(stack: Stack) -> None:
    def health() -> list[tuple[str, str]]:
        targets = stack.query("targets")["activeTargets"]
        return [(target["labels"]["instance"], target["health"]) for target in targets]

    eventually(lambda: health() == [("proxy:9090", "up")])
    assert health() == [("proxy:9090", "up")]


def test_prometheus_evaluates_every_alert_and_none_fires(stack: Stack) -> None:
    def rules() -> list[tuple[str, str, str]]:
        groups = stack.query("rules")["groups"]
        return [
            (rule["name"], rule["health"], rule["state"])
            for each in groups
            for rule in each["rules"]
        ]

    eventually(lambda: all(health != "unknown" for _, health, _ in rules()))
    assert [rule for rule in rules() if rule[1] != "ok" or rule[2] == "firing"] == []
    assert len(rules()) > 8


def dashboard_queries() -> Iterator[str]:
    """Every query of the dashboard, with Grafana's variables replaced as Grafana does."""
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/nearbucket.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            query = target["expr"].replace("$site", ".*")
            yield query.replace("$__rate_interval", "1m").replace("$__range", "1h")


def test_prometheus_answers_every_query_of_the_dashboard(stack: Stack) -> None:
    for query in dashboard_queries():
        stack.query("query", query=query)


def test_alerts_fire_on_what_they_say_and_on_nothing_else(stack: Stack) -> None:
    said = stack.compose(
        "exec", "-T", "prometheus", "promtool", "test", "rules", "/etc/prometheus/alerts_test.yml"
    )
    assert "SUCCESS" in said


def test_proxy_runs_without_root_on_a_read_only_root(stack: Stack) -> None:
    found = stack.inspect("proxy")
    assert found["HostConfig"]["ReadonlyRootfs"] is True
    assert found["HostConfig"]["CapDrop"] == ["ALL"]
    assert found["State"]["Health"]["Status"] == "healthy"
    status = stack.python("print(open('/proc/1/status').read())")
    assert "\nUid:\t10001\t10001\t10001\t10001\n" in status
    assert "\nCapEff:\t0000000000000000\n" in status
    assert "\nNoNewPrivs:\t1\n" in status
    refused = stack.python("open('/etc/nearbucket/x', 'w')", check=False)
    assert "Read-only file system" in refused


def test_list_of_prefixes_is_kept_on_the_cache_volume(stack: Stack) -> None:
    cached = stack.python("print(open('/var/cache/nearbucket/ip-ranges.json').read())")
    sample = (ROOT / "config/ip-ranges.sample.json").read_text()
    assert json.loads(cached)["syncToken"] == json.loads(sample)["syncToken"]


def test_image_holds_what_serving_needs_and_no_packaging_tools(stack: Stack) -> None:
    names = (
        "pip",
        "ensurepip",
        "setuptools",
        "mypy",
        "wheel",
        "uv",
        "pytest",
        "duckdb",
        PACKAGE,
        "aiohttp",
    )
    probe = f"import importlib.util as u; print([n for n in {names} if u.find_spec(n)])"
    found = stack.run("run", "--rm", "--entrypoint", "python", stack.name, "-c", probe)
    assert found.strip() == f"['{PACKAGE}', 'aiohttp']"


def test_image_is_compiled_only_if_that_was_asked_for(stack: Stack) -> None:
    said = stack.run("run", "--rm", stack.name, "--version")
    assert said == f"nearbucket {VERSION}{' (compiled)' if COMPILED == '1' else ''}\n"


BYTECODE = """
import json, pathlib
paths = pathlib.Path("/opt/nearbucket").rglob("*.pyc")
print(json.dumps({path.read_bytes()[4:8].hex(): True for path in paths}))
"""
PROGRAMS = """
import json, os, stat
found = {"programs": [], "setuid": []}
for folder, folders, names in os.walk("/"):
    if folder == "/":
        folders[:] = set(folders) - {"proc", "sys", "dev"}
    for path in (os.path.join(folder, name) for name in names):
        mode = os.lstat(path).st_mode
        if stat.S_ISREG(mode) and mode & 0o6000:
            found["setuid"].append(path)
        if stat.S_ISREG(mode) and mode & 0o111 and ".so" not in path:
            with open(path, "rb") as file:
                if file.read(4) == b"\x7fELF":
                    found["programs"].append(path)
print(json.dumps(found))
"""


def test_image_has_no_program_but_python(stack: Stack) -> None:
    said = stack.run("run", "--rm", "-u", "0", "--entrypoint", "python", stack.name, "-c", PROGRAMS)
    assert json.loads(said) == {"programs": ["/usr/local/bin/python3.13"], "setuid": []}
    for name in ("sh", "bash", "perl", "apt-get"):
        said = stack.run("run", "--rm", "--entrypoint", name, stack.name, check=False)
        assert "executable file not found" in said


def test_bytecode_of_the_image_has_no_date_and_is_not_compared_with_its_source(
    stack: Stack,
) -> None:
    """So two builds of one commit have equal files (PEP 552, "unchecked hash-based")."""
    said = stack.run("run", "--rm", "--entrypoint", "python", stack.name, "-c", BYTECODE)
    assert json.loads(said) == {"01000000": True}


def test_image_is_configured_by_variables_alone_where_there_is_no_file(stack: Stack) -> None:
    sites = "NEARBUCKET_SITES=[{origin: {bucket: downloads, region: us-east-1}}]"
    check = ("run", "--rm", "--read-only", "-e", sites)
    for more in ((), ("-e", "NEARBUCKET_CONFIG=")):
        said = stack.run(*check, *more, stack.name, "check", "--offline")
        assert said.startswith("configuration: valid\n")


def test_stopping_ends_the_proxy_by_itself_within_its_grace_period(stack: Stack) -> None:
    stack.compose("stop", "proxy")
    state = stack.inspect("proxy")["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    stack.compose("up", "-d", "--wait", "proxy")
    assert stack.get(DEMO, EAST).status == 301
