"""Reduced files kept in a folder (``--keep``), so that a second run reads new files only."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import count
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from nearbucket import __version__
from nearbucket.analysis.reducing.reduce import UNREADABLE
from nearbucket.analysis.reducing.reduced_file import HEAD, UNION_SCHEMA, FileSummary, ReducedFile
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.analysis.reading.sources import LogSource
    from nearbucket.analysis.reducing.reduce import ReduceOptions


_REPEATED = ["host", "edge", "method", "head"]
"""Columns with few distinct values."""
_UNUSABLE = (OSError, ValueError, KeyError, TypeError, pa.ArrowException)
"""What reading a kept file raises that is missing, damaged, or of another program."""


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
        self._salt = f"{made_by}\0{options!r}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--keep {folder}: {error.strerror}") from None

    def get(self, source: LogSource) -> ReducedFile | None:
        """The reduced file of a log file, if it is kept and whole."""
        try:
            with pq.ParquetFile(self._path(source)) as file:
                numbers = count()
                head = file.read_row_group(next(numbers), columns=[HEAD])[HEAD][0].as_py()
                return ReducedFile.from_sections(
                    head, lambda columns, _: file.read_row_group(next(numbers), columns=columns)
                )
        except _UNUSABLE:
            return None

    def kind(self, source: LogSource) -> str | None:
        """The format of a log file; empty if it has no request, None if it is not kept."""
        try:
            with pq.ParquetFile(self._path(source)) as file:
                head = file.read_row_group(0, columns=[HEAD])[HEAD][0].as_py()
            found = FileSummary(**json.loads(head)["summary"])
        except _UNUSABLE:
            return None
        others = sum(found.left_out.values()) - found.left_out.get(UNREADABLE, 0)
        return found.kind if found.lines or others else ""

    def put(self, source: LogSource, reduced: ReducedFile) -> None:
        """Keep a reduced file, unless reading failed; under its name only once it is whole."""
        if reduced.summary.failed:
            return
        path = self._path(source)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            with pq.ParquetWriter(
                part, UNION_SCHEMA, compression="lz4", use_dictionary=_REPEATED
            ) as file:
                for section in reduced.sections():  # each is a row group
                    file.write_table(section)
            part.replace(path)
        except OSError as error:  # the disk may be full
            part.unlink(missing_ok=True)
            raise ConfigError(f"--keep {path}: {error.strerror or error}") from None

    def _path(self, source: LogSource) -> Path:
        name = "\0".join((*map(str, source), self._salt))
        return self._folder / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.parquet"
