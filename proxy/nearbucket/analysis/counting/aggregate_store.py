"""Adds up reduced files in DuckDB. What exceeds its memory goes to temporary files."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

import duckdb
import pyarrow as pa

from nearbucket.analysis.reducing.reduced_file import SCHEMAS, FileSummary
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nearbucket.analysis.reducing.reduced_file import ReducedFile

_TYPES = {
    pa.uint64(): "UBIGINT", pa.int64(): "BIGINT", pa.int32(): "INTEGER", pa.int16(): "SMALLINT",
    pa.int8(): "TINYINT", pa.bool_(): "BOOLEAN", pa.string(): "VARCHAR",
}  # fmt: skip
_CREATE = "".join(
    f"CREATE TABLE {name} ({', '.join(f'{each.name} {_TYPES[each.type]}' for each in schema)});"
    for name, schema in SCHEMAS.items()
)
"""In one go and by types: a quarter of what it costs to take the columns from empty tables."""
_INSERTS = {
    "clients": """INSERT INTO clients SELECT client, any_value(address), amazon
        FROM made ANTI JOIN clients USING (client, amazon) GROUP BY client, amazon""",
    "names": """INSERT INTO names SELECT object, any_value(host), any_value(key)
        FROM made ANTI JOIN names USING (object) GROUP BY object""",
}
"""Texts come again in each file, and are stored once."""
_ROWS, _TABLES = 1 << 18, 64
"""Rows and tables that wait until they are inserted together: small inserts cost more."""


class AggregateStore:
    """The sums over all files.

    Attributes:
        connection: DuckDB's connection; ``count_queries.py`` asks it.
        folder: Where its temporary files are.
        summaries: One for each file, in the order in which they were added.
    """

    def __init__(self, memory: int, threads: int, folder: Path | None = None) -> None:
        """Open an empty store.

        Args:
            memory: Bytes that DuckDB may use; more is written to disk.
            threads: Threads that it may use.
            folder: Where its files are; None for the system's folder for temporary files.
        """
        self._stack = ExitStack()
        self.folder = Path(
            self._stack.enter_context(
                tempfile.TemporaryDirectory(prefix="nearbucket-analyze-", dir=folder)
            )
        )
        self.connection = duckdb.connect(
            # tables in memory cost a fifth of those in a file to fill, and are spilled as well
            ":memory:",
            config={
                "memory_limit": f"{memory >> 20}MiB",
                "threads": threads,
                "temp_directory": str(self.folder / "spill"),
                "preserve_insertion_order": False,
                "force_compression": "uncompressed",
            },
        )
        self._stack.callback(self.connection.close)
        self.summaries: list[FileSummary] = []
        self._waiting: dict[str, list[pa.Table]] = {name: [] for name in SCHEMAS}
        self._lock = Lock()
        self.connection.execute(_CREATE)

    def __enter__(self) -> Self:
        """Use the store."""
        return self

    def __exit__(self, _type: object, error: BaseException | None, _traceback: object) -> None:
        """Remove its files.

        Raises:
            ConfigError: The disk, or the memory, was not enough.
        """
        self._stack.close()
        if isinstance(error, duckdb.OutOfMemoryException | duckdb.IOException):
            raise ConfigError(
                f"there is no room for temporary files in {self.folder.parent}: set TMPDIR to a "
                "folder with more, or give more with --memory"
            ) from error

    def add(self, part: ReducedFile) -> None:
        """Add the tables of a file, or of a part of one; threads may do so at once."""
        with self._lock:
            self.summaries.append(part.summary)
            for name, table in part.tables.items():
                waiting = self._waiting[name]
                if len(table):
                    waiting.append(table)
                if len(waiting) >= _TABLES or sum(map(len, waiting)) >= _ROWS:
                    self._insert(name)

    def finish(self) -> None:
        """Insert what waits, after the last file."""
        with self._lock:
            for name, waiting in self._waiting.items():
                if waiting:
                    self._insert(name)

    def _insert(self, name: str) -> None:
        made = pa.concat_tables(self._waiting[name])
        self._waiting[name].clear()
        if name in _INSERTS:
            self._run(_INSERTS[name], made.combine_chunks())  # DuckDB joins long chunks faster
        else:
            self._run(f"INSERT INTO {name} FROM made", made)

    def _run(self, query: str, made: pa.Table) -> None:
        self.connection.register("made", made)
        self.connection.execute(query)
        self.connection.unregister("made")

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of an answer."""
        return self.connection.execute(query, parameters).fetchall()

    def table(self, query: str, parameters: dict[str, Any] | None = None) -> pa.Table:
        """An answer as an Arrow table."""
        return self.connection.sql(query, params=parameters).to_arrow_table()
