"""Leaves out files whose requests other files have, too: copies, and a second delivery.

A distribution can have two deliveries of its logs at once, such as the standard log and that of
version 2: then the same requests are in two formats.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import blake2b
from itertools import chain
from typing import TYPE_CHECKING, Any

from nearbucket.analysis.reading.formats import NEEDED
from nearbucket.analysis.reading.log_blocks import LogBlocks
from nearbucket.analysis.reading.sources import STDIN, DamagedFile, hour_of
from nearbucket.config.buckets import S3_SCHEME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nearbucket.analysis.reading.sources import FileHour, LogSource

_CHUNK = 1 << 20
_START = 1 << 16
_STDIN = 0
"""File descriptor of standard input."""
AT_ONCE = 8
"""Files of which the beginning is read at the same time: S3 takes a moment for each."""


def each_once(sources: Iterable[LogSource]) -> tuple[list[LogSource], list[LogSource]]:
    """Each file once, and its further names in the list: the same one again, or a link."""
    found: dict[object, LogSource] = {}
    again = [each for each in sources if found.setdefault(_identity(each), each) is not each]
    return list(found.values()), again


def _identity(source: LogSource) -> object:
    """What two names of one file have in common."""
    if source.name.startswith(S3_SCHEME):
        return source.name
    file = _STDIN if source.name == STDIN else source.name
    try:
        status = os.stat(file)  # noqa: PTH116  # a fifth of the cost of a Path
    except OSError:
        return source.name  # reading it will tell what is wrong
    return status.st_dev, status.st_ino


class DuplicateFinder:
    """Finds them by sizes and names first; only files that look alike are opened."""

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
        """Look at files of one size, and at those that have a packed one beside them."""
        alike: defaultdict[int, list[LogSource]] = defaultdict(list)
        names = {}
        for each in sources:
            if each.size:
                alike[each.size].append(each)
                names[each.name] = each
        for group in alike.values():
            first: dict[str, LogSource] = {}
            in_s3 = all(each.name.startswith(S3_SCHEME) for each in group)
            for each in group if len(group) > 1 else ():
                known = first.setdefault(each.version if in_s3 else self._digest(each), each)
                if known is not each:
                    left_out[each] = f"left out: the same file as {known.name}"
        for name, each in names.items():
            packed = names.get(f"{name}.gz")
            if packed is not None and packed not in left_out and self._is_packed(each, packed):
                left_out[packed] = f"left out: the same as {name}"

    def _digest(self, source: LogSource) -> str:
        digest = blake2b()
        try:
            with self._opened(source) as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
        except OSError:
            return source.name  # reading it will tell what is wrong
        return digest.hexdigest()

    def _is_packed(self, source: LogSource, packed: LogSource) -> bool:
        """Whether a gzip file has the text of another file, and no more.

        Its last eight bytes are those of its last member (RFC 1952), and rule out nearly all.
        """
        if packed.name.startswith(S3_SCHEME):
            return False  # its end cannot be read alone
        checksum = 0
        try:
            with self._opened(packed) as file:
                file.seek(-8, os.SEEK_END)
                ending: bytes = file.read()
            if ending[4:] != (source.size & 0xFFFFFFFF).to_bytes(4, "little"):
                return False
            with self._opened(source) as file:
                while chunk := file.read(_CHUNK):
                    checksum = zlib.crc32(chunk, checksum)
            if ending[:4] != checksum.to_bytes(4, "little"):
                return False
            with self._opened(packed) as file, gzip.open(file) as text:
                return sum(map(len, iter(partial(text.read, _CHUNK), b""))) == source.size
        except (OSError, EOFError, zlib.error):
            return False

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
        try:
            from nearbucket.analysis.reading.arrow_reader import TableReader  # noqa: PLC0415
        except ImportError:  # of the extra "report"; config diff works without it
            return ""
        reader = TableReader(frozenset(NEEDED), self._fields)
        try:
            with self._opened(source) as file:
                start = file.read(_START)
            if start.startswith(b"PAR1"):
                return "parquet"
            return reader.kind if any(reader.tables(LogBlocks(io.BytesIO(start)))) else ""
        except OSError:
            return ""
