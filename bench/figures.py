"""Figures: samples of rounds become medians and ratios, and two results a comparison.

In: what each server used in each round; result files. Out: rows. Refuses to measure or print.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from case import BenchError
from servers import AIOHTTP, NGINX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from processes import Usage
    from servers import Kind

MOVED = 0.05
"""Smallest change that is told from noise (measured: below 5 % nothing is resolved)."""

_STRAY = 1.25
"""Busy core by the server's own time: more than softirqs explain (measured: up to 1.15)."""


class Sample(NamedTuple):
    """CPU time of one server in one round, in microseconds a request.

    Attributes:
        process: User and system time of the server.
        user: Its user time.
        core: Busy time of its core.
    """

    process: float
    user: float
    core: float

    @classmethod
    def of(cls, used: Usage, requests: int) -> Sample:
        """Divide what was used by the requests."""
        return cls(*(seconds * 1e6 / requests for seconds in used))


class Row(TypedDict):
    """One server in a result file; times are medians in microseconds a request.

    ``*_ratio`` are medians over rounds of this server's figure by the baseline's of the same
    round and the same kind of log; ``low`` and ``high`` are the outermost of ``cpu_ratio``.
    """

    server: str
    log: bool
    cpu_us: float
    user_us: float
    core_us: float
    cpu_ratio: float
    cpu_ratio_low: float
    cpu_ratio_high: float
    core_ratio: float


Rounds = dict["Kind", list[Sample]]


def baseline(names: Iterable[str]) -> str:
    """Who the others are compared with."""
    return NGINX if NGINX in names else AIOHTTP


def rows_of(rounds: Rounds) -> list[Row]:
    """Medians and ratios of every server."""
    base = baseline(kind.name for kind in rounds)
    against = {kind.log: samples for kind, samples in rounds.items() if kind.name == base}
    return [_row(kind, samples, against[kind.log]) for kind, samples in rounds.items()]


def _row(kind: Kind, samples: list[Sample], base: list[Sample]) -> Row:
    pairs = list(zip(samples, base, strict=True))
    cpu = [ours.process / theirs.process for ours, theirs in pairs]
    # The core's clock ticks in hundredths of a second: a very short round may show none.
    core = [ours.core / theirs.core for ours, theirs in pairs if theirs.core]
    return {
        "server": kind.name,
        "log": kind.log,
        "cpu_us": round(median(each.process for each in samples), 2),
        "user_us": round(median(each.user for each in samples), 2),
        "core_us": round(median(each.core for each in samples), 2),
        "cpu_ratio": round(median(cpu), 3),
        "cpu_ratio_low": round(min(cpu), 3),
        "cpu_ratio_high": round(max(cpu), 3),
        "core_ratio": round(median(core), 3) if core else 0.0,
    }


def disturbed(rows: Iterable[Row]) -> list[str]:
    """Servers whose core did more than serve, in the median round."""
    return [
        f"{row['server']} {'with' if row['log'] else 'without'} log"
        for row in rows
        if row["core_us"] > _STRAY * row["cpu_us"]
    ]


class Move(NamedTuple):
    """One ratio in two results."""

    server: str
    log: bool
    figure: str
    before: float
    after: float

    @property
    def change(self) -> float:
        """Relative change; 0.1 is ten percent more CPU time against the baseline."""
        return self.after / self.before - 1 if self.before else 0.0

    @property
    def moved(self) -> bool:
        """Whether the change is more than noise."""
        return abs(self.change) > MOVED


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Move]:
    """Every ratio that both results have.

    Raises:
        BenchError: They measure against different servers.
    """
    if before["baseline"] != after["baseline"]:
        raise BenchError(
            f"the results are ratios to different servers: {before['baseline']} and "
            f"{after['baseline']}"
        )
    known = {(row["server"], row["log"]): row for row in before["rows"]}
    return [
        Move(row["server"], row["log"], figure, known[place][figure], row[figure])
        for row in after["rows"]
        if (place := (row["server"], row["log"])) in known and row["server"] != after["baseline"]
        for figure in ("cpu_ratio", "core_ratio")
    ]


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What else is different between two results, and may be the reason."""
    return [
        f"{section}.{key}: {before[section].get(key)} -> {after[section].get(key)}"
        for section in ("machine", "versions", "load")
        for key in sorted({*before[section], *after[section]})
        if before[section].get(key) != after[section].get(key)
    ]
