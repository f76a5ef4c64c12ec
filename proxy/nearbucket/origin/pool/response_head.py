"""Heads of S3's responses, for the plain case: an object, or one part of it, of known length.

In: a response's head as bytes. Out: a ``ResponseHead`` whose body may be passed on as it comes; or
None, and then it is aiohttp's to judge. Refuses to know requests and clients.
"""

from __future__ import annotations

import re

import httptools

from nearbucket.origin.response_headers import CONTENT_RANGE, VISIBLE, ResponseHead

_SHOWN = {name.lower().encode(): f"{name}: %b\r\n".encode() for name in VISIBLE}
"""Lines of the fields that a client may see, in the order that the aiohttp lane gives them."""

_FRAMING = frozenset({b"transfer-encoding", b"trailer", b"upgrade"})
_RELEVANT = frozenset(_SHOWN) | _FRAMING | {b"connection", b"keep-alive"}
"""Fields that decide what a response is; the others are not even looked at."""

_USUAL_HEAD = 2048  # bytes: enough to find the end of S3's heads without copying more

MAX_HEAD = 16 * 1024
"""Bytes of a head; S3's have one."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_TEXT = re.compile(rb"(?:[A-Za-z-]+: [ -~]+\r\n)*")


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


def status_of(head: bytes) -> int:
    """Status of a response whose head is not a plain one's; 0 when it has none."""
    found = _STATUS.match(head)
    return int(found[1]) if found else 0


class _Fields:
    """The relevant fields that llhttp finds, by lower-case name."""

    def __init__(self) -> None:
        self.found: dict[bytes, bytes] = {}
        self.has_repeated = False

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in _RELEVANT:
            self.has_repeated |= name in self.found
            self.found[name] = value


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
    if status not in {200, 206} or parser.get_http_version() != "1.1" or fields.has_repeated:
        return None
    found = fields.found
    length = found.get(b"content-length", b"")
    if not length.isdigit() or not _FRAMING.isdisjoint(found):
        return None
    shown = b"".join([line % found[name] for name, line in _SHOWN.items() if name in found])
    where = _where(status, found, int(length))
    if where is None or not _TEXT.fullmatch(shown) or b"aws-chunked" in shown.lower():
        return None
    etag, typed = found.get(b"etag", b"").decode(), b"content-type" in found
    return ResponseHead(status, shown, int(length), *where, etag, typed, parser.should_keep_alive())


def _where(status: int, seen: dict[bytes, bytes], length: int) -> tuple[int, int] | None:
    """Position behind the body, and the object's size."""
    if status == 200:  # noqa: PLR2004 - OK
        return length, length
    found = CONTENT_RANGE.fullmatch(seen.get(b"content-range", b"").decode("latin-1"))
    if found is None:
        return None
    first, last, total = map(int, found.groups())
    return (last + 1, total) if last - first + 1 == length else None
