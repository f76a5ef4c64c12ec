"""The recorder of answers, for all lanes: metrics, the access log, and recent redirects."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from nearbucket.telemetry.log_format import LineParts

if TYPE_CHECKING:
    from nearbucket.frontend.cached_decision import CachedDecision
    from nearbucket.telemetry.access_log import AccessLog
    from nearbucket.telemetry.log_format import LineEnds, LogFormat


class AnswerRecorder:
    """Records the answers of one worker."""

    __slots__ = ("_log",)

    def __init__(self, log: AccessLog) -> None:
        self._log = log

    def record(
        self, cached: CachedDecision, status: int, sent: int, started: float, now: float
    ) -> None:
        """Count and log one answer; note it as a recent redirect if it sends to a target.

        Args:
            cached: The client and the object.
            status: Status of the answer; 0 when the client left before any.
            sent: Body bytes handed to the connection.
            started: Monotonic time at which the request came.
            now: Monotonic time of the end of the answer.
        """
        client, entry = cached
        counters, seconds = client.counters, now - started
        if client.text is None:
            # Text of our own stands in place of S3's errors: no bytes of the origin.
            counters.add(seconds, sent if status < HTTPStatus.BAD_REQUEST else 0)
        else:
            counters.add(seconds, 0 if entry.size is None else client.bytes_saved(entry))
            if client.recent_redirects is not None and counters.redirects and status:
                client.recent_redirects.record(client.asker, entry.mark, client.part, now)
        log = self._log
        form = log.format
        if form is not None:
            last = client.last_line
            if last is None or last[0] is not entry or last[1] != status or last[2] != sent:
                last = client.last_line = (
                    entry,
                    status,
                    sent,
                    _line_ends(form, cached, status, sent),
                )
            log.keep(form.line(now + log.offset, seconds, last[3]))


def _line_ends(form: LogFormat, cached: CachedDecision, status: int, sent: int) -> LineEnds:
    client, entry = cached
    decision_part = client.counters.log_parts.get(status)
    if decision_part is None:
        decision_part = client.counters.log_parts[status] = form.decision_part(
            client.action.value, client.reason.value, status
        )
    return form.ends(sent, LineParts(client.log_part, entry.log_part, decision_part))
