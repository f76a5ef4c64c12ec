"""What is left of a log file once it is reduced: tables whose sums can be added.

All ids are hashes of 64 bits of what they stand for (``coded_columns.ids_of``); client 0 is "no
address". Among five million texts, two have the same id once in a million logs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_ID, _SUM = pa.uint64(), pa.int64()

SCHEMAS: Mapping[str, pa.Schema] = {
    "facts": pa.schema(
        {
            "context": _ID, "object": _ID, "client": _ID,
            "requests": _SUM, "bytes": _SUM, "downloads": _SUM, "aborted": _SUM,
        }
    ),
    "contexts": pa.schema(
        {
            "context": _ID, "day": pa.int32(), "edge": pa.string(), "method": pa.string(),
            "status": pa.int16(), "flags": pa.int8(), "amazon": pa.bool_(),
        }
    ),
    "names": pa.schema({"object": _ID, "host": pa.string(), "key": pa.string()}),
    "sizes": pa.schema({"object": _ID, "length": _SUM, "range_end": _SUM}),
    "clients": pa.schema({"client": _ID, "address": pa.string(), "amazon": pa.bool_()}),
    "agents": pa.schema(
        {
            "agent": _ID, "name": pa.string(), "requests": _SUM, "bytes": _SUM,
            "redirected": _SUM, "came_back": _SUM,
        }
    ),
    "results": pa.schema({"name": pa.string(), "requests": _SUM, "bytes": _SUM}),
    "sessions": pa.schema(
        {"client": _ID, "agent": _ID, "object": _ID, "first": _SUM, "last": _SUM}
    ),
}  # fmt: skip
"""Tables of a reduced file.

* ``facts``: requests by context, object and client. ``downloads`` are whole 200 responses,
  ``aborted`` those and ranges that broke off.
* ``contexts``: what the ids of contexts stand for. ``day`` counts from 1970, ``edge`` is the
  location of CloudFront's server, ``flags`` as in ``Traffic.facts``, ``amazon`` tells whether
  the log has Amazon's ASN.
* ``names``: host and key of the objects.
* ``sizes``: the largest content length of a 200 for an object, and the highest end of a range + 1,
  or bytes of a download without a content length; no rows for objects of which neither is known.
* ``clients``: the addresses, each once with and once without Amazon's ASN if there is both.
* ``agents``: requests by User-Agent. ``redirected`` and ``came_back`` are of nearbucket's log.
* ``results``: requests by result type and status.
* ``sessions``: ranges of one client, User-Agent and object, joined: Unix times of the first and of
  the last one.
"""

HEAD = "head"
"""Column of the head, which is in the first row."""
_UNION = pa.unify_schemas([pa.schema({HEAD: pa.string()}), *SCHEMAS.values()])
UNION_SCHEMA: pa.Schema = _UNION
"""Schema of ``ReducedFile.to_table``."""


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What is known of a file beside its tables.

    Attributes:
        name: Path or URL.
        kind: Format (``TableReader.kind``).
        lines: Requests that count.
        left_out: Lines that do not, by the reason.
        first: Unix time of the first request of the period, to any host; None without one.
        last: Unix time of the last one.
        damage: What is wrong with the file; empty if nothing is.
        failed: Whether it could not be read this time, whatever is in it.
    """

    name: str
    kind: str = ""
    lines: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    first: int | None = None
    last: int | None = None
    damage: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True)
class ReducedFile:
    """A reduced file, or a part of one.

    Attributes:
        summary: What is known of it.
        tables: By the names and with the schemas of ``SCHEMAS``; ids may come twice.
    """

    summary: FileSummary
    tables: Mapping[str, pa.Table]

    def to_table(self) -> pa.Table:
        """Everything as one table with the columns of ``UNION_SCHEMA``: a head, then each table."""
        return pa.concat_tables(self.sections())

    def sections(self) -> list[pa.Table]:
        """The parts of ``to_table``: the head, and each table that has rows."""
        rows = {name: len(table) for name, table in self.tables.items()}
        head = pa.table({HEAD: [json.dumps({"summary": asdict(self.summary), "rows": rows})]})
        empty = UNION_SCHEMA.empty_table()
        return [
            pa.concat_tables([empty, table], promote_options="default")
            for table in (head, *self.tables.values())
            if len(table)
        ]

    @classmethod
    def from_table(cls, table: pa.Table) -> ReducedFile:
        """The reduced file of a table of ``to_table``.

        Raises:
            ValueError: It is none.
        """
        if not len(table) or table[HEAD][0].as_py() is None:
            raise ValueError("not a reduced log file")
        start = 1

        def section(columns: Sequence[str], rows: int) -> pa.Table:
            nonlocal start
            start += rows
            return table.slice(start - rows, rows).select(columns)

        found = cls.from_sections(table[HEAD][0].as_py(), section)
        if start != len(table):
            raise ValueError("a part of a reduced log file")
        return found

    @classmethod
    def from_sections(
        cls, head: str, section: Callable[[Sequence[str], int], pa.Table]
    ) -> ReducedFile:
        """The reduced file of a head, and a function that gives columns and rows in order."""
        found = json.loads(head)
        tables = {
            name: section(schema.names, rows)
            if (rows := found["rows"][name])
            else schema.empty_table()
            for name, schema in SCHEMAS.items()
        }
        return cls(FileSummary(**found["summary"]), tables)


def merged(parts: Sequence[ReducedFile]) -> ReducedFile:
    """The parts of one file as one."""
    left_out: dict[str, int] = {}
    for part in parts:
        for reason, lines in part.summary.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + lines
    times: list[Any] = [
        moment
        for part in parts
        for moment in (part.summary.first, part.summary.last)
        if moment is not None
    ]
    last = parts[-1].summary
    summary = FileSummary(
        last.name,
        last.kind,
        sum(part.summary.lines for part in parts),
        left_out,
        min(times, default=None),
        max(times, default=None),
        last.damage,
        last.failed,
    )
    tables = {name: pa.concat_tables([part.tables[name] for part in parts]) for name in SCHEMAS}
    return ReducedFile(summary, tables)
