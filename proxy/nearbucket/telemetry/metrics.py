"""Every figure: what there is, counted as plain integers, summed over workers.

In: what happened to a request. Out: figures by name and labels. Refuses to know when it is
asked, and how they are shown: each scrape collects exact sums (``prometheus.py``), so nothing is
counted through a library on the hot path, and workers need not import one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.config.prices import GB, Prices
from nearbucket.policy.model import Action, Decision, Reason, RedirectTo, Refuse, action_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.policy.model import Stream

Labels = tuple[str, ...]
Values = dict[str, dict[Labels, float]]
"""Metric name to label values to figure: what one process knows."""


class HandoffReason(StrEnum):
    """Why a request is given to the aiohttp lane: the metric's ``cause``."""

    STREAM = "stream"
    REFUSE = "refuse"
    PARTIAL = "partial"
    PIPELINED = "pipelined"
    BODY = "body"
    UNPARSABLE = "unparsable"
    UNUSUAL = "unusual"


SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
)  # fmt: skip
"""Upper bounds of the histogram: a redirect takes microseconds, a download minutes."""

_FIRST = SECONDS[0]
OUTSIDE, OTHER_AWS = "outside", "other-aws"
CHECKS = ("present", "absent", "failed")
_OF_TARGETS = ("nearbucket_redirects_total", "nearbucket_redirected_bytes_total",
               "nearbucket_saved_usd_total")  # fmt: skip
STREAM_ENDS = ("complete", "client-gone", "origin-failed")


class MetricDefinition(NamedTuple):
    """One metric: its name, kind, labels and meaning."""

    name: str
    kind: str
    labels: Labels
    help: str


METRICS = (
    MetricDefinition("nearbucket_redirects_total", "counter", ("site", "region"),
               "Requests redirected to a target bucket, by the client's region."),
    MetricDefinition("nearbucket_bypasses_total", "counter", ("site", "region", "reason"),
               "Requests that were not sent to a target, and why."),
    MetricDefinition("nearbucket_refusals_total", "counter", ("reason",),
               "Requests refused, by the rule they break."),
    MetricDefinition("nearbucket_redirected_bytes_total", "counter", ("site", "region"),
               "Bytes that redirected requests asked for, where the object's size is known."),
    MetricDefinition("nearbucket_saved_usd_total", "counter", ("site", "region"),
               "What serving those bytes through the CDN would have cost, by the price table."),
    MetricDefinition("nearbucket_streamed_bytes_total", "counter", ("site", "region"),
               "Body bytes handed to clients from the origin."),
    MetricDefinition("nearbucket_request_seconds", "histogram", ("action",),
               "Time from a request's head to the end of its answer."),
    MetricDefinition("nearbucket_streams_in_progress", "gauge", (),
               "Objects being streamed now."),
    MetricDefinition("nearbucket_connections", "gauge", (),
               "Client connections open now."),
    MetricDefinition("nearbucket_connections_refused_total", "counter", (),
               "Connections over limits.max_connections, answered 503 unread."),
    MetricDefinition("nearbucket_stream_ends_total", "counter", ("how",),
               "Streams ended: complete, client-gone or origin-failed."),
    MetricDefinition("nearbucket_origin_requests_total", "counter", ("site", "status"),
               "Requests to the origin by status; 0: unanswered or unsigned."),
    MetricDefinition("nearbucket_origin_resumes_total", "counter", ("site",),
               "Times the rest of a body was asked for, after the origin dropped it."),
    MetricDefinition("nearbucket_target_up", "gauge", ("site", "region"),
               "Is 1 while clients are redirected to the target, 0 while it is failing; the lowest "
               "value of all workers."),
    MetricDefinition("nearbucket_checks_total", "counter", ("result",),
               "HEAD requests to origin and targets about one object, by what was found."),
    MetricDefinition("nearbucket_handovers_total", "counter", ("cause",),
               "Requests given to the aiohttp lane, by cause."),
    MetricDefinition("nearbucket_log_lines_dropped_total", "counter", (),
               "Access log lines dropped because standard output did not take them."),
    MetricDefinition("nearbucket_workers", "gauge", (),
               "Worker processes serving now."),
    MetricDefinition("nearbucket_ranges_age_seconds", "gauge", (),
               "Time since the list of prefixes was last confirmed by its source."),
    MetricDefinition("nearbucket_ranges_prefixes", "gauge", ("family",),
               "Prefixes in the lookup table."),
    MetricDefinition("nearbucket_ranges_skipped_rows", "gauge", (),
               "Rows of the list in use that were unusable and left out."),
    MetricDefinition("nearbucket_ranges_refreshes_total", "counter", ("result",),
               "Attempts to refresh the list."),
    MetricDefinition("nearbucket_config_reloads_total", "counter", ("result",),
               "Reloads of the configuration: applied or refused."),
    MetricDefinition("nearbucket_config_info", "gauge", ("hash",),
               "Always 1; the hash names the configuration in use."),
)  # fmt: skip


