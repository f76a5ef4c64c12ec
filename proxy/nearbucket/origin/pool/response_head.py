"""Heads of S3's responses, for the plain case: an object, or one part of it, of known length.

In: a response's head as bytes. Out: a ``ResponseHead`` whose body may be passed on as it comes; or
None, and then it is aiohttp's to judge. Refuses to know requests and clients.
"""

from __future__ import annotations

import re
from typing import cast

import httptools

from nearbucket.origin.response_headers import CONTENT_RANGE, VISIBLE, ResponseHead

_ORDER = {name.lower().encode(): (place, name) for place, name in enumerate(VISIBLE)}
_FRAMING = frozenset({b"transfer-encoding", b"trailer", b"upgrade"})
_RELEVANT = frozenset(_ORDER) | _FRAMING | {b"connection", b"keep-alive"}
"""Fields that decide what a response is; the others are not even looked at."""

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MOST = 4096
_USUAL_HEAD = 2048  # bytes: enough to find the end of S3's heads without copying more

MAX_HEAD = 16 * 1024
"""Bytes of a head; S3's have one."""
_UNSEEN = object()
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_TEXT = re.compile(rb"[ -~]+")


def take_head(before: bytes, data: memoryview) -> tuple[bytes, bool]:
    """A head that begins with ``before`` and goes on with ``data``.

    Returns:
        Its bytes, the empty line included, and True; or what there is of it, ``MAX_HEAD`` bytes
        at most, and False.
    """
    head = before + data[: MAX_HEAD - len(before) if before else _USUAL_HEAD]
    end = head.find(b"\r\n\r\n")
    if end < 0 and not before and len(data) > _USUAL_HEAD:
        head = bytes(data[:MAX_HEAD])
        end = head.find(b"\r\n\r\n")
    return (head, False) if end < 0 else (head[: end + 4], True)


class ResponseReader:
    """Reads heads; remembers those whose fields that count it has seen, a few MiB at most.

    S3 says the same of a hot object every time but for its request ids and the date. Those are
    told by their names; what is left is parsed by llhttp once, and is one look into a dict after
    that (bench, 64 KiB: a third of the lane's own time was parsing).
    """

    __slots__ = ("_ignored", "_kept", "_known", "_names")

    def __init__(self) -> None:
        self._kept: set[bytes] = set()
        self._ignored: set[bytes] = set()
        self._names: set[bytes] = set()
        self._known: dict[tuple[bytes, ...], ResponseHead | None] = {}

    def read(self, head: bytes) -> ResponseHead | None:
        """As ``read_response``."""
        lines = head[:-4].split(b"\r\n")
        if head.count(b"\n") != len(lines) + 1 or head.count(b"\r") != len(lines) + 1:
            return None
        counted = [lines[0]]
        kept, ignored = self._kept, self._ignored
        for line in lines[1:]:
            if line in kept:
                counted.append(line)
            elif line not in ignored:
                counts = self._learn(line)
                if counts is None:
                    return None
                if counts:
                    counted.append(line)
        return self._of(tuple(counted))

    def _learn(self, line: bytes) -> bool | None:
        """Whether a line counts; None where it is none."""
        name = line[: line.find(b":")]
        if name in self._names:  # of what never comes again: Date, ids
            self._remember(self._ignored, line)
            return False
        if not _TOKEN.fullmatch(name) or b":" not in line:
            return None
        if name.lower() in _RELEVANT:
            self._remember(self._kept, line)
            return True
        self._remember(self._names, name)
        return False

    def _of(self, counted: tuple[bytes, ...]) -> ResponseHead | None:
        found = self._known.get(counted, _UNSEEN)
        if found is _UNSEEN:
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known[counted] = read_response(b"\r\n".join((*counted, b"", b"")))
        return cast("ResponseHead | None", found)

    @staticmethod
    def _remember(into: set[bytes], seen: bytes) -> None:
        if len(into) >= _MOST:
            into.clear()
        into.add(seen)


