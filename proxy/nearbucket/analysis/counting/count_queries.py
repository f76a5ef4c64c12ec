"""The answers of a report, asked of a store once all files were added."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from nearbucket.analysis import answers
from nearbucket.analysis.counting import count_sql as sql
from nearbucket.analysis.counting.client_regions import add_regions, network_text
from nearbucket.analysis.reading.formats import shown_key
from nearbucket.analysis.reading.sources import DamagedFile
from nearbucket.analysis.reducing.range_sessions import GAP
from nearbucket.analysis.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nearbucket.analysis.counting.aggregate_store import AggregateStore
    from nearbucket.regions.region_table import RegionTable

_DAY = 86400
_SHORTEST = 60
"""Least seconds of a period: a log of one request is not scaled to one in each second."""
_MOST_FOLDERS = 200
_EPOCH = date(1970, 1, 1)


class Answers(NamedTuple):
    """All that a report says of what was counted.

    Attributes:
        counts: The counts.
        traffic: The tables for what-ifs.
        geographies: Requests and bytes by price geography of the edge.
    """

    counts: answers.Counts
    traffic: Traffic
    geographies: dict[str, tuple[int, int]]


def scope_of(
    store: AggregateStore, left_out: Sequence[DamagedFile], prices_of: str
) -> answers.Scope:
    """What was read.

    Args:
        store: The store.
        left_out: Files that were not read.
        prices_of: Month of the prices.
    """
    lines: dict[str, int] = {}
    reasons: dict[str, int] = {}
    damage: dict[str, str] = {}
    kinds: dict[str, str] = {}
    spans: dict[str, list[int]] = {}
    for part in store.summaries:
        lines[part.name] = lines.get(part.name, 0) + part.lines
        for reason, number in part.left_out.items():
            reasons[reason] = reasons.get(reason, 0) + number
        if part.damage:
            damage[part.name] = part.damage
        kinds[part.name] = part.kind or kinds.get(part.name, "")
        spans.setdefault(part.name, []).extend(
            each for each in (part.first, part.last) if each is not None
        )
    damaged = [DamagedFile(name, damage[name], lines[name]) for name in sorted(damage)]
    by_kind: dict[str, list[int]] = {}
    for name, times in spans.items():
        if times:
            by_kind.setdefault(kinds[name] or "fields", []).extend((min(times), max(times)))
    first = min(map(min, by_kind.values()), default=None)
    last = max(map(max, by_kind.values()), default=None)
    return answers.Scope(
        files=len(lines),
        lines=sum(lines.values()),
        left_out=dict(sorted(reasons.items())),
        first=None if first is None else datetime.fromtimestamp(first, UTC),
        last=None if last is None else datetime.fromtimestamp(last, UTC),
        days=0.0 if first is None or last is None else max(last - first + 1, _SHORTEST) / _DAY,
        damaged=(*damaged, *left_out),
        prices_of=prices_of,
        kinds=tuple(sorted({kinds[name] or "fields" for name in lines if lines[name]})),
        overlapping_kinds=_overlapping(
            {kind: (min(times), max(times)) for kind, times in by_kind.items()}
        ),
    )


def _overlapping(periods: Mapping[str, tuple[int, int]]) -> tuple[str, ...]:
    """Formats of which two periods overlap by more than half of the shorter one."""
    found = set[str]()
    for pair in combinations(periods, 2):
        (one, one_end), (two, two_end) = (periods[kind] for kind in pair)
        common = min(one_end, two_end) - max(one, two)
        if 2 * common > min(one_end - one, two_end - two):
            found.update(pair)
    return tuple(sorted(found))


def answer(
    store: AggregateStore,
    table: RegionTable,
    geography_of_edge: Callable[[str], str],
    days: float,
    top: int = 20,
) -> Answers:
    """All counts, and the tables for what-ifs.

    Args:
        store: The store; ``finish`` was called.
        table: Regions of addresses.
        geography_of_edge: Price geography of an edge.
        days: ``Scope.days``.
        top: How many objects, User-Agents and networks are listed.
    """
    store.finish()
    asking = _Asking(store, add_regions(store, table), geography_of_edge, top)
    return Answers(asking.counts(), asking.traffic(days), asking.by_geography())


class _Asking:
    """Asks a store, whose facts are first added up by region instead of client."""

    def __init__(
        self,
        store: AggregateStore,
        regions: list[str],
        geography_of_edge: Callable[[str], str],
        top: int,
    ) -> None:
        self._store, self._regions, self._top = store, regions, top
        edges = [edge for (edge,) in store.rows("SELECT DISTINCT edge FROM contexts")]
        geographies = pa.array(map(geography_of_edge, edges), pa.string())
        made = {
            "edges": {"edge": pa.array(edges, pa.string()), "geography": geographies},
            "region_names": {
                "region": pa.array(range(len(regions)), pa.int16()),
                "name": pa.array(regions, pa.string()),
            },
        }
        for name, columns in made.items():
            store.connection.register(name, pa.table(columns))
        for statement in sql.PREPARED:
            store.connection.execute(statement)

    def counts(self) -> answers.Counts:
        """Everything that was counted."""
        rows = self._store.rows
        regions = self._by_region()
        ((requests, size, aborted),) = rows(sql.TOTALS)
        return answers.Counts(
            requests=requests,
            bytes=size,
            downloads=sum(each.downloads for each in regions),
            aborted=aborted,
            regions=regions,
            top_files=self._top_files(),
            user_agents=tuple(
                answers.AgentTraffic(*row) for row in rows(sql.TOP_AGENTS, [self._top])
            ),
            networks=self._networks(),
            days=self._days(),
            sizes=tuple(answers.SizeTraffic(*row) for row in rows(sql.SIZES)),
            hosts=tuple(answers.NamedTraffic(*row) for row in rows(sql.HOSTS)),
            results=tuple(answers.NamedTraffic(*row) for row in rows(sql.RESULTS)),
            folders=self._folders(),
        )

    def by_geography(self) -> dict[str, tuple[int, int]]:
        """Requests and bytes by price geography of the edge."""
        return {
            name: (requests, size) for name, requests, size in self._store.rows(sql.BY_GEOGRAPHY)
        }

    def traffic(self, days: float) -> Traffic:
        """The tables for what-ifs."""
        return Traffic(
            facts=self._store.table(sql.FACTS),
            objects=self._store.table(sql.OBJECTS),
            networks=self._network_table(),
            days=days,
        )

    def _by_region(self) -> tuple[answers.RegionTraffic, ...]:
        found = [
            answers.RegionTraffic(self._regions[number], *row)
            for number, *row in self._store.rows(sql.REGIONS, [GAP])
        ]
        return tuple(found)

    def _top_files(self) -> tuple[answers.FileTraffic, ...]:
        found = self._store.rows(sql.TOP_FILES, [self._top])
        addresses = dict(self._store.rows(sql.ADDRESSES, [[row[0] for row in found]]))
        several = self._store.rows("SELECT count(DISTINCT host) FROM object")[0][0] > 1
        return tuple(
            answers.FileTraffic(
                (f"{host}/" if several else "") + shown_key(key),
                size, requests, addresses.get(number, 0), length, aws,
            )
            for number, host, key, size, requests, aws, length in found
        )  # fmt: skip

    def _networks(self) -> tuple[answers.NetworkTraffic, ...]:
        """A network with addresses in several regions comes once for each."""
        found = self._store.rows(sql.TOP_NETWORKS, [self._top])
        numbers = [row[0] for row in found]
        addresses = {row[:2]: row[2] for row in self._store.rows(sql.NETWORK_ADDRESSES, [numbers])}
        keys = {row[:2]: row[2] for row in self._store.rows(sql.TOP_KEYS, [numbers])}
        return tuple(
            answers.NetworkTraffic(
                network_text(number), self._regions[region], size, requests,
                addresses[number, region], shown_key(keys[number, region]),
            )
            for number, region, size, requests in found
        )  # fmt: skip

    def _folders(self) -> tuple[answers.FolderTraffic, ...]:
        rows = self._store.rows(sql.FOLDERS, [_MOST_FOLDERS])
        return tuple(
            answers.FolderTraffic(shown_key(folder), suffix, *sums)
            for folder, suffix, *sums in rows
        )

    def _days(self) -> tuple[answers.DayTraffic, ...]:
        found: dict[int, list[Any]] = {}
        for day, region, requests, size in self._store.rows(sql.DAYS):
            sums = found.setdefault(day, [0, 0, {}])
            sums[0] += requests
            sums[1] += size
            sums[2][self._regions[region]] = size
        return tuple(
            answers.DayTraffic(_EPOCH + timedelta(days=day), *sums) for day, sums in found.items()
        )

    def _network_table(self) -> pa.Table:
        self._store.connection.execute(sql.LARGE)
        numbers = [number for (number,) in self._store.rows("SELECT network FROM large")]
        names = {
            "network": pa.array(numbers, pa.uint64()),
            "text": pa.array(map(network_text, numbers), pa.string()),
        }
        self._store.connection.register("network_names", pa.table(names))
        ((many,),) = self._store.rows(sql.MANY_STREAMED)
        return self._store.table(
            sql.NETWORK_TABLE.format(sql.REDIRECTABLE if many else "by_network")
        )
