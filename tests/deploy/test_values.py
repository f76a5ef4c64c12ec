"""One table of values in ``deploy/terraform/values.yaml``, which both deployments follow."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.file import load
from nearbucket.policy.client_address import Trust
from nearbucket.policy.model import Request
from nearbucket.regions.region_table import network_set
from tests.log_lines import FULL, json_line
from tests.stacks import DEPLOY, TEMPLATE, VALUES, stack, variables
from tests.test_imports import SOURCE

if TYPE_CHECKING:
    from pathlib import Path

SIZES = VALUES["sizes"]


def _seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_the_template_is_generated_from_the_table() -> None:
    done = subprocess.run(
        [sys.executable, str(DEPLOY / "write_template.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_a_changed_value_makes_the_template_outdated(tmp_path: Path) -> None:
    for name in ("write_template.py", "terraform/values.yaml", "cloudformation/nearbucket.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        text = (DEPLOY / name).read_text("utf-8")
        changed = text.replace("stop_timeout: 120", "stop_timeout: 119")
        (tmp_path / name).write_text(changed, "utf-8")
    command = [sys.executable, str(tmp_path / "write_template.py")]
    assert subprocess.run([*command, "--check"], check=False, capture_output=True).returncode == 1
    assert subprocess.run(command, check=False).returncode == 0
    written = (tmp_path / "cloudformation/nearbucket.yaml").read_text("utf-8")
    assert written == TEMPLATE.read_text("utf-8").replace(
        'StopTimeout: "120"', 'StopTimeout: "119"'
    )


@pytest.mark.parametrize("size", SIZES)
def test_cpu_memory_workers_and_the_bytes_of_a_task_move_together(size: str) -> None:
    values = SIZES[size]
    assert values["cpu"] == 1024 * values["workers"]
    assert values["memory"] == 2 * values["cpu"]
    assert values["bytes_per_second"] == SIZES["small"]["bytes_per_second"] * values["workers"]
    made = stack(Size=size)
    task = made.resources["TaskDefinition"]["Properties"]
    assert (task["Cpu"], task["Memory"]) == (str(values["cpu"]), str(values["memory"]))
    assert variables(made)["NEARBUCKET_LISTEN__WORKERS"] == str(values["workers"])
    bytes_ = made.resources["ScaleOnBytes"]["Properties"]
    target = bytes_["TargetTrackingScalingPolicyConfiguration"]["TargetValue"]
    assert target == str(values["bytes_per_second"])


def test_the_side_that_opened_a_connection_closes_it_first() -> None:
    times = VALUES["values"]["times"]
    idle = _seconds(VALUES["environment"]["NEARBUCKET_LIMITS__IDLE_TIMEOUT"])
    assert times["origin_keepalive"] < times["load_balancer_idle"] < idle


def test_a_task_ends_by_itself_before_it_is_killed() -> None:
    drain = _seconds(VALUES["environment"]["NEARBUCKET_LIMITS__DRAIN_TIMEOUT"])
    assert drain < VALUES["values"]["container"]["stop_timeout"] <= 120


@pytest.mark.parametrize("peer", ["10.0.0.7", "172.31.0.7", "100.64.0.7", "198.19.255.7"])
def test_the_client_is_known_behind_a_load_balancer_of_any_usual_vpc(peer: str) -> None:
    sites = "[{origin: {bucket: downloads, region: us-east-1}}]"
    given = load(environ={**VALUES["environment"], "NEARBUCKET_SITES": sites})
    headers = {b"cloudfront-viewer-address": b"192.0.2.7:46532"}
    found = Trust.build(given.client_address, network_set(())).client(
        Request("GET", "/a.tar.gz", headers, peer)
    )
    assert found.address == "192.0.2.7"


# ---- metrics that are made from log lines


def _matches(pattern: str, line: dict[str, Any]) -> bool:
    """What CloudWatch's filter says of a line, for the patterns that the table has."""

    def holds(term: re.Match[str]) -> str:
        name, sign, value = term.groups()
        return str(fnmatchcase(str(line.get(name)), value) == (sign == "="))

    text = re.sub(r'\$\.(\w+) (!?=) "([^"]*)"', holds, pattern.strip("{ }"))
    assert re.fullmatch(r"(True|False|&&|\|\||[() ])+", text)
    return bool(eval(text.replace("&&", "and").replace("||", "or")))  # noqa: S307  # two words and signs


