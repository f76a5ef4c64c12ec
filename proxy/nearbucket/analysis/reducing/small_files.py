"""Reduces small files together: CloudFront writes thousands, each of a few hundred lines.

A file costs some milliseconds, whatever is in it. So files with the same header are joined, and
read as one. Where a line of them cannot be read, or a file is damaged, each is reduced alone.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.reading.arrow_reader import TableReader
from nearbucket.analysis.reading.log_blocks import LogBlocks
from nearbucket.analysis.reading.sources import STDIN
from nearbucket.analysis.reducing.reduce import (
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
"""Stored bytes of a small file, and of those that are joined."""


def groups(sources: Sequence[LogSource]) -> list[list[LogSource]]:
    """Files in order, small ones in groups."""
    found: list[list[LogSource]] = []
    room = -1
    for source in sources:
        small = source.size <= _SMALL and source.name != STDIN
        if small and room >= source.size:
            found[-1].append(source)
            room -= source.size
        else:
            found.append([source])
            room = _TOGETHER - source.size if small else -1
    return found


def reduce_small(
    sources: Sequence[LogSource],
    options: ReduceOptions,
    progress: Callable[[int], None],
    opened: Callable[[LogSource], Any],
    ids: NewIds | None,
) -> Iterator[ReducedFile]:
    """What ``reduce_parts`` gives for each of some files, in fewer parts."""
    together, alone = _Joined(), []
    for source in sources:
        text = _text(source, progress, opened)
        if text is None or not together.take(source, text):
            alone.append(source)
    parts = together.reduced(options, ids) if together.sources else []
    if parts is None:
        alone, parts = [*together.sources, *alone], []
    yield from parts
    for source in alone:
        yield from reduce_parts(source, options, None, opened, ids)


def _text(
    source: LogSource, progress: Callable[[int], None], opened: Callable[[LogSource], Any]
) -> bytes | None:
    """The text of a file; None if it is damaged, empty or no text."""
    try:
        with opened(source) as file:
            blocks = LogBlocks(file, progress)
            text = b"".join(blocks)
    except OSError:
        return None
    return text if text and not blocks.damage else None


def _names(body: bytes) -> bytes | None:
    """What tells apart files without a header: the names in the first JSON object, if it is one."""
    if not body.startswith(b"{"):
        return b""
    try:
        return repr(list(json.loads(body[: body.find(b"\n") + 1]))).encode()
    except (ValueError, RecursionError):
        return None


class _Joined:
    """Files with one header."""

    def __init__(self) -> None:
        self.sources: list[LogSource] = []
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
        if not body or b"\n#" in body or kind is None or (self.sources and kind != self._kind):
            return False
        self._header, self._kind = header, kind
        self._bodies.append(body if body.endswith(b"\n") else body + b"\n")
        self.sources.append(source)
        return True

    def reduced(self, options: ReduceOptions, ids: NewIds | None) -> list[ReducedFile] | None:
        """The parts; None if a line cannot be read."""
        reader = TableReader(columns_read(ids), options.fields)
        text = b"".join((self._header, *self._bodies))
        tables = list(joined(reader.tables(LogBlocks(BytesIO(text)))))
        if reader.unreadable or reader.first_problem or not tables:
            return None
        first, *others = (source.name for source in self.sources)
        return [
            *(reduce_table(table, options, first, ids) for table in tables),
            *(without_requests(FileSummary(name, reader.kind)) for name in (first, *others)),
        ]
