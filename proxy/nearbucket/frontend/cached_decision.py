"""Cached parts of a response: what is the same for every request of a client or for an object.

In: a request and its decision. Out: a ``ClientEntry`` and an ``ObjectEntry``, from which any lane
below aiohttp builds responses, metrics and log lines. Refuses to know how long they are kept, and
to decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nearbucket.frontend.recent_redirects import mark_of_client, mark_of_object
from nearbucket.frontend.response_heads import stamp_of
from nearbucket.origin.conditional_request import one_range, range_size
from nearbucket.policy.model import (
    REPLICA_OK,
    UNKNOWN,
    Reason,
    RedirectTo,
    Refuse,
    action_of,
)
from nearbucket.telemetry.log_format import ClientFields, LineParts

if TYPE_CHECKING:
    from nearbucket.frontend.recent_redirects import RecentRedirects
    from nearbucket.frontend.response_heads import RedirectText
    from nearbucket.policy.model import Decision, Request, Stream
    from nearbucket.telemetry.access_log import AccessLog
    from nearbucket.telemetry.log_format import LineEnds, LinePart, LogFormat
    from nearbucket.telemetry.metrics import DecisionCounters

UNRELAYED = frozenset({
    b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range",
    b"origin",
})  # fmt: skip
"""Header fields that S3's answer depends on in ways that only aiohttp's lane knows."""


@dataclass(slots=True)
class ObjectEntry:
    """The object that a request line asks for.

    Attributes:
        key: Object key, decoded.
        path: The key, encoded once.
        head: Whether the method is HEAD.
        log_part: Its part of a log line.
        mark: Its half of the mark of a redirect.
        size: Bytes of the object, where that is known.
        until: Monotonic time until which it may be redirected without asking again.
    """

    key: str
    path: bytes = field(repr=False)  # may be a signed URL
    head: bool
    log_part: LinePart
    mark: int
    size: int | None
    until: float


@dataclass(slots=True)
class ClientEntry:
    """A client (its address and the field lines that matter), and what its requests get.

    Attributes:
        decision: The first decision for it; all that is not of the object holds for others.
        text: The bytes of its redirects; None where it is streamed to.
        range: Its Range in canonical form.
        streamable: Whether the streaming lane may answer it.
        keep_alive: Whether its connection stays open.
        log_part: Its part of a log line.
        own_fields: Our own header lines in what is streamed to it.
        mark: Its half of the mark of a redirect.
        recent_redirects: Redirects of this site in the last seconds; None if ``came_back`` is off.
        came_back_for: The same, where it came back, and has been served once it is streamed to.
    """

    decision: RedirectTo | Stream
    text: RedirectText | None
    range: str | None
    streamable: bool
    keep_alive: bool
    log_part: LinePart
    own_fields: bytes
    mark: int
    recent_redirects: RecentRedirects | None
    came_back_for: RecentRedirects | None
    _counters: DecisionCounters
    _last_answer: tuple[int, int] = (0, 0)  # status and bytes of its last line in the log
    _last_object: ObjectEntry | None = None  # and for what
    _last_line: LineEnds | None = None

    def came_back(self, entry: ObjectEntry, now: float) -> bool:
        """Whether it was sent away for the same a moment ago."""
        redirects = self.recent_redirects
        return redirects is not None and redirects.came_back(self.mark ^ entry.mark, now)

    def bytes_saved(self, entry: ObjectEntry) -> int:
        """Bytes that a redirect keeps off this host, where the object's size is known."""
        if entry.head or entry.size is None:
            return 0
        return entry.size if self.range is None else range_size(self.range, entry.size)

    def record(  # noqa: PLR0913  # one row, one call
        self,
        log: AccessLog,
        entry: ObjectEntry,
        status: int,
        sent: int,
        *,
        started: float,
        now: float,
    ) -> None:
        """Count and log one answer.

        Args:
            log: The access log.
            entry: What was asked for.
            status: Status of the answer; 0 when the client left before any.
            sent: Body bytes handed to the connection.
            started: Monotonic time at which the request came.
            now: The same of the end of the answer.
        """
        if self.text is None:
            self._counters.add(now - started, sent)
        else:
            self._counters.add(now - started, self.bytes_saved(entry))
        if self.recent_redirects is not None and self._counters.redirects:
            self.recent_redirects.record(self.mark ^ entry.mark, now)
        form = log.format
        if form is not None:
            last, ends = self._last_answer, self._last_line
            if ends is None or last != (status, sent) or self._last_object is not entry:
                decision_part = self._counters.log_parts.get(status) or self._decision_part(
                    form, status
                )
                ends = self._last_line = form.ends(
                    sent, LineParts(self.log_part, entry.log_part, decision_part)
                )
                self._last_answer, self._last_object = (status, sent), entry
            log.keep(form.line(now + log.offset, now - started, ends))

    def _decision_part(self, form: LogFormat, status: int) -> LinePart:
        reason = self.decision.reason
        made = self._counters.log_parts[status] = form.decision_part(
            action_of(self.decision).value, reason.value, status
        )
        return made


