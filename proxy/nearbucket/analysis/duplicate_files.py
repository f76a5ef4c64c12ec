"""Leaves out files whose requests other files have, too: copies, and a second delivery.

A distribution can have two deliveries of its logs at once, such as the standard log and that of
version 2: then the same requests are in two formats.
"""

from __future__ import annotations

import io
import re
import zlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.answers import DamagedFile
from nearbucket.analysis.arrow_reader import TableReader
from nearbucket.analysis.formats import NEEDED
from nearbucket.analysis.log_blocks import LogBlocks
from nearbucket.analysis.sources import S3, STDIN, hour_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nearbucket.analysis.sources import FileHour, LogSource

_CHUNK = 1 << 20
_START = 1 << 16
_NUMBERS = re.compile(r"\d+")


class DuplicateFinder:
    """Finds them by names and sizes first; only files that look alike are opened."""

    def __init__(self, opened: Callable[[LogSource], Any], fields: Sequence[str] = ()) -> None:
        """Take what opens a file, and the names of the fields of files without a header."""
        self._opened, self._fields = opened, fields
        self._kinds: dict[tuple[str, str], str] = {}

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
            for each in group if len(group) > 1 else ():
                known = first.setdefault(self._checksum(each), each)
                if known is not each:
                    left_out[each] = f"left out: the same file as {known.name}"

    def _checksum(self, source: LogSource) -> str:
        if source.name.startswith(S3):
            return source.version
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
        hours: dict[FileHour, dict[tuple[str, str], list[LogSource]]] = {}
        for each in sources:
            hour = hour_of(each.name)
            if hour is not None and hour.distribution:
                hours.setdefault(hour, {}).setdefault(_delivery(each), []).append(each)
        for hour, deliveries in hours.items():
            if len(deliveries) == 1:
                continue
            kinds = {each: self._kind(each, files[0]) for each, files in deliveries.items()}
            first = next(filter(None, kinds.values()), "")
            for delivery, files in deliveries.items():
                if kinds[delivery] != first and kinds[delivery]:
                    why = (
                        f"left out: {hour.distribution}'s requests of {hour.hour:%Y-%m-%d %H}h are "
                        f"also in files of another format ({first})"
                    )
                    left_out.update(dict.fromkeys(files, why))

    def _kind(self, delivery: tuple[str, str], example: LogSource) -> str:
        """The format of a delivery, by one of its files; empty if that does not show it."""
        if delivery not in self._kinds:
            reader = TableReader(frozenset(NEEDED), self._fields)
            try:
                with self._opened(example) as file:
                    start = file.read(_START)
                parquet = start.startswith(b"PAR1")
                if not parquet and not any(reader.tables(LogBlocks(io.BytesIO(start)))):
                    return ""
            except OSError:
                return ""
            self._kinds[delivery] = "parquet" if parquet else reader.kind
        return self._kinds[delivery]


def _delivery(source: LogSource) -> tuple[str, str]:
    """Folder without numbers, which may be dates, and the ending of the name."""
    path = PurePosixPath(source.name)
    return _NUMBERS.sub("", str(path.parent)), "".join(path.suffixes[-2:]).lower().lstrip(
        ".0123456789abcdef"
    )
