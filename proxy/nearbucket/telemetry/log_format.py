"""The fields of an access log line, as JSON or in CloudFront's W3C format.

No query string is written: it may be a signature.

A line has four parts: time, duration and size; the client; the object; the decision. The last
three are the same for every request of a client, for an object and with a decision, so they are
made once: ``ends`` joins them, ``line`` adds time and duration.
"""

from __future__ import annotations

import re
import time
from json.encoder import encode_basestring_ascii
from math import floor
from typing import NamedTuple, Protocol

from nearbucket.policy.byte_range import BYTE_RANGE, LOGGED_DIGITS, short_bound
from nearbucket.policy.model import UNKNOWN

W3C_FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status "
    "cs(Referer) cs(User-Agent) cs-uri-query x-edge-result-type x-host-header cs-protocol "
    "time-taken x-forwarded-for cs-protocol-version sc-range-start sc-range-end "
    "x-nearbucket-action x-nearbucket-region x-nearbucket-reason x-nearbucket-failover"
)
"""The columns: CloudFront's names, then four of our own."""

INCOMPLETE = b"Error"
"""``x-edge-result-type`` of an answer that broke off: CloudFront's word for it, where the status is
that of a success (CloudFront developer guide, "Standard log file fields")."""

MAX_LINE = 4096
"""Bytes of the longest line: POSIX keeps this much whole when processes share a pipe."""

_OBJECT_ROOM = MAX_LINE // 2  # bytes of a line for the object
_CLIENT_ROOM = MAX_LINE // 2 - 256  # for the client; decision, time and sizes have the rest
_CUTS = (2000, 1000, 300, 100, 20)  # characters that are left of what the client sent

_W3C_UNSAFE = re.compile(rb"[\x00-\x20\x7f-\xff\"#%'<>\[\\\]^`{|}~]")
_THOUSANDTHS = tuple(b"%03d" % number for number in range(1000))
_MICROSECONDS = tuple(b"%.6f" % (number / 1e6) for number in range(1000))
_TABLED = 0.001  # seconds: the end of the table above


class ClientFields(NamedTuple):
    """What a line says of the client and its header fields.

    Attributes:
        client: Client address, or None.
        peer: Address of the socket's peer, or None.
        host: Host header as sent.
        region: Client's region, or UNKNOWN.
        site: Site name, or None when refused.
        user_agent: User-Agent as sent.
        referer: Referer, without its query.
        range: Range as sent.
        protocol: HTTP version, such as HTTP/1.1.
    """

    client: str | None
    peer: str | None
    host: str | None
    region: str
    site: str | None
    user_agent: str | None
    referer: str | None
    range: str | None
    protocol: str


_MEMBERS = tuple(f',"{name}":' for name in ClientFields._fields)
"""Beginnings of the members of a JSON object."""

LinePart = tuple[bytes, ...]
"""A part of a line, as the format keeps it: only that format can join it with other parts."""


LineEnds = tuple[bytes, bytes]
"""A line without time and duration: the bytes between them, and the bytes behind them."""


LineParts = tuple[LinePart, LinePart, LinePart]
"""The parts of a line that can be used again: client, object and decision."""


class LineFlaws(NamedTuple):
    """What few lines say.

    Attributes:
        complete: Whether the whole answer was handed to the connection.
        failover: The failover bucket that it comes from; empty if there is none.
    """

    complete: bool = True
    failover: str = ""


FLAWLESS = LineFlaws()
"""Of most lines."""


class LogFormat(Protocol):
    """A format of access log lines."""

    def header(self) -> bytes:
        """Bytes before the first line of a process."""

    def client_part(self, fields: ClientFields) -> LinePart:
        """The client's fields."""

    def object_part(self, method: str, path: str) -> LinePart:
        """The fields of method and path."""

    def decision_part(self, action: str, reason: str, status: int) -> LinePart:
        """The fields of the decision and the status."""

    def ends(self, sent: int, parts: LineParts, flaws: LineFlaws = FLAWLESS) -> LineEnds:
        """All of a line but time and duration.

        Args:
            sent: Body bytes handed to the connection.
            parts: Client, object and decision.
            flaws: What few lines say.
        """

    def line(self, moment: float, seconds: float, ends: LineEnds) -> bytes:
        """The line of an answer that ended at the Unix time ``moment``."""


class _Clock:
    """The current second in UTC as text, made once a second.

    Attributes:
        second: Unix time of the text, in whole seconds.
        text: The text.
    """

    __slots__ = ("_form", "second", "text")

    def __init__(self, form: str) -> None:
        self._form = form
        self.second = -1
        self.text = b""

    def set(self, second: int) -> None:
        self.second = second
        self.text = time.strftime(self._form, time.gmtime(second)).encode()


