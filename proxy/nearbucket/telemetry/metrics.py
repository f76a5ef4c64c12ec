"""The counters of one process: the values of its metrics.

Counters are plain integers, summed at each scrape (``prometheus.py``): nothing is counted through
a library on the hot path, and workers need not import one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from enum import StrEnum
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from nearbucket.policy.model import Action, Decision, Reason, RedirectTo, Refuse, action_of
from nearbucket.telemetry.metric_definitions import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.policy.model import Stream

Labels = tuple[str, ...]
Values = dict[str, dict[Labels, float]]
"""Values of one process by metric name and label values."""


class HandoffReason(StrEnum):
    """Why a request is given to the aiohttp lane: the metric's ``cause``."""

    STREAM = "stream"
    REFUSE = "refuse"
    PARTIAL = "partial"
    PIPELINED = "pipelined"
    BODY = "body"
    UNPARSABLE = "unparsable"
    UNUSUAL = "unusual"


class RestartCause(StrEnum):
    """What ended a worker process that was replaced: the metric's ``cause``."""

    HUNG = "hung"
    SIGNAL = "signal"
    EXIT = "exit"
    START = "start"


SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0,
)  # fmt: skip
"""Upper bounds of the histogram in seconds: redirects take microseconds, downloads minutes."""

_FIRST = SECONDS[0]
OUTSIDE, OTHER_AWS = "outside", "other-aws"
OTHER_HOST = "other"
"""Stands for all names that the configuration does not list."""
CHECKS = ("present", "absent", "failed")
CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
"""Classes of statuses, by their first digit; ``none``: the client left before any."""
OTHER_AWS_REQUESTS, OTHER_AWS_BYTES = "other-aws requests", "other-aws bytes"
"""Values by region of what the metrics count as ``other-aws``; the dashboard alone has them."""
_BYPASSES, _STREAMED = "nearbucket_bypasses_total", "nearbucket_streamed_bytes_total"
_BY_REGION = {_BYPASSES: OTHER_AWS_REQUESTS, _STREAMED: OTHER_AWS_BYTES}
_ELSEWHERE = {OUTSIDE: Reason.OUTSIDE_AWS, OTHER_AWS: Reason.NO_TARGET}
_AT_TARGETS = (Reason.SHADOW, Reason.PATH, Reason.NOT_REPLICATED, Reason.CAME_BACK)
"""The usual reasons of clients without a target, and of those with one: series from the start."""
_OF_TARGETS = (
    "nearbucket_redirects_total",
    "nearbucket_redirected_bytes_total",
    "nearbucket_saved_usd_total",
)
_SHADOW = ("nearbucket_shadow_bytes_total", "nearbucket_shadow_usd_total")
MAY_FALL = (*_OF_TARGETS[1:], _SHADOW[1])
"""Counters of savings: failed redirects and costs are subtracted from them."""
STREAM_ENDS = ("complete", "client-gone", "client-slow", "origin-failed")
LOGS = ("access", "process")


