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


class Definition(NamedTuple):
    """One metric: its name, kind, labels and meaning."""

    name: str
    kind: str
    labels: Labels
    help: str


METRICS = (
    Definition("nearbucket_redirects_total", "counter", ("site", "region"),
               "Requests redirected to a target bucket, by the client's region."),
    Definition("nearbucket_bypasses_total", "counter", ("site", "region", "reason"),
               "Requests that were not sent to a target, and why."),
    Definition("nearbucket_refusals_total", "counter", ("reason",),
               "Requests refused, by the rule they break."),
    Definition("nearbucket_redirected_bytes_total", "counter", ("site", "region"),
               "Bytes that redirected requests asked for, where the object's size is known."),
    Definition("nearbucket_saved_usd_total", "counter", ("site", "region"),
               "What serving those bytes through the CDN would have cost, by the price table."),
    Definition("nearbucket_streamed_bytes_total", "counter", ("site", "region"),
               "Body bytes handed to clients from the origin."),
    Definition("nearbucket_request_seconds", "histogram", ("action",),
               "Time from a request's head to the end of its answer."),
    Definition("nearbucket_streams_in_progress", "gauge", (),
               "Objects being streamed now."),
    Definition("nearbucket_connections", "gauge", (),
               "Client connections open now."),
    Definition("nearbucket_connections_refused_total", "counter", (),
               "Connections over limits.max_connections, answered 503 unread."),
    Definition("nearbucket_stream_ends_total", "counter", ("how",),
               "Streams ended: complete, client-gone or origin-failed."),
    Definition("nearbucket_origin_requests_total", "counter", ("site", "status"),
               "Requests to the origin by status; 0: unanswered or unsigned."),
    Definition("nearbucket_origin_resumes_total", "counter", ("site",),
               "Times the rest of a body was asked for, after the origin dropped it."),
    Definition("nearbucket_target_up", "gauge", ("site", "region"),
               "Whether clients are sent to a target (1), or it fails (0); least of all workers."),
    Definition("nearbucket_checks_total", "counter", ("result",),
               "HEAD requests to origin and targets about one object, by what was found."),
    Definition("nearbucket_handovers_total", "counter", ("cause",),
               "Requests given to the aiohttp lane, by cause."),
    Definition("nearbucket_log_lines_dropped_total", "counter", (),
               "Access log lines dropped because standard output did not take them."),
    Definition("nearbucket_workers", "gauge", (),
               "Worker processes serving now."),
    Definition("nearbucket_ranges_age_seconds", "gauge", (),
               "Time since the list of prefixes was last confirmed by its source."),
    Definition("nearbucket_ranges_prefixes", "gauge", ("family",),
               "Prefixes in the lookup table."),
    Definition("nearbucket_ranges_skipped_rows", "gauge", (),
               "Rows of the list in use that were unusable and left out."),
    Definition("nearbucket_ranges_refreshes_total", "counter", ("result",),
               "Attempts to refresh the list."),
    Definition("nearbucket_config_reloads_total", "counter", ("result",),
               "Reloads of the configuration: applied or refused."),
    Definition("nearbucket_config_info", "gauge", ("hash",),
               "Always 1; the hash names the configuration in use."),
)  # fmt: skip


class Cell:
    """One figure, to be kept by whoever counts it often."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class Tally:
    """Where the answers of one site, region and reason are counted.

    Attributes:
        redirects: Whether they are redirects to a target.
        whys: Status to their part of a log line, for whoever writes it.
    """

    __slots__ = ("_answers", "_bytes", "_rate", "_times", "_usd", "redirects", "whys")

    def __init__(
        self,
        answers: Cell,
        times: list[float],
        *,
        size: Cell | None = None,
        usd: Cell | None = None,
        rate: float = 0.0,
    ) -> None:
        """Args: the figures, times as a row of a histogram; what a byte is worth in US dollars."""
        self._answers = answers
        self._times = times
        self._bytes = size
        self._usd = usd
        self._rate = rate
        self.redirects = usd is not None
        self.whys: dict[int, tuple[bytes, ...]] = {}

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
        "_cells",
        "_prices",
        "_tallies",
        "complete",
        "connections",
        "seconds",
        "streams",
        "up",
    )

    def __init__(self) -> None:
        self._cells: dict[str, defaultdict[Labels, Cell]] = {
            metric.name: defaultdict(Cell) for metric in METRICS if metric.kind == "counter"
        }
        self.complete = self.cell("nearbucket_stream_ends_total", "complete")
        self.seconds = {action: [0.0] * (len(SECONDS) + 2) for action in Action}
        self.connections = 0
        self.streams = 0
        self.up: Mapping[Labels, bool] = {}
        self._prices = Prices()
        self._tallies: dict[tuple[object, ...], Tally] = {}

    def declare(self, settings: Settings) -> None:
        """Start the series a dashboard divides by at zero, so that rates see the first."""
        self._prices = settings.prices
        self._tallies.clear()
        for site in settings.sites:
            for region in site.targets:
                for name in _OF_TARGETS:
                    self.cell(name, site.name, region)
        for reason in Reason:
            if reason.action is Action.REFUSE:
                self.cell("nearbucket_refusals_total", reason.value)
        self.cell("nearbucket_connections_refused_total")
        self.cell("nearbucket_log_lines_dropped_total")
        for result in CHECKS:
            self.cell("nearbucket_checks_total", result)
        for how in STREAM_ENDS:
            self.cell("nearbucket_stream_ends_total", how)
        for cause in HandoffReason:
            self.cell("nearbucket_handovers_total", cause.value)

    def cell(self, name: str, *labels: str) -> Cell:
        """The figure under a metric's full name, at zero where there was none."""
        return self._cells[name][labels]

    def add(self, name: str, *labels: str, by: int = 1) -> None:
        """Count under a metric's full name."""
        self._cells[name][labels].value += by

    def tally(self, decision: Decision) -> Tally:
        """Where requests that get this decision are counted."""
        reason = decision.reason
        if isinstance(decision, Refuse):
            mark: tuple[object, ...] = (reason,)
        else:
            mark = type(decision), decision.site, decision.region, decision.target, reason
        found = self._tallies.get(mark)
        if found is None:
            found = self._tallies[mark] = self._tally(decision)
        return found

    def _tally(self, decision: Decision) -> Tally:
        times, reason = self.seconds[action_of(decision)], decision.reason
        if isinstance(decision, Refuse):
            return Tally(self.cell("nearbucket_refusals_total", reason.value), times)
        site, region = decision.site, region_label(decision)
        if reason is not Reason.IN_REGION:
            answers = self.cell("nearbucket_bypasses_total", site, region, reason.value)
            if isinstance(decision, RedirectTo):
                return Tally(answers, times)
            size = self.cell("nearbucket_streamed_bytes_total", site, region)
            return Tally(answers, times, size=size)
        answers, size, usd = (self.cell(name, site, region) for name in _OF_TARGETS)
        rate = self._prices.cdn(region) / GB
        return Tally(answers, times, size=size, usd=usd, rate=rate)

    def snapshot(self) -> Values:
        """All figures now, as plain picklable data."""
        values: Values = {
            name: {labels: cell.value for labels, cell in series.items()}
            for name, series in self._cells.items()
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