class JsonFormat:
    """One JSON object a line; fields that are not there are left out."""

    def __init__(self) -> None:
        self._clock = _Clock('{"time":"%Y-%m-%dT%H:%M:%S.')

    def header(self) -> bytes:
        """Nothing: every line names its fields."""
        return b""

    def client_part(self, fields: ClientFields) -> LinePart:
        """The client's fields."""
        pairs = zip(_MEMBERS, fields, strict=True)
        members = [
            start + encode_basestring_ascii(text) for start, text in pairs if text is not None
        ]
        return ("".join(members).encode(),)

    def object_part(self, method: str, path: str) -> LinePart:
        """The object's fields."""
        method, path = encode_basestring_ascii(method), encode_basestring_ascii(path)
        return (f',"method":{method},"path":{path}'.encode(),)

    def decision_part(self, action: str, reason: str, status: int) -> LinePart:
        """The decision's fields."""
        return (f',"action":"{action}","reason":"{reason}","status":{status},"bytes":'.encode(),)

    def ends(self, sent: int, parts: LineParts, flaws: LineFlaws = FLAWLESS) -> LineEnds:
        """The bytes between time and duration, and those behind them."""
        (client,), (object_,), (decision,) = parts
        end = b""
        if flaws is not FLAWLESS:
            if flaws.failover:
                end = f',"failover":{encode_basestring_ascii(flaws.failover)}'.encode()
            if not flaws.complete:
                end += b',"complete":false'
        right = b"%b%b%b%d%b}\n" % (client, object_, decision, sent, end)
        return b'+00:00","seconds":', right

    def line(self, moment: float, seconds: float, ends: LineEnds) -> bytes:
        """The whole line."""
        second, clock = floor(moment), self._clock
        if second != clock.second:
            clock.set(second)
        left, right = ends
        thousandths = _THOUSANDTHS[floor((moment - second) * 1000)]
        duration = _MICROSECONDS[floor(seconds * 1e6)] if seconds < _TABLED else b"%.6f" % seconds
        return b"".join((clock.text, thousandths, left, duration, right))


class W3cFormat:
    """One TAB-separated line in the order of ``W3C_FIELDS``, encoded as CloudFront does."""

    def __init__(self, scheme: str = "http") -> None:
        self._clock = _Clock("%Y-%m-%d\t%H:%M:%S")
        self._scheme = scheme.encode()

    def header(self) -> bytes:
        """The names of the columns."""
        return f"#Version: 1.0\n#Fields: {W3C_FIELDS}\n".encode()

    def client_part(self, fields: ClientFields) -> LinePart:
        """The client's columns."""
        start, end = _range_bounds(fields.range)
        region = None if fields.region == UNKNOWN else fields.region
        client, host = _w3c(fields.client), _w3c(fields.host)
        left = _w3c(fields.referer), _w3c(fields.user_agent), b"-"
        right = _w3c(fields.protocol), _w3c(start), _w3c(end)
        return client, host, b"\t".join(left), self._scheme, b"\t".join(right), _w3c(region)

    def object_part(self, method: str, path: str) -> LinePart:
        """The object's columns."""
        return _w3c(method), _w3c(path)

    def decision_part(self, action: str, reason: str, status: int) -> LinePart:
        """The decision's columns."""
        return _w3c(status), _w3c(action), _w3c(reason)

    def ends(self, sent: int, parts: LineParts, flaws: LineFlaws = FLAWLESS) -> LineEnds:
        """The columns before and behind the duration."""
        (client, host, fields, scheme, protocol, region), (method, path), decision = parts
        status, action, reason = decision
        size, result = b"%d" % sent, b"-" if flaws.complete else INCOMPLETE
        before = b"", b"-", size, client, method, host, path, status, fields
        left = *before, result, host, scheme, b""
        right = b"", b"-", protocol, action, region, reason, _w3c(flaws.failover)
        return b"\t".join(left), b"\t".join(right) + b"\n"

    def line(self, moment: float, seconds: float, ends: LineEnds) -> bytes:
        """The whole line, in the order of the columns."""
        second, clock = floor(moment), self._clock
        if second != clock.second:
            clock.set(second)
        left, right = ends
        return b"".join((clock.text, left, b"%.3f" % seconds, right))


def fitted_client_part(form: LogFormat, fields: ClientFields) -> LinePart:
    """The client's part of a line; what the client sent is cut when it is too long."""
    part = form.client_part(fields)
    for most in _CUTS:
        if sum(map(len, part)) <= _CLIENT_ROOM:
            break
        host, agent, referer, range_ = (
            text and text[:most]
            for text in (fields.host, fields.user_agent, fields.referer, fields.range)
        )
        part = form.client_part(
            fields._replace(host=host, user_agent=agent, referer=referer, range=range_)
        )
    return part


def fitted_object_part(form: LogFormat, method: str, path: str) -> LinePart:
    """The object's part of a line; what the client sent is cut when it is too long."""
    part = form.object_part(method, path)
    for most in _CUTS:
        if sum(map(len, part)) <= _OBJECT_ROOM:
            break
        part = form.object_part(method[:most], path[:most])
    return part


def _range_bounds(value: str | None) -> tuple[str | None, str | None]:
    found = BYTE_RANGE.fullmatch(value or "")
    if found is None:
        return None, None
    return short_bound(found[1], LOGGED_DIGITS), short_bound(found[2], LOGGED_DIGITS)


def _w3c(value: str | int | None) -> bytes:
    if value is None or value == "":
        return b"-"
    raw = str(value).encode("utf-8", "surrogateescape")
    return _W3C_UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], raw)
