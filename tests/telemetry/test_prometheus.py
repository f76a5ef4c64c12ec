"""The page that a scraper gets: its text, and which format of several that it accepts equally."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from nearbucket.policy.model import Reason
from nearbucket.telemetry.metric_definitions import METRICS
from nearbucket.telemetry.metrics import SECONDS, Counters
from nearbucket.telemetry.prometheus import exposed
from tests.build import settings
from tests.telemetry.counted import METHOD, WEST, history, plain, stream, text_of

if TYPE_CHECKING:
    from nearbucket.telemetry.metrics import Values

OPENMETRICS, TEXT = "application/openmetrics-text", "text/plain"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (f"{TEXT}, {OPENMETRICS}", OPENMETRICS),
        (f"*/*;q=0.5, {OPENMETRICS};q=0.5", OPENMETRICS),
        (f"{TEXT};q=0, {OPENMETRICS};q=0", TEXT),
        (f"application/*, {TEXT}", TEXT),
        ("application/*, text/*", TEXT),
        ("*/*", TEXT),
    ],
)
def test_of_equal_weights_openmetrics_counts_if_it_is_named(accept: str, expected: str) -> None:
    page = exposed({}, accept)
    assert page.content_type.startswith(f"{expected};")
    assert page.body.endswith(b"# EOF\n") is (expected == OPENMETRICS)


def openmetrics_of(values: Values) -> str:
    """The page in OpenMetrics' format."""
    return exposed(values, "application/openmetrics-text; version=1.0.0").body.decode()


def test_a_known_history_is_this_text_for_prometheus() -> None:
    assert (
        text_of(plain(history().snapshot()))
        == """\
# HELP nearbucket_redirects_total Requests redirected to a target bucket, by the client's region.
# TYPE nearbucket_redirects_total counter
nearbucket_redirects_total{region="us-west-2",site="dl"} 2.0
# HELP nearbucket_bypasses_total Requests that were not redirected to a target, by reason.
# TYPE nearbucket_bypasses_total counter
nearbucket_bypasses_total{reason="no-target",region="other-aws",site="dl"} 1.0
nearbucket_bypasses_total{reason="outside-aws",region="outside",site="dl"} 1.0
nearbucket_bypasses_total{reason="path",region="us-west-2",site="dl"} 1.0
# HELP nearbucket_refusals_total Refused requests, by reason.
# TYPE nearbucket_refusals_total counter
nearbucket_refusals_total{reason="method"} 1.0
# HELP nearbucket_redirected_bytes_total Bytes that redirected requests asked for, as far as \
sizes are known, without those of redirects that failed.
# TYPE nearbucket_redirected_bytes_total counter
nearbucket_redirected_bytes_total{region="us-west-2",site="dl"} 1.073741824e+09
# HELP nearbucket_streamed_bytes_total Body bytes streamed from the origin to clients.
# TYPE nearbucket_streamed_bytes_total counter
nearbucket_streamed_bytes_total{region="other-aws",site="dl"} 100.0
nearbucket_streamed_bytes_total{region="outside",site="dl"} 5.24288e+06
nearbucket_streamed_bytes_total{region="us-west-2",site="dl"} 0.0
# HELP nearbucket_host_requests_total Requests, by the host that they name.
# TYPE nearbucket_host_requests_total counter
nearbucket_host_requests_total{action="redirect",host="other"} 2.0
nearbucket_host_requests_total{action="refuse",host="other"} 1.0
nearbucket_host_requests_total{action="stream",host="other"} 3.0
# HELP nearbucket_responses_total Responses, by the class of their status; none: the client left \
before any.
# TYPE nearbucket_responses_total counter
nearbucket_responses_total{class="2xx"} 0.0
nearbucket_responses_total{class="3xx"} 2.0
nearbucket_responses_total{class="4xx"} 0.0
nearbucket_responses_total{class="5xx"} 0.0
nearbucket_responses_total{class="none"} 0.0
# HELP nearbucket_streams_in_progress Objects that are being streamed.
# TYPE nearbucket_streams_in_progress gauge
nearbucket_streams_in_progress 1.0
# HELP nearbucket_connections Open client connections.
# TYPE nearbucket_connections gauge
nearbucket_connections 3.0
# HELP nearbucket_stream_ends_total Streams that ended, by how they ended.
# TYPE nearbucket_stream_ends_total counter
nearbucket_stream_ends_total{how="complete"} 0.0
# HELP nearbucket_origin_requests_total Requests to the origin by status; 0: no response or no \
signature.
# TYPE nearbucket_origin_requests_total counter
nearbucket_origin_requests_total{site="dl",status="206"} 1.0
# HELP nearbucket_log_lines_dropped_total Lines of a log that were dropped because their reader \
was slow or gone.
# TYPE nearbucket_log_lines_dropped_total counter
nearbucket_log_lines_dropped_total{log="access"} 7.0
"""
    )


