"""Recognises plain requests: a chunk that is exactly one complete GET or HEAD request of HTTP/1.1.

Only heads are taken that no two parsers could read differently (RFC 9112 sections 2.2, 3 and 5).
That grammar is small enough to be checked line by line without a parser library, and lines repeat:
a known line is one look-up in a set, so a head of a dozen fields costs less than a dozen callbacks
of llhttp. All other chunks go to aiohttp unchanged; tests/equivalence compares the answers of both.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from nearbucket.policy.model import Request
from nearbucket.telemetry.metrics import HandoffReason

MAX_REQUEST_HEAD = 8190
"""Largest request head in bytes that is read here; aiohttp's own line limit."""

MAX_LINES = 128
"""Most lines of a head; aiohttp refuses as many fields."""

_MAX_KNOWN = 4096  # lines remembered; then all are forgotten
_LONGEST_KNOWN = 256  # bytes of a line that is remembered
_MANY = 1024  # values of a field; when it had more, its values are no longer remembered
_MAX_NAMES = 64  # fields whose values are counted

_REQUEST_LINE = re.compile(rb"(GET|HEAD) (/[!\"$-~]*) HTTP/1\.1")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t -~]*")
_BODY = frozenset({b"content-length", b"transfer-encoding"})
_UNUSUAL = frozenset({b"expect", b"upgrade", b"te", b"http2-settings", b"proxy-connection"})
_CONNECTION = frozenset({b"keep-alive", b"close"})


class RequestHead(NamedTuple):
    """The lines of a request head.

    Attributes:
        line: The request line; not checked yet.
        fields: The field lines on which the decision, the answer or the log depends, as sent.
        repeated: Whether all its field lines were known from earlier requests.
    """

    line: bytes
    fields: tuple[bytes, ...]
    repeated: bool


class PlainRequest(NamedTuple):
    """One plain request, and whether its connection stays open afterwards."""

    request: Request
    keep_alive: bool


class PlainRequestParser:
    """Parses request heads; one parser serves all connections.

    Lines that come a second time are remembered, at most ``_MAX_KNOWN`` of them, about 1 MiB. The
    ids that a CDN writes into every request never do: of an ignored field with many values, only
    the name is remembered, and each new value is checked.
    """

    __slots__ = ("_counts", "_dropped", "_kept", "_names", "_seen_once", "_unique_fields")

    def __init__(self, names: frozenset[bytes]) -> None:
        """Take the lower-case names of the fields that matter; all others are ignored."""
        self._names = names | {b"host", b"connection"}
        self._kept: set[bytes] = set()
        self._dropped: set[bytes] = set()
        self._seen_once: set[int] = set()
        self._counts: dict[bytes, int] = {}
        self._unique_fields: set[bytes] = set()

    def split(self, chunk: bytes) -> RequestHead | HandoffReason:
        """Split a chunk into lines and check the field lines.

        Args:
            chunk: Bytes as the socket gave them.
        """
        end = chunk.find(b"\r\n\r\n")
        if end < 0:
            return HandoffReason.PARTIAL
        if end != len(chunk) - 4:
            return HandoffReason.PIPELINED
        lines = chunk[:end].split(b"\r\n")
        if end > MAX_REQUEST_HEAD - 4 or len(lines) > MAX_LINES:
            return HandoffReason.UNUSUAL
        fields = []
        repeated = True
        kept, dropped, restless = self._kept, self._dropped, self._unique_fields
        for line in lines[1:]:
            if line in dropped:
                continue
            if line not in kept:
                repeated = False
                start = line[: line.find(b":") + 1]
                if start in restless and line.isascii() and line.decode().isprintable():
                    continue  # a value without tabs: _VALUE, in a third of the time
                matters = self._learn(line)
                if isinstance(matters, HandoffReason):
                    return matters
                if not matters:
                    continue
            fields.append(line)
        return RequestHead(lines[0], tuple(fields), repeated)

    def _learn(self, line: bytes) -> bool | HandoffReason:
        """Check a new field line; say whether it matters, or why the request is not plain."""
        name, colon, value = line.partition(b":")
        if not (colon and _TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
            return HandoffReason.UNPARSABLE
        name = name.lower()
        if name in _BODY:
            return HandoffReason.BODY
        if name in _UNUSUAL:
            return HandoffReason.UNUSUAL
        matters = name in self._names
        if len(line) <= _LONGEST_KNOWN:
            self._remember(line, self._kept if matters else self._dropped)
        if not matters:
            self._count(line[: line.find(b":") + 1])
        return matters

    def _count(self, start: bytes) -> None:
        """Count a new value of an ignored field."""
        count = self._counts.get(start, 0) + 1
        if count > _MANY:
            if len(self._unique_fields) >= _MAX_NAMES:
                self._unique_fields.clear()
            self._unique_fields.add(start)
        if count == 1 and len(self._counts) >= _MAX_NAMES:
            self._counts.clear()
        self._counts[start] = count

    def _remember(self, line: bytes, into: set[bytes]) -> None:
        mark = hash(line)
        if mark not in self._seen_once:
            if len(self._seen_once) >= _MAX_KNOWN:
                self._seen_once.clear()
            self._seen_once.add(mark)
            return
        if len(self._kept) + len(self._dropped) >= _MAX_KNOWN:
            self._kept.clear()
            self._dropped.clear()
        into.add(line)

    def parse(self, head: RequestHead, peer: str | None) -> PlainRequest | HandoffReason:
        """The request of a head, or why it is not plain.

        Args:
            head: From ``split``.
            peer: The socket's remote address.
        """
        found = _REQUEST_LINE.fullmatch(head.line)
        if found is None:
            return HandoffReason.UNUSUAL
        headers: dict[bytes, bytes] = {}
        for line in head.fields:
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip(b" \t")
        connection = headers.get(b"connection", b"keep-alive").lower()
        if len(headers) != len(head.fields) or b"host" not in headers:
            return HandoffReason.UNUSUAL
        if connection not in _CONNECTION:
            return HandoffReason.UNUSUAL
        method, target = found.groups()
        request = Request(method.decode("ascii"), target.decode("ascii"), headers, peer)
        return PlainRequest(request, connection == b"keep-alive")
