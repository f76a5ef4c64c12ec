"""The answers of a report, asked of a store once all files were added."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from nearbucket.analysis import answers
from nearbucket.analysis.client_regions import OUTSIDE, add_regions, network_text
from nearbucket.analysis.formats import shown_key
from nearbucket.analysis.range_sessions import GAP
from nearbucket.analysis.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nearbucket.analysis.aggregate_store import AggregateStore
    from nearbucket.regions.region_table import RegionTable

_DAY = 86400
_SHORTEST = 1 / 24
"""Days of a log with all requests at one moment: files are of an hour."""
_NETWORKS = 1000
"""Networks that are kept by object. One that is not among those with the most bytes cannot be half
of anything that matters."""
_MOST_FOLDERS = 200
_EPOCH = date(1970, 1, 1)


class Answers(NamedTuple):
    """All that a report says of what was counted.

    Attributes:
        counts: The counts.
        traffic: The tables for what-ifs.
    """

    counts: answers.Counts
    traffic: Traffic


def scope_of(
    store: AggregateStore, left_out: Sequence[answers.DamagedFile], prices_of: str
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
    times = []
    for part in store.summaries:
        lines[part.name] = lines.get(part.name, 0) + part.lines
        for reason, number in part.left_out.items():
            reasons[reason] = reasons.get(reason, 0) + number
        if part.damage:
            damage[part.name] = part.damage
        times += [each for each in (part.first, part.last) if each is not None]
    damaged = [answers.DamagedFile(name, damage[name], lines[name]) for name in sorted(damage)]
    first, last = min(times, default=None), max(times, default=None)
    return answers.Scope(
        files=len(lines),
        lines=sum(lines.values()),
        left_out=dict(sorted(reasons.items())),
        first=None if first is None else datetime.fromtimestamp(first, UTC),
        last=None if last is None else datetime.fromtimestamp(last, UTC),
        days=0.0 if first is None or last is None else max((last - first + 1) / _DAY, _SHORTEST),
        damaged=(*damaged, *left_out),
        prices_of=prices_of,
    )


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
    return Answers(asking.counts(), asking.traffic(days))


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
        run = store.connection.execute
        for query in _PREPARED:
            run(query)
        edges = [edge for (edge,) in store.rows("SELECT DISTINCT edge FROM context")]
        store.connection.register(
            "edges",
            pa.table(
                {
                    "edge": pa.array(edges, pa.string()),
                    "geography": pa.array(map(geography_of_edge, edges), pa.string()),
                }
            ),
        )
        store.connection.register(
            "region_names",
            pa.table(
                {
                    "region": pa.array(range(len(regions)), pa.int16()),
                    "name": pa.array(regions, pa.string()),
                }
            ),
        )

    def counts(self) -> answers.Counts:
        """Everything that was counted."""
        rows = self._store.rows
        regions = self._by_region()
        (requests, size, aborted) = rows(
            "SELECT coalesce(sum(requests), 0)::BIGINT, coalesce(sum(bytes), 0)::BIGINT, "
            "coalesce(sum(aborted), 0)::BIGINT FROM regional"
        )[0]
        return answers.Counts(
            requests=requests,
            bytes=size,
            downloads=sum(each.downloads for each in regions),
            aborted=aborted,
            regions=regions,
            top_files=self._top_files(),
            user_agents=tuple(answers.AgentTraffic(*row) for row in rows(_TOP_AGENTS, [self._top])),
            networks=self._networks(),
            days=self._days(),
            sizes=tuple(answers.SizeTraffic(*row) for row in rows(_SIZES)),
            hosts=tuple(answers.NamedTraffic(*row) for row in rows(_HOSTS)),
            results=tuple(answers.NamedTraffic(*row) for row in rows(_RESULTS)),
            folders=self._folders(),
        )

    def traffic(self, days: float) -> Traffic:
        """The tables for what-ifs."""
        table = self._store.table
        return Traffic(
            facts=table(_FACTS).cast(_FACT_SCHEMA),
            sizes=table(_KNOWN_SIZES),
            networks=self._network_table(),
            days=days,
        )

    def _by_region(self) -> tuple[answers.RegionTraffic, ...]:
        found = [
            answers.RegionTraffic(self._regions[number], *row)
            for number, *row in self._store.rows(_REGIONS, [GAP])
        ]
        return tuple(found)

    def _top_files(self) -> tuple[answers.FileTraffic, ...]:
        found = self._store.rows(_TOP_FILES, [len(OUTSIDE), self._top])
        addresses = dict(self._store.rows(_ADDRESSES, [[row[0] for row in found]]))
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
        found = self._store.rows(_TOP_NETWORKS, [self._top])
        numbers = [row[0] for row in found]
        addresses = {row[:2]: row[2] for row in self._store.rows(_NETWORK_ADDRESSES, [numbers])}
        keys = {row[:2]: row[2] for row in self._store.rows(_TOP_KEYS, [numbers])}
        return tuple(
            answers.NetworkTraffic(
                network_text(number), self._regions[region], size, requests,
                addresses[number, region], shown_key(keys[number, region]),
            )
            for number, region, size, requests in found
        )  # fmt: skip

    def _folders(self) -> tuple[answers.FolderTraffic, ...]:
        rows = self._store.rows(_FOLDERS, [len(OUTSIDE), _MOST_FOLDERS])
        return tuple(
            answers.FolderTraffic(shown_key(folder), suffix, *sums)
            for folder, suffix, *sums in rows
        )

    def _days(self) -> tuple[answers.DayTraffic, ...]:
        found: dict[int, list[Any]] = {}
        for day, region, requests, size in self._store.rows(_DAYS):
            sums = found.setdefault(day, [0, 0, {}])
            sums[0] += requests
            sums[1] += size
            sums[2][self._regions[region]] = size
        return tuple(
            answers.DayTraffic(_EPOCH + timedelta(days=day), *sums) for day, sums in found.items()
        )

    def _network_table(self) -> pa.Table:
        self._store.connection.execute(
            "CREATE TABLE large AS SELECT network FROM by_network GROUP BY network "
            "ORDER BY sum(bytes) DESC, network LIMIT ?",
            [_NETWORKS],
        )
        numbers = [number for (number,) in self._store.rows("SELECT network FROM large")]
        names = pa.table(
            {
                "network": pa.array(numbers, pa.uint64()),
                "text": pa.array(map(network_text, numbers), pa.string()),
            }
        )
        self._store.connection.register("network_names", names)
        return self._store.table(_NETWORK_TABLE)


_PREPARED = (
    # any_value: the same id stands for the same thing in every file
    """CREATE TABLE context AS SELECT context, any_value(day) AS day, any_value(edge) AS edge,
    any_value(method) AS method, any_value(status) AS status, any_value(flags) AS flags,
    any_value(amazon) AS amazon FROM contexts GROUP BY context""",
    """CREATE TABLE object AS SELECT object, any_value(host) AS host, any_value(key) AS key,
    coalesce(max(length), max(range_end)) AS size FROM objects GROUP BY object""",
    """CREATE TABLE regional AS SELECT context, object, coalesce(region, 2::SMALLINT) AS region,
    sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes,
    sum(downloads)::BIGINT AS downloads, sum(aborted)::BIGINT AS aborted
    FROM facts JOIN context USING (context) LEFT JOIN regions USING (client, amazon)
    GROUP BY ALL""",
    """CREATE TABLE by_network AS SELECT network, region, object,
    sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes
    FROM facts JOIN context USING (context) JOIN regions USING (client, amazon)
    WHERE network IS NOT NULL GROUP BY network, region, object""",
)
_REGIONS = """
WITH joined AS (
  SELECT client, CASE WHEN first - max(last) OVER (
    PARTITION BY client, agent, object ORDER BY first
    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) < ? THEN 0 ELSE 1 END AS downloads
  FROM sessions),
