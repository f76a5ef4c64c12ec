"""The services of docker-compose.yml, used over their published ports: proxy, CDN, Prometheus."""

from __future__ import annotations

import json
import runpy
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.e2e.compose.project import ROOT, eventually
from tests.e2e.running import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.e2e.compose.project import Figures, Labels, Stack

pytestmark = pytest.mark.compose

SAMPLES: dict[str, bytes] = runpy.run_path(str(ROOT / "deploy/compose/fill.py"))["samples"]()

DEMO, PLUSES, README = "releases/demo-1.0.tar.gz", "releases/c++ tools-2.0.tar.gz", "README.txt"

EAST, WEST = "192.0.2.10", "198.51.100.10"
NO_TARGET, NO_REGION = "203.0.113.10", "203.0.113.200"


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


def test_stopping_ends_the_proxy_by_itself_within_its_grace_period(stack: Stack) -> None:
    stack.compose("stop", "proxy")
    state = stack.inspect("proxy")["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)
    stack.compose("up", "-d", "--wait", "proxy")
    assert stack.get(DEMO, EAST).status == 301