class HeadTemplate:
    """A head that came before: what it said, and where a later one may differ.

    S3 says the same of an object every time but for date and request ids, and those keep their
    lengths. So a later head is compared piece by piece instead of being cut into lines.

    Attributes:
        length: Bytes of the head.
    """

    __slots__ = ("_breaks", "_pieces", "_response", "length")

    def __init__(self, head: bytes, response: ResponseHead) -> None:
        """Args: a head with its empty line, and what it says."""
        self._response = response
        self._breaks = head.count(b"\n")
        self.length = len(head)
        pieces, start, position = [], 0, 0
        for line in head[:-4].split(b"\r\n"):
            name, colon, _ = line.partition(b":")
            if position and colon and name.lower() not in _RELEVANT:
                pieces.append((start, head[start : position + len(name) + 1]))
                start = position + len(line)
            position += len(line) + 2
        self._pieces = (*pieces, (start, head[start:]))

    def match(self, data: memoryview) -> ResponseHead | None:
        """What the head at the start of ``data`` says, where it is like this one."""
        head = bytes(data[: self.length])
        breaks = self._breaks  # as many: then none is in what may differ
        if head.count(b"\n") != breaks or head.count(b"\r") != breaks:
            return None
        for start, piece in self._pieces:
            if not head.startswith(piece, start):
                return None
        return self._response


class _Fields:
    """Collects what llhttp finds."""

    __slots__ = ("found", "on_header")

    def __init__(self) -> None:
        self.found: list[tuple[bytes, bytes]] = []
        self.on_header = self._add

    def _add(self, name: bytes, value: bytes) -> None:
        self.found.append((name.lower(), value))


def status_of(head: bytes) -> int:
    """Status of a response whose head is not a plain one's; 0 when it has none."""
    found = _STATUS.match(head)
    return int(found[1]) if found else 0


def read_response(head: bytes) -> ResponseHead | None:
    """Read a head, with its empty line, that answers a plain GET.

    Returns:
        None for anything but 200 and 206 with one valid Content-Length and printable ASCII in
        every field that counts.
    """
    fields = _Fields()
    parser = httptools.HttpResponseParser(fields)
    try:
        parser.feed_data(head)
        status = parser.get_status_code()
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    if status not in {200, 206} or parser.get_http_version() != "1.1":
        return None
    seen = dict(fields.found)
    length = seen.get(b"content-length", b"")
    if not length.isdigit() or not _FRAMING.isdisjoint(seen):
        return None
    shown = _shown(fields.found, seen)
    size = int(length)
    where = _where(status, seen, size)
    if shown is None or where is None:
        return None
    etag, typed = seen.get(b"etag", b"").decode(), b"content-type" in seen
    return ResponseHead(status, shown, size, *where, etag, typed, parser.should_keep_alive())


def _shown(found: list[tuple[bytes, bytes]], seen: dict[bytes, bytes]) -> bytes | None:
    """The lines a client may see, in the order the other lane gives them; None in doubt."""
    if len(found) != len(seen) and len({name for name, _ in found if name in _ORDER}) != sum(
        name in _ORDER for name, _ in found
    ):
        return None
    rows = sorted((*_ORDER[name], value) for name, value in found if name in _ORDER)
    lines = b"".join([b"%b: %b\r\n" % (name.encode(), value) for _, name, value in rows])
    whole = all(_TEXT.fullmatch(value) for _, _, value in rows)
    return lines if whole and b"aws-chunked" not in lines.lower() else None


def _where(status: int, seen: dict[bytes, bytes], length: int) -> tuple[int, int] | None:
    """Position behind the body, and the object's size."""
    if status == 200:  # noqa: PLR2004 - OK
        return length, length
    found = CONTENT_RANGE.fullmatch(seen.get(b"content-range", b"").decode("latin-1"))
    if found is None:
        return None
    first, last, total = map(int, found.groups())
    return (last + 1, total) if last - first + 1 == length else None
