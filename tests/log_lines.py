"""Lines of the access log, made of all their fields at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nearbucket.telemetry.log_format import (
    ClientFields,
    JsonFormat,
    LineFlaws,
    W3cFormat,
)

if TYPE_CHECKING:
    from nearbucket.telemetry.log_format import LogFormat


class LogRecord(NamedTuple):
    """One answered request.

    Attributes:
        time: Unix time of the end of the answer, in seconds.
        client: Client address, or None.
        peer: Socket peer, or None.
        method: Method.
        host: Host header as sent.
        path: Path as sent, without the query.
        status: Status of the answer; 0 when the client left before any.
        bytes: Body bytes handed to the connection.
        seconds: From the request's head to the end of the answer.
        action: redirect, stream or refuse.
        region: Client's region, or UNKNOWN.
        reason: The decision's reason.
        site: Site name, or None when refused.
        user_agent: User-Agent as sent.
        referer: Referer, without its query.
        range: Range as sent.
        protocol: HTTP version, such as HTTP/1.1.
        complete: Whether the whole answer was handed to the connection.
    """

    time: float
    client: str | None
    peer: str | None
    method: str
    host: str | None
    path: str
    status: int
    bytes: int
    seconds: float
    action: str
    region: str
    reason: str
    site: str | None
    user_agent: str | None
    referer: str | None
    range: str | None
    protocol: str
    failover: str | None = None
    complete: bool = True


def line_of(form: LogFormat, record: LogRecord) -> bytes:
    """A record's whole line, not cut."""
    client = ClientFields(**{name: getattr(record, name) for name in ClientFields._fields})
    object_ = form.object_part(record.method, record.path)
    decision = form.decision_part(record.action, record.reason, record.status)
    parts = form.client_part(client), object_, decision
    ends = form.ends(record.bytes, parts, LineFlaws(record.complete, record.failover or ""))
    return form.line(record.time, record.seconds, ends)


FULL = LogRecord(
    time=1785313625.4567,
    client="198.51.100.7",
    peer="127.0.0.1",
    method="GET",
    host="dl.example",
    path="/releases/app-1.0.tar.gz",
    status=206,
    bytes=100,
    seconds=0.0123456789,
    action="stream",
    region="us-west-2",
    reason="shadow",
    site="*",
    user_agent="curl/8.5.0",
    referer="https://example.org/",
    range="bytes=0-99",
    protocol="HTTP/1.1",
)

BARE = FULL._replace(
    client=None,
    method="-",
    host=None,
    path="-",
    status=400,
    bytes=0,
    seconds=0.0,
    action="refuse",
    region="UNKNOWN",
    reason="bad-request",
    site=None,
    user_agent=None,
    referer=None,
    range=None,
)
HEADER = (
    b"#Version: 1.0\n"
    b"#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status "
    b"cs(Referer) cs(User-Agent) cs-uri-query x-edge-result-type x-host-header cs-protocol "
    b"time-taken x-forwarded-for cs-protocol-version sc-range-start sc-range-end "
    b"x-nearbucket-action x-nearbucket-region x-nearbucket-reason x-nearbucket-failover\n"
)


def json_line(record: LogRecord) -> bytes:
    """The line of the JSON log."""
    return line_of(JsonFormat(), record)


def w3c_line(record: LogRecord) -> bytes:
    """The line of the W3C log."""
    return line_of(W3cFormat(), record)
