"""Metrics as a page in Prometheus' or OpenMetrics' text format, made by prometheus_client."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from nearbucket.telemetry.metric_definitions import METRICS
from nearbucket.telemetry.metrics import SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nearbucket.telemetry.metric_definitions import MetricDefinition
    from nearbucket.telemetry.metrics import Labels, Values


class ExpositionPage(NamedTuple):
    """The response to a scrape."""

    body: bytes
    content_type: str


def exposed(values: Values, accept: str = "") -> ExpositionPage:
    """The page in the format that the ``Accept`` header asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(values))
    encoder, content_type = choose_encoder(_preferred(accept))
    return ExpositionPage(encoder(registry), content_type)


class _MediaRange(NamedTuple):
    """One range of an Accept header: media type, parameters, and its weight."""

    kind: str
    parameters: str
    weight: float


def _preferred(accept: str) -> str:
    """The range of an Accept header with the highest weight; empty for Prometheus' format.

    A range that names a type has precedence over ``*/*`` (RFC 9110 section 12.5.1), which
    ``choose_encoder`` does not know, and neither weights.
    """
    ranges = [_media_range(part) for part in accept.split(",")]
    open_, plain = _best(ranges, _OPENMETRICS), _best(ranges, _TEXT)
    named = open_.kind == _OPENMETRICS
    if open_.weight > plain.weight or (named and open_.weight == plain.weight > 0):
        return _OPENMETRICS + (open_.parameters if named else "")
    return _TEXT + plain.parameters if plain.kind == _TEXT else ""


def _media_range(part: str) -> _MediaRange:
    kind, *parameters = (each.strip() for each in part.split(";"))
    weights = [each[2:] for each in parameters if each[:2].lower() == "q="]
    others = "".join(f";{each}" for each in parameters if each[:2].lower() != "q=")
    try:
        weight = float(weights[0]) if weights else 1.0
    except ValueError:
        weight = 0.0
    return _MediaRange(kind.lower(), others, weight)


def _best(ranges: Sequence[_MediaRange], kind: str) -> _MediaRange:
    """The heaviest of the most specific ranges that a media type is in."""
    for name in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        found = [each for each in ranges if each.kind == name]
        if found:
            return max(found, key=attrgetter("weight"))
    return _MediaRange("", "", 0.0)


_OPENMETRICS, _TEXT = "application/openmetrics-text", "text/plain"


class _Families(Collector):
    """Metric families for prometheus_client."""

    def __init__(self, values: Values) -> None:
        self._values = values

    def collect(self) -> Iterator[Metric]:
        """All families of ``METRICS`` that have a value, in order."""
        for metric in METRICS:
            series = self._values.get(metric.name)
            if series:
                yield _family(metric, series)


def _family(metric: MetricDefinition, series: dict[Labels, float]) -> Metric:
    if metric.kind == "histogram":
        return _histogram(metric, series)
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = kind(
        metric.name, metric.help, labels=metric.labels
    )
    for labels, figure in sorted(series.items()):
        family.add_metric(labels, figure)
    return family


def _histogram(metric: MetricDefinition, series: dict[Labels, float]) -> Metric:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for action in sorted({labels[0] for labels in series}):
        total, *counts = [series[action, str(slot)] for slot in range(len(SECONDS) + 2)]
        count, buckets = 0.0, []
        for bound, figure in zip((*map(str, SECONDS), "+Inf"), counts, strict=True):
            count += figure
            buckets.append((bound, count))
        family.add_metric([action], buckets, total)
    return family
