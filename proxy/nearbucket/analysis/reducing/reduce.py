"""One log file to additive aggregates. Runs in each thread, and on Spark's executors.

Nothing here depends on another file, so the sums over all reduced files are the sums over all
requests. The ids of objects, clients and User-Agents are hashes of their text: the same in every
file, without a dictionary that all files share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nearbucket.analysis.reading import formats
from nearbucket.analysis.reading.arrow_reader import TableReader
from nearbucket.analysis.reading.log_blocks import LogBlocks, open_file
from nearbucket.analysis.reducing.coded_columns import array_of, grouped, pair_ids
from nearbucket.analysis.reducing.range_sessions import sessions_of
from nearbucket.analysis.reducing.reduced_file import SCHEMAS, FileSummary, ReducedFile
from nearbucket.analysis.reducing.request_columns import EVERY_REQUEST, NO_CLIENT, request_columns
from nearbucket.plural import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nearbucket.analysis.reading.sources import LogSource
    from nearbucket.analysis.reducing.coded_columns import Coded, Texts
    from nearbucket.analysis.reducing.request_columns import CountingRules, NewIds, RequestColumns

UNREADABLE = "unreadable"
"""Reason for lines that do not count."""
ROWS = 3 << 16
"""Rows that are reduced together: each distinct text of them costs once. A row takes 290 bytes."""
REFUSED = (pa.ArrowException, ValueError, OverflowError)
"""What reading and counting raise for a file that is like no log."""
_READ = frozenset(formats.COLUMNS)


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


def columns_read(ids: NewIds | None) -> frozenset[str]:
    """The columns that are read; request ids cost a tenth, and are only read where asked for."""
    return _READ - {"x_edge_request_id"} if ids is None else _READ


def reduce_parts(
    source: LogSource,
    options: ReduceOptions,
    progress: Callable[[int], None] | None = None,
    opened: Callable[[LogSource], Any] = open_file,
    ids: NewIds | None = None,
) -> Iterator[ReducedFile]:
    """Everything that is counted of one file; the last part has the damage.

    It comes in parts, so that files of any size fit into memory.

    Args:
        source: The file.
        options: What counts.
        progress: Is told of stored bytes that were read.
        opened: Opens the file.
        ids: Tells which request ids are new; None if requests are not told by their ids.
    """
    file, lines = FileReading(source, options, progress, opened, ids), 0
    try:
        for table in joined(file.tables()):
            part = reduce_table(table, options, source.name, ids)
            lines += part.summary.lines + sum(part.summary.left_out.values())
            yield part
    except REFUSED as error:  # no other file suffers
        file.damage = f"cannot be counted: {error}"
    if not file.damage and not lines:
        file.damage = "has no request"
    left_out = {UNREADABLE: file.unreadable} if file.unreadable else {}
    summary = FileSummary(source.name, file.kind, 0, left_out, None, None, file.damage, file.failed)
    yield without_requests(summary)


class FileReading:
    """Reads one file.

    Attributes:
        damage: What is wrong with it, once it was read to its end; empty if nothing is.
        failed: Whether it could not be read this time, whatever is in it.
        read: Stored bytes that were read.
    """

    def __init__(
        self,
        source: LogSource,
        options: ReduceOptions,
        progress: Callable[[int], None] | None,
        opened: Callable[[LogSource], Any],
        ids: NewIds | None,
    ) -> None:
        """Take what ``reduce_parts`` takes."""
        self.damage, self.failed, self.read = "", False, 0
        self._source, self._progress, self._opened = source, progress, opened
        self._reader = TableReader(columns_read(ids), options.fields)

    @property
    def kind(self) -> str:
        """Its format (``TableReader.kind``)."""
        return self._reader.kind

    @property
    def unreadable(self) -> int:
        """Lines that could not be read so far."""
        return self._reader.unreadable

    def tables(self) -> Iterator[pa.Table]:
        """Its requests; what is wrong with it is known after them.

        Raises:
            ArrowException, ValueError, OverflowError: It is like no log.
        """
        reader = self._reader
        try:
            with self._opened(self._source) as file:
                blocks = LogBlocks(file, self._progress)
                for table in reader.tables(blocks):
                    self.read = blocks.read
                    yield table
                self.damage, self.failed = blocks.damage, blocks.failed
        except OSError as error:
            self.failed = True
            self.damage = f"cannot be read: {error.strerror or error}"
        if not self.damage and reader.first_problem:
            unreadable = reader.unreadable
            lines = f"{plural(unreadable, 'line')} cannot be read: " if unreadable else ""
            self.damage = f"{lines}{reader.first_problem}"


def joined(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Tables of some length: grouping costs less where there are more rows."""
    waiting: list[pa.Table] = []
    for table in tables:
        if waiting and (
            table.schema != waiting[0].schema or sum(map(len, waiting)) + len(table) > ROWS
        ):
            whole, waiting = pa.concat_tables(waiting), []
            yield whole
        waiting.append(table)
    if waiting:
        yield pa.concat_tables(waiting)


def without_requests(summary: FileSummary) -> ReducedFile:
    """A reduced file with empty tables."""
    return ReducedFile(summary, {name: each.empty_table() for name, each in SCHEMAS.items()})


