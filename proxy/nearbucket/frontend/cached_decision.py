"""Who asks and what for, prepared for answering many times: counted and logged as what.

In: a request and its decision. Out: a ``Visitor`` and a ``Wanted`` that any lane below aiohttp
answers and records from. Refuses to know how long they are kept, and to decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING

from nearbucket.frontend.recent_redirects import mark_of_client, mark_of_object
from nearbucket.frontend.response_heads import stamp_of
from nearbucket.origin.conditional_request import one_range, part_of
from nearbucket.policy.model import SURE, UNKNOWN, Action, Reason, Redirect, Refuse, action_of
from nearbucket.telemetry.log_format import Parts, Who

if TYPE_CHECKING:
    from nearbucket.frontend.recent_redirects import Returns
    from nearbucket.frontend.response_heads import RedirectText
    from nearbucket.policy.model import Decision, Request, Stream
    from nearbucket.telemetry.access_log import AccessLog
    from nearbucket.telemetry.log_format import Ends, Form, Part
    from nearbucket.telemetry.metrics import Tally

UNRELAYED = frozenset({
    b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range",
    b"origin",
})  # fmt: skip
"""Header fields that S3's answer depends on in ways that only aiohttp's lane knows."""

_DATE = b"\0"  # which no header holds


@dataclass(slots=True)
class Wanted:
    """What a request line asks for.

    Attributes:
        key: Object key, decoded.
        path: The key, encoded once.
        head: Whether the method is HEAD.
        what: Its part of a log line.
        mark: Its half of the mark of a redirect.
        size: Bytes of the object, where that is known.
        until: Monotonic time until which it may be redirected without asking again.
    """

    key: str
    path: bytes = field(repr=False)  # may be a signed URL
    head: bool
    what: Part
    mark: int
    size: int | None
    until: float
    _around: dict[RedirectText, tuple[bytes, bytes]] = field(repr=False)

    def around(self, text: RedirectText) -> tuple[bytes, bytes]:
        """What stands before and behind the Date of its redirect; one copy for all clients."""
        found = self._around.get(text)
        if found is None:
            before, _, after = text.fill(self.path, _DATE).partition(_DATE)
            found = self._around[text] = before, after
        return found


@dataclass(slots=True)
class Visitor:
    """Who sends a set of field lines, and what becomes of its requests.

    Attributes:
        decision: The first decision for it; all that is not of the object holds for others.
        text: The bytes of its redirects; None where it is streamed to.
        part: Its Range in canonical form.
        relayed: Whether the streaming lane may answer it.
        lasting: Whether its connection stays open.
        who: Its part of a log line.
        stamp: Our own header lines in what is streamed to it.
        mark: Its half of the mark of a redirect.
        returns: Who was sent away from this site lately; None where nobody wants to know.
        came_back_for: The same, where it came back, and has been served once it is streamed to.
    """

    decision: Redirect | Stream
    text: RedirectText | None
    part: str | None
    relayed: bool
    lasting: bool
    who: Part
    stamp: bytes
    mark: int
    returns: Returns | None
    came_back_for: Returns | None
    _tally: Tally
    _last: tuple[int, int] = (0, 0)  # status and bytes of its last line in the log
    _wanted: Wanted | None = None  # and for what
    _ends: Ends | None = None

    def came_back(self, wanted: Wanted, now: float) -> bool:
        """Whether it was sent away for the same a moment ago."""
        returns = self.returns
        return returns is not None and returns.came_back(self.mark ^ wanted.mark, now)

    def saved(self, wanted: Wanted) -> int:
        """Bytes that a redirect keeps off this host, where the object's size is known."""
        if wanted.head or wanted.size is None:
            return 0
        return wanted.size if self.part is None else part_of(self.part, wanted.size)

    def record(  # noqa: PLR0913  # one row, one call
        self, log: AccessLog, wanted: Wanted, status: int, sent: int, *, started: float, now: float
    ) -> None:
        """Count and log one answer.

        Args:
            log: The access log.
            wanted: What was asked for.
            status: Status of the answer; 0 when the client left before any.
            sent: Body bytes handed to the connection.
            started: Monotonic time at which the request came.
            now: The same of the end of the answer.
        """
        if self.text is None:
            self._tally.add(now - started, sent)
        else:
            self._tally.add(now - started, self.saved(wanted))
        if self.returns is not None and self._tally.redirects:
            self.returns.sent_away(self.mark ^ wanted.mark, now)
        form = log.form
        if form is not None:
            last, ends = self._last, self._ends
            if ends is None or last != (status, sent) or self._wanted is not wanted:
                why = self._tally.whys.get(status) or self._why(form, status)
                ends = self._ends = form.ends(sent, Parts(self.who, wanted.what, why))
                self._last, self._wanted = (status, sent), wanted
            log.keep(form.line(now + log.offset, now - started, ends))

    def _why(self, form: Form, status: int) -> Part:
        reason = self.decision.reason
        made = self._tally.whys[status] = form.why(
            action_of(self.decision).value, reason.value, status
        )
        return made


