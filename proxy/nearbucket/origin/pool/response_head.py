"""Reads the heads of plain responses of S3: an object, or one range of it, of known length.

Every other response is left to ``origin/error_response.py`` or to the aiohttp lane.
"""

from __future__ import annotations

import re
from operator import itemgetter

import httptools

from nearbucket.origin.response_headers import (
    UNTYPED,
    VISIBLE,
    ResponseHead,
    body_position,
    private_value,
)

_UNTYPED = UNTYPED.encode()
_SHOWN = {name.lower().encode(): f"{name}: %b\r\n".encode() for name in VISIBLE}
"""Lines of the fields that a client may see, in the order that the aiohttp lane gives them."""

_FRAMING = frozenset({b"transfer-encoding", b"trailer", b"upgrade"})
_RELEVANT = frozenset(_SHOWN) | _FRAMING | {b"connection", b"keep-alive"}
"""Fields that are read; all others are ignored."""

_USUAL_HEAD = 2048  # bytes in which S3's heads end, so that not more has to be copied

MAX_HEAD = 16 * 1024
"""Bytes of a head at most; S3's have about 1,000."""
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})")
_TEXT = re.compile(rb"(?:[A-Za-z-]+: [ -~]+\r\n)*")
_CR, _LF = b"\r\n"
_NOTHING = slice(0)


def take_head(before: bytes, data: memoryview) -> tuple[bytes, bool]:
    """Find the end of a head that begins with ``before`` and goes on with ``data``.

    Returns:
        The head with its empty line, and True; or what has come of it, at most ``MAX_HEAD``
        bytes, and False.
    """
    head = before + data[: MAX_HEAD - len(before) if before else _USUAL_HEAD]
    end = head.find(b"\r\n\r\n")
    if end < 0 and not before and len(data) > _USUAL_HEAD:
        head = bytes(data[:MAX_HEAD])
        end = head.find(b"\r\n\r\n")
    return (head, False) if end < 0 else (head[: end + 4], True)


class HeadTemplate:
    """The last head of an object, with which the next one is compared instead of being parsed.

    S3's heads for one object differ only in the date and the request ids, which keep their lengths.

    Attributes:
        length: Bytes of the head.
    """

    __slots__ = ("_equal", "_pieces", "_response", "_varying", "length")

    def __init__(self, head: bytes, response: ResponseHead) -> None:
        """Take a head with its empty line, and what was read from it."""
        self._response = response
        self.length = len(head)
        equal, varying, start, position = [], [], 0, 0
        for line in head[:-4].split(b"\r\n"):
            name, colon, _ = line.partition(b":")
            if position and colon and name.lower() not in _RELEVANT:
                value, end = position + len(name) + 1, position + len(line)
                equal.append(slice(start, value))
                varying.append(slice(value, end))
                start = end
            position += len(line) + 2
        equal.append(slice(start, len(head)))
        # one call takes all pieces; for one alone it would give no tuple
        self._equal = itemgetter(_NOTHING, *equal)
        self._varying = itemgetter(_NOTHING, _NOTHING, *varying)
        self._pieces = self._equal(head)

    def match(self, data: memoryview) -> ResponseHead | None:
        """What the head at the start of ``data`` says; None if more differs."""
        head = data[: self.length].tobytes()
        if self._equal(head) != self._pieces:
            return None
        varying = b"".join(self._varying(head))
        return None if _LF in varying or _CR in varying else self._response


def status_of(head: bytes) -> int:
    """The status in a head; 0 if it has none."""
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


def read_response(head: bytes, *, private: bool = False) -> ResponseHead | None:
    """Read a head that answers a plain GET.

    Args:
        head: The head with its empty line.
        private: Whether no shared cache may keep the answer to the client.

    Returns:
        None for anything but a 200 or 206 with one valid Content-Length, and with printable ASCII
        in every relevant field.
    """
    fields = _Fields()
    parser = httptools.HttpResponseParser(fields)
    try:
        parser.feed_data(head)
        status = parser.get_status_code()
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    found = fields.found
    length = found.get(b"content-length", b"")
    is_plain = status in {200, 206} and parser.get_http_version() == "1.1" and length.isdigit()
    if not is_plain or fields.has_repeated or not _FRAMING.isdisjoint(found):
        return None
    content_range = found.get(b"content-range", b"").decode("latin-1")
    position = body_position(status, content_range, int(length))
    if private and (given := found.get(b"cache-control", b"")).isascii():
        found[b"cache-control"] = private_value(given.decode()).encode()
    found.setdefault(b"content-type", _UNTYPED)
    shown = b"".join([line % found[name] for name, line in _SHOWN.items() if name in found])
    if position is None or not _TEXT.fullmatch(shown) or b"aws-chunked" in shown.lower():
        return None
    etag, modified = found.get(b"etag", b"").decode(), found.get(b"last-modified", b"").decode()
    keep = parser.should_keep_alive()
    return ResponseHead(status, shown, int(length), *position, etag, modified, keep)