def _line(action: str, region: str, reason: str) -> dict[str, Any]:
    record = FULL._replace(action=action, region=region, reason=reason)
    found: dict[str, Any] = json.loads(json_line(record))
    return found


def _said(level: str, message: str) -> dict[str, Any]:
    return {"level": level, "logger": "nearbucket", "message": message}


LINES = {
    "redirected": _line("redirect", "us-west-2", "in-region"),
    "in shadow": _line("stream", "us-west-2", "shadow"),
    "no target": _line("stream", "eu-north-1", "no-target"),
    "outside": _line("stream", "UNKNOWN", "outside-aws"),
    "without address": _line("stream", "UNKNOWN", "client-unknown"),
    "no target, to the CDN": _line("redirect", "eu-north-1", "no-target"),
    "outside, to the CDN": _line("redirect", "UNKNOWN", "outside-aws"),
    "without secret": _line("refuse", "UNKNOWN", "secret"),
    "a crash": _said("error", "worker process 7 crashed. Where it was:"),
    "a target down": _said("error", "target down, clients are no longer redirected to it: a: b"),
    "a target down for clients": _said(
        "error", "target down for clients, they are no longer redirected: a: b"
    ),
    "a target up": _said("info", "target up again: a"),
    "a refused configuration": _said(
        "error", "configuration not reloaded, the old one stays in use: a"
    ),
    "an old list": _said("warning", "ranges: the list is over a day old, or missing: a; b"),
    "a start": _said("info", "ready"),
}


@pytest.mark.parametrize(
    ("metric", "counted"),
    [
        ("Redirects", {"redirected"}),
        ("NotRedirectedInAws", {"in shadow", "no target", "no target, to the CDN"}),
        ("OutsideAws", {"outside", "without address", "outside, to the CDN"}),
        ("StreamedBytes", {"in shadow", "no target", "outside", "without address"}),
        ("ChosenForRedirect", {"redirected", "in shadow"}),
        ("ClientUnknown", {"without address"}),
        ("WrongSecret", {"without secret"}),
        ("TargetDown", {"a target down", "a target down for clients"}),
        ("ConfigurationRefused", {"a refused configuration"}),
        ("RangesOld", {"an old list"}),
        ("Errors", {"a crash"}),
    ],
)
def test_a_metric_counts_the_log_lines_that_it_is_about(metric: str, counted: set[str]) -> None:
    pattern = VALUES["metrics"][metric]["pattern"]
    assert {name for name, line in LINES.items() if _matches(pattern, line)} == counted


@pytest.mark.parametrize(
    ("path", "metric"),
    [
        ("replicas/health/health_check.py", "TargetDown"),
        ("replicas/health/client_check.py", "TargetDown"),
        ("supervisor/supervisor.py", "ConfigurationRefused"),
        ("regions/feed.py", "RangesOld"),
    ],
)
def test_the_product_logs_what_the_metric_looks_for(path: str, metric: str) -> None:
    (begin,) = re.findall(r'"([^"*]+)\*"', VALUES["metrics"][metric]["pattern"])
    source = (SOURCE / path).read_text("utf-8")
    assert f'"{begin}' in source


def test_every_metric_of_the_log_is_tested_and_used() -> None:
    alarms = {each["metric"] for each in VALUES["alarms"].values() if each["of"] == "log"}
    lines = {line[1] for panel in VALUES["panels"] for line in panel["lines"] if line[0] == "log"}
    assert alarms | lines | {"ChosenForRedirect"} == VALUES["metrics"].keys()