def test_a_known_history_is_this_text_for_openmetrics() -> None:
    counters = Counters()
    counters.decision_counters(WEST).add(0.25, 0)
    counters.connections = 2
    assert (
        openmetrics_of(plain(counters.snapshot()))
        == """\
# HELP nearbucket_redirects Requests redirected to a target bucket, by the client's region.
# TYPE nearbucket_redirects counter
nearbucket_redirects_total{region="us-west-2",site="dl"} 1.0
# HELP nearbucket_redirected_bytes Bytes that redirected requests asked for, as far as \
sizes are known, without those of redirects that failed.
# TYPE nearbucket_redirected_bytes counter
nearbucket_redirected_bytes_total{region="us-west-2",site="dl"} 0.0
# HELP nearbucket_host_requests Requests, by the host that they name.
# TYPE nearbucket_host_requests counter
nearbucket_host_requests_total{action="redirect",host="other"} 1.0
# HELP nearbucket_responses Responses, by the class of their status; none: the client left before \
any.
# TYPE nearbucket_responses counter
nearbucket_responses_total{class="2xx"} 0.0
nearbucket_responses_total{class="3xx"} 1.0
nearbucket_responses_total{class="4xx"} 0.0
nearbucket_responses_total{class="5xx"} 0.0
nearbucket_responses_total{class="none"} 0.0
# HELP nearbucket_streams_in_progress Objects that are being streamed.
# TYPE nearbucket_streams_in_progress gauge
nearbucket_streams_in_progress 0.0
# HELP nearbucket_connections Open client connections.
# TYPE nearbucket_connections gauge
nearbucket_connections 2.0
# HELP nearbucket_stream_ends Streams that ended, by how they ended.
# TYPE nearbucket_stream_ends counter
nearbucket_stream_ends_total{how="complete"} 0.0
# EOF
"""
    )


def test_a_strict_openmetrics_parser_reads_every_family() -> None:
    counters = history()
    counters.declare(settings())
    values = counters.snapshot()
    families = text_string_to_metric_families(openmetrics_of(values))  # type: ignore[no-untyped-call]  # untyped library
    parsed = {family.name for family in families}
    named = {metric.name for metric in METRICS if values.get(metric.name)}
    assert parsed == {name.removesuffix("_total") for name in named}
    assert len(parsed) > 8


HISTOGRAM = """\
# HELP nearbucket_request_seconds Time from the head of a request to the end of its response.
# TYPE nearbucket_request_seconds histogram
nearbucket_request_seconds_bucket{action="stream",le="0.0001"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.00025"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.0005"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.001"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.0025"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.005"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.01"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.025"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.05"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.1"} 1.0
nearbucket_request_seconds_bucket{action="stream",le="0.25"} 3.0
nearbucket_request_seconds_bucket{action="stream",le="0.5"} 4.0
nearbucket_request_seconds_bucket{action="stream",le="1.0"} 4.0
nearbucket_request_seconds_bucket{action="stream",le="2.5"} 5.0
nearbucket_request_seconds_bucket{action="stream",le="5.0"} 5.0
nearbucket_request_seconds_bucket{action="stream",le="10.0"} 5.0
nearbucket_request_seconds_bucket{action="stream",le="30.0"} 5.0
nearbucket_request_seconds_bucket{action="stream",le="60.0"} 5.0
nearbucket_request_seconds_bucket{action="stream",le="300.0"} 5.0
nearbucket_request_seconds_bucket{action="stream",le="1800.0"} 6.0
nearbucket_request_seconds_bucket{action="stream",le="+Inf"} 7.0
nearbucket_request_seconds_count{action="stream"} 7.0
nearbucket_request_seconds_sum{action="stream"} 5803.25
"""


def test_the_histogram_is_cumulative_takes_a_bound_as_below_and_sums_all() -> None:
    counters = Counters()
    for seconds in (0.0, 0.25, 0.25, 0.5, 2.25, 1800.0, 4000.0):
        counters.decision_counters(stream(None, Reason.OUTSIDE_AWS)).add(seconds, 0)
    series = counters.snapshot()["nearbucket_request_seconds"]
    streams = {labels: figure for labels, figure in series.items() if labels[0] == "stream"}
    assert text_of({"nearbucket_request_seconds": streams}) == HISTOGRAM


@pytest.mark.parametrize("bound", SECONDS, ids=str)
def test_a_time_equal_to_a_bound_is_counted_below_it(bound: float) -> None:
    counters = Counters()
    counters.decision_counters(METHOD).add(bound, 0)
    text = text_of(counters.snapshot())
    bucket = 'nearbucket_request_seconds_bucket{{action="refuse",le="{}"}} {}\n'
    assert bucket.format(bound, 1.0) in text
    index = SECONDS.index(bound)
    if index:
        assert bucket.format(SECONDS[index - 1], 0.0) in text


def test_a_metric_without_a_figure_is_not_shown() -> None:
    text = text_of({"nearbucket_redirects_total": {}, "nearbucket_workers": {(): 2}})
    assert text == (
        "# HELP nearbucket_workers Worker processes that answer.\n"
        "# TYPE nearbucket_workers gauge\n"
        "nearbucket_workers 2.0\n"
    )


def test_a_site_name_cannot_break_out_of_its_label() -> None:
    text = text_of({"nearbucket_origin_resumes_total": {('a"} 1\nb\\',): 1}})
    assert text.splitlines()[2] == 'nearbucket_origin_resumes_total{site="a\\"} 1\\nb\\\\"} 1.0'
