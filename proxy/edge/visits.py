"""Who asks and what for, prepared for answering many times: counted and logged as what.

In: a request and its decision. Out: a ``Visitor`` and a ``Wanted`` that any lane below aiohttp
answers and records from. Refuses to know how long they are kept, and to decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from proxy.decide.model import Redirect
from proxy.edge.between import stamp_of
from proxy.edge.loglines import Parts
from proxy.edge.metrics import region_label
from proxy.storage.conditions import one_range

if TYPE_CHECKING:
    from proxy.decide.model import Request, Stream
    from proxy.decide.wire import RedirectText
    from proxy.edge.accesslog import AccessLog
    from proxy.edge.loglines import Ends, Form, Part, Record
    from proxy.edge.metrics import Cell, Counters, Times

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
    """

    key: str
    path: bytes
    head: bool
    what: Part
    _around: dict[RedirectText, tuple[bytes, bytes]]

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
        who: Its part of a log line.
        stamp: Our own header lines in what is streamed to it.
    """

    decision: Redirect | Stream
    text: RedirectText | None
    part: str | None
    relayed: bool
    who: Part
    stamp: bytes
    _whys: dict[int, Part]
    _answers: Cell
    _streamed: Cell | None
    _times: Times

    def record(  # noqa: PLR0913  # one row, one call
        self, log: AccessLog, wanted: Wanted, status: int, sent: int, *, started: float,
        offset: float,
    ) -> None:  # fmt: skip
        """Count and log one answer.

        Args:
            log: The access log.
            wanted: What was asked for.
            status: Status of the answer; 0 when the client left before any.
            sent: Body bytes handed to the connection.
            started: Monotonic time at which the request came.
            offset: Unix time less monotonic time.
        """
        now = monotonic()
        self._answers.value += 1
        if self._streamed is not None:
            self._streamed.value += sent
        self._times.add(now - started)
        form = log.form
        if form is not None:
            why = self._whys.get(status) or self._why(form, status)
            ends = form.ends(sent, Parts(self.who, wanted.what, why))
            log.keep(form.line(now + offset, now - started, ends))

    def _why(self, form: Form, status: int) -> Part:
        reason = self.decision.reason
        made = self._whys[status] = form.why(reason.action.value, reason.value, status)
        return made


@dataclass(slots=True)
class Repeat:
    """One redirect that very bytes of one peer get: nothing is left to be put together."""

    before: bytes
    after: bytes
    ends: Ends | None
    _answers: Cell
    _times: Times

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
            why = log.form.why(reason.action.value, reason.value, text.status)
            sent = text.size + len(wanted.path)
            ends = log.form.ends(sent, Parts(visitor.who, wanted.what, why))
        return cls(before, after, ends, visitor._answers, visitor._times)  # noqa: SLF001  # of one mind

    def answer(self, started: float, date: bytes, log: AccessLog, offset: float) -> bytes:
        """The bytes, counted and logged.

        Args:
            started: Monotonic time at which the request came.
            date: Value of the Date header.
            log: The access log.
            offset: Unix time less monotonic time.
        """
        now = monotonic()
        self._answers.value += 1
        self._times.add(now - started)
        if self.ends is not None:
            log.repeat(now + offset, now - started, self.ends)
        return b"".join((self.before, date, self.after))


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
    return Wanted(decision.key, path.encode("ascii"), request.method == "HEAD", what, {})


def visitor_of(  # noqa: PLR0913, PLR0917  # one visitor, one call
    request: Request, decision: Redirect | Stream, text: RedirectText | None, record: Record,
    log: AccessLog, counters: Counters, *, reason_header: bool,
) -> Visitor:  # fmt: skip
    """Who makes a request.

    Args:
        request: The request.
        decision: What it got.
        text: The bytes of it, where it is a redirect.
        record: The request's record, for its fields.
        log: The access log.
        counters: Where it is counted.
        reason_header: Whether ``X-Nearbucket`` is sent.
    """
    site, reason = decision.site, decision.reason
    streamed, stamp = None, b""
    if isinstance(decision, Redirect):
        answers = counters.cell("nearbucket_redirects_total", site, decision.region)
    else:
        region = region_label(decision)
        answers = counters.cell("nearbucket_bypasses_total", site, region, reason.value)
        streamed = counters.cell("nearbucket_streamed_bytes_total", site, region)
        stamp = stamp_of(decision, reason_header=reason_header)
    asked = request.headers.get(b"range")
    return Visitor(
        decision=decision,
        text=text,
        part=None if asked is None else one_range(asked.decode("ascii")),
        relayed=UNRELAYED.isdisjoint(request.headers),
        who=log.form.who(record) if log.form else (),
        stamp=stamp,
        _whys={},
        _answers=answers,
        _streamed=streamed,
        _times=counters.seconds[reason.action],
    )
