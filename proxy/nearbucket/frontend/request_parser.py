"""Recognises plain requests: a chunk that is exactly one complete GET or HEAD request of HTTP/1.1.

Only heads are taken that no two parsers could read differently (RFC 9112 sections 2.2, 3 and 5).
That grammar is small enough to be checked without a parser library: a head of a dozen fields costs
less than a dozen callbacks of llhttp. All other chunks go to aiohttp unchanged; tests/equivalence
compares the answers of both.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nearbucket.policy.model import Request
from nearbucket.telemetry.metrics import HandoffReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.frontend.cached_decision import ClientEntry

MAX_REQUEST_HEAD = 8190
"""Largest request head in bytes that is read here; aiohttp's own line limit."""

MAX_LINES = 128
"""Most lines of a head; aiohttp refuses as many fields."""

_LEARNED_AFTER = 512  # heads with one layout that are read line by line
_MAX_LAYOUTS = 8  # each that does not fit may read the whole head again
_LONGEST_FOR_LAYOUTS = 2048  # bytes of a head that is compared with layouts
_LONGEST_LAYOUT = 1024  # bytes of all names; compiling longer ones takes too long
_MAX_COUNTED = 256  # layouts whose heads are counted; then all are forgotten
_MAX_NAMES = 1024  # names that are remembered; then all are forgotten
_LONGEST_NAME = 64  # bytes of one that is

_REQUEST_LINE = re.compile(r"(GET|HEAD) (/[!\"$-~]*) HTTP/1\.1")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t -~]*+")
_USUAL_VALUE = rb"[ -~]*+"  # a fifth faster; heads with a TAB are read line by line
_BODY = frozenset({b"content-length", b"transfer-encoding"})
_UNUSUAL = frozenset({b"expect", b"upgrade", b"te", b"http2-settings", b"proxy-connection"})
_CONNECTION = frozenset({b"keep-alive", b"close"})


RequestHead = tuple[bytes, tuple[bytes, ...]]
"""The request line, not checked yet, and the field lines on which the decision, the answer or the
log depends, as sent. Plain tuples: a named one takes 0.2 µs longer, a twentieth of a redirect."""

PlainRequest = tuple[Request, bool]
"""One plain request, and whether its connection stays open afterwards."""


class PlainRequestParser:
    """Parses request heads; one parser serves all connections.

    The *layout* of a head is the names of its fields in their order, as sent. Heads of one client,
    or from one CDN, have one layout, also where an id makes every head different. The grammar of a
    frequent layout is compiled to a regular expression, which checks every byte, and copies only
    the lines that matter.
    """

    __slots__ = ("_counts", "_kinds", "_layouts", "_names")

    def __init__(self, names: frozenset[bytes]) -> None:
        """Take the lower-case names of the fields that matter; all others are ignored."""
        self._names = names | {b"host", b"connection"}
        self._kinds: dict[bytes, bool | HandoffReason] = {}
        self._counts: dict[bytes, int] = {}
        self._layouts: list[Callable[[bytes, int], re.Match[bytes] | None]] = []

    def split(self, chunk: bytes) -> RequestHead | HandoffReason:
        """Split a chunk into lines and check the field lines.

        Args:
            chunk: Bytes as the socket gave them.
        """
        if len(chunk) <= _LONGEST_FOR_LAYOUTS:
            end, layouts = chunk.find(b"\r\n"), self._layouts
            for layout in layouts:
                found = layout(chunk, end)
                if found is not None:
                    if layout is not layouts[0]:
                        self._bring_forward(layout)
                    return chunk[:end], found.groups()
        return self._split_lines(chunk)

    def _bring_forward(self, layout: Callable[[bytes, int], re.Match[bytes] | None]) -> None:
        """Try this layout one place earlier from now on: frequent ones are first in the end."""
        layouts = self._layouts
        place = layouts.index(layout)
        layouts[place - 1], layouts[place] = layout, layouts[place - 1]

    def _split_lines(self, chunk: bytes) -> RequestHead | HandoffReason:
        end = chunk.find(b"\r\n\r\n")
        if end < 0:
            return HandoffReason.PARTIAL
        if end != len(chunk) - 4:
            return HandoffReason.PIPELINED
        lines = chunk[:end].split(b"\r\n")
        if end > MAX_REQUEST_HEAD - 4 or len(lines) > MAX_LINES:
            return HandoffReason.UNUSUAL
        fields, names = [], []
        for line in lines[1:]:
            name = line[: line.find(b":") + 1]
            kind = self._kinds.get(name)
            if kind is None:
                kind = self._learn(name)
            if not _VALUE.fullmatch(line, len(name)):
                return HandoffReason.UNPARSABLE
            if kind is True:
                fields.append(line)
            elif kind is not False:
                return kind
            names.append(name)
        self._count(names)
        return lines[0], tuple(fields)

    def _learn(self, start: bytes) -> bool | HandoffReason:
        """Whether a field matters, or why a request with it is not plain.

        Args:
            start: Its name as sent, with the colon; empty if the line has none.
        """
        if not _TOKEN.fullmatch(start[:-1]):
            return HandoffReason.UNPARSABLE
        name = start[:-1].lower()
        kind: bool | HandoffReason = name in self._names
        if name in _BODY:
            kind = HandoffReason.BODY
        elif name in _UNUSUAL:
            kind = HandoffReason.UNUSUAL
        if len(self._kinds) >= _MAX_NAMES:
            self._kinds.clear()
        if len(start) <= _LONGEST_NAME:
            self._kinds[start] = kind
        return kind

    def _count(self, names: list[bytes]) -> None:
        """Count a head by its layout; compile the layout after ``_LEARNED_AFTER`` heads."""
        mark = b"".join(names)
        if len(mark) > _LONGEST_LAYOUT:
            return
        count = self._counts.pop(mark, 0) + 1
        if count < _LEARNED_AFTER:
            if len(self._counts) >= _MAX_COUNTED:
                self._counts.clear()
            self._counts[mark] = count
            return
        lines = (
            rb"\r\n(%b%b)" if name[:-1].lower() in self._names else rb"\r\n%b%b" for name in names
        )
        grammar = b"".join(
            line % (re.escape(name), _USUAL_VALUE) for line, name in zip(lines, names, strict=True)
        )
        self._layouts[_MAX_LAYOUTS - 1 :] = [re.compile(grammar + rb"\r\n\r\n").fullmatch]

    def parse(
        self, head: RequestHead, peer: str | None, known: ClientEntry | None = None
    ) -> PlainRequest | HandoffReason:
        """The request of a head, or why it is not plain.

        Args:
            head: From ``split``.
            peer: The socket's remote address.
            known: The client, if a request with these fields and peer came before.
        """
        line, fields = head
        found = _REQUEST_LINE.fullmatch(line.decode("latin-1"))
        if found is None:
            return HandoffReason.UNUSUAL
        method, target = found.groups()
        if known is not None:
            located = known.client, known.region
            request = Request(method, target, known.headers, peer, located)
            return request, known.keep_alive
        headers: dict[bytes, bytes] = {}
        for each in fields:
            name, _, value = each.partition(b":")
            headers[name.lower()] = value.strip(b" \t")
        if len(headers) != len(fields) or b"host" not in headers:
            return HandoffReason.UNUSUAL
        connection = headers.get(b"connection", b"keep-alive").lower()
        if connection not in _CONNECTION:
            return HandoffReason.UNUSUAL
        request = Request(method, target, headers, peer)
        return request, connection == b"keep-alive"