@dataclass(slots=True)
class Repeat:
    """One redirect that very bytes of one peer get: nothing is left to be put together."""

    before: bytes
    after: bytes
    ends: Ends | None
    until: float
    mark: int
    returns: Returns | None
    _saved: int
    _tally: Tally

    @classmethod
    def of(cls, visitor: Visitor, wanted: Wanted, text: RedirectText, log: AccessLog) -> Repeat:
        """Put together what a redirected GET gets.

        Args:
            visitor: Who asks.
            wanted: What for.
            text: The bytes of it, but for path and Date.
            log: The access log.
        """
        before, after = wanted.around(text)
        ends = None
        if log.form is not None:
            reason = visitor.decision.reason
            why = log.form.why(Action.REDIRECT.value, reason.value, text.status)
            sent = text.size + len(wanted.path)
            ends = log.form.ends(sent, Parts(visitor.who, wanted.what, why))
        return cls(
            before, after, ends, wanted.until, visitor.mark ^ wanted.mark, visitor.returns,
            visitor.saved(wanted), visitor._tally,  # noqa: SLF001  # of one mind
        )  # fmt: skip

    def holds(self, now: float) -> bool:
        """Whether it may be given now."""
        if self.until < now:
            return False
        return self.returns is None or not self.returns.came_back(self.mark, now)

    def answer(self, started: float, date: bytes, log: AccessLog) -> bytes:
        """The bytes, counted and logged.

        Args:
            started: Monotonic time at which the request came.
            date: Value of the Date header.
            log: The access log.
        """
        now = monotonic()
        self._tally.add(now - started, self._saved)
        if self.returns is not None:
            self.returns.sent_away(self.mark, now)
        if self.ends is not None:
            log.repeat(now + log.offset, now - started, self.ends)
        return b"".join((self.before, date, self.after))


def who_of(request: Request, decision: Decision) -> Who:
    """What the access log says of whoever makes a request."""
    headers = request.headers
    client = region = site = None
    if not isinstance(decision, Refuse):
        client, region, site = decision.client, decision.region, decision.site
    referer = headers.get(b"referer")
    return Who(
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


def saved_by(request: Request, decision: Redirect) -> int:
    """Bytes that a redirect keeps off this host, where the object's size is known."""
    size = decision.standing.size
    if size is None or request.method == "HEAD":
        return 0
    part = one_range(request.headers.get(b"range", b"").decode("latin-1"))
    return size if part is None else part_of(part, size)


def wanted_of(request: Request, decision: Redirect | Stream, path: str, log: AccessLog) -> Wanted:
    """What a request asks for.

    Args:
        request: The request.
        decision: What it got.
        path: The decision's key, encoded.
        log: The access log.
    """
    what: Part = ()
    if log.form is not None:
        what = log.form.what(request.method, request.target.partition("?")[0])
    standing = decision.standing if isinstance(decision, Redirect) else SURE
    return Wanted(
        key=decision.key,
        path=path.encode("ascii"),
        head=request.method == "HEAD",
        what=what,
        mark=mark_of_object(request.method, decision.key),
        size=standing.size,
        until=standing.until,
        _around={},
    )


def visitor_of(  # noqa: PLR0913, PLR0917  # one visitor, one call
    request: Request, decision: Redirect | Stream, text: RedirectText | None, log: AccessLog,
    tally: Tally, returns: Returns | None, *, reason_header: bool, lasting: bool,
) -> Visitor:  # fmt: skip
    """Who makes a request.

    Args:
        request: The request.
        decision: What it got.
        text: The bytes of it, where it is a redirect.
        log: The access log.
        tally: Where it is counted.
        returns: Who was sent away from the site lately, where that matters.
        reason_header: Whether ``X-Nearbucket`` is sent.
        lasting: Whether the connection stays open.
    """
    stamp = b""
    if not isinstance(decision, Redirect):
        stamp = stamp_of(decision, reason_header=reason_header)
    asked = request.headers.get(b"range")
    mark = mark_of_client(decision.site, decision.client, request) if returns is not None else 0
    return Visitor(
        decision=decision,
        text=text,
        part=None if asked is None else one_range(asked.decode("ascii")),
        relayed=UNRELAYED.isdisjoint(request.headers),
        lasting=lasting,
        who=() if log.form is None else log.form.who(who_of(request, decision)),
        stamp=stamp,
        mark=mark,
        returns=returns,
        came_back_for=returns if decision.reason is Reason.CAME_BACK else None,
        _tally=tally,
    )
