"""The tables of a log in a database, and the objects in them, one after the other.

A log may have millions of objects: they are never all in Python's memory, but for those whose path
has a ``%``, since one object can be encoded in several ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.errors import RequestError
from nearbucket.policy.object_keys import object_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nearbucket.analysis.traffic import Traffic

_BATCH = 10_000
_PATHS = r"""
CREATE TEMP TABLE paths AS
SELECT (row_number() OVER (ORDER BY contains(key, '%') DESC, key, host) - 1)::INTEGER AS path,
       host, key, max(size) OVER (PARTITION BY key) AS size, first_day, sent
FROM (SELECT host, key, (min(day) - (SELECT min(day) FROM facts))::INTEGER AS first_day,
             coalesce(sum(bytes) FILTER (status IN (200, 206)), 0)::BIGINT AS sent
      FROM facts WHERE status IN (200, 206, 304) GROUP BY host, key)
LEFT JOIN sizes USING (host, key)
"""
_NUMBERS = """
SELECT (SELECT coalesce(max(day) - min(day) + 1, 0) FROM facts), (SELECT count(*) FROM paths)
"""
_HOSTS = """
SELECT host FROM paths WHERE host NOT IN ('', '-') GROUP BY host ORDER BY sum(sent) DESC, host
"""
_EACH = """
SELECT path, host, key, size, first_day, sent FROM paths WHERE coalesce(size, 0) >= ? ORDER BY path
"""


class LoggedObject(NamedTuple):
    """One object that was delivered to any client.

    Attributes:
        key: Object key, decoded.
        size: Bytes, or None if the log does not show them.
        first_day: Day of its first request, counted from the log's first day.
        bytes: Bytes that were sent of it.
        paths: Number and host of each path under which it was requested.
    """

    key: str
    size: int | None
    first_day: int
    bytes: int
    paths: tuple[tuple[int, str], ...]

    def with_path(self, other: LoggedObject) -> LoggedObject:
        """The same object, under further paths."""
        return LoggedObject(
            self.key,
            max(self.size or 0, other.size or 0) or None,
            min(self.first_day, other.first_day),
            self.bytes + other.bytes,
            self.paths + other.paths,
        )


class TrafficTables:
    """The tables of a log, for queries: read the rows of one to their end before the next.

    Besides ``facts``, ``sizes`` and ``networks`` (see ``Traffic``) there is ``paths``: with a
    number (``path``) for each path of a host that was delivered.

    Attributes:
        period: Days of the log; less than a whole day counts as its part.
        days: Calendar days from the first to the last, both included; 0 without requests.
        paths: Number of paths.
    """

    def __init__(self, traffic: Traffic) -> None:
        """Take the tables of a log."""
        import duckdb  # noqa: PLC0415  # of the extra "report"

        self._database = duckdb.connect()
        for name in ("facts", "sizes", "networks"):
            self._database.register(name, getattr(traffic, name))
        self._database.execute(_PATHS)
        self.period = traffic.days
        ((self.days, self.paths),) = self.rows(_NUMBERS)

    def rows(
        self, query: str, values: Sequence[object] = (), **tables: Any
    ) -> Iterator[tuple[Any, ...]]:
        """The rows of an SQL query.

        Args:
            query: The query.
            values: Values for its question marks.
            tables: Further Arrow tables, by name.
        """
        for name, table in tables.items():
            self._database.register(name, table)
        result = self._database.execute(query, values)
        while batch := result.fetchmany(_BATCH):
            yield from batch

    def hosts(self) -> list[str]:
        """The hosts from which anything was delivered, those with most bytes first."""
        return [host for (host,) in self.rows(_HOSTS)]

    def objects(self, smallest: int = 0) -> Iterator[LoggedObject]:
        """Every object, once; paths that the product refuses are left out.

        Args:
            smallest: Objects that are smaller, or of unknown size, are left out if it is over 0.
        """
        encoded: dict[str, LoggedObject] = {}
        last: LoggedObject | None = None
        for found, in_code in self._each_path(smallest):
            known = encoded.get(found.key)
            if known is not None or in_code:  # these come first
                encoded[found.key] = known.with_path(found) if known else found
            elif last is not None and last.key == found.key:
                last = last.with_path(found)
            else:
                if last is not None:
                    yield last
                last = found
        if last is not None:
            yield last
        yield from encoded.values()

    def _each_path(self, smallest: int) -> Iterator[tuple[LoggedObject, bool]]:
        """The object of each path, and whether the path is percent-encoded."""
        for path, host, sent, size, first_day, count in self.rows(_EACH, [smallest]):
            try:
                key = object_key("/" + sent)
            except RequestError:
                continue
            yield LoggedObject(key, size, first_day, count, ((path, host),)), "%" in sent