def client_fields_of(request: Request, decision: Decision) -> ClientFields:
    """What the access log says of whoever makes a request."""
    headers = request.headers
    client = region = site = None
    if not isinstance(decision, Refuse):
        client, region, site = decision.client, decision.region, decision.site
    referer = headers.get(b"referer")
    return ClientFields(
        client=client,
        peer=request.peer,
        host=_text(headers.get(b"host")),
        region=region or UNKNOWN,
        site=site,
        user_agent=_text(headers.get(b"user-agent")),
        # no query of anybody's is logged: it may be a signature
        referer=_text(referer and referer.partition(b"?")[0]) or None,
        range=_text(headers.get(b"range")),
        protocol="HTTP/1.1",
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")


def saved_by(request: Request, decision: RedirectTo) -> int:
    """Bytes that a redirect keeps off this host, where the object's size is known."""
    size = decision.replica.size
    if size is None or request.method == "HEAD":
        return 0
    part = one_range(request.headers.get(b"range", b"").decode("latin-1"))
    return size if part is None else range_size(part, size)


def object_entry_of(
    request: Request, decision: RedirectTo | Stream, path: str, log: AccessLog
) -> ObjectEntry:
    """What a request asks for.

    Args:
        request: The request.
        decision: What it got.
        path: The decision's key, encoded.
        log: The access log.
    """
    log_part: LinePart = ()
    if log.format is not None:
        log_part = log.format.object_part(request.method, request.target.partition("?")[0])
    replica = decision.replica if isinstance(decision, RedirectTo) else REPLICA_OK
    return ObjectEntry(
        key=decision.key,
        path=path.encode("ascii"),
        head=request.method == "HEAD",
        log_part=log_part,
        mark=mark_of_object(request.method, decision.key),
        size=replica.size,
        until=replica.until,
    )


def client_entry_of(  # noqa: PLR0913, PLR0917  # one entry, one call
    request: Request, decision: RedirectTo | Stream, text: RedirectText | None, log: AccessLog,
    counters: DecisionCounters, recent_redirects: RecentRedirects | None, *, reason_header: bool,
    keep_alive: bool,
) -> ClientEntry:  # fmt: skip
    """Who makes a request.

    Args:
        request: The request.
        decision: What it got.
        text: The bytes of it, where it is a redirect.
        log: The access log.
        counters: Where it is counted.
        recent_redirects: Redirects of the site in the last seconds, where ``came_back`` is on.
        reason_header: Whether ``X-Nearbucket`` is sent.
        keep_alive: Whether the connection stays open.
    """
    stamp = b""
    if not isinstance(decision, RedirectTo):
        stamp = stamp_of(decision, reason_header=reason_header)
    asked = request.headers.get(b"range")
    mark = (
        mark_of_client(decision.site, decision.client, request)
        if recent_redirects is not None
        else 0
    )
    return ClientEntry(
        decision=decision,
        text=text,
        range=None if asked is None else one_range(asked.decode("ascii")),
        streamable=UNRELAYED.isdisjoint(request.headers),
        keep_alive=keep_alive,
        log_part=()
        if log.format is None
        else log.format.client_part(client_fields_of(request, decision)),
        own_fields=stamp,
        mark=mark,
        recent_redirects=recent_redirects,
        came_back_for=recent_redirects if decision.reason is Reason.CAME_BACK else None,
        _counters=counters,
    )
