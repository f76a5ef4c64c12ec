"""The tables of a log in a database, and the objects in them, one after the other.

A log may have millions of objects: they are never all in Python's memory, but for those whose path
has a ``%``, since one object can be encoded in several ways.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.analysis.shared_database import new_connection
from nearbucket.errors import RequestError
from nearbucket.policy.object_keys import object_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nearbucket.analysis.traffic import Traffic

_BATCH = 10_000
_PATHS = r"""
CREATE TEMP TABLE paths AS SELECT key, max(size) AS size, min(first_day) AS first_day,
  sum(sent)::BIGINT AS sent, list(object ORDER BY host) AS objects,
  list(host ORDER BY host) AS hosts
FROM (SELECT object, (min(day) - (SELECT min(day) FROM facts))::INTEGER AS first_day,
        coalesce(sum(bytes) FILTER (status IN (200, 206)), 0)::BIGINT AS sent
      FROM facts WHERE object IS NOT NULL AND status IN (200, 206, 304) GROUP BY object)
JOIN objects USING (object) GROUP BY key ORDER BY contains(key, '%') DESC, key
"""
_NUMBERS = """
SELECT (SELECT coalesce(max(day) - min(day) + 1, 0) FROM facts),
  (SELECT coalesce(max(object) + 1, 0) FROM objects)
"""
_HOSTS = """
SELECT host FROM facts JOIN objects USING (object)
WHERE status IN (200, 206, 304) AND host NOT IN ('', '-') GROUP BY host
ORDER BY coalesce(sum(bytes) FILTER (status IN (200, 206)), 0) DESC, host
"""
_EACH = """
SELECT key, size, first_day, sent, objects, hosts FROM paths WHERE coalesce(size, 0) >= ?
"""


class LoggedObject(NamedTuple):
    """One object that was delivered to any client.

    Attributes:
        key: Object key, decoded.
        size: Bytes, or None if the log does not show them.
        first_day: Day of its first request, counted from the log's first day.
        bytes: Bytes that were sent of it.
        numbers: Its numbers in ``Traffic.objects``: it has one for each path and host.
        hosts: The host of each number.
    """

    key: str
    size: int | None
    first_day: int
    bytes: int
    numbers: tuple[int, ...]
    hosts: tuple[str, ...]

    def with_path(self, other: LoggedObject) -> LoggedObject:
        """The same object, under further paths."""
        return LoggedObject(
            self.key,
            max(self.size or 0, other.size or 0) or None,
            min(self.first_day, other.first_day),
            self.bytes + other.bytes,
            self.numbers + other.numbers,
            self.hosts + other.hosts,
        )


class TrafficTables:
    """The tables of a log, for queries: read the rows of one to their end before the next.

    They are ``facts``, ``objects`` and ``networks``, as in ``Traffic``.

    Attributes:
        period: Days of the log; less than a whole day counts as its part.
        days: Calendar days from the first to the last, both included; 0 without requests.
        numbers: Above all numbers of objects.
    """

    def __init__(self, traffic: Traffic) -> None:
        """Take the tables of a log."""
        self._database = new_connection()
        self._database.execute("RESET threads")  # one for each core
        for name in ("facts", "objects", "networks"):
            self._database.register(name, getattr(traffic, name))
        self._database.execute(_PATHS)
        self.period = traffic.days
        ((self.days, self.numbers),) = self.rows(_NUMBERS)

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
        # a quarter of the cost of DuckDB's own rows, where there are lists
        for batch in self._database.sql(query, params=list(values)).to_arrow_reader(_BATCH):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def make(self, query: str, **tables: Any) -> None:
        """Make a table by an SQL query, of these tables and further ones."""
        for name, table in tables.items():
            self._database.register(name, table)
        self._database.execute(query)

    def hosts(self) -> list[str]:
        """The hosts from which anything was delivered, those with most bytes first."""
        return [host for (host,) in self.rows(_HOSTS)]

    def objects(self, smallest: int = 0) -> Iterator[LoggedObject]:
        """Every object, once; paths that the product refuses are left out.

        Args:
            smallest: Objects that are smaller, or of unknown size, are left out if it is over 0.
        """
        encoded: dict[str, LoggedObject] = {}
        for found, in_code in self._each_path(smallest):
            known = encoded.get(found.key)
            if known is not None or in_code:  # these come first
                encoded[found.key] = known.with_path(found) if known else found
            else:
                yield found
        yield from encoded.values()

    def _each_path(self, smallest: int) -> Iterator[tuple[LoggedObject, bool]]:
        """The object of each path, and whether the path is percent-encoded."""
        for sent, size, first_day, count, numbers, hosts in self.rows(_EACH, [smallest]):
            try:
                key = object_key("/" + sent)
            except RequestError:
                continue
            found = LoggedObject(key, size, first_day, count, tuple(numbers), tuple(hosts))
            yield found, "%" in sent
