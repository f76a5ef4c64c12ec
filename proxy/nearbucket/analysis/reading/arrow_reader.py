"""Reads log files into Arrow tables: W3C, JSON and Parquet by Arrow, all else line by line.

A table has those of ``formats.COLUMNS`` that the file has: text as bytes or dictionaries of bytes,
numbers as int64. Where Arrow refuses a part of a file, ``line_reader.py`` reads that part.
"""

from __future__ import annotations

import json
import re
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json

from nearbucket.analysis.reading.formats import (
    BOUNDS,
    COLUMNS,
    NEEDED,
    NUMBERS,
    S3_LOG,
    STANDARD,
    column_of,
    columns_of,
    standard_fields,
)
from nearbucket.analysis.reading.line_reader import NONE, LineReader, line_of_object
from nearbucket.analysis.reading.log_blocks import LONGEST
from nearbucket.analysis.reducing.coded_columns import coded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from nearbucket.analysis.reading.line_reader import LogLine
    from nearbucket.analysis.reading.log_blocks import LogBlock, LogBlocks

pa.enable_signal_handlers(False)  # noqa: FBT003  # Python's own end the command at Ctrl-C

TEXT = pa.dictionary(pa.int32(), pa.binary())
_CSV_BLOCK = 1 << 20
_REFUSED = (pa.ArrowException, ValueError, RecursionError)
"""What Arrow and Python's JSON raise for text that they do not read."""


class TableReader:
    """Reads one file.

    Attributes:
        columns: The columns that are read.
        unreadable: Lines that could not be read so far.
        first_problem: What is wrong with the first of them.
        kind: The format: ``w3c``, ``w3c-v2`` (no ``#Version`` line), ``json``, ``parquet``, ``s3``.
    """

    def __init__(self, columns: frozenset[str], fields: Sequence[str] = ()) -> None:
        """``fields`` are the names of the fields of files without a header."""
        self.columns = columns
        self.unreadable = 0
        self.first_problem = ""
        self.kind = ""
        self._lines = LineReader(fields)
        self._names: list[str | None] | None = columns_of(fields) if fields else None
        self._before = 0

    def tables(self, blocks: LogBlocks) -> Iterator[pa.Table]:
        """The requests of the file, in order."""
        for block in blocks.blocks():
            for table in self._read_block(block):
                self._before += len(table)
                yield table
        if blocks.parquet:
            self.kind = "parquet"
            yield from self._parquet(blocks.parquet)

    def _read_block(self, block: LogBlock) -> Iterator[pa.Table]:
        """The requests of a block."""
        first, start = block.pieces[0], 0
        while first.startswith(b"#", start) and (end := first.find(b"\n", start) + 1):
            yield from self._read(memoryview(first)[start:end])
            start = end
        if self._names is not None and block.is_plain(start):
            try:
                if views := block.views(start):
                    yield self._csv(views)
            except _REFUSED:
                yield from self._slowly(memoryview(block.text)[start:])
            return
        for part in _parts(block.text, start):
            yield from self._read(part)

    def _read(self, part: memoryview) -> Iterator[pa.Table]:
        """The requests of a part: a header line, or lines without one."""
        mark = bytes(part[:1])
        if mark == b"#":
            self._before += 1
            self._header(bytes(part))
            return
        if mark == b"{":
            self.kind = self.kind or "json"
            read = self._json
        else:
            if self._names is None:
                values = _first_line(part).split(b"\t")
                names = standard_fields(values)
                self._names = columns_of(names) if names else None
                self.kind = self.kind or ("w3c" if names else S3_LOG)
            read = self._csv_part
        try:
            yield read(part)
        except _REFUSED:
            yield from self._slowly(part)

    def _header(self, line: bytes) -> None:
        if line.startswith(b"#Version"):
            self.kind = self.kind or "w3c"
        if not line.startswith(b"#Fields:"):
            return
        self.kind = self.kind or "w3c-v2"
        try:
            self._names = None
            self._lines.header(line)
            self._names = columns_of(line.decode("utf-8", "replace").split()[1:])
        except ValueError as error:
            self._note(str(error), lines=0)

    def _csv_part(self, part: memoryview) -> pa.Table:
        if not _ends_lines_once(part):
            raise ValueError
        return self._csv([part])

    def _csv(self, views: Sequence[memoryview]) -> pa.Table:
        if self._names is None:
            raise ValueError
        names = [name or f"_{number}" for number, name in enumerate(self._names)]
        wanted = [name for name in names if name in self.columns]
        if "x_host_header" in wanted and "cs_host" in wanted:  # a column costs a thirtieth
            table = _csv_table(views, names, [name for name in wanted if name != "cs_host"])
            if _is_everywhere(table["x_host_header"]):
                return table
        return _csv_table(views, names, wanted)

    def _json(self, part: memoryview) -> pa.Table:
        first = json.loads(_first_line(part))
        columns_of(list(first))
        names = {name: column for name in first if (column := column_of(name))}
        more = {
            name: name_of for name, name_of in _SPELLED.items() if name_of not in names.values()
        }
        table = pyarrow.json.read_json(
            pa.py_buffer(part),
            read_options=pyarrow.json.ReadOptions(use_threads=False, block_size=_CSV_BLOCK),
            parse_options=pyarrow.json.ParseOptions(
                explicit_schema=pa.schema([(name, pa.string()) for name in (*names, *more)]),
                unexpected_field_behavior="ignore",
            ),
        )
        if any(table[name].null_count for name in names if names[name] in NEEDED):
            raise ValueError
        unused = [name for name in more if table[name].null_count == len(table)]
        return self._of_strings(table.drop_columns(unused), names | more)

    def _parquet(self, content: bytes) -> Iterator[pa.Table]:
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415  # few logs are Parquet

        try:
            file = ParquetFile(pa.py_buffer(content))
            columns_of(file.schema_arrow.names)
            names = {name: each for name in file.schema_arrow.names if (each := column_of(name))}
            wanted = [name for name, column in names.items() if column in self.columns]
            for batch in file.iter_batches(batch_size=1 << 16, columns=wanted):
                yield from self._of_batch(batch, names)
        except (*_REFUSED, OSError) as error:
            self._note(f"Parquet that cannot be read: {error}", lines=0)

    def _of_batch(self, batch: pa.RecordBatch, names: dict[str, str]) -> Iterator[pa.Table]:
        try:
            yield self._of_strings(pa.Table.from_batches([batch]), names)
        except _REFUSED:
            yield from self._of_lines((_line_of_row, row) for row in batch.to_pylist())

    def _of_strings(self, table: pa.Table, names: dict[str, str]) -> pa.Table:
        """A table of text columns with our names and types."""
        arrays = {
            names[name]: _typed(names[name], table[name])
            for name in table.column_names
            if names[name] in self.columns
        }
        return _checked(pa.table(arrays))

    def _slowly(self, part: memoryview) -> Iterator[pa.Table]:
        return self._of_lines((self._lines.lines, raw) for raw in bytes(part).split(b"\n"))

    def _of_lines(
        self, made: Iterable[tuple[Callable[[Any], Iterable[LogLine]], Any]]
    ) -> Iterator[pa.Table]:
        """What functions give for lines, each of which may raise ValueError."""
        lines: list[LogLine] = []
        for number, (read, raw) in enumerate(made, self._before + 1):
            try:
                lines.extend(read(raw))
            except ValueError as error:
                self._note(f"line {number}: {error}")
        if lines:
            yield table_of(lines, self.columns)

    def _note(self, problem: str, lines: int = 1) -> None:
        self.unreadable += lines
        self.first_problem = self.first_problem or problem


