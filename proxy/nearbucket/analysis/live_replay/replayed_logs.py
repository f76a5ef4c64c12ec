"""Reads the logs of a replay: twice, for the sizes of objects and for the requests.

A damaged file costs what cannot be read of it, and is named.
"""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from nearbucket.analysis.reducing.reduce import REFUSED, FileReading, ReduceOptions
from nearbucket.analysis.reducing.request_times import in_period

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import ExitStack

    import pyarrow as pa

    from nearbucket.analysis.reading.sources import LogSource, Period


class ReplayedLogs:
    """The logs of a replay.

    Attributes:
        damaged: Why a file could not be read to its end, or lines of it, by the file's name.
    """

    def __init__(
        self,
        sources: Sequence[LogSource],
        opened: Callable[[LogSource], Any],
        fields: Sequence[str],
        period: Period,
        stack: ExitStack,
    ) -> None:
        """Prepare.

        Args:
            sources: The files.
            opened: Opens one.
            fields: Names of the fields of files without a header.
            period: Which requests are given.
            stack: Closes temporary files.
        """
        self.damaged: dict[str, str] = {}
        self._sources, self._opened, self._period = sources, opened, period
        self._options = ReduceOptions(fields=tuple(fields))
        self._stack = stack
        self._copies: dict[LogSource, IO[bytes]] = {}

    def tables(self) -> Iterator[pa.Table]:
        """The requests of all files, from the beginning."""
        for source in self._sources:
            file = FileReading(source, self._options, None, self._reopened, None)
            try:
                for table in file.tables():
                    yield in_period(table, self._period)
            except REFUSED as error:
                file.damage = f"cannot be read: {error}"
            if file.damage:
                self.damaged[source.name] = file.damage

    def _reopened(self, source: LogSource) -> Any:
        """A file, opened for reading; of a pipe, which gives its bytes only once, a copy."""
        if source.size:
            return self._opened(source)
        copy = self._copies.get(source)
        if copy is None:
            copy = self._stack.enter_context(TemporaryFile())  # noqa: SIM115  # the stack closes it
            with self._opened(source) as pipe:
                shutil.copyfileobj(pipe, copy)
            self._copies[source] = copy
        copy.seek(0)
        return nullcontext(copy)
