"""Traffic over time, kept in memory: the last hour, day and week.

Each window is a ring of the counters' values at its steps. What happened between two steps is the
difference of their values, so no interval is counted twice or lost when a step comes late. When
the clock is set back, the values of later times are dropped.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.telemetry.metrics import OTHER_AWS_BYTES, OTHER_AWS_REQUESTS, OUTSIDE, SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nearbucket.telemetry.metrics import Labels, Values

SeriesName = tuple[str, "Labels"]
"""A short name, and the labels by which it is counted."""

_BY_REGION = {
    "nearbucket_redirects_total": "redirects",
    "nearbucket_redirected_bytes_total": "redirected_bytes",
    "nearbucket_saved_usd_total": "saved_usd",
    "nearbucket_bypasses_total": "bypasses",
    "nearbucket_streamed_bytes_total": "streamed_bytes",
    "nearbucket_shadow_bytes_total": "shadow_bytes",
    "nearbucket_shadow_usd_total": "shadow_usd",
}
"""Metrics whose second label is the region; sites are added up."""
_AS_THEY_ARE = {
    OTHER_AWS_REQUESTS: "other_aws_requests",
    OTHER_AWS_BYTES: "other_aws_bytes",
    "nearbucket_responses_total": "responses",
    "nearbucket_request_seconds": "seconds",
    "nearbucket_verification_usd_total": "verification_usd",
}


class Window(NamedTuple):
    """One of the windows: seconds between two steps, and how many steps are kept."""

    step: int
    steps: int

    @property
    def seconds(self) -> int:
        """Its length."""
        return self.step * self.steps


WINDOWS = {"hour": Window(10, 360), "day": Window(300, 288), "week": Window(3600, 168)}


class Interval(NamedTuple):
    """What was counted between two Unix times, by short name and labels."""

    begin: float
    end: float
    counted: Mapping[str, Mapping[Labels, float]]

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.begin

    def of(self, name: str) -> dict[str, float]:
        """The values of one name by its first label."""
        return {labels[0]: value for labels, value in self.counted.get(name, {}).items()}

    def sum(self, name: str) -> float:
        """The sum of one name over its labels."""
        return sum(self.of(name).values())

    @property
    def shares(self) -> dict[str, tuple[float, float]]:
        """Requests and bytes: redirected, not redirected though in AWS, and outside AWS.

        Bytes that a CDN sends for redirects to it (``bypass.to``) are not known.
        """
        kept, sent = self.of("bypasses"), self.of("streamed_bytes")
        outside = kept.get(OUTSIDE, 0.0), sent.get(OUTSIDE, 0.0)
        return {
            "redirected": (self.sum("redirects"), self.sum("redirected_bytes")),
            "not_redirected": (sum(kept.values()) - outside[0], sum(sent.values()) - outside[1]),
            "outside": outside,
        }

    def seconds_of(self, action: str, share: float) -> float | None:
        """A quantile of the durations of one action, in seconds; None without a request."""
        counted = self.counted.get("seconds", {})
        counts = [counted.get((action, str(slot)), 0.0) for slot in range(1, len(SECONDS) + 2)]
        return quantile(counts, share)


class TrafficHistory:
    """The windows, and the values of now.

    Attributes:
        began: Unix time from which on it knows all.
    """

    def __init__(self, now: float) -> None:
        """Begin, when nothing is counted yet."""
        self.began = now
        self._columns: dict[SeriesName, int] = {}
        first: tuple[float, array[float]] = (now, array("d"))
        self._now = first
        self._rings = {
            name: deque([first], maxlen=window.steps + 1) for name, window in WINDOWS.items()
        }

    def add(self, now: float, values: Values) -> None:
        """Note the metrics of now; a window keeps the first that it gets in each of its steps."""
        self._now = sample = now, self._row(values)
        self.began = min(self.began, now)
        for name, window in WINDOWS.items():
            ring = self._rings[name]
            while ring and ring[-1][0] > now:
                ring.pop()
            if not ring or now // window.step > ring[-1][0] // window.step:
                ring.append(sample)

    def is_due(self, now: float) -> bool:
        """Whether the shortest step has begun anew since the last values."""
        step = WINDOWS["hour"].step
        return now // step != self._now[0] // step

    def intervals(self, name: str) -> Iterator[Interval]:
        """The intervals of a window, oldest first; the last one is not complete."""
        samples = self._samples(name)
        for begin, end in pairwise(samples):
            yield self._between(begin, end)

    def whole(self, name: str) -> Interval:
        """A window as one interval."""
        samples = self._samples(name)
        return self._between(samples[0], samples[-1])

    def _samples(self, name: str) -> list[tuple[float, array[float]]]:
        oldest = self._now[0] - WINDOWS[name].seconds - WINDOWS[name].step
        kept = [sample for sample in self._rings[name] if sample[0] >= oldest]
        return kept if kept and kept[-1] is self._now else [*kept, self._now]

    def _row(self, values: Values) -> array[float]:
        row = array("d", bytes(8 * len(self._columns)))
        for column, value in _columns(values):
            at = self._columns.setdefault(column, len(self._columns))
            if at >= len(row):
                row.append(0.0)
            row[at] += value
        return row

    def _between(
        self, begin: tuple[float, array[float]], end: tuple[float, array[float]]
    ) -> Interval:
        (since, before), (until, after) = begin, end
        counted: dict[str, dict[Labels, float]] = {}
        for (name, labels), at in self._columns.items():
            if at < len(after):
                difference = after[at] - (before[at] if at < len(before) else 0.0)
                if difference:
                    counted.setdefault(name, {})[labels] = difference
        return Interval(since, until, counted)


def _columns(values: Values) -> Iterator[tuple[SeriesName, float]]:
    for name, short in _BY_REGION.items():
        for labels, value in values.get(name, {}).items():
            yield (short, labels[1:2]), value
    for name, short in _AS_THEY_ARE.items():
        for labels, value in values.get(name, {}).items():
            yield (short, labels), value


def quantile(counts: list[float], share: float) -> float | None:
    """A quantile in seconds by the buckets of ``SECONDS``, as Prometheus' histogram_quantile.

    Args:
        counts: Answers in each bucket, the last one without an end.
        share: From 0 to 1.

    Returns:
        None without an answer; the last bucket counts as its beginning.
    """
    sums, total = [], 0.0
    for count in counts:
        total += count
        sums.append(total)
    if total <= 0:
        return None
    wanted = share * total
    at = bisect_left(sums, wanted)
    if at >= len(SECONDS):
        return SECONDS[-1]
    low, high = SECONDS[at - 1] if at else 0.0, SECONDS[at]
    below = sums[at - 1] if at else 0.0
    return low + (high - low) * (wanted - below) / (sums[at] - below)
