"""Counts the requests of log files that a test has written."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.counting.aggregate_store import AggregateStore
from nearbucket.analysis.counting.count_queries import Answers, answer, scope_of
from nearbucket.analysis.counting.kept_aggregates import KeptAggregates
from nearbucket.analysis.counting.local_engine import LocalEngine
from nearbucket.analysis.reading.sources import ALWAYS, local_sources
from nearbucket.analysis.reducing.reduce import ReduceOptions
from nearbucket.analysis.reducing.request_columns import CountingRules
from nearbucket.pricing.geographies import geography_of_edge
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.region_table import build_table
from tests.analysis.log_writers import w3c
from tests.analysis.made_logs import Mixed, Record, mixed
from tests.build import WEST
from tests.made_ranges import MADE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nearbucket.analysis.answers import Scope

TABLE = build_table(read_ranges(MADE.read_bytes()), ["EC2"], {})
BASE = next(mixed(Mixed(1), 0))._replace(
    time=1793577600, client=WEST, method="GET", status=200, result="Hit", agent="curl", encoded=1,
    query="", cookie="", bytes=1412, length=1000, start=-1, end=-1,
)  # fmt: skip


def counted(
    names: Iterable[Path | str], options: ReduceOptions | None = None, kept: Path | None = None
) -> tuple[Scope, Answers]:
    """The answers for some files."""
    options = options or ReduceOptions()
    keep = KeptAggregates(kept, options) if kept else None
    with AggregateStore(128 << 20, 1) as store:
        sources = local_sources(map(str, names), ALWAYS)
        LocalEngine(options, 2, keep).run(sources, store)
        scope = scope_of(store, (), "2026-11")
        return scope, answer(store, TABLE, geography_of_edge, scope.days)


def written(path: Path, *records: Record) -> Path:
    """A log file of these requests."""
    w3c(path, records)
    return path


def rules(**changes: Any) -> ReduceOptions:
    """Options with these rules."""
    return ReduceOptions(replace(CountingRules(), **changes))