class Counter:
    """One series; code that often adds to it keeps the object."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0


class DecisionCounters:
    """The counters of all answers with one host, site, region and reason.

    Attributes:
        redirects: Whether they are redirects to a target.
        log_parts: Their part of an access log line, by status; filled by the recorder.
    """

    __slots__ = (
        "_answers", "_bytes", "_host", "_shadow_bytes", "_times", "log_parts", "redirects",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913  # a series each
        self,
        answers: Counter,
        host: Counter,
        times: list[float],
        *,
        size: Counter | None = None,
        shadow: Counter | None = None,
        redirects: bool = False,
    ) -> None:
        """Count in these series.

        Args:
            answers: The answers.
            host: The answers of their host.
            times: Row of the histogram: the sum of seconds, then the count of each bucket but the
                first, which follows from the number of all answers.
            size: The bytes.
            shadow: The bytes once more, where a redirect would have saved them.
            redirects: Whether they are redirects to a target.
        """
        self._answers = answers
        self._host = host
        self._times = times
        self._bytes = size
        self._shadow_bytes = shadow
        self.redirects = redirects
        self.log_parts: dict[int, tuple[bytes, ...]] = {}

    def add(self, seconds: float, size: int) -> None:
        """Count one answer and its bytes: streamed from the origin, or saved by a redirect."""
        self._answers.value += 1
        self._host.value += 1
        if size and self._bytes is not None:
            self._bytes.value += size
            if self._shadow_bytes is not None:
                self._shadow_bytes.value += size
        row = self._times
        row[0] += seconds
        if seconds > _FIRST:
            row[bisect_left(SECONDS, seconds)] += 1.0


class Counters:
    """The plain integers of one process. Not thread-safe: one event loop owns them.

    Attributes:
        up: Whether clients are redirected to a target, by site and region.
        complete: Streams that ended ``complete``.
        statuses: Responses but redirects, by the first digit of their status. Redirects are
            counted already.
    """

    __slots__ = (
        "_by_decision", "_counters", "_other_aws", "complete", "connections", "seconds", "statuses",
        "streams", "up",
    )  # fmt: skip

    def __init__(self) -> None:
        self._counters: dict[str, defaultdict[Labels, Counter]] = {
            metric.name: defaultdict(Counter) for metric in METRICS if metric.kind == "counter"
        }
        self.complete = self.counter("nearbucket_stream_ends_total", "complete")
        self.seconds = {action: [0.0] * (len(SECONDS) + 1) for action in Action}
        self.connections = 0
        self.streams = 0
        self.up: Mapping[Labels, bool] = {}
        self.statuses = [0] * len(CLASSES)
        self._other_aws: defaultdict[tuple[str, Labels, str], Counter] = defaultdict(Counter)
        self._by_decision: dict[tuple[object, ...], DecisionCounters] = {}

    def declare(self, settings: Settings) -> None:
        """Create series at zero, so that rates include the first event."""
        self._by_decision.clear()
        for name, *labels in _declared(settings):
            self.counter(name, *labels)

    def counter(self, name: str, *labels: str) -> Counter:
        """The series of a metric with these label values; created at zero."""
        return self._counters[name][labels]

    def add(self, name: str, *labels: str, by: int = 1) -> None:
        """Add to the series of a metric with these label values."""
        self._counters[name][labels].value += by

    def take_back(self, site: str, region: str, size: int) -> None:
        """Subtract the bytes of a redirect that failed from the savings; negative: add them again.

        The values may fall, in one process even below zero. ``HighWater`` sees to it that the
        admin port never shows lower ones.
        """
        self.counter("nearbucket_redirected_bytes_total", site, region).value -= size

    def decision_counters(self, decision: Decision, host: str | None = None) -> DecisionCounters:
        """The counters of requests with this decision.

        Args:
            decision: The decision.
            host: The host of the configuration that the request names; None if it names another.
        """
        reason = decision.reason
        if isinstance(decision, Refuse):
            mark: tuple[object, ...] = (host, reason)
        else:
            mark = host, type(decision), decision.site, decision.region, decision.target, reason
        found = self._by_decision.get(mark)
        if found is None:
            found = self._by_decision[mark] = self._new_decision_counters(decision, host)
        return found

    def _new_decision_counters(self, decision: Decision, host: str | None) -> DecisionCounters:
        action, reason = action_of(decision), decision.reason
        times = self.seconds[action]
        of_host = self.counter("nearbucket_host_requests_total", host or OTHER_HOST, action.value)
        if isinstance(decision, Refuse):
            answers = self.counter("nearbucket_refusals_total", reason.value)
            return DecisionCounters(answers, of_host, times)
        site, region = decision.site, region_label(decision)
        counter = partial(self._counter_of, decision.region or "")
        if reason is Reason.IN_REGION:
            answers, size = (self.counter(name, site, region) for name in _OF_TARGETS[:2])
            return DecisionCounters(answers, of_host, times, size=size, redirects=True)
        answers = counter(_BYPASSES, site, region, reason.value)
        if isinstance(decision, RedirectTo):  # to the CDN
            return DecisionCounters(answers, of_host, times)
        shadow = self.counter(_SHADOW[0], site, region) if reason is Reason.SHADOW else None
        size = counter(_STREAMED, site, region)
        return DecisionCounters(answers, of_host, times, size=size, shadow=shadow)

    def _counter_of(
        self, client_region: str, name: str, site: str, region: str, *more: str
    ) -> Counter:
        """The series of a metric for clients in one region: of ``other-aws`` only a part of it.

        So nothing more is counted for a request, and ``snapshot`` adds up.
        """
        labels = site, region, *more
        if region == OTHER_AWS:
            return self._other_aws[name, labels, client_region]
        return self.counter(name, *labels)

    def snapshot(self) -> Values:
        """All values, as plain picklable data."""
        values: Values = {
            name: {labels: cell.value for labels, cell in series.items()}
            for name, series in self._counters.items()
        }
        for (name, labels, region), cell in self._other_aws.items():
            for series, key in ((name, labels), (_BY_REGION[name], (region,))):
                into = values.setdefault(series, {})
                into[key] = into.get(key, 0) + cell.value
        values["nearbucket_responses_total"] = self._responses()
        values["nearbucket_streams_in_progress"] = {(): self.streams}
        values["nearbucket_connections"] = {(): self.connections}
        values["nearbucket_target_up"] = {labels: int(up) for labels, up in self.up.items()}
        values["nearbucket_request_seconds"] = {
            (action.value, str(slot)): figure
            for action in Action
            for slot, figure in enumerate(self._histogram(action))
        }
        return values

    def _histogram(self, action: Action) -> tuple[float, ...]:
        """The sum of seconds, then the count of each bucket."""
        total, *slower = self.seconds[action]
        return total, self._answers(action) - sum(slower), *slower

    def _answers(self, action: Action) -> float:
        by_host = self._counters["nearbucket_host_requests_total"]
        return sum(cell.value for (_, of), cell in by_host.items() if of == action.value)

    def _responses(self) -> dict[Labels, float]:
        found: dict[Labels, float] = {
            (name,): number for name, number in zip(CLASSES, self.statuses, strict=True)
        }
        del found["1xx",]
        found["3xx",] += self._answers(Action.REDIRECT)
        return found


def _declared(settings: Settings) -> Iterator[tuple[str, ...]]:
    """The series that there are from the start: each metric's name, and values of its labels."""
    for site in settings.sites:
        yield "nearbucket_streams_refused_total", site.name
        yield "nearbucket_origin_resumes_total", site.name
        for region, reason in _ELSEWHERE.items():
            yield _STREAMED, site.name, region
            yield _BYPASSES, site.name, region, reason.value
        for region in site.targets:
            yield from ((name, site.name, region) for name in (*_OF_TARGETS, *_SHADOW, _STREAMED))
            yield from ((_BYPASSES, site.name, region, reason.value) for reason in _AT_TARGETS)
        if site.failover:
            yield "nearbucket_origin_failovers_total", site.name
    hosts = {host for site in settings.sites for host in site.hosts} - {"*"}
    for host, action in product((*sorted(hosts), OTHER_HOST), Action):
        yield "nearbucket_host_requests_total", host, action.value
    for reason in Reason:
        if reason.action is Action.REFUSE:
            yield "nearbucket_refusals_total", reason.value
    yield ("nearbucket_connections_refused_total",)
    yield ("nearbucket_client_limit_total",)
    yield from (("nearbucket_log_lines_dropped_total", log) for log in LOGS)
    yield ("nearbucket_file_limit_seconds_total",)
    yield from (("nearbucket_checks_total", result) for result in CHECKS)
    yield from (("nearbucket_stream_ends_total", how) for how in STREAM_ENDS)
    yield from (("nearbucket_handovers_total", cause.value) for cause in HandoffReason)


def region_label(decision: RedirectTo | Stream) -> str:
    """Value of the label ``region``; only regions with a target by name, to bound the series."""
    if decision.region is None:
        return OUTSIDE
    return decision.region if decision.target else OTHER_AWS
