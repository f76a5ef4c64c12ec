"""The recorder of answers, for all lanes: metrics, the access log, and recent redirects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nearbucket.frontend.returning_clients.came_back import GET, Try
from nearbucket.frontend.returning_clients.recent_redirects import STREAMED_INSTEAD
from nearbucket.frontend.returning_clients.sibling_ranges import (
    COUNTED_BEFORE,
    WITHOUT_COPY,
    AskedRange,
)
from nearbucket.policy.model import Reason
from nearbucket.telemetry.log_format import FLAWLESS, LineFlaws

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.frontend.cached_decision import CachedDecision, ClientEntry, ObjectEntry
    from nearbucket.frontend.returning_clients.sibling_ranges import SiblingRanges
    from nearbucket.telemetry.access_log import AccessLog
    from nearbucket.telemetry.history.missing_copies import MissingCopies
    from nearbucket.telemetry.log_format import LineEnds, LogFormat
    from nearbucket.telemetry.metrics import Counters

_PARTIAL_CONTENT, _FIRST_ERROR = 206, 400
"""Statuses, as plain numbers because members of an Enum are slow in Python 3.11."""
_NOT_REPLICATED: Final = Reason.NOT_REPLICATED


class AnswerRecorder:
    """Records the answers of one worker."""

    __slots__ = (
        "_counters", "_log", "_missing", "_on_got_through", "_ranges", "_statuses", "_took_back",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917  # one worker, one call
        self,
        log: AccessLog,
        counters: Counters,
        ranges: SiblingRanges,
        on_got_through: Callable[[str, str], None],
        took_back: Callable[[str, str], bool],
        missing: MissingCopies,
    ) -> None:
        """Use what answers are recorded in.

        Args:
            log: The access log.
            counters: The metrics.
            ranges: The answers to ranges.
            on_got_through: Called with site and region when a request shows that the client's last
                redirect worked.
            took_back: Tells by site and region whether the savings of all clients of a target,
                which is down, are taken back.
            missing: Objects that were asked for, and that their target lacks.
        """
        self._log = log
        self._counters = counters
        self._ranges = ranges
        self._on_got_through = on_got_through
        self._took_back = took_back
        self._missing = missing
        self._statuses = counters.statuses

    def record(  # noqa: PLR0913, PLR0917  # one answer, one call
        self,
        cached: CachedDecision,
        status: int,
        sent: int,
        started: float,
        now: float,
        complete: bool = True,  # noqa: FBT001, FBT002  # a name takes the hot path longer
        failover: str = "",
    ) -> None:
        """Count and log one answer; note it as a recent redirect if it is one.

        Args:
            cached: The client and the object.
            status: Status of the answer; 0 when the client left before any.
            sent: Body bytes handed to the connection.
            started: Monotonic time at which the request came.
            now: Monotonic time of the end of the answer.
            complete: Whether the whole answer was handed to the connection.
            failover: The failover bucket that it comes from; empty if there is none.
        """
        client, entry = cached
        counters, seconds = client.counters, now - started
        if client.text is None:
            # Text of our own stands in place of S3's errors: no bytes of the origin.
            counters.add(seconds, sent if status < _FIRST_ERROR else 0)
            self._statuses[status // 100] += 1
            if client.reason is _NOT_REPLICATED:
                self._missing.add(client.site, client.region or "", entry.key)
            if status == _PARTIAL_CONTENT and client.reason in WITHOUT_COPY and client.streamable:
                self._count_range(client, entry, now)  # its siblings may be redirected
        else:
            saved = entry.size if client.range is None else client.bytes_saved(entry)
            counters.add(seconds, saved)
            is_counted = client.range_mark and entry.until != COUNTED_BEFORE
            if is_counted and counters.redirects and status:
                self._count_range(client, entry, now)
            if client.free_until < now and status:
                self._judge(client, Try(entry.mark ^ client.part, entry.method, saved, now))
        log = self._log
        form = log.format
        if form is not None:
            if complete and not failover:
                last = client.last_line
                if last is not None and last[0] is entry and last[1] == status and last[2] == sent:
                    ends = last[3]
                else:
                    ends = _line_ends(form, cached, status, sent)
                    if entry.is_cached:
                        client.last_line = entry, status, sent, ends
            else:
                flaws = LineFlaws(complete, failover)
                ends = _line_ends(form, cached, status, sent, flaws)
            log.keep(form.line(now + log.offset, seconds, ends))

    def _count_range(self, client: ClientEntry, entry: ObjectEntry, now: float) -> None:
        """Count an answer to a request for a range, by which downloads are told apart."""
        mark, length = client.asker ^ entry.mark, client.bytes_asked(entry)
        if client.range_mark and entry.size and length:
            self._ranges.record(AskedRange(mark, client.range_mark, length), entry.size, now)

    def _judge(self, client: ClientEntry, request: Try) -> None:
        """Apply the rule of ``came_back`` to a redirect of a client not known to be a crowd."""
        redirects = client.recent_redirects
        if redirects is None:
            return
        outcome = redirects.after_redirect(client.asker, request)
        client.free_until = outcome.free_until
        if client.region and not client.counters.redirects and request.method == GET:
            not_saved = redirects.sent_to_cdn(client.asker, request.asked, request.now)
            self._take_back(client, not_saved)
        self._take_back(client, outcome.taken_back)
        if outcome.got_through and client.counters.redirects:
            self._on_got_through(client.site, client.region or "")

    def stream_began(self, cached: CachedDecision, now: float) -> None:
        """Note that the head of a streamed object, or its 404, is sent now (monotonic time)."""
        client, entry = cached
        redirects = client.recent_redirects
        if redirects is None:
            return
        asked = entry.mark ^ client.part
        if client.reason is Reason.CAME_BACK:
            self._take_back(client, -redirects.stream_began(client.asker, asked, now))
        elif client.reason is Reason.TARGET_DOWN:
            not_saved = redirects.target_down(client.asker, asked, now)
            if not_saved and not self._took_back(client.site, client.region or ""):
                self._take_back(client, not_saved)
        elif client.reason in STREAMED_INSTEAD:
            self._take_back(client, redirects.streamed_instead(client.asker, asked, now))

    def stream_completed(self, cached: CachedDecision, now: float) -> None:
        """Note that a streamed object was sent completely, at this monotonic time."""
        client, entry = cached
        redirects = client.recent_redirects
        if redirects is not None and client.reason is Reason.CAME_BACK:
            saved = redirects.stream_completed(client.asker, entry.mark ^ client.part, now)
            self._take_back(client, -saved)

    def _take_back(self, client: ClientEntry, size: int) -> None:
        if size:
            self._counters.take_back(client.site, client.region or "", size)


def _line_ends(
    form: LogFormat, cached: CachedDecision, status: int, sent: int, flaws: LineFlaws = FLAWLESS
) -> LineEnds:
    client, entry = cached
    decision_part = client.counters.log_parts.get(status)
    if decision_part is None:
        decision_part = client.counters.log_parts[status] = form.decision_part(
            client.action.value, client.reason.value, status
        )
    return form.ends(sent, (client.log_part, entry.log_part, decision_part), flaws)
