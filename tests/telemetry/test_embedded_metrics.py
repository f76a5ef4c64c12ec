"""Main figures as log lines for CloudWatch: their form, and that they say what was added."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.telemetry import embedded_metrics
from nearbucket.telemetry.embedded_metrics import (
    OF_INSTANCE,
    OF_SITES,
    EmbeddedMetrics,
    write_metrics,
)
from nearbucket.telemetry.metric_definitions import METRICS
from nearbucket.telemetry.process_log import ProcessLog

if TYPE_CHECKING:
    from nearbucket.telemetry.metrics import Values

LABELS = {metric.name: metric.labels for metric in METRICS}


def values(redirects: int, failed: int = 0) -> Values:
    return {
        "nearbucket_redirects_total": {("a", "us-west-2"): redirects, ("a", "eu-west-1"): 1},
        "nearbucket_bypasses_total": {("b", "outside", "outside-aws"): 7},
        "nearbucket_streamed_bytes_total": {("b", "outside"): 50, ("b", "other-aws"): 3},
        "nearbucket_origin_requests_total": {
            ("b", "200"): 90,
            ("b", "503"): failed,
            ("b", "0"): failed,
        },
        "nearbucket_target_up": {("a", "us-west-2"): 1, ("a", "eu-west-1"): 0},
        "nearbucket_stream_ends_total": {("complete",): 9, ("origin-failed",): failed},
        "nearbucket_ranges_age_seconds": {(): 60.0},
    }


def read(lines: list[str]) -> dict[str, dict[str, Any]]:
    """Each line by its site; that without one as the empty name."""
    return {each.get("Site", ""): each for each in map(json.loads, lines)}


@pytest.mark.parametrize("figure", [*OF_SITES, *OF_INSTANCE], ids=lambda figure: figure.name)
def test_a_figure_is_the_sum_of_a_metric_that_there_is(figure: Any) -> None:
    assert figure.of in LABELS
    assert (next(iter(LABELS[figure.of]), None) == "site") is (figure in OF_SITES)


def test_each_line_declares_the_figures_that_it_has() -> None:
    for line in read(EmbeddedMetrics().lines(values(5), 1_800_000_000.5)).values():
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert line["_aws"]["Timestamp"] == 1_800_000_000_500
        (dimensions,) = directive["Dimensions"]
        names = [metric["Name"] for metric in directive["Metrics"]]
        assert {"_aws", *dimensions, *names} == line.keys()
        assert all(isinstance(line[name], int | float) for name in names)
        assert (directive["Namespace"], len(names) <= 100) == ("nearbucket", True)


def test_sites_and_what_is_of_no_site_have_lines_of_their_own() -> None:
    lines = read(EmbeddedMetrics().lines(values(5, failed=2), 0))
    assert set(lines) == {"a", "b", ""}
    assert (lines["a"]["Redirects"], lines["a"]["Streams"], lines["a"]["TargetsUp"]) == (6, 0, 1)
    assert (lines["b"]["StreamedBytesOutside"], lines["b"]["StreamedBytesInAWS"]) == (50, 3)
    assert lines["b"]["OriginErrors"] == 4
    assert (lines[""]["StreamsFailed"], lines[""]["RangesAge"]) == (2, 60.0)


def test_a_line_counts_what_was_added_since_the_line_before() -> None:
    embedded = EmbeddedMetrics()
    embedded.lines(values(5), 0)
    later = read(embedded.lines(values(12, failed=3), 60))
    assert (later["a"]["Redirects"], later["b"]["StreamedBytesOutside"]) == (7, 0)
    assert later["b"]["OriginErrors"] == 6
    assert later["a"]["TargetsUp"] == 1  # a gauge as it is


async def test_they_are_lines_of_the_process_log_while_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded_metrics, "INTERVAL", 0.001)
    reader, writer = os.pipe()
    root = logging.getLogger()
    before, counts = root.handlers[:], iter(range(10, 1000, 10))
    wanted = iter([False, False, False, True, True, True])
    log = ProcessLog("text", "supervisor", writer)
    log.start()

    async def figures() -> Values:
        return values(next(counts))

    try:
        with pytest.raises(RuntimeError):  # that of the end of ``wanted``
            await asyncio.wait_for(write_metrics(figures, lambda: next(wanted)), 10)
    finally:
        log.close()
        root.handlers = before
        os.close(writer)
    with os.fdopen(reader) as lines:
        found = read([line for line in lines if '"a"' in line])
    assert found["a"]["Redirects"] == 10


async def test_figures_that_cannot_be_had_once_are_in_the_lines_of_the_next_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedded_metrics, "INTERVAL", 0.0)
    written: asyncio.Queue[str] = asyncio.Queue()
    monkeypatch.setattr(embedded_metrics, "write_line", written.put_nowait)
    counted = iter([5, None, 12])

    async def figures() -> Values:
        redirects = next(counted, 12)
        if redirects is None:
            raise RuntimeError
        return values(redirects)

    task = asyncio.create_task(write_metrics(figures, lambda: True))
    async with asyncio.timeout(10):
        found = [await written.get() for _ in range(6)]  # two minutes: two sites, and the instance
    task.cancel()
    assert [read([line])["a"]["Redirects"] for line in found if '"a"' in line] == [6, 7]
    assert caplog.messages[0].startswith("the figures of this minute are not written")