class _Views:
    """Text in pieces as a file."""

    closed = False

    def __init__(self, views: Iterable[memoryview]) -> None:
        self._views = iter(views)

    def read(self, _size: int = -1) -> memoryview | bytes:
        return next(self._views, b"")

    def close(self) -> None:
        """Nothing is open."""


def _csv_table(views: Sequence[memoryview], names: list[str], wanted: list[str]) -> pa.Table:
    """Some columns of TAB-separated lines, in pieces.

    Raises:
        ArrowInvalid: A line has another number of columns, or text where a number belongs.
    """
    table = pyarrow.csv.read_csv(
        pa.PythonFile(_Views(views), "r"),
        read_options=pyarrow.csv.ReadOptions(
            column_names=names, use_threads=False, block_size=_CSV_BLOCK
        ),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t", quote_char=False, escape_char=False),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=wanted,
            column_types={name: _CSV_TYPES.get(name, TEXT) for name in wanted},
            null_values=["-", ""],
            strings_can_be_null=False,
        ),
    )
    return _checked(table)


def _is_everywhere(column: pa.ChunkedArray) -> bool:
    """Whether a column of text has a value in each row."""
    return not any(
        value in {NONE, b""} for chunk in column.chunks for value in chunk.dictionary.to_pylist()
    )


def _line_of_row(row: dict[str, Any]) -> list[LogLine]:
    return [line_of_object(row)]