def reduce_table(
    table: pa.Table, options: ReduceOptions, name: str, ids: NewIds | None
) -> ReducedFile:
    """The requests of a table of ``TableReader``, as part of the file with this name."""
    rows = request_columns(table, options.rules, ids)
    del table  # a third of the memory, if it is no one else's
    summary = FileSummary(name, "", len(rows.seconds), rows.left_out, *rows.bounds)
    if not len(rows.seconds):
        return without_requests(summary)
    names, sizes = _objects(rows)
    tables = {
        "facts": _facts(rows, options.factor),
        "contexts": [rows.context_ids, *map(pa.array, zip(*rows.context.values, strict=True))],
        "names": names,
        "sizes": sizes,
        "clients": _clients(rows),
        "agents": _agents(rows, options.factor),
        "results": _results(rows, options.factor),
        "sessions": _sessions(rows),
    }
    return ReducedFile(
        summary,
        {
            name: pa.table(columns, names=SCHEMAS[name].names).cast(SCHEMAS[name])
            for name, columns in tables.items()
        },
    )


def _client_ids(client: Texts) -> pa.Array:
    return pc.if_else(pc.equal(client.texts, NO_CLIENT), pa.scalar(0, pa.uint64()), client.ids)


def _object_ids(rows: RequestColumns, host: pa.Array, key: pa.Array) -> pa.Array:
    return pair_ids(pc.take(rows.key.ids, key), pc.take(rows.host.ids, host))


def _scaled(sums: pa.Array, factor: float) -> pa.Array:
    if factor == 1:
        return sums
    # what rounding takes from one row it gives to the next: ones of 40 % become 2, 3, 2, 3
    upto = pc.round(pc.multiply(pc.cumulative_sum(sums).cast(pa.float64()), factor))
    return pc.pairwise_diff(pa.concat_arrays([pa.array([0.0]), upto]))[1:].cast(pa.int64())


def _facts(rows: RequestColumns, factor: float) -> list[pa.Array]:
    values = {
        "sent": rows.sent,
        "download": rows.download,
        "aborted": rows.aborted,
    }
    how = [("sent", "count"), ("sent", "sum"), ("download", "sum"), ("aborted", "sum")]
    columns: list[Coded | Texts] = [rows.context, rows.host, rows.key, rows.client]
    (context, host, key, client), sums = grouped(columns, values, how)
    return [
        pc.take(rows.context_ids, context),
        _object_ids(rows, host, key),
        pc.take(_client_ids(rows.client), client),
        *(_scaled(each, factor) for each in sums),
    ]


def _objects(rows: RequestColumns) -> tuple[list[pa.Array], list[pa.Array]]:
    """Columns of the tables ``names`` and ``sizes``."""
    values = {"length": rows.length, "range_end": rows.range_end}
    how = [("length", "max"), ("range_end", "max")]
    (host, key), sizes = grouped([rows.host, rows.key], values, how)
    ids = _object_ids(rows, host, key)
    known = pc.or_(*map(pc.is_valid, sizes))
    names = [ids, pc.take(rows.host.texts, host), pc.take(rows.key.texts, key)]
    return names, [each.filter(known) for each in (ids, *sizes)]


def _clients(rows: RequestColumns) -> list[pa.Array]:
    ids, texts = rows.client.ids, rows.client.texts
    amazon = pa.repeat(pa.scalar(rows.amazon.values[0]), len(ids))
    if len(rows.amazon.values) > 1 or rows.left_out:
        # the texts are also those of requests that do not count
        (client, code), _ = grouped([rows.client, rows.amazon], {}, [])
        ids, texts = pc.take(ids, client), pc.take(texts, client)
        amazon = pc.take(pa.array(rows.amazon.values), code)
    known = pc.not_equal(texts, NO_CLIENT)
    return [each.filter(known) for each in (ids, texts, amazon)]


def _agents(rows: RequestColumns, factor: float) -> list[pa.Array]:
    values = {
        "sent": rows.sent,
        "redirected": rows.redirected,
        "came_back": rows.came_back,
    }
    how = [("sent", "count"), ("sent", "sum"), ("redirected", "sum"), ("came_back", "sum")]
    (codes,), sums = grouped([rows.agent], values, how)
    names = pc.take(rows.agent.texts, codes)
    return [pc.take(rows.agent.ids, codes), names, *(_scaled(each, factor) for each in sums)]


def _results(rows: RequestColumns, factor: float) -> list[pa.Array]:
    (codes,), sums = grouped(
        [rows.result], {"sent": rows.sent}, [("sent", "count"), ("sent", "sum")]
    )
    names = pc.take(pa.array(rows.result.values, pa.string()), codes)
    return [names, *(_scaled(each, factor) for each in sums)]


def _sessions(rows: RequestColumns) -> list[pa.Array]:
    keys = len(rows.key.texts)
    columns = {
        "client": rows.client.codes,
        "agent": rows.agent.codes,
        "object": pc.add(pc.multiply(rows.host.codes, keys), rows.key.codes),
        "time": rows.seconds,
    }
    found = sessions_of(pa.table(columns).filter(rows.piece))
    client, agent, thing = (array_of(found[name]) for name in ("client", "agent", "object"))
    host = pc.divide(thing, max(keys, 1))
    return [
        pc.take(_client_ids(rows.client), client),
        pc.take(rows.agent.ids, agent),
        _object_ids(rows, host, pc.subtract(thing, pc.multiply(host, keys))),
        found["first"],
        found["last"],
    ]