class Counter:
    """One figure, to be kept by whoever counts it often."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class DecisionCounters:
    """Where the answers of one site, region and reason are counted.

    Attributes:
        redirects: Whether they are redirects to a target.
        log_parts: Status to their part of a log line, for whoever writes it.
    """

    __slots__ = ("_answers", "_bytes", "_rate", "_times", "_usd", "log_parts", "redirects")

    def __init__(
        self,
        answers: Counter,
        times: list[float],
        *,
        size: Counter | None = None,
        usd: Counter | None = None,
        rate: float = 0.0,
    ) -> None:
        """Args: the figures, times as a row of a histogram; what a byte is worth in US dollars."""
        self._answers = answers
        self._times = times
        self._bytes = size
        self._usd = usd
        self._rate = rate
        self.redirects = usd is not None
        self.log_parts: dict[int, tuple[bytes, ...]] = {}

    def add(self, seconds: float, size: int) -> None:
        """Count one answer, and the bytes that it carried or saved."""
        self._answers.value += 1
        if size and self._bytes is not None:
            self._bytes.value += size
            if self._usd is not None:
                self._usd.value += size * self._rate
        row = self._times
        row[0 if seconds <= _FIRST else bisect_left(SECONDS, seconds)] += 1
        row[-1] += seconds


class Counters:
    """The plain integers of one process. Not thread-safe: one event loop owns them.

    Attributes:
        up: Site and region of every target, and whether clients are sent there.
        complete: Streams that ended so.
    """

    __slots__ = (
        "_by_decision",
        "_counters",
        "_prices",
        "complete",
        "connections",
        "seconds",
        "streams",
        "up",
    )

    def __init__(self) -> None:
        self._counters: dict[str, defaultdict[Labels, Counter]] = {
            metric.name: defaultdict(Counter) for metric in METRICS if metric.kind == "counter"
        }
        self.complete = self.counter("nearbucket_stream_ends_total", "complete")
        self.seconds = {action: [0.0] * (len(SECONDS) + 2) for action in Action}
        self.connections = 0
        self.streams = 0
        self.up: Mapping[Labels, bool] = {}
        self._prices = Prices()
        self._by_decision: dict[tuple[object, ...], DecisionCounters] = {}

    def declare(self, settings: Settings) -> None:
        """Start the series a dashboard divides by at zero, so that rates see the first."""
        self._prices = settings.prices
        self._by_decision.clear()
        for site in settings.sites:
            for region in site.targets:
                for name in _OF_TARGETS:
                    self.counter(name, site.name, region)
        for reason in Reason:
            if reason.action is Action.REFUSE:
                self.counter("nearbucket_refusals_total", reason.value)
        self.counter("nearbucket_connections_refused_total")
        self.counter("nearbucket_log_lines_dropped_total")
        for result in CHECKS:
            self.counter("nearbucket_checks_total", result)
        for how in STREAM_ENDS:
            self.counter("nearbucket_stream_ends_total", how)
        for cause in HandoffReason:
            self.counter("nearbucket_handovers_total", cause.value)

    def counter(self, name: str, *labels: str) -> Counter:
        """The figure under a metric's full name, at zero where there was none."""
        return self._counters[name][labels]

    def add(self, name: str, *labels: str, by: int = 1) -> None:
        """Count under a metric's full name."""
        self._counters[name][labels].value += by

    def decision_counters(self, decision: Decision) -> DecisionCounters:
        """Where requests that get this decision are counted."""
        reason = decision.reason
        if isinstance(decision, Refuse):
            mark: tuple[object, ...] = (reason,)
        else:
            mark = type(decision), decision.site, decision.region, decision.target, reason
        found = self._by_decision.get(mark)
        if found is None:
            found = self._by_decision[mark] = self._new_decision_counters(decision)
        return found

    def _new_decision_counters(self, decision: Decision) -> DecisionCounters:
        times, reason = self.seconds[action_of(decision)], decision.reason
        if isinstance(decision, Refuse):
            return DecisionCounters(self.counter("nearbucket_refusals_total", reason.value), times)
        site, region = decision.site, region_label(decision)
        if reason is not Reason.IN_REGION:
            answers = self.counter("nearbucket_bypasses_total", site, region, reason.value)
            if isinstance(decision, RedirectTo):
                return DecisionCounters(answers, times)
            size = self.counter("nearbucket_streamed_bytes_total", site, region)
            return DecisionCounters(answers, times, size=size)
        answers, size, usd = (self.counter(name, site, region) for name in _OF_TARGETS)
        rate = self._prices.cdn(region) / GB
        return DecisionCounters(answers, times, size=size, usd=usd, rate=rate)

    def snapshot(self) -> Values:
        """All figures now, as plain picklable data."""
        values: Values = {
            name: {labels: cell.value for labels, cell in series.items()}
            for name, series in self._counters.items()
        }
        values["nearbucket_streams_in_progress"] = {(): self.streams}
        values["nearbucket_connections"] = {(): self.connections}
        values["nearbucket_target_up"] = {labels: int(up) for labels, up in self.up.items()}
        values["nearbucket_request_seconds"] = {
            (action.value, str(slot)): figure
            for action, row in self.seconds.items()
            for slot, figure in enumerate(row)
        }
        return values


def region_label(decision: RedirectTo | Stream) -> str:
    """The region as a label: only those with a target by name, so that series are bounded."""
    if decision.region is None:
        return OUTSIDE
    return decision.region if decision.target else OTHER_AWS


GAUGES = frozenset(metric.name for metric in METRICS if metric.kind == "gauge")


def total(parts: Iterable[Values]) -> Values:
    """The sum of what several processes counted; of what is up, the least."""
    summed: Values = {}
    for part in parts:
        for name, series in part.items():
            into = summed.setdefault(name, {})
            for labels, figure in series.items():
                known = into.get(labels)
                if known is None:
                    into[labels] = figure
                else:
                    least = name == "nearbucket_target_up"
                    into[labels] = min(known, figure) if least else known + figure
    return summed


def retired(values: Values) -> Values:
    """What stays of a process that ended: its counts, not its gauges."""
    return {name: series for name, series in values.items() if name not in GAUGES}
