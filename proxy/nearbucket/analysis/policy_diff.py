"""What a change of the configuration does to the requests of a log: counts, bytes, dollars.

In: lines of a log, and what becomes of each. Out: one ``Tally``. Refuses to know how anything
is decided, and how it is shown.

Memory is bounded: what was decided is remembered until that is ``_MOST_KNOWN`` requests, then
forgotten; sizes are kept of ``_MOST_PATHS`` objects, and as many sums wait for one. With lines of
usual length that is about 150 MB at most. What does not fit counts as of unknown size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nearbucket.analysis.log_reader import Problem
from nearbucket.config.prices import GB

if TYPE_CHECKING:
    from nearbucket.analysis.log_reader import Asked, Line
    from nearbucket.analysis.replay import Answer, Fate, Replay
    from nearbucket.config.prices import Prices

_MOST_KNOWN = 1 << 16
_MOST_PATHS = 200_000
_OK = 200

_Place = tuple[str, str]  # site and path


@dataclass(slots=True, eq=False)
class Row:
    """Requests whose answer changes in the same way.

    Attributes:
        before: The first configuration's answer.
        after: The second's.
        region: The region whose target takes the clients, or lets them go; else theirs.
        example: A path, without its query.
        requests: How many.
        size: Their bytes, as far as known.
        unknown: How many of them are of unknown size.
    """

    before: Answer
    after: Answer
    region: str
    example: str
    requests: int = 0
    size: int = 0
    unknown: int = 0

    @property
    def way(self) -> int:
        """1 when targets get these requests, -1 when they lose them, else 0."""
        return self.after.to_target - self.before.to_target

    def usd(self, prices: Prices) -> float:
        """What the change saves; below 0 what it costs."""
        return self.way * self.size / GB * prices.cdn(self.region)


@dataclass(slots=True)
class Tally:
    """What was found.

    Attributes:
        requests: Lines replayed.
        changed: Requests that get another answer.
        as_logged: Requests whose reason the log alone knows, and that keep it.
        other: Requests that the first configuration would not answer as the log says.
        unreadable: Lines that are no requests.
        first: Which of them was the first, and why.
        broken: Files whose rest is lost, and why.
        rows: The changes, in the order in which they were met.
    """

    requests: int = 0
    changed: int = 0
    as_logged: int = 0
    other: int = 0
    unreadable: int = 0
    first: str | None = None
    broken: list[str] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)


class Changes:
    """Counts lines, one after the other."""

    def __init__(self, replay: Replay) -> None:
        """Take who decides."""
        self.tally = Tally()
        self._replay = replay
        self._fates: dict[Asked, tuple[Fate, Row | None]] = {}
        self._rows: dict[tuple[Answer, Answer, str], Row] = {}
        self._sizes: dict[_Place, int] = {}
        self._waiting: dict[tuple[Row, _Place], int] = {}

    def add(self, line: Line | Problem) -> None:
        """Count one line."""
        if isinstance(line, Problem):
            self._unreadable(line)
            return
        tally, asked = self.tally, line.asked
        fate, row = self._fates.get(asked) or self._learn(asked)
        tally.requests += 1
        tally.as_logged += fate.kept
        tally.other += fate.other
        if line.status == _OK and line.served and asked.method == "GET":
            self._note_size((fate.site, fate.path), line.size)
        if row is not None:
            tally.changed += 1
            self._count(row, line, (fate.site, fate.path))

    def finish(self) -> Tally:
        """The whole count; redirected requests have the sizes that were seen meanwhile."""
        for (row, place), requests in self._waiting.items():
            size = self._sizes.get(place)
            row.size += (size or 0) * requests
            row.unknown += requests if size is None else 0
        self._waiting.clear()
        return self.tally

    def _unreadable(self, problem: Problem) -> None:
        if problem.rest:
            self.tally.broken.append(problem.text)
            return
        self.tally.unreadable += 1
        self.tally.first = self.tally.first or problem.text

    def _learn(self, asked: Asked) -> tuple[Fate, Row | None]:
        if len(self._fates) >= _MOST_KNOWN:
            self._fates.clear()
        fate = self._replay.fate(asked)
        row = None if fate.before == fate.after else self._row(fate)
        found = self._fates[asked] = fate, row
        return found

    def _row(self, fate: Fate) -> Row:
        """The row of a change; there are as many as answers of the two policies, in regions."""
        key = fate.before, fate.after, fate.region
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = Row(*key, fate.path)
            self.tally.rows.append(row)
        return row

    def _note_size(self, place: _Place, size: int) -> None:
        known = self._sizes.get(place)
        if known is None:
            if len(self._sizes) < _MOST_PATHS:
                self._sizes[place] = size
        elif size > known:
            self._sizes[place] = size

    def _count(self, row: Row, line: Line, place: _Place) -> None:
        """Add a line's bytes: those sent, of the range asked for, or of the whole object."""
        row.requests += 1
        if line.served:
            row.size += line.size
        elif line.asked.method == "HEAD":
            return
        elif line.span is not None:
            row.size += line.span
        elif (key := (row, place)) in self._waiting or len(self._waiting) < _MOST_PATHS:
            self._waiting[key] = self._waiting.get(key, 0) + 1
        else:
            row.unknown += 1