def table_of(lines: Sequence[LogLine], columns: frozenset[str]) -> pa.Table:
    """A table of lines that were read one by one."""
    values = dict(zip(COLUMNS, zip(*lines, strict=True), strict=True))
    return pa.table(
        {
            name: _of_values(name, column)
            for name, column in values.items()
            if name in columns and any(value is not None for value in column)
        }
    )


def _parts(block: bytes, start: int) -> Iterator[memoryview]:
    """The lines of a block that begin with ``#`` each alone, and the lines between them."""
    view = memoryview(block)
    while start < len(block):
        if block.startswith(b"#", start):
            end = block.find(b"\n", start) + 1 or len(block)
        else:
            end = block.find(b"#", start)
            while end > 0 and not block.startswith(b"\n", end - 1):
                end = block.find(b"#", end + 1)
            end = len(block) if end < 0 else end
        yield view[start:end]
        start = end


def _first_line(part: memoryview) -> bytes:
    start = bytes(part[:LONGEST])
    return start[: start.find(b"\n") + 1 or len(start)].rstrip(b"\r\n")


def _ends_lines_once(part: memoryview) -> bool:
    """Whether no CR is without LF: Arrow would end a line there."""
    block = cast("bytes", part.obj)
    return b"\r" not in block or block.count(b"\r") == block.count(b"\r\n")


_TYPES = {
    **dict.fromkeys(NUMBERS, pa.int64()), "date": pa.date32(), "time": pa.time32("s"),
}  # fmt: skip
_CSV_TYPES = {**_TYPES, **dict.fromkeys(("c_ip", "cs_uri_stem", "x_edge_request_id"), pa.binary())}
"""Types of columns. Text with many distinct values becomes a dictionary later, once a table."""
_SPELLED = {
    name: column
    for name in (*COLUMNS, *(each.replace("_", "-") for each in COLUMNS), *STANDARD)
    if (column := column_of(name))
}
"""Names of our columns in JSON, for those that the first line does not have."""
_ABSENT = pa.array(["-", ""])


def _typed(name: str, values: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """A column of text in its type.

    Raises:
        ArrowInvalid: It has text where numbers or times belong.
    """
    kind = _TYPES.get(name)
    if kind is None:
        if not pa.types.is_binary(values.type):
            values = values.cast(pa.string()).cast(pa.binary())
        return pc.fill_null(values, NONE).dictionary_encode()
    if not pa.types.is_string(values.type):
        return values.cast(kind)
    if name == "time":  # Arrow has no cast for them
        times = coded(pa.chunked_array([values] if isinstance(values, pa.Array) else values.chunks))
        return times.picked(lambda text: _clock((text or "-").encode()), pa.int32()).cast(kind)
    absent = pc.is_in(values, _ABSENT)
    return pc.if_else(absent, pa.scalar(None, pa.string()), values).cast(kind)


def _of_values(name: str, values: Sequence[bytes | None]) -> pa.Array:
    """A column of values that ``line_reader.py`` has checked, but for times."""
    if name in NUMBERS:
        numbers = [None if value in _NO_NUMBER else int(value) for value in values]
        return pa.array(numbers, pa.int64())
    if name == "date":
        return pa.array([_day(value) for value in values], pa.date32())
    if name == "time":
        return pa.array([_clock(value) for value in values], pa.int32()).cast(pa.time32("s"))
    return pc.fill_null(pa.array(values, pa.binary()), NONE).dictionary_encode()


_NO_NUMBER = (None, NONE, b"")


@lru_cache(4096)
def _day(raw: bytes | None) -> date | None:
    try:
        return date.fromisoformat((raw or NONE).decode("ascii", "replace"))
    except ValueError:
        return None


@lru_cache(1 << 17)
def _clock(raw: bytes | None) -> int | None:
    """Seconds of the day; fractions are cut off."""
    found = _CLOCK.match(raw or NONE)
    if found is None:
        return None
    hour, minute, second = map(int, found.groups())
    return hour * 3600 + minute * 60 + second if max(minute, second) < 60 and hour < 24 else None  # noqa: PLR2004


_CLOCK = re.compile(rb"(\d\d):(\d\d):(\d\d)(?:$|\.)")


def _checked(table: pa.Table) -> pa.Table:
    """The table.

    Raises:
        ValueError: A number is negative, or longer than numbers in logs are.
    """
    for name in NUMBERS:
        if name in table.column_names and len(table):
            bounds = pc.min_max(table[name])
            low, high = bounds["min"].as_py(), bounds["max"].as_py()
            if low is not None and (low < 0 or high >= BOUNDS[name]):
                raise ValueError(f"{name} is out of range")
    return table
