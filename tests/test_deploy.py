"""Dashboard and alerts in ``deploy/`` agree with the product: metrics, labels, values.

Nothing is started here; ``e2e/compose`` shows that Prometheus and Grafana accept the files.
"""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nearbucket.policy.model import Action, Reason
from nearbucket.telemetry.metric_definitions import METRICS
from nearbucket.telemetry.metrics import CHECKS, OTHER_AWS, OUTSIDE, STREAM_ENDS
from tests.programs import promtool

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOY = Path(__file__).parents[1] / "deploy"
PANELS: list[dict[str, Any]] = json.loads(
    (DEPLOY / "grafana/dashboards/nearbucket.json").read_text("utf-8")
)["panels"]
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text("utf-8"))["groups"]
    for rule in group["rules"]
]
LABELS = {
    f"{metric.name}{end}": {*metric.labels, *more}
    for metric in METRICS
    for end, *more in (("",), ("_bucket", "le"), ("_count",), ("_sum",))
}
OF_PROMETHEUS = {"job", "instance"}
"""Labels that every series gets by being scraped."""
RUNBOOKS = "https://docs.example.com/nearbucket/operations/"
VALUES: dict[str, set[str]] = {
    "nearbucket_bypasses_total.reason": {
        each.value for each in Reason if each.action is Action.STREAM
    },
    "nearbucket_refusals_total.reason": {
        each.value for each in Reason if each.action is Action.REFUSE
    },
    "nearbucket_bypasses_total.region": {OTHER_AWS, OUTSIDE},
    "nearbucket_checks_total.result": set(CHECKS),
    "nearbucket_config_reloads_total.result": {"applied", "refused"},
    "nearbucket_certificate_reloads_total.result": {"applied", "refused"},
    "nearbucket_stream_ends_total.how": set(STREAM_ENDS),
}


QUERIES: list[tuple[str, str]] = [
    *((panel["title"], each["expr"]) for panel in PANELS for each in panel.get("targets", [])),
    *((rule["alert"], rule["expr"]) for rule in ALERTS),
]
"""The panel or alert, and what it asks."""


def _selectors(query: str) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each metric of ours in a query, and its matchers: label, and values between bars."""
    for name, inside in re.findall(r"\b(nearbucket_\w+)(?:\{([^}]*)\})?", query):
        yield name, re.findall(r'(\w+)(?:=~|!=|!~|=)"([^"]*)"', inside)


@pytest.mark.parametrize("query", [pytest.param(query, id=where) for where, query in QUERIES])
def test_a_query_names_metrics_labels_and_values_that_there_are(query: str) -> None:
    for name, matchers in _selectors(query):
        assert name in LABELS
        for label, value in matchers:
            assert label in LABELS[name] | OF_PROMETHEUS
            values = set(value.split("|"))
            assert values <= VALUES.get(f"{name}.{label}", values)


@pytest.mark.parametrize("metric", [metric.name for metric in METRICS])
def test_a_metric_is_on_the_dashboard(metric: str) -> None:
    shown = " ".join(each["expr"] for panel in PANELS for each in panel.get("targets", []))
    assert re.search(rf"\b{metric}(_bucket|_count)?\b", shown)


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations((panel["gridPos"] for panel in PANELS), 2):
        apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


def _lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """What a document had, and another has not."""
    if isinstance(before, dict):
        for key, value in before.items():
            yield from _lost(value, (after or {}).get(key), f"{path}.{key}")
    elif isinstance(before, list):
        for number, value in enumerate(before):
            there = isinstance(after, list) and number < len(after)
            yield from _lost(value, after[number] if there else None, f"{path}.{number}")
    elif before != after:
        yield path


def test_grafana_knows_every_key_of_the_dashboard() -> None:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder  # noqa: PLC0415  # 0.2 s
    from grafana_foundation_sdk.models.dashboard import Dashboard  # noqa: PLC0415

    text = (DEPLOY / "grafana/dashboards/nearbucket.json").read_text("utf-8")
    document = json.loads(text)
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    # what the page of a variable shows; the SDK's own query variables have no such key
    assert list(_lost(document, again)) == [".templating.list.1.definition"]
    document["panels"][1]["gridpos"] = document["panels"][1].pop("gridPos")
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    assert any("gridpos" in path for path in _lost(document, again))


ALERT_TESTS: list[dict[str, Any]] = yaml.safe_load(
    (DEPLOY / "prometheus/alerts_test.yml").read_text("utf-8")
)["tests"]


def test_every_alert_is_made_to_fire_and_to_stay_silent() -> None:
    cases = [case for test in ALERT_TESTS for case in test["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    assert fires == {rule["alert"] for rule in ALERTS}
    silent = {case["alertname"] for case in cases if not case.get("exp_alerts")}
    assert fires <= silent


def test_an_alert_on_a_share_has_a_least_number() -> None:
    on_shares = [rule for rule in ALERTS if re.search(r"/\s*(sum|\()", rule["expr"])]
    assert len(on_shares) == 8
    for rule in on_shares:
        assert re.search(r"and\s+sum.*\(increase\(.*\)\) >=? \d+", rule["expr"]), rule["alert"]


def test_prometheus_finds_that_they_do() -> None:
    done = subprocess.run(
        [promtool(), "test", "rules", "alerts_test.yml"],
        cwd=DEPLOY / "prometheus",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout.decode()


def test_an_alert_leads_to_its_section_of_the_operations_page() -> None:
    text = (DEPLOY.parent / "docs/operations.md").read_text("utf-8")
    headings = {
        name.lower(): name for name in re.findall(r"^### (Nearbucket\w+)$", text, re.MULTILINE)
    }
    for rule in ALERTS:
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (page, headings.get(anchor)) == (RUNBOOKS, rule["alert"])


def test_every_alert_says_how_bad_it_is_and_what_it_means() -> None:
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} <= rule["annotations"].keys()


def test_an_alerts_text_names_only_labels_that_its_query_keeps() -> None:
    for rule in ALERTS:
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        kept = re.findall(r"by \(([^)]*)\)", rule["expr"])
        labels = {label.strip() for group in kept for label in group.split(",")}
        if not re.search(r"\b(sum|min|max|count)\b", rule["expr"]):
            labels = set.union(
                OF_PROMETHEUS, *(LABELS[name] for name, _ in _selectors(rule["expr"]))
            )
        assert named <= labels, rule["alert"]
