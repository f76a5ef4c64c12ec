"""The text of a log file in blocks of whole lines, decompressed as far as it can be.

Memory is bounded: a file of any size is read block by block.
"""

from __future__ import annotations

import re
import sys
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from nearbucket.analysis.reading.sources import STDIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nearbucket.analysis.reading.sources import LogSource

LONGEST = 1 << 20
"""Bytes of a line; a longer one cannot be read."""
BLOCK = 4 << 20
"""Bytes of a block, before it is cut after its last line: few, so that they stay in the cache."""
_READ = 1 << 20
"""Stored bytes that are read at once."""
_TEXT = 1 << 19
"""Bytes that are decompressed at once: so much is lost where a file is damaged."""
_NO_LINE = 1 << 16
"""Bytes that no JSON object of a log has: text without a line end in so many is of several."""
_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_BOM = b"\xef\xbb\xbf"
_FOREIGN = re.compile(
    rb"(?P<Zstandard>\x28\xb5\x2f\xfd)|(?P<bzip2>BZh[1-9]1AY&SY)|(?P<xz>\xfd7zXZ\x00)"
    rb"|(?P<LZ4>\x04\x22\x4d\x18)|(?P<zip>PK\x03\x04)|(?P<UTF16>\xff\xfe|\xfe\xff)"
)
"""Beginnings of files that are not unpacked or decoded."""


class _ZlibMember:
    """One gzip member, by the standard library, with the methods of isal's class."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self.needs_input = True

    def decompress(self, stored: bytes, most: int) -> bytes:
        text = self._member.decompress(self._member.unconsumed_tail + stored, most)
        self.needs_input = not self._member.unconsumed_tail
        return text

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data


def _member() -> Any:
    try:
        from isal import igzip_lib  # noqa: PLC0415  # of the extra `report`
    except ImportError:
        return _ZlibMember()
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def open_file(source: LogSource) -> IO[bytes]:
    """A local file, or standard input, opened for reading."""
    if source.name == STDIN:
        return cast("IO[bytes]", sys.stdin.buffer)
    return Path(source.name).open("rb")


def _of_foreign(name: str) -> str:
    if name == "UTF16":
        return "is UTF-16; convert it to UTF-8 first, such as with iconv"
    return f"is packed with {name}, and only gzip is unpacked; unpack it first"


class LogBlock(NamedTuple):
    """Whole lines; the last one of a file may have no end.

    Attributes:
        pieces: Their text, in pieces as it was decompressed: joining them costs a third of
            decompressing. None is empty.
        end: Where the lines end in the last piece.
    """

    pieces: tuple[bytes, ...]
    end: int

    @property
    def text(self) -> bytes:
        """The whole text."""
        return b"".join(self.views(0))

    def views(self, start: int) -> list[memoryview]:
        """The text from a place in the first piece."""
        views = [memoryview(piece) for piece in self.pieces]
        views[-1] = views[-1][: self.end]
        views[0] = views[0][start:]
        return [view for view in views if len(view)]

    def is_plain(self, start: int) -> bool:
        """Whether the text from a place in the first piece is lines of TAB-separated values.

        There is no line that begins with ``#``, no JSON object and no CR.
        """
        if self.pieces[0].startswith(b"{", start):
            return False
        last, before = len(self.pieces) - 1, b"\n"
        for number, piece in enumerate(self.pieces):
            end = self.end if number == last else len(piece)
            at = piece.find(b"#", start, end)
            while at >= 0:
                if (piece[at - 1 : at] if at else before) == b"\n":
                    return False
                at = piece.find(b"#", at + 1, end)
            if b"\r" in piece:
                return False
            start, before = 0, piece[-1:]
        return True


class LogBlocks:
    """The blocks of one file.

    Attributes:
        damage: Why the rest of the file could not be read; empty if all was.
        failed: Whether that is a failure of reading, which may not come again.
        read: Stored bytes that were read.
        parquet: The whole file, if it is Parquet; it has no blocks then.
    """

    def __init__(self, file: IO[bytes], progress: Callable[[int], None] | None = None) -> None:
        """Take an open file, and a function that is told of stored bytes that were read."""
        self.damage = ""
        self.failed = False
        self.read = 0
        self.parquet = b""
        self._file = file
        self._progress = progress

    def __iter__(self) -> Iterator[bytes]:
        """The text of each block."""
        return (block.text for block in self.blocks())

    def blocks(self) -> Iterator[LogBlock]:
        """Blocks that end with a line end; the last one may not."""
        parts: list[bytes] = []
        size, first, unbroken = 0, True, False
        for piece in self._text():
            part = piece.removeprefix(_BOM) if first else piece  # the same object if it has none
            if first:
                unbroken = part.startswith(b"{") and len(part) >= _NO_LINE and b"\n" not in part
                first = False
            if unbroken:  # Firehose writes JSON objects without line ends
                part = part.replace(b"}{", b"}\n{")
            if size > BLOCK + LONGEST and b"\n" not in part:
                continue  # of a line that is too long already
            if not part:
                continue
            parts.append(part)
            size += len(part)
            if size >= BLOCK and (end := part.rfind(b"\n") + 1):
                yield LogBlock(tuple(parts), end)
                parts = [part[end:]] if end < len(part) else []
                size = len(part) - end
        if size:
            last = b"".join(parts)
            # what follows the last line end of a damaged file is a part of a line
            end = last.rfind(b"\n") + 1 if self.damage else len(last)
            if end:
                yield LogBlock((last,), end)

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
            elif found := _FOREIGN.match(first):
                self.damage = _of_foreign(str(found.lastgroup))
            else:
                yield first
                yield from pieces
        except OSError as error:
            self.failed = True
            self.damage = f"cannot be read to its end: {error.strerror or error}"

    def _gunzipped(self, piece: bytes, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The text of all members of a gzip file. Zeros after the last one are padding."""
        member = _member()
        while True:
            try:
                text = member.decompress(piece, _TEXT)
            except Exception as error:
                self.damage = f"damaged gzip, the rest is lost: {error}"
                return
            yield text
            piece = b""
            if member.eof:
                piece = self._next_member(member.unused_data, pieces)
                if not piece:
                    return
                member = _member()
            elif member.needs_input and not (piece := next(pieces, b"")):
                self.damage = "its gzip data ends too early"
                return

    def _next_member(self, piece: bytes, pieces: Iterator[bytes]) -> bytes:
        """The beginning of the next member; empty if there is none."""
        while not piece.strip(b"\0"):
            if not (piece := next(pieces, b"")):
                return b""
        if len(piece) == 1:
            piece += next(pieces, b"")
        if not piece.startswith(_GZIP):
            self.damage = "bytes after the end of its gzip data are left out"
            return b""
        return piece
