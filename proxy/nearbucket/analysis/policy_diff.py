"""Adds up what a change of the configuration does to the requests of a log: bytes and dollars.

Memory is bounded: decisions are cached for up to ``_MOST_KNOWN`` different requests, sizes are
kept of ``_MOST_PATHS`` objects, and as many counts wait for a size. With lines of usual length
that is about 300 MB at most. What does not fit counts as of unknown size.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.analysis.reading.log_reader import UnreadableInput
from nearbucket.config.prices import GB, MONTH_DAYS
from nearbucket.policy.reasons import Reason
from nearbucket.pricing.bill import removal_usd

if TYPE_CHECKING:
    from nearbucket.analysis.reading.log_reader import LogEntry, LoggedRequest
    from nearbucket.analysis.replay import Replay, ReplayedAnswer, ReplayedRequest
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff

_MOST_KNOWN = 1 << 16
_MOST_PATHS = 200_000
_MOST_RANGES = 1000
"""Different lengths of ranges of one object; more count as 0 bytes."""
_OK, _PARTIAL = 200, 206
_WITH_BYTES = frozenset({_OK, _PARTIAL})
_LONGEST_MONTH = 31  # days

_SitePath = tuple[str, str]  # site and path


@dataclass(slots=True, eq=False)
class AnswerChange:
    """Requests whose answer changes in the same way.

    Attributes:
        before: The first configuration's answer.
        after: The second's.
        region: The region whose target gains or loses the requests; else the clients' region.
        example: A path, without its query.
        buckets: Region of the target's bucket in the first configuration, and in the second.
        requests: Number of requests.
        size: Their bytes, as far as known.
        unknown: Number of requests of unknown size.
    """

    before: ReplayedAnswer
    after: ReplayedAnswer
    region: str
    example: str
    buckets: tuple[str, str]
    requests: int = 0
    size: int = 0
    unknown: int = 0

    @property
    def way(self) -> int:
        """1 if targets gain these requests, -1 if they lose them, else 0."""
        return self.after.to_target - self.before.to_target

    def transfer_usd(self, tariff: Tariff) -> float:
        """What the transfer from buckets in other regions costs more, in dollars."""
        before, after = (
            tariff.transfer_per_gb(bucket, self.region) if answer.to_target else 0.0
            for answer, bucket in zip((self.before, self.after), self.buckets, strict=True)
        )
        return (after - before) * self.size / GB


@dataclass(slots=True)
class PolicyDiffTotals:
    """The totals of a log.

    Attributes:
        requests: Requests replayed.
        changed: Requests that get another answer.
        reason_changed: Requests that get the same answer for another reason.
        as_logged: Requests that keep the logged reason, since the log does not show its cause.
        without_bytes: Requests that do not count as changed, since the log has an answer without
            bytes of an object, such as 304 or 404: a redirect of them saves nothing.
        other: Requests with another reason in the log than the first configuration gives.
        no_site: Requests for hosts that no site of either configuration has.
        s3_logs: Whether there are server access logs of S3, whose hosts are buckets.
        unreadable: Lines that cannot be read.
        first: Where and why the first of them cannot be read.
        broken: Files whose rest is lost, and why.
        rows: The changes, in the order of the log.
        redirected: Bytes that both configurations redirect in the same way, by region.
        days: The first and the last day of the requests, from 1970; empty if no line shows one.
    """

    requests: int = 0
    changed: int = 0
    reason_changed: int = 0
    as_logged: int = 0
    without_bytes: int = 0
    other: int = 0
    no_site: int = 0
    s3_logs: bool = False
    unreadable: int = 0
    first: str | None = None
    broken: list[str] = field(default_factory=list)
    rows: list[AnswerChange] = field(default_factory=list)
    redirected: Counter[str] = field(default_factory=Counter)
    days: tuple[int, ...] = ()

    @property
    def months(self) -> float:
        """Months of the log; one up to the longest month: that is one bill, or a part of it."""
        days = self.days[-1] - self.days[0] + 1 if self.days else 0
        return days / MONTH_DAYS if days > _LONGEST_MONTH else 1.0

    def saved_usd(self, tariff: Tariff) -> dict[AnswerChange, float]:
        """What each change saves, in dollars; negative if it costs.

        By the bills of a month in which nothing else is redirected: with what only one of the
        configurations redirects, and without. All GB of that have the same part in the difference.
        A log of several months is that of so many equal ones: tiers start anew in each.
        """
        own, months = tariff.region_per_gb, self.months
        both = sum(size for region, size in self.redirected.items() if region not in own) / GB
        one = {1: 0.0, -1: 0.0}
        for row in self.rows:
            if row.region in own:
                continue
            if row.way:
                one[row.way] += row.size / GB
            elif row.after.to_target:
                both += row.size / GB

        def off_the_bill(row: AnswerChange) -> float:
            if not row.way or not row.size:
                return 0.0
            if row.region in own:
                return row.way * own[row.region] * row.size / GB
            near, all_gb = tariff.geography_of_clients(row.region), one[row.way]
            in_month, more = both / months, (both + all_gb) / months
            of_all = removal_usd(tariff, near, more) - removal_usd(tariff, near, in_month)
            return row.way * of_all * months * (row.size / GB / all_gb)

        return {row: off_the_bill(row) - row.transfer_usd(tariff) or 0.0 for row in self.rows}


def _bucket_regions(settings: Settings | None) -> dict[tuple[str, str], str]:
    """Where clients are sent, by site and region of the clients."""
    return {
        (site.name, region): site.bucket_region(region)
        for site in (settings.sites if settings else ())
        for region in site.targets
    }


class _Fate(NamedTuple):
    """What happens to a request: both answers, and the row of the change if there is one."""

    replayed: ReplayedRequest
    row: AnswerChange | None

    @property
    def redirected(self) -> bool:
        """Whether both configurations redirect it in the same way."""
        return self.row is None and self.replayed.after.to_target


@dataclass(slots=True)
class _Pending:
    """Requests for one object that wait for its size.

    Attributes:
        requests: Number of requests.
        size: Their bytes, as far as known.
        unsized: Number of requests with as many bytes as the object has.
        ranges: Number of redirected requests for a range, by its bytes; it may end behind the
            object.
        without_bytes: Number of requests that got no bytes of the object.
    """

    requests: int = 0
    size: int = 0
    unsized: int = 0
    ranges: Counter[int] = field(default_factory=Counter)
    without_bytes: int = 0

    def add(self, other: _Pending) -> None:
        """Add further requests."""
        self.requests += other.requests
        self.size += other.size
        self.unsized += other.unsized
        self.without_bytes += other.without_bytes
        for asked, number in other.ranges.items():
            if asked in self.ranges or len(self.ranges) < _MOST_RANGES:
                self.ranges[asked] += number
            else:
                self.ranges[0] += number

    def bytes_of(self, size: int | None) -> int:
        """Their bytes for an object of this size; what is not known is 0."""
        if size is None:
            return self.size
        whole = self.size + size * self.unsized
        return whole + sum(min(asked, size) * number for asked, number in self.ranges.items())

    @property
    def unknown(self) -> int:
        """Number of requests whose bytes the size of the object tells."""
        return self.unsized + self.ranges.total() - self.ranges[0]


class PolicyDiff:
    """Replays and counts the lines of a log, one after the other."""

    def __init__(
        self, replay: Replay, before: Settings | None = None, after: Settings | None = None
    ) -> None:
        """Prepare to count.

        Args:
            replay: Decides each request by both configurations.
            before: The first; without it buckets count as in the region of their clients.
            after: The second.
        """
        self.totals = PolicyDiffTotals()
        self._buckets = [_bucket_regions(settings) for settings in (before, after)]
        self._replay = replay
        self._fates: dict[LoggedRequest, tuple[_Fate, ...]] = {}
        self._rows: dict[tuple[ReplayedAnswer, ReplayedAnswer, str], AnswerChange] = {}
        self._sizes: dict[_SitePath, int] = {}
        self._pending: dict[tuple[tuple[_Fate, ...], _SitePath], _Pending] = {}

    def add(self, entry: LogEntry | UnreadableInput) -> None:
        """Count one entry."""
        if isinstance(entry, UnreadableInput):
            self._unreadable(entry)
            return
        request = entry.request
        fates = self._fates.get(request) or self._learn(request)
        site_path = fates[0].replayed.site, fates[0].replayed.path
        if (shown := _object_size(entry)) is not None:
            self._note_size(site_path, shown)
        counted = _counted(entry)
        self.totals.requests += 1
        days = self.totals.days
        if entry.day is not None and entry.day not in days:
            self.totals.days = min((entry.day, *days)), max((entry.day, *days))
        sized = not (counted.unsized or counted.ranges)
        if len(fates) == 1 and (sized or not (fates[0].row or fates[0].redirected)):
            self._settle(fates[0], counted, None)
            return
        key = fates, site_path
        if key not in self._pending and len(self._pending) >= _MOST_PATHS:
            self._settle(fates[0], counted, None)
            return
        self._pending.setdefault(key, _Pending()).add(counted)

    def finish(self) -> PolicyDiffTotals:
        """The totals; each object has the size that the log shows."""
        for (fates, site_path), pending in self._pending.items():
            size = self._sizes.get(site_path)
            place = 0 if size is None or len(fates) == 1 else bisect(self._replay.sizes, size)
            self._settle(fates[place], pending, size)
        self._pending.clear()
        self.totals.rows = [row for row in self.totals.rows if row.requests]
        return self.totals

    def _settle(self, fate: _Fate, counted: _Pending, size: int | None) -> None:
        """Add requests to the totals; ``size`` is that of the object, if it is known."""
        replayed, row = fate
        totals = self.totals
        whole = counted.bytes_of(size)
        totals.as_logged += replayed.kept * counted.requests
        totals.other += replayed.other * counted.requests
        if replayed.before.reason == replayed.after.reason == Reason.HOST:
            totals.no_site += counted.requests
        if row is not None:
            none = counted.without_bytes if row.way else 0
            totals.without_bytes += none
            totals.changed += counted.requests - none
            row.requests += counted.requests - none
            row.size += whole
            row.unknown += counted.unknown if size is None else 0
        elif fate.redirected:
            totals.redirected[replayed.region] += whole
        elif replayed.before.reason != replayed.after.reason:
            totals.reason_changed += counted.requests

    def _unreadable(self, problem: UnreadableInput) -> None:
        if problem.rest:
            self.totals.broken.append(problem.text)
            return
        self.totals.unreadable += 1
        self.totals.first = self.totals.first or problem.text

    def _learn(self, request: LoggedRequest) -> tuple[_Fate, ...]:
        """What happens to a request: for an object of unknown size, then for each size."""
        if len(self._fates) >= _MOST_KNOWN:
            self._fates.clear()
        fates = tuple(
            _Fate(replayed, self._row(replayed))
            for replayed in (
                self._replay.replay(request, size) for size in (None, *self._replay.sizes)
            )
        )
        fates = self._fates[request] = fates[:1] if len(set(fates)) == 1 else fates
        return fates

    def _row(self, replayed: ReplayedRequest) -> AnswerChange | None:
        """The row of a change: one for each pair of answers and region."""
        if replayed.before.same_for_client(replayed.after):
            return None
        key = replayed.before, replayed.after, replayed.region
        row = self._rows.get(key)
        if row is None:
            place, region = (replayed.site, replayed.region), replayed.region
            before, after = (regions.get(place, region) for regions in self._buckets)
            row = self._rows[key] = AnswerChange(*key, replayed.path, (before, after))
            self.totals.rows.append(row)
        return row

    def _note_size(self, site_path: _SitePath, size: int) -> None:
        known = self._sizes.get(site_path)
        if known is None:
            if len(self._sizes) < _MOST_PATHS:
                self._sizes[site_path] = size
        elif size > known:
            self._sizes[site_path] = size


def _object_size(entry: LogEntry) -> int | None:
    """The size of the object, or a part of it, as far as a line shows it."""
    if entry.request.method != "GET" or not entry.served:
        return None
    if entry.status == _OK:
        return entry.size if entry.length is None else entry.length
    return entry.range_end if entry.status == _PARTIAL else None


def _counted(entry: LogEntry) -> _Pending:
    """One request, with its bytes as far as its line tells them."""
    if entry.served:
        none = entry.status not in _WITH_BYTES
        return _Pending(1, 0 if none else entry.size, without_bytes=int(none))
    if entry.request.method == "HEAD":
        return _Pending(1)
    if entry.range_size is None:
        return _Pending(1, unsized=1)
    return _Pending(1, ranges=Counter([entry.range_size]))