of_client AS (SELECT client, sum(downloads) AS downloads FROM joined GROUP BY client),
of_region AS (
  SELECT coalesce(region, 2) AS region, sum(downloads) AS downloads FROM of_client
  LEFT JOIN (SELECT client, max(region) AS region FROM regions GROUP BY client) USING (client)
  GROUP BY ALL),
people AS (SELECT region, count(DISTINCT client) AS addresses FROM regions GROUP BY region)
SELECT region, sum(requests)::BIGINT, sum(bytes)::BIGINT AS size,
  (sum(regional.downloads) + coalesce(any_value(of_region.downloads), 0))::BIGINT,
  coalesce(any_value(addresses), 0)
FROM regional LEFT JOIN of_region USING (region) LEFT JOIN people USING (region)
GROUP BY region ORDER BY size DESC, region
"""
_TOP_FILES = """
SELECT object, host, key, s.bytes, s.requests, s.aws, size FROM (
  SELECT object, sum(bytes)::BIGINT AS bytes, sum(requests)::BIGINT AS requests,
    coalesce(sum(bytes) FILTER (region >= ?), 0)::BIGINT AS aws
  FROM regional GROUP BY object) s
JOIN object USING (object) ORDER BY s.bytes DESC, host, key LIMIT ?
"""
_ADDRESSES = """
SELECT object, count(DISTINCT client) FROM facts WHERE list_contains(?, object) AND client <> 0
GROUP BY object
"""
_TOP_AGENTS = """
SELECT any_value(name) AS name, sum(bytes)::BIGINT AS size, sum(requests)::BIGINT,
  sum(redirected)::BIGINT, sum(came_back)::BIGINT
