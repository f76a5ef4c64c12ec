"""Adds up what a change of the configuration does to the requests of a log: bytes and dollars.

Memory is bounded: decisions are cached for up to ``_MOST_KNOWN`` different requests, sizes are
kept of ``_MOST_PATHS`` objects, and as many counts wait for a size. With lines of usual length
that is about 150 MB at most. What does not fit counts as of unknown size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nearbucket.analysis.log_reader import UnreadableInput
from nearbucket.config.prices import GB
from nearbucket.pricing.bill import saved_per_gb

if TYPE_CHECKING:
    from nearbucket.analysis.log_reader import LogEntry, LoggedRequest
    from nearbucket.analysis.replay import Replay, ReplayedAnswer, ReplayedRequest
    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff

_MOST_KNOWN = 1 << 16
_MOST_PATHS = 200_000
_OK = 200

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

    def usd(self, tariff: Tariff) -> float:
        """What the change saves, in dollars, at the price of the next GB; negative if it costs."""
        before, after = (
            saved_per_gb(tariff, self.region, bucket) if answer.to_target else 0.0
            for answer, bucket in zip((self.before, self.after), self.buckets, strict=True)
        )
        return (after - before) * self.size / GB


@dataclass(slots=True)
class PolicyDiffTotals:
    """The totals of a log.

    Attributes:
        requests: Requests replayed.
        changed: Requests that get another answer.
        as_logged: Requests that keep the logged reason, since the log does not show its cause.
        other: Requests with another reason in the log than the first configuration gives.
        unreadable: Lines that cannot be read.
        first: Where and why the first of them cannot be read.
        broken: Files whose rest is lost, and why.
        rows: The changes, in the order of the log.
    """

    requests: int = 0
    changed: int = 0
    as_logged: int = 0
    other: int = 0
    unreadable: int = 0
    first: str | None = None
    broken: list[str] = field(default_factory=list)
    rows: list[AnswerChange] = field(default_factory=list)


def _bucket_regions(settings: Settings | None) -> dict[tuple[str, str], str]:
    """Where clients are sent, by site and region of the clients."""
    return {
        (site.name, region): site.bucket_region(region)
        for site in (settings.sites if settings else ())
        for region in site.targets
    }


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
        self._replayed: dict[LoggedRequest, tuple[ReplayedRequest, AnswerChange | None]] = {}
        self._rows: dict[tuple[ReplayedAnswer, ReplayedAnswer, str], AnswerChange] = {}
        self._sizes: dict[_SitePath, int] = {}
        self._waiting: dict[tuple[AnswerChange, _SitePath], int] = {}

    def add(self, entry: LogEntry | UnreadableInput) -> None:
        """Count one entry."""
        if isinstance(entry, UnreadableInput):
            self._unreadable(entry)
            return
        totals, request = self.totals, entry.request
        replayed, row = self._replayed.get(request) or self._learn(request)
        totals.requests += 1
        totals.as_logged += replayed.kept
        totals.other += replayed.other
        if entry.status == _OK and entry.served and request.method == "GET":
            self._note_size((replayed.site, replayed.path), entry.size)
        if row is not None:
            totals.changed += 1
            self._count(row, entry, (replayed.site, replayed.path))

    def finish(self) -> PolicyDiffTotals:
        """The totals; a redirected request has its object's size if another line showed it."""
        for (row, site_path), requests in self._waiting.items():
            size = self._sizes.get(site_path)
            row.size += (size or 0) * requests
            row.unknown += requests if size is None else 0
        self._waiting.clear()
        return self.totals

    def _unreadable(self, problem: UnreadableInput) -> None:
        if problem.rest:
            self.totals.broken.append(problem.text)
            return
        self.totals.unreadable += 1
        self.totals.first = self.totals.first or problem.text

    def _learn(self, request: LoggedRequest) -> tuple[ReplayedRequest, AnswerChange | None]:
        if len(self._replayed) >= _MOST_KNOWN:
            self._replayed.clear()
        replayed = self._replay.replay(request)
        row = None if replayed.before == replayed.after else self._row(replayed)
        found = self._replayed[request] = replayed, row
        return found

    def _row(self, replayed: ReplayedRequest) -> AnswerChange:
        """The row of a change: one for each pair of answers and region."""
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

    def _count(self, row: AnswerChange, entry: LogEntry, site_path: _SitePath) -> None:
        """Add bytes to a row: those sent, of the requested range, or of the whole object."""
        row.requests += 1
        if entry.served:
            row.size += entry.size
        elif entry.request.method == "HEAD":
            return
        elif entry.range_size is not None:
            row.size += entry.range_size
        elif (key := (row, site_path)) in self._waiting or len(self._waiting) < _MOST_PATHS:
            self._waiting[key] = self._waiting.get(key, 0) + 1
        else:
            row.unknown += 1
