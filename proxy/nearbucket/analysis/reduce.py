"""One log file to additive aggregates. Runs in each thread, and on Spark's executors.

Nothing here depends on another file, so the sums over all reduced files are the sums over all
requests. Objects, clients and User-Agents have 64 bits of the MD5 of their text as ids: the same in
every file, without a dictionary that all files share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nearbucket.analysis import formats
from nearbucket.analysis.arrow_reader import TableReader
from nearbucket.analysis.coded_columns import Coded, combined, grouped, ids_of
from nearbucket.analysis.log_blocks import LogBlocks, open_file
from nearbucket.analysis.range_sessions import sessions_of
from nearbucket.analysis.reduced_file import SCHEMAS, FileSummary, ReducedFile, merged
from nearbucket.analysis.request_columns import EVERY_REQUEST, request_columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nearbucket.analysis.request_columns import CountingRules, RequestColumns
    from nearbucket.analysis.sources import LogSource

UNREADABLE = "unreadable"
"""Reason for lines that do not count."""
READ = frozenset(formats.COLUMNS) - {"x_edge_request_id"}
_NOBODY = (b"-", b"")


@dataclass(frozen=True, slots=True)
class ReduceOptions:
    """How files are reduced. Picklable, as it is sent to other processes.

    Attributes:
        rules: Which requests count, and as what.
        fields: Names of the fields of files without a header.
        factor: By what requests and bytes of a sampled log are multiplied.
    """

    rules: CountingRules = EVERY_REQUEST
    fields: tuple[str, ...] = ()
    factor: float = 1.0


def reduce_file(source: LogSource, options: ReduceOptions) -> ReducedFile:
    """Everything that is counted of one file."""
    return merged(list(reduce_parts(source, options)))


def reduce_parts(
    source: LogSource,
    options: ReduceOptions,
    progress: Callable[[int], None] | None = None,
    opened: Callable[[LogSource], Any] = open_file,
) -> Iterator[ReducedFile]:
    """The same in parts, so that files of any size fit into memory; the last has the damage.

    Args:
        source: The file.
        options: What counts.
        progress: Is told of stored bytes that were read.
        opened: Opens the file.
    """
    reader, lines = TableReader(READ, options.fields), 0
    try:
        with opened(source) as file:
            blocks = LogBlocks(file, progress)
            for table in reader.tables(blocks):
                part = _reduced(table, options, source.name)
                lines += part.summary.lines + sum(part.summary.left_out.values())
                yield part
            damage = blocks.damage
    except OSError as error:
        damage = f"cannot be read: {error.strerror or error}"
    if not damage and reader.first_problem:
        damage = f"{reader.unreadable} lines cannot be read: {reader.first_problem}"
    if not damage and not lines:
        damage = "has no request"
    left_out = {UNREADABLE: reader.unreadable} if reader.unreadable else {}
    summary = FileSummary(source.name, reader.kind, 0, left_out, None, None, damage)
    yield ReducedFile(summary, {name: each.empty_table() for name, each in SCHEMAS.items()})


def _reduced(table: pa.Table, options: ReduceOptions, name: str) -> ReducedFile:
    rows = request_columns(table, options.rules)
    bounds = pc.min_max(rows.seconds)
    summary = FileSummary(
        name, "", len(rows.seconds), rows.left_out, bounds["min"].as_py(), bounds["max"].as_py()
    )
    if not len(rows.seconds):
        return ReducedFile(summary, {name: each.empty_table() for name, each in SCHEMAS.items()})
    thing = combined([rows.host, rows.key])
    ids = _Ids(
        ids_of(repr(value).encode() for value in rows.context.values),
        ids_of(f"{host}\0{key}".encode("utf-8", "replace") for host, key in thing.values),
        _client_ids(rows.client.values),
        ids_of(name.encode("utf-8", "replace") for name in rows.agent.values),
    )
    facts = _facts(rows, thing, ids, options.factor)
    tables = {
        "facts": facts,
        "contexts": [ids.context, *zip(*rows.context.values, strict=True)],
        "objects": _objects(rows, thing, ids),
        "clients": _clients(rows, ids),
        "agents": _agents(rows, ids, options.factor),
        "results": _results(rows, options.factor),
        "sessions": _sessions(rows, thing, ids),
    }
    return ReducedFile(
        summary,
        {
            name: pa.table(
                [pa.array(column) if isinstance(column, tuple) else column for column in columns],
                names=SCHEMAS[name].names,
            ).cast(SCHEMAS[name])
            for name, columns in tables.items()
        },
    )


@dataclass(frozen=True, slots=True)
class _Ids:
    """Ids of the values of a part, in the order of their codes."""

    context: pa.Array
    object: pa.Array
    client: pa.Array
    agent: pa.Array


def _client_ids(addresses: list[bytes]) -> pa.Array:
    ids = ids_of(addresses)
    nobody = pa.array([address in _NOBODY for address in addresses], pa.bool_())
    return pc.if_else(nobody, pa.scalar(0, pa.uint64()), ids)


def _scaled(sums: pa.Array, factor: float) -> pa.Array:
    if factor == 1:
        return sums
    return pc.round(pc.multiply(sums.cast(pa.float64()), factor)).cast(pa.int64())


def _facts(rows: RequestColumns, thing: Coded, ids: _Ids, factor: float) -> list[pa.Array]:
    values = {
        "sent": rows.sent,
        "download": rows.download.cast(pa.int64()),
        "aborted": rows.aborted.cast(pa.int64()),
    }
    how = [("sent", "count"), ("sent", "sum"), ("download", "sum"), ("aborted", "sum")]
    codes, sums = grouped([rows.context, thing, rows.client], values, how)
    places = zip((ids.context, ids.object, ids.client), codes, strict=True)
    return [*(pc.take(each, code) for each, code in places), *(_scaled(s, factor) for s in sums)]


def _objects(rows: RequestColumns, thing: Coded, ids: _Ids) -> list[Any]:
    values = {"length": rows.length, "range_end": rows.range_end}
    (codes,), sizes = grouped([thing], values, [("length", "max"), ("range_end", "max")])
    hosts, keys = zip(*thing.values, strict=True)
    texts = [pc.take(pa.array(each, pa.string()), codes) for each in (hosts, keys)]
    return [pc.take(ids.object, codes), *texts, *sizes]


def _clients(rows: RequestColumns, ids: _Ids) -> list[pa.Array]:
    (client, amazon), _ = grouped([rows.client, rows.amazon], {}, [])
    texts = [each.decode("utf-8", "replace") for each in rows.client.values]
    columns = ids.client, pa.array(texts, pa.string())
    found = [
        *(pc.take(each, client) for each in columns),
        pc.take(pa.array(rows.amazon.values), amazon),
    ]
    return [each.filter(pc.not_equal(found[0], pa.scalar(0, pa.uint64()))) for each in found]


def _agents(rows: RequestColumns, ids: _Ids, factor: float) -> list[pa.Array]:
    values = {
        "sent": rows.sent,
        "redirected": rows.redirected.cast(pa.int64()),
        "came_back": rows.came_back.cast(pa.int64()),
    }
    how = [("sent", "count"), ("sent", "sum"), ("redirected", "sum"), ("came_back", "sum")]
    (codes,), sums = grouped([rows.agent], values, how)
    names = pc.take(pa.array(rows.agent.values, pa.string()), codes)
    return [pc.take(ids.agent, codes), names, *(_scaled(each, factor) for each in sums)]


def _results(rows: RequestColumns, factor: float) -> list[pa.Array]:
    (codes,), sums = grouped(
        [rows.result], {"sent": rows.sent}, [("sent", "count"), ("sent", "sum")]
    )
    names = pc.take(pa.array(rows.result.values, pa.string()), codes)
    return [names, *(_scaled(each, factor) for each in sums)]


def _sessions(rows: RequestColumns, thing: Coded, ids: _Ids) -> list[pa.Array]:
    columns = {
        "client": rows.client.codes, "agent": rows.agent.codes, "object": thing.codes,
        "time": rows.seconds,
    }  # fmt: skip
    found = sessions_of(pa.table(columns).filter(rows.piece))
    of_code = {"client": ids.client, "agent": ids.agent, "object": ids.object}
    return [
        *(pc.take(each, found[name].combine_chunks()) for name, each in of_code.items()),
        found["first"],
        found["last"],
    ]