FROM agents GROUP BY agent ORDER BY size DESC, name LIMIT ?
"""
_TOP_NETWORKS = """
SELECT network, region, sum(bytes)::BIGINT AS size, sum(requests)::BIGINT
FROM by_network GROUP BY network, region ORDER BY size DESC, network, region LIMIT ?
"""
_NETWORK_ADDRESSES = """
SELECT network, region, count(DISTINCT client) FROM regions WHERE list_contains(?, network)
GROUP BY network, region
"""
_TOP_KEYS = """
SELECT network, region, arg_max(key, (by_network.bytes, key))
FROM by_network JOIN object USING (object)
WHERE list_contains(?, network) GROUP BY network, region
"""
_FOLDERS = r"""
SELECT CASE WHEN contains(key, '/') THEN split_part(key, '/', 1) ELSE '' END AS folder,
  regexp_extract(key, '(?:\.(?:[A-Za-z][A-Za-z0-9]{0,7}|7z)){1,3}$') AS suffix,
  sum(s.bytes)::BIGINT AS size, sum(s.aws)::BIGINT, sum(s.requests)::BIGINT, count(*)
FROM (
  SELECT object, sum(bytes) AS bytes, sum(requests) AS requests,
    coalesce(sum(bytes) FILTER (region >= ?), 0) AS aws
  FROM regional GROUP BY object) s
JOIN object USING (object) GROUP BY folder, suffix ORDER BY size DESC, folder, suffix LIMIT ?
"""
_DAYS = """
SELECT day, region, sum(requests)::BIGINT, sum(bytes)::BIGINT FROM regional
JOIN context USING (context) GROUP BY day, region ORDER BY day, region
"""
_SIZES = """
SELECT CASE WHEN size IS NOT NULL THEN 1::BIGINT << greatest(length(bin(size)) - 1, 0) END AS class,
  sum(requests)::BIGINT, sum(bytes)::BIGINT, count(*) FROM (
  SELECT object, sum(requests) AS requests, sum(bytes) AS bytes FROM regional GROUP BY object)
JOIN object USING (object) GROUP BY class ORDER BY class NULLS LAST
"""
_HOSTS = """
SELECT host, sum(requests)::BIGINT, sum(bytes)::BIGINT AS size FROM regional
JOIN object USING (object) GROUP BY host ORDER BY size DESC, host
"""
_RESULTS = """
SELECT name, sum(requests)::BIGINT, sum(bytes)::BIGINT AS size FROM results
GROUP BY name ORDER BY size DESC, name
"""
_FACTS = """
SELECT DATE '1970-01-01' + day AS day, host, key, region_names.name AS region, geography, method,
  status, flags, sum(requests)::BIGINT AS requests, sum(bytes)::BIGINT AS bytes
FROM regional JOIN context USING (context) JOIN object USING (object)
JOIN region_names USING (region) JOIN edges USING (edge) GROUP BY ALL
"""
_FACT_SCHEMA = pa.schema(
    {
        "day": pa.date32(), "host": pa.string(), "key": pa.string(), "region": pa.string(),
        "geography": pa.string(), "method": pa.string(), "status": pa.int16(), "flags": pa.int8(),
        "requests": pa.int64(), "bytes": pa.int64(),
    }
)  # fmt: skip
_KNOWN_SIZES = "SELECT host, key, size FROM object WHERE size IS NOT NULL"
_NETWORK_TABLE = """
SELECT host, key, region_names.name AS region, text AS network, bytes
FROM by_network JOIN network_names USING (network) JOIN object USING (object)
JOIN region_names USING (region)
"""
