"""Reduces files together: each distinct text in them then costs once, not once a file.

CloudFront writes thousands of files, each of a few hundred lines, and a file costs some
milliseconds to read, whatever is in it: so the texts of small files with the same header are
joined, and read as one. Of other files, the requests are joined. A file of which a line cannot be
read, or that is damaged, is reduced alone.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from nearbucket.analysis.reading.arrow_reader import TableReader
from nearbucket.analysis.reading.log_blocks import LogBlocks
from nearbucket.analysis.reducing.reduce import (
    REFUSED,
    ROWS,
    FileReading,
    columns_read,
    joined,
    reduce_parts,
    reduce_table,
    without_requests,
)
from nearbucket.analysis.reducing.reduced_file import FileSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nearbucket.analysis.reading.sources import LogSource
    from nearbucket.analysis.reducing.reduce import ReduceOptions
    from nearbucket.analysis.reducing.reduced_file import ReducedFile
    from nearbucket.analysis.reducing.request_columns import NewIds

_SMALL, _TOGETHER = 1 << 19, 1 << 22
"""Stored bytes of a small file, and of those whose texts are joined."""
_WHOLE = 1 << 23
"""Stored bytes of a file whose requests are joined with others; a larger one has enough itself."""
_LONG, _MOST_TEXT = 1 << 23, 1 << 25
"""Bytes of text of a file that is joined as text, and of all that is joined: some logs are stored
in a hundredth of their bytes."""


def groups(sources: Sequence[LogSource], options: ReduceOptions) -> list[list[LogSource]]:
    """Files in order, small ones in groups; none of a sample, which is rounded file by file.

    Pipes have no size, and can be read only once: they are alone.
    """
    if options.factor != 1:
        return [[source] for source in sources]
    found: list[list[LogSource]] = []
    room = -1
    for source in sources:
        small = 0 < source.size <= _SMALL
        if small and room >= source.size:
            found[-1].append(source)
            room -= source.size
        else:
            found.append([source])
            room = _TOGETHER - source.size if small else -1
    return found


class JoinedFiles:
    """Reduces files together that one thread reads one after the other."""

    def __init__(
        self,
        options: ReduceOptions,
        progress: Callable[[int], None],
        opened: Callable[[LogSource], Any],
        ids: NewIds | None,
    ) -> None:
        """Take what ``reduce_parts`` takes."""
        self._options, self._progress, self._opened, self._ids = options, progress, opened, ids
        # samples are rounded file by file on all engines, and ids of requests are new only once
        self._joins = options.factor == 1 and ids is None
        self._waiting: list[_Requests] = []

    def add(self, group: Sequence[LogSource]) -> Iterator[ReducedFile]:
        """Read one group of ``groups``.

        Returns:
            What ``reduce_parts`` gives for files that are finished: some of those that were added.
        """
        alone: list[LogSource] = []
        if len(group) > 1:
            yield from self._small(group, alone)
        elif self._joins and 0 < group[0].size <= _WHOLE:
            yield from self._join(self._whole(group[0]), group, alone)
        else:
            for source in group:
                yield from reduce_parts(
                    source, self._options, self._progress, self._opened, self._ids
                )
        for source in alone:
            yield from self._alone(source)

    def rest(self) -> Iterator[ReducedFile]:
        """What it gives for all other files that were added."""
        if not self._waiting:
            return
        sources = [(source, read.kind) for read in self._waiting for source in read.sources]
        try:
            yield reduce_table(self._take_table(), self._options, sources[0][0].name, self._ids)
        except REFUSED:  # each one alone tells which it is
            if self._ids is not None:
                raise
            for source, _ in sources:
                yield from self._alone(source)
            return
        for source, kind in sources:
            yield without_requests(FileSummary(source.name, kind))

    def _alone(self, source: LogSource) -> Iterator[ReducedFile]:
        """Reduce a file that was read before: its bytes were told then."""
        return reduce_parts(source, self._options, None, self._opened, self._ids)

    def _take_table(self) -> pa.Table:
        """The requests that wait, which are not kept here."""
        waiting, self._waiting = self._waiting, []
        return pa.concat_tables([table for read in waiting for table in read.tables])

    def _join(
        self, read: _Requests | None, sources: Sequence[LogSource], alone: list[LogSource]
    ) -> Iterator[ReducedFile]:
        """Join what was read of files; where nothing was, each is reduced alone."""
        if read is None:
            alone += sources
            return
        if self._waiting and not self._fits(read):
            yield from self.rest()
        self._waiting.append(read)
        if not self._joins:
            yield from self.rest()

    def _fits(self, read: _Requests) -> bool:
        waiting = self._waiting
        return (
            read.kind == waiting[0].kind  # the requests of all count as the first file's
            and read.tables[0].schema == waiting[0].tables[0].schema
            and sum(each.rows for each in waiting) + read.rows <= ROWS
        )

    def _whole(self, source: LogSource) -> _Requests | None:
        """The requests of a file; None if they cannot be joined, or are too many."""
        file = FileReading(source, self._options, self._progress, self._opened, self._ids)
        tables: list[pa.Table] = []
        rows = 0
        try:
            for table in file.tables():
                tables.append(table)
                rows += len(table)
                if rows > ROWS:
                    self._progress(max(0, source.size - file.read))
                    return None
        except REFUSED:
            return None
        one_schema = len({table.schema for table in tables}) == 1
        return _Requests([source], file.kind, tables) if one_schema and not file.damage else None

    def _small(self, group: Sequence[LogSource], alone: list[LogSource]) -> Iterator[ReducedFile]:
        """Join the texts of small files."""
        texts = _JoinedTexts()
        for source in group:
            text = _text(source, self._progress, self._opened)
            if text is not None and texts.size + len(text) > _MOST_TEXT:
                yield from self._join_texts(texts, alone)
                texts = _JoinedTexts()
            if text is None or not texts.take(source, text):
                alone.append(source)
        yield from self._join_texts(texts, alone)

    def _join_texts(self, texts: _JoinedTexts, alone: list[LogSource]) -> Iterator[ReducedFile]:
        if texts.sources:
            read = texts.requests(self._options, self._ids)
            yield from self._join(read, texts.sources, alone)


class _Requests(NamedTuple):
    """The requests of some files: ``tables`` of one schema."""

    sources: list[LogSource]
    kind: str
    tables: list[pa.Table]

    @property
    def rows(self) -> int:
        return sum(map(len, self.tables))


def _text(
    source: LogSource, progress: Callable[[int], None], opened: Callable[[LogSource], Any]
) -> bytes | None:
    """The text of a file; None if it is damaged, empty, long or no text."""
    parts, size = [], 0
    try:
        with opened(source) as file:
            blocks = LogBlocks(file, progress)
            for part in blocks:
                parts.append(part)
                size += len(part)
                if size > _LONG:
                    progress(max(0, source.size - blocks.read))
                    return None
    except OSError:
        return None
    return b"".join(parts) if size and not blocks.damage else None


def _names(body: bytes) -> bytes | None:
    """What tells apart files without a header: the names in the first JSON object, if it is one.

    None for what is read otherwise than its lines would be: gzip again, or a line without text.
    """
    if body.startswith((b"\x1f\x8b", b"\n", b"\r", b" ")):
        return None
    if not body.startswith(b"{"):
        return b""
    try:
        return repr(list(json.loads(body[: body.find(b"\n") + 1]))).encode()
    except (ValueError, RecursionError):
        return None


class _JoinedTexts:
    """Texts of files with one header."""

    def __init__(self) -> None:
        self.sources: list[LogSource] = []
        self.size = 0
        self._header = b""
        self._kind: bytes | None = None
        self._bodies: list[bytes] = []

    def take(self, source: LogSource, text: bytes) -> bool:
        """Take a file, if it can be joined with those before."""
        end = 0
        while text.startswith(b"#", end):
            end = text.find(b"\n", end) + 1 or len(text)
        header, body = text[:end], text[end:]
        kind = header or _names(body)
        if (
            not body.strip()
            or b"\n#" in body
            or kind is None
            or (self.sources and kind != self._kind)
        ):
            return False
        self._header, self._kind = header, kind
        self._bodies.append(body if body.endswith(b"\n") else body + b"\n")
        self.sources.append(source)
        self.size += len(body)
        return True

    def requests(self, options: ReduceOptions, ids: NewIds | None) -> _Requests | None:
        """Their requests; None if a line cannot be read."""
        reader = TableReader(columns_read(ids), options.fields)
        blocks = LogBlocks(BytesIO(b"".join((self._header, *self._bodies))))
        try:
            tables = list(joined(reader.tables(blocks)))
        except REFUSED:
            return None
        if blocks.damage or reader.first_problem or len({each.schema for each in tables}) != 1:
            return None
        return _Requests(self.sources, reader.kind, tables)
