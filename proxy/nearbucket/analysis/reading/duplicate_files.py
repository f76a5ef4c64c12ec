"""Leaves out files whose requests other files have, too: copies, and a second delivery.

A distribution can have two deliveries of its logs at once, such as the standard log and that of
version 2: then the same requests are in two formats.
"""

from __future__ import annotations

import io
import zlib
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.answers import DamagedFile
from nearbucket.analysis.reading.arrow_reader import TableReader
from nearbucket.analysis.reading.formats import NEEDED
from nearbucket.analysis.reading.log_blocks import LogBlocks
from nearbucket.analysis.reading.sources import STDIN, hour_of
from nearbucket.config.buckets import S3_SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nearbucket.analysis.reading.sources import FileHour, LogSource

_CHUNK = 1 << 20
_START = 1 << 16
AT_ONCE = 8
"""Files of which the beginning is read at the same time: S3 takes a moment for each."""


class DuplicateFinder:
    """Finds them by names and sizes first; only files that look alike are opened."""

    def __init__(
        self,
        opened: Callable[[LogSource], Any],
        fields: Sequence[str] = (),
        kind: Callable[[LogSource], str | None] = lambda _source: None,
    ) -> None:
        """Prepare.

        Args:
            opened: Opens a file.
            fields: Names of the fields of files without a header.
            kind: The format of a file that was read before; None of others, which are opened.
        """
        self._opened, self._fields, self._known_kind = opened, fields, kind

    def split(
        self, sources: Sequence[LogSource]
    ) -> tuple[list[LogSource], tuple[DamagedFile, ...]]:
        """The files to read, in order, and those to leave out, with the reason."""
        left_out: dict[LogSource, str] = {}
        self._find_copies(sources, left_out)
        self._find_deliveries([each for each in sources if each not in left_out], left_out)
        return (
            [each for each in sources if each not in left_out],
            tuple(DamagedFile(each.name, why, 0) for each, why in left_out.items()),
        )

    def _find_copies(self, sources: Iterable[LogSource], left_out: dict[LogSource, str]) -> None:
        alike: dict[tuple[str, int], list[LogSource]] = {}
        for each in sources:
            if each.name != STDIN and each.size:
                alike.setdefault((PurePosixPath(each.name).name, each.size), []).append(each)
        for group in alike.values():
            first: dict[str, LogSource] = {}
            in_s3 = all(each.name.startswith(S3_SCHEME) for each in group)
            for each in group if len(group) > 1 else ():
                known = first.setdefault(each.version if in_s3 else self._checksum(each), each)
                if known is not each:
                    left_out[each] = f"left out: the same file as {known.name}"

    def _checksum(self, source: LogSource) -> str:
        checksum = 0
        try:
            with self._opened(source) as file:
                while chunk := file.read(_CHUNK):
                    checksum = zlib.crc32(chunk, checksum)
        except OSError:
            return source.name  # reading it will tell what is wrong
        return str(checksum)

    def _find_deliveries(
        self, sources: Iterable[LogSource], left_out: dict[LogSource, str]
    ) -> None:
        """Look at each file of an hour with several: names need not tell two deliveries apart."""
        hours: dict[FileHour, list[LogSource]] = {}
        for each in sources:
            hour = hour_of(each.name)
            if hour is not None and hour.distribution:
                hours.setdefault(hour, []).append(each)
        several = {hour: files for hour, files in hours.items() if len(files) > 1}
        with ThreadPoolExecutor(AT_ONCE) as pool:
            kinds = pool.map(self._kind, chain.from_iterable(several.values()))
            for hour, files in several.items():
                of_hour = [(each, next(kinds)) for each in files]
                first = next((kind for _, kind in of_hour if kind), "")
                why = (
                    f"left out: {hour.distribution}'s requests of {hour.hour:%Y-%m-%d %H}h are "
                    f"also in files of another format ({first})"
                )
                left_out.update((each, why) for each, kind in of_hour if kind not in {"", first})

    def _kind(self, source: LogSource) -> str:
        """The format of a file; empty if its beginning has no request."""
        if (known := self._known_kind(source)) is not None:
            return known
        reader = TableReader(frozenset(NEEDED), self._fields)
        try:
            with self._opened(source) as file:
                start = file.read(_START)
            if start.startswith(b"PAR1"):
                return "parquet"
            return reader.kind if any(reader.tables(LogBlocks(io.BytesIO(start)))) else ""
        except OSError:
            return ""
