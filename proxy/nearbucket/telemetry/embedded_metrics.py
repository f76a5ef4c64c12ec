"""Main figures as log lines from which CloudWatch makes metrics, for those without Prometheus.

The form is CloudWatch's embedded metric format (CloudWatch user guide, "Specification: Embedded
metric format"): at most 100 metrics a line, counts as what was added since the line before.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.telemetry.metrics import OUTSIDE
from nearbucket.telemetry.process_log import write_line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from nearbucket.telemetry.metrics import Values

INTERVAL = 60.0
"""Seconds between two lines: CloudWatch's own resolution."""

NAMESPACE = "nearbucket"
_SITE = "Site"
_MILLISECONDS = 1000

_log = logging.getLogger(__name__)


class _Figure(NamedTuple):
    """A metric, and what it is the sum of.

    Attributes:
        name: Its name in CloudWatch.
        unit: Its unit there ("MetricDatum").
        of: The counter or gauge of ``/metrics``.
        holds: Whether the series with these labels counts.
        now: Whether the present value is taken, instead of what was added.
    """

    name: str
    unit: str
    of: str
    holds: Callable[[tuple[str, ...]], bool] = lambda _: True
    now: bool = False


def _failed(labels: tuple[str, ...]) -> bool:
    """Whether S3 answered with a 5xx, or not at all."""
    return labels[-1] == "0" or labels[-1].startswith("5")


OF_SITES = (
    _Figure("Redirects", "Count", "nearbucket_redirects_total"),
    _Figure("Streams", "Count", "nearbucket_bypasses_total"),
    _Figure("RedirectedBytes", "Bytes", "nearbucket_redirected_bytes_total"),
    _Figure("StreamedBytesInAWS", "Bytes", "nearbucket_streamed_bytes_total",
            lambda labels: labels[-1] != OUTSIDE),
    _Figure("StreamedBytesOutside", "Bytes", "nearbucket_streamed_bytes_total",
            lambda labels: labels[-1] == OUTSIDE),
    _Figure("SavedUSD", "None", "nearbucket_saved_usd_total"),
    _Figure("StreamsRefused", "Count", "nearbucket_streams_refused_total"),
    _Figure("OriginErrors", "Count", "nearbucket_origin_requests_total", _failed),
    _Figure("TargetsUp", "Count", "nearbucket_target_up", now=True),
)  # fmt: skip
"""A line for each site has these; their first label is the site."""

OF_INSTANCE = (
    _Figure("Refusals", "Count", "nearbucket_refusals_total"),
    _Figure("StreamsInProgress", "Count", "nearbucket_streams_in_progress", now=True),
    _Figure("Connections", "Count", "nearbucket_connections", now=True),
    _Figure("ConnectionsRefused", "Count", "nearbucket_connections_refused_total"),
    _Figure("StreamsFailed", "Count", "nearbucket_stream_ends_total",
            lambda labels: labels[-1] == "origin-failed"),
    _Figure("ChecksFailed", "Count", "nearbucket_checks_total",
            lambda labels: labels[-1] == "failed"),
    _Figure("WorkerRestarts", "Count", "nearbucket_worker_restarts_total"),
    _Figure("ReloadsRefused", "Count", "nearbucket_config_reloads_total",
            lambda labels: labels[-1] == "refused"),
    _Figure("RangesAge", "Seconds", "nearbucket_ranges_age_seconds", now=True),
)  # fmt: skip
"""One line has these, without a dimension."""


async def write_metrics(
    figures: Callable[[], Awaitable[Values]], wanted: Callable[[], bool]
) -> None:
    """Write the lines into the process log each minute, for ever.

    Args:
        figures: The metrics as they are now. Where savings have fallen, a line has a negative
            number, so that the sum of all lines is right.
        wanted: Whether lines are written now. What was counted meanwhile is in no later line.
    """
    embedded = EmbeddedMetrics()
    while True:
        await asyncio.sleep(INTERVAL)
        try:
            lines = embedded.lines(await figures(), time.time())
        except Exception:
            _log.exception("the figures of this minute are not written; the next lines have them")
            continue
        for line in lines:
            if wanted():
                write_line(line)


class EmbeddedMetrics:
    """Makes the lines, each with what was added since those before."""

    __slots__ = ("_before",)

    def __init__(self) -> None:
        self._before: Values = {}

    def lines(self, values: Values, now: float) -> list[str]:
        """The lines for the present values.

        Args:
            values: The values of ``/metrics``.
            now: Unix time in seconds.
        """
        sites = dict.fromkeys(
            labels[0] for figure in OF_SITES for labels in values.get(figure.of, {})
        )
        found = [_line({_SITE: site}, dict(self._of_site(values, site)), now) for site in sites]
        found.append(_line({}, dict(self._of_instance(values)), now))
        self._before = {name: dict(series) for name, series in values.items()}
        return found

    def _of_site(self, values: Values, site: str) -> Iterator[tuple[_Figure, float]]:
        for figure in OF_SITES:
            own = {
                labels: value
                for labels, value in values.get(figure.of, {}).items()
                if labels[0] == site and figure.holds(labels)
            }
            yield figure, self._sum(figure, own)

    def _of_instance(self, values: Values) -> Iterator[tuple[_Figure, float]]:
        for figure in OF_INSTANCE:
            own = values.get(figure.of, {})
            held = {labels: value for labels, value in own.items() if figure.holds(labels)}
            yield figure, self._sum(figure, held)

    def _sum(self, figure: _Figure, series: Mapping[tuple[str, ...], float]) -> float:
        if figure.now:
            return sum(series.values())
        before = self._before.get(figure.of, {})
        return sum(value - before.get(labels, 0) for labels, value in series.items())


def _line(dimensions: Mapping[str, str], figures: Mapping[_Figure, float], now: float) -> str:
    metrics = [{"Name": figure.name, "Unit": figure.unit} for figure in figures]
    directive = {"Namespace": NAMESPACE, "Dimensions": [[*dimensions]], "Metrics": metrics}
    return json.dumps(
        {
            "_aws": {"Timestamp": int(now * _MILLISECONDS), "CloudWatchMetrics": [directive]},
            **dimensions,
            **{figure.name: value for figure, value in figures.items()},
        }
    )
