"""Reduced files kept in a folder (``--keep``), so that a second run reads new files only."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearbucket import __version__
from nearbucket.analysis.reducing.reduce import UNREADABLE
from nearbucket.analysis.reducing.reduced_file import (
    HEAD,
    UNION_SCHEMA,
    FileSummary,
    ReducedFile,
    merged,
)
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from nearbucket.analysis.reading.sources import LogSource
    from nearbucket.analysis.reducing.reduce import ReduceOptions


_REPEATED = ["host", "edge", "method", "head"]
"""Columns with few distinct values."""
_AT_ONCE = 64 << 20
"""Bytes of a kept file up to which it is read at once: one of two million lines. Larger ones are
read twice, first to see that all of it can be read."""
_UNUSABLE = (OSError, ValueError, LookupError, TypeError, pa.ArrowException)
"""What reading a kept file raises that is missing, damaged, or of another program."""


_ABANDONED = 86400
"""Seconds without a write after which no process writes a file any more."""
_NAME = re.compile(r"[0-9a-f]{32}\.(parquet|\d+\.part)")


class KeptAggregates:
    """A folder with one Parquet file for each log file.

    The name is made of the log file's name, size and version, what counts, and this program's
    version, so a kept file is found only where it says the same as the log would.
    """

    def __init__(self, folder: Path, options: ReduceOptions) -> None:
        """Make the folder.

        Raises:
            ConfigError: It cannot be made.
        """
        self._folder = folder
        made_by = __version__, duckdb.__version__, UNION_SCHEMA  # ids are DuckDB's hashes
        self._unfinished = f".{os.getpid()}.part"
        self._salt = f"{made_by}\0{options!r}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--keep {folder}: {error.strerror}") from None
        self._remove_abandoned()

    def get(self, source: LogSource) -> Iterable[ReducedFile] | None:
        """The parts of the reduced file of a log file, if it is kept and whole."""
        path = self._path(source)
        try:
            if path.stat().st_size <= _AT_ONCE:
                return [merged(list(_parts(path)))]
            for _ in _parts(path):  # none may count if one cannot be read
                pass
        except _UNUSABLE:
            return None
        return _parts(path)

    def kind(self, source: LogSource) -> str | None:
        """The format of a log file; empty if it has no request, None if it is not kept."""
        try:
            with pq.ParquetFile(self._path(source)) as file:
                heads = pc.drop_null(file.read(columns=[HEAD])[HEAD]).to_pylist()
            found = [FileSummary(**json.loads(head)["summary"]) for head in heads]
            kind = found[-1].kind
        except _UNUSABLE:
            return None
        lines = sum(
            each.lines + sum(each.left_out.values()) - each.left_out.get(UNREADABLE, 0)
            for each in found
        )
        return kind if lines else ""

    def keep(
        self, source: LogSource, parts: Iterable[ReducedFile]
    ) -> Generator[ReducedFile, None, None]:
        """The parts of a reduced file, each of which is written before it is given.

        What was written gets its name after the last part, unless reading the log file failed.

        Raises:
            ConfigError: They cannot be written.
        """
        path = self._path(source)
        part = path.with_suffix(self._unfinished)
        try:
            with pq.ParquetWriter(
                part,
                UNION_SCHEMA,
                compression="lz4",
                use_dictionary=_REPEATED,
                write_page_checksum=True,
            ) as file:
                failed = True
                for each in _last_joined(parts):
                    for section in each.sections():  # each is a row group
                        file.write_table(section, row_group_size=len(section))
                    failed = each.summary.failed
                    yield each
            if not failed:
                part.replace(path)
        except OSError as error:  # the disk may be full
            raise ConfigError(f"--keep {path}: {error.strerror or error}") from None
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def wrote(self, path: Path) -> bool:
        """Whether ``keep`` has written a file; a log in Parquet may have a name of that form."""
        if not _NAME.fullmatch(path.name) or path.parent.resolve() != self._folder.resolve():
            return False
        try:
            return path.suffix == ".part" or HEAD in pq.read_schema(path).names
        except _UNUSABLE:  # damaged, or renamed at this moment
            return True

    def remove_unfinished(self) -> None:
        """Remove the files that this process has not written to their end."""
        for part in self._folder.glob(f"*{self._unfinished}"):
            with suppress(OSError):
                part.unlink()

    def _remove_abandoned(self) -> None:
        """Remove what a process that was killed, such as for want of memory, has left behind."""
        for part in self._folder.glob("*.part"):
            with suppress(OSError):
                if self.wrote(part) and time.time() - part.stat().st_mtime > _ABANDONED:
                    part.unlink()

    def _path(self, source: LogSource) -> Path:
        name = "\0".join((*map(str, source), self._salt))
        return self._folder / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.parquet"


def _parts(path: Path) -> Iterator[ReducedFile]:
    """The parts in a kept file: of each a row group for its head, and one for each table."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        numbers = count()

        def section(columns: Sequence[str], rows: int) -> pa.Table:
            found = file.read_row_group(next(numbers), columns=columns)
            if len(found) != rows:
                raise ValueError("a part of a reduced log file")
            return found

        groups = file.num_row_groups
        while (head := next(numbers)) < groups:
            text = file.read_row_group(head, columns=[HEAD])[HEAD][0].as_py()
            yield ReducedFile.from_sections(text, section)


def _last_joined(parts: Iterable[ReducedFile]) -> Iterator[ReducedFile]:
    """The parts; the last one, which has no requests, is joined to the one before."""
    waiting: list[ReducedFile] = []
    for each in parts:
        if len(waiting) > 1:
            yield waiting.pop(0)
        waiting.append(each)
    if waiting:
        yield merged(waiting)
