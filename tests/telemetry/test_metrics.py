"""The metrics: what is counted under which labels."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nearbucket.policy.model import Reason, Stream
from nearbucket.telemetry.metric_definitions import GAUGES, METRICS
from nearbucket.telemetry.metrics import (
    OTHER_AWS_BYTES,
    OTHER_AWS_REQUESTS,
    Counters,
)
from tests.build import settings
from tests.telemetry.counted import METHOD, WEST, history, plain, stream, text_of

if TYPE_CHECKING:
    from nearbucket.policy.model import Decision


@pytest.mark.parametrize(
    ("decision", "action"),
    [
        pytest.param(WEST, "redirect", id="redirect"),
        pytest.param(stream(None, Reason.OUTSIDE_AWS), "stream", id="stream"),
        pytest.param(METHOD, "refuse", id="refuse"),
    ],
)
def test_a_request_is_timed_under_its_own_action_alone(decision: Decision, action: str) -> None:
    counters = Counters()
    counters.decision_counters(decision).add(0.5, 0)
    lines = text_of(counters.snapshot()).splitlines()
    counts = {line for line in lines if "_count{" in line and not line.endswith(" 0.0")}
    assert counts == {f'nearbucket_request_seconds_count{{action="{action}"}} 1.0'}


@pytest.mark.parametrize(
    ("decision", "region"),
    [
        pytest.param(stream(None, Reason.OUTSIDE_AWS), "outside", id="in no region"),
        pytest.param(stream(None, Reason.CLIENT_UNKNOWN), "outside", id="client unknown"),
        pytest.param(stream("eu-west-1", Reason.NO_TARGET), "other-aws", id="region, no target"),
        pytest.param(stream("x-evil-1", Reason.NO_TARGET), "other-aws", id="an odd region"),
        pytest.param(stream("us-west-2", Reason.PATH, target=True), "us-west-2", id="target"),
        pytest.param(stream("us-west-2", Reason.SHADOW, target=True), "us-west-2", id="shadow"),
    ],
)
def test_the_region_of_a_bypass_is_a_target_or_one_of_two_words(
    decision: Stream, region: str
) -> None:
    counters = Counters()
    counters.decision_counters(decision).add(0.1, 9)
    values = counters.snapshot()
    reason = decision.reason.value
    assert values["nearbucket_bypasses_total"] == {("dl", region, reason): 1}
    assert values["nearbucket_streamed_bytes_total"] == {("dl", region): 9}
    assert values["nearbucket_redirects_total"] == {}


def test_regions_without_a_target_are_told_apart_beside_the_metrics() -> None:
    counters = Counters()
    for region, size in (("eu-west-1", 9), ("eu-west-1", 1), ("x-evil-1", 5)):
        for reason in (Reason.NO_TARGET, Reason.PATH):
            counters.decision_counters(stream(region, reason)).add(0.1, size)
    counters.decision_counters(stream("us-west-2", Reason.PATH, target=True)).add(0.1, 9)
    values = counters.snapshot()
    assert values["nearbucket_streamed_bytes_total"]["dl", "other-aws"] == 30
    assert values["nearbucket_bypasses_total"]["dl", "other-aws", "path"] == 3
    assert values[OTHER_AWS_REQUESTS] == {("eu-west-1",): 4, ("x-evil-1",): 2}
    assert values[OTHER_AWS_BYTES] == {("eu-west-1",): 20, ("x-evil-1",): 10}
    text = text_of(values)
    assert "eu-west-1" not in text


def test_a_redirect_to_the_cdn_is_a_bypass_of_which_no_bytes_are_counted() -> None:
    counters = Counters()
    counters.decision_counters(replace(WEST, reason=Reason.NOT_REPLICATED)).add(0.1, 9)
    values = counters.snapshot()
    assert values["nearbucket_bypasses_total"] == {("dl", "us-west-2", "not-replicated"): 1}
    for name in ("streamed_bytes", "redirects", "redirected_bytes"):
        assert values[f"nearbucket_{name}_total"] == {}


def test_no_label_holds_a_path_an_address_or_a_location() -> None:
    text = text_of(history().snapshot())
    for word in ("private", "key.tar.gz", "198.51.100.7", "203.0.113.250", "b.example"):
        assert word not in text


def test_a_dashboards_series_start_at_zero() -> None:
    counters = Counters()
    counters.declare(settings())
    declared = {name: series for name, series in plain(counters.snapshot()).items() if series}
    assert declared == {
        "nearbucket_redirects_total": {("*", "us-east-1"): 0, ("*", "us-west-2"): 0},
        "nearbucket_redirected_bytes_total": {("*", "us-east-1"): 0, ("*", "us-west-2"): 0},
        "nearbucket_saved_usd_total": {("*", "us-east-1"): 0, ("*", "us-west-2"): 0},
        "nearbucket_bypasses_total": {
            ("*", "outside", "outside-aws"): 0,
            ("*", "other-aws", "no-target"): 0,
            ("*", "us-east-1", "shadow"): 0,
            ("*", "us-east-1", "path"): 0,
            ("*", "us-east-1", "not-replicated"): 0,
            ("*", "us-east-1", "came-back"): 0,
            ("*", "us-west-2", "shadow"): 0,
            ("*", "us-west-2", "path"): 0,
            ("*", "us-west-2", "not-replicated"): 0,
            ("*", "us-west-2", "came-back"): 0,
        },
        "nearbucket_streamed_bytes_total": {
            ("*", "outside"): 0,
            ("*", "other-aws"): 0,
            ("*", "us-east-1"): 0,
            ("*", "us-west-2"): 0,
        },
        "nearbucket_origin_resumes_total": {("*",): 0},
        "nearbucket_shadow_bytes_total": {("*", "us-east-1"): 0, ("*", "us-west-2"): 0},
        "nearbucket_shadow_usd_total": {("*", "us-east-1"): 0, ("*", "us-west-2"): 0},
        "nearbucket_host_requests_total": {
            ("other", "redirect"): 0,
            ("other", "stream"): 0,
            ("other", "refuse"): 0,
        },
        "nearbucket_responses_total": {
            ("2xx",): 0,
            ("3xx",): 0,
            ("4xx",): 0,
            ("5xx",): 0,
            ("none",): 0,
        },
        "nearbucket_checks_total": {("present",): 0, ("absent",): 0, ("failed",): 0},
        "nearbucket_refusals_total": {
            ("well-known",): 0,
            ("method",): 0,
            ("host",): 0,
            ("path-invalid",): 0,
            ("bad-request",): 0,
            ("secret",): 0,
        },
        "nearbucket_streams_in_progress": {(): 0},
        "nearbucket_streams_refused_total": {("*",): 0},
        "nearbucket_connections": {(): 0},
        "nearbucket_client_limit_total": {(): 0},
        "nearbucket_connections_refused_total": {(): 0},
        "nearbucket_stream_ends_total": {
            ("complete",): 0,
            ("client-gone",): 0,
            ("client-slow",): 0,
            ("origin-failed",): 0,
        },
        "nearbucket_handovers_total": {
            ("stream",): 0,
            ("refuse",): 0,
            ("partial",): 0,
            ("pipelined",): 0,
            ("body",): 0,
            ("unparsable",): 0,
            ("unusual",): 0,
        },
        "nearbucket_log_lines_dropped_total": {("access",): 0, ("process",): 0},
        "nearbucket_file_limit_seconds_total": {(): 0},
    }
    assert 'nearbucket_redirects_total{region="us-east-1",site="*"} 0.0\n' in text_of(declared)


def test_declaring_again_at_a_reload_keeps_what_is_counted() -> None:
    counters = Counters()
    counters.declare(settings(site={"hosts": ["dl"]}))
    counters.decision_counters(WEST).add(0.1, 0)
    counters.declare(settings(site={"hosts": ["dl"]}))
    assert counters.snapshot()["nearbucket_redirects_total"]["dl", "us-west-2"] == 1


def test_a_snapshot_does_not_change_with_later_requests_and_can_be_sent() -> None:
    counters = history()
    values = counters.snapshot()
    counters.decision_counters(WEST).add(1.0, 0)
    counters.connections = 9
    assert values["nearbucket_redirects_total"] == {("dl", "us-west-2"): 2}
    assert values["nearbucket_connections"] == {(): 3}
    assert pickle.loads(pickle.dumps(values)) == values  # noqa: S301 - our own bytes


def test_counting_under_a_name_nobody_defined_fails() -> None:
    with pytest.raises(KeyError):
        Counters().add("nearbucket_redirect_total", "dl", "us-west-2")


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_explains_itself_and_is_named_as_its_kind_asks(
    metric: tuple[str, str, tuple[str, ...], str],
) -> None:
    name, kind, _, meaning = metric
    assert meaning.endswith(".")
    assert meaning[0].isupper()
    assert name.startswith("nearbucket_")
    assert kind in {"counter", "gauge", "histogram"}
    assert name.endswith("_total") == (kind == "counter")
    assert (name in GAUGES) == (kind == "gauge")


def test_every_metric_has_its_own_name_and_meaning() -> None:
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert len({metric.help for metric in METRICS}) == len(METRICS)


PROMISED = {
    "nearbucket_redirects_total": ("counter", ("site", "region")),
    "nearbucket_bypasses_total": ("counter", ("site", "region", "reason")),
    "nearbucket_refusals_total": ("counter", ("reason",)),
    "nearbucket_redirected_bytes_total": ("counter", ("site", "region")),
    "nearbucket_saved_usd_total": ("counter", ("site", "region")),
    "nearbucket_shadow_bytes_total": ("counter", ("site", "region")),
    "nearbucket_shadow_usd_total": ("counter", ("site", "region")),
    "nearbucket_streamed_bytes_total": ("counter", ("site", "region")),
    "nearbucket_host_requests_total": ("counter", ("host", "action")),
    "nearbucket_responses_total": ("counter", ("class",)),
    "nearbucket_request_seconds": ("histogram", ("action",)),
    "nearbucket_streams_in_progress": ("gauge", ()),
    "nearbucket_streams_refused_total": ("counter", ("site",)),
    "nearbucket_connections": ("gauge", ()),
    "nearbucket_client_limit_total": ("counter", ()),
    "nearbucket_connections_refused_total": ("counter", ()),
    "nearbucket_file_limit_seconds_total": ("counter", ()),
    "nearbucket_stream_ends_total": ("counter", ("how",)),
    "nearbucket_origin_requests_total": ("counter", ("site", "status")),
    "nearbucket_origin_resumes_total": ("counter", ("site",)),
    "nearbucket_origin_failovers_total": ("counter", ("site",)),
    "nearbucket_target_up": ("gauge", ("site", "region")),
    "nearbucket_checks_total": ("counter", ("result",)),
    "nearbucket_verification_usd_total": ("counter", ("request",)),
    "nearbucket_handovers_total": ("counter", ("cause",)),
    "nearbucket_log_lines_dropped_total": ("counter", ("log",)),
    "nearbucket_workers": ("gauge", ()),
    "nearbucket_worker_restarts_total": ("counter", ("cause",)),
    "nearbucket_ranges_age_seconds": ("gauge", ()),
    "nearbucket_ranges_prefixes": ("gauge", ("family",)),
    "nearbucket_ranges_skipped_rows": ("gauge", ()),
    "nearbucket_ranges_refreshes_total": ("counter", ("result",)),
    "nearbucket_config_reloads_total": ("counter", ("result",)),
    "nearbucket_config_info": ("gauge", ("hash",)),
    "nearbucket_certificate_valid_seconds": ("gauge", ()),
    "nearbucket_certificate_reloads_total": ("counter", ("result",)),
}
"""What dashboards and alerts rely on: changed only with a line in the changelog."""


def test_the_metrics_are_those_that_are_promised_with_their_labels() -> None:
    found = {metric.name: (metric.kind, metric.labels) for metric in METRICS}
    assert found == PROMISED


FIGURES = (
    "nearbucket_streamed_bytes_total", "nearbucket_shadow_bytes_total",
    "nearbucket_redirected_bytes_total",
)  # fmt: skip


@pytest.mark.parametrize(
    ("decision", "figures"),
    [
        pytest.param(stream("us-west-2", Reason.SHADOW, target=True), [3 << 30, 3 << 30, 0],
                     id="streamed"),
        pytest.param(replace(WEST, reason=Reason.PATH), [0, 0, 0], id="redirected to the CDN"),
        pytest.param(stream("us-west-2", Reason.OFF, target=True), [3 << 30, 0, 0], id="off"),
        pytest.param(stream("us-west-2", Reason.PERCENT, target=True), [3 << 30, 0, 0],
                     id="outside the percentage"),
        pytest.param(WEST, [0, 0, 3 << 30], id="redirected"),
    ],
)  # fmt: skip
def test_shadow_has_the_bytes_that_redirects_would_save(
    decision: Decision, figures: list[int]
) -> None:
    counters = Counters()
    counters.declare(settings())
    counters.decision_counters(decision).add(0.25, 3 << 30)
    series = counters.snapshot()
    assert [series[name].get(("dl", "us-west-2"), 0) for name in FIGURES] == figures
    assert counters.decision_counters(decision).redirects is (decision == WEST)


def test_the_hosts_of_the_configuration_have_series_from_the_start() -> None:
    counters = Counters()
    counters.declare(settings(site={"hosts": ["dl.example", "*", "b.example"]}))
    hosts = {host for host, _ in counters.snapshot()["nearbucket_host_requests_total"]}
    assert hosts == {"dl.example", "b.example", "other"}


def test_requests_are_counted_by_host_beside_their_other_labels() -> None:
    counters = Counters()
    for host in ("a.example", "b.example", "b.example", None):
        counters.decision_counters(WEST, host).add(0.1, 0)
    counters.decision_counters(METHOD, "a.example").add(0.1, 0)
    values = counters.snapshot()
    assert values["nearbucket_redirects_total"] == {("dl", "us-west-2"): 4}
    assert values["nearbucket_host_requests_total"] == {
        ("a.example", "redirect"): 1,
        ("b.example", "redirect"): 2,
        ("other", "redirect"): 1,
        ("a.example", "refuse"): 1,
    }


def test_bytes_of_redirects_that_failed_are_taken_back() -> None:
    name, labels = "nearbucket_redirected_bytes_total", ("dl", "us-west-2")
    counters = Counters()
    counters.decision_counters(WEST).add(0.25, 3 << 30)
    counters.take_back(*labels, 1 << 30)
    series = counters.snapshot()
    assert series[name][labels] == 2 << 30
    assert series["nearbucket_redirects_total"][labels] == 1
    counters.take_back(*labels, -(1 << 30))
    assert counters.snapshot()[name][labels] == 3 << 30
