"""The text of a log file in blocks of whole lines, decompressed as far as it can be.

Memory is bounded: a file of any size is read block by block.
"""

from __future__ import annotations

import sys
import zlib
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from nearbucket.analysis.sources import STDIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nearbucket.analysis.sources import LogSource

BLOCK = 24 << 20
"""Bytes of a block, before it is cut after its last line."""
_PIECE = 1 << 16
"""Compressed bytes that are decompressed at once: so much is lost where a file is damaged."""
_READ = 8 << 20
"""Stored bytes that are read at once."""
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_BOM = b"\xef\xbb\xbf"


def _decompressor() -> Any:
    try:
        from isal import isal_zlib  # noqa: PLC0415  # of the extra `report`
    except ImportError:
        return zlib.decompressobj(wbits=31)
    return isal_zlib.decompressobj(wbits=31)


def open_file(source: LogSource) -> IO[bytes]:
    """A local file, or standard input, opened for reading."""
    if source.name == STDIN:
        return cast("IO[bytes]", sys.stdin.buffer)
    return Path(source.name).open("rb")


class LogBlocks:
    """The blocks of one file.

    Attributes:
        damage: Why the rest of the file could not be read; empty if all was.
        read: Stored bytes that were read.
        parquet: The whole file, if it is Parquet; it has no blocks then.
    """

    def __init__(self, file: IO[bytes], progress: Callable[[int], None] | None = None) -> None:
        """Take an open file, and a function that is told of stored bytes that were read."""
        self.damage = ""
        self.read = 0
        self.parquet = b""
        self._file = file
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        """Blocks that end with a line end; the last one may not."""
        parts: list[bytes] = []
        size, first = 0, True
        for piece in self._text():
            part = piece.removeprefix(_BOM) if first else piece  # the same object if it has none
            first = False
            parts.append(part)
            size += len(part)
            if size >= BLOCK and (end := part.rfind(b"\n")) >= 0:
                parts[-1] = part[: end + 1]
                yield b"".join(parts)
                parts = [part[end + 1 :]]
                size = len(parts[0])
        if size:
            last = b"".join(parts)
            # what follows the last line end of a damaged file is a part of a line
            yield last[: last.rfind(b"\n") + 1] if self.damage else last

    def _pieces(self) -> Iterator[bytes]:
        while piece := self._file.read(_READ):
            self.read += len(piece)
            if self._progress is not None:
                self._progress(len(piece))
            yield piece

    def _text(self) -> Iterator[bytes]:
        pieces = self._pieces()
        first = next(pieces, b"")
        try:
            if first.startswith(_PARQUET):
                self.parquet = b"".join((first, *pieces))
            elif first.startswith(_GZIP):
                yield from self._gunzipped(first, pieces)
            else:
                yield first
                yield from pieces
        except OSError as error:
            self.damage = f"cannot be read to its end: {error.strerror or error}"

    def _gunzipped(self, first: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The text of all members of a gzip file. Zeros after the last one are padding."""
        if len(first) < _READ and (text := _whole(first)) is not None:
            yield text
            return
        stored = _cut((first, *pieces) if len(first) < _READ else chain((first,), pieces))
        piece, member = next(stored), _decompressor()
        while piece:
            try:
                text = member.decompress(piece, BLOCK)
            except Exception as error:
                self.damage = f"damaged gzip, the rest is lost: {error}"
                return
            yield text
            if not member.eof:
                piece = member.unconsumed_tail or next(stored, b"")
                continue
            piece = member.unused_data
            while not piece.strip(b"\0"):
                if not (piece := next(stored, b"")):
                    return
            if len(piece) == 1:
                piece += next(stored, b"")
            if not piece.startswith(_GZIP):
                self.damage = "bytes after the end of its gzip data are left out"
                return
            member = _decompressor()
        self.damage = "its gzip data ends too early"


def _whole(stored: bytes) -> bytes | None:
    """The text of a sound file of one member, at once, which is faster; None for any other."""
    member = _decompressor()
    try:
        text: bytes = member.decompress(stored, BLOCK)
    except Exception:
        return None
    return text if member.eof and not member.unused_data else None


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece), _PIECE):
            yield piece[start : start + _PIECE]
