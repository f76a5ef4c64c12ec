"""Metrics as a page in Prometheus' or OpenMetrics' text format, made by prometheus_client."""

from __future__ import annotations

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

from nearbucket.telemetry.metrics import METRICS, SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.telemetry.metrics import Labels, MetricDefinition, Values


class ExpositionPage(NamedTuple):
    """The response to a scrape."""

    body: bytes
    content_type: str


def exposed(values: Values, accept: str = "") -> ExpositionPage:
    """The page in the format that the ``Accept`` header asks for."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(values))
    encoder, content_type = choose_encoder(accept)
    return ExpositionPage(encoder(registry), content_type)


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
