"""Figures as Prometheus reads them, by way of prometheus_client.

In: figures by name and labels. Out: metric families. Refuses to know where they come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from proxy.edge.metrics import METRICS, SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.edge.metrics import Definition, Labels, Values


class Exposition(Collector):
    """Turns collected values into prometheus_client's metric families."""

    def __init__(self, collect: Callable[[], Values]) -> None:
        self._collect = collect

    def collect(self) -> Iterator[Metric]:
        """All families of ``METRICS`` that have a figure, in order."""
        values = self._collect()
        for metric in METRICS:
            series = values.get(metric.name)
            if series:
                yield _family(metric, series)


def _family(metric: Definition, series: dict[Labels, float]) -> Metric:
    if metric.kind == "histogram":
        return _histogram(metric, series)
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family: CounterMetricFamily | GaugeMetricFamily = kind(
        metric.name, metric.help, labels=metric.labels
    )
    for labels, figure in sorted(series.items()):
        family.add_metric(labels, figure)
    return family


def _histogram(metric: Definition, series: dict[Labels, float]) -> Metric:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for action in sorted({labels[0] for labels in series}):
        row = [series[action, str(slot)] for slot in range(len(SECONDS) + 2)]
        count, buckets = 0.0, []
        for bound, figure in zip((*map(str, SECONDS), "+Inf"), row[:-1], strict=True):
            count += figure
            buckets.append((bound, count))
        family.add_metric([action], buckets, row[-1])
    return family
