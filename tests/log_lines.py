"""Lines of the access log, made of all their fields at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nearbucket.telemetry.log_format import ClientFields, LineParts

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


def line_of(form: LogFormat, record: LogRecord) -> bytes:
    """A record's whole line, not cut."""
    client = ClientFields(**{name: getattr(record, name) for name in ClientFields._fields})
    object_ = form.object_part(record.method, record.path)
    decision = form.decision_part(record.action, record.reason, record.status)
    parts = LineParts(form.client_part(client), object_, decision)
    return form.line(record.time, record.seconds, form.ends(record.bytes, parts))
