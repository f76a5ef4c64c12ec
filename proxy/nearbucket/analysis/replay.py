"""Logged requests, decided again: what two configurations would answer, and what differs.

In: two engines, and what access logs have of requests. Out: two answers each. Refuses to know
files, and to count.

The policy that serves decides here too. What a log does not show is put in its place: who was
logged with ``credentials`` sends an Authorization again, who was logged with ``opt-out`` opts
out by a header that only a replay knows, and what the log says of a bucket is what the bucket
says. So the rules keep their order, and an earlier one that now applies is seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.policy.engine import ASSUME_REPLICATED, Engine
from nearbucket.policy.model import (
    UNKNOWN,
    Reason,
    RedirectTo,
    Refuse,
    ReplicaStatus,
    Request,
    Stream,
)

if TYPE_CHECKING:
    from nearbucket.analysis.log_reader import LoggedRequest
    from nearbucket.policy.engine import ReplicaKnowledge
    from nearbucket.policy.model import Decision

# No client can send these: a field's name holds no space (RFC 9110 section 5.1).
_OPTED_OUT = b"as logged: opt-out"
_WRONG_SECRET = b"as logged: secret"

HELD = (Reason.SMALL, Reason.NOT_REPLICATED, Reason.UNVERIFIED, Reason.TARGET_DOWN)
"""Reasons that follow from what the buckets hold."""
_STATUSES = {reason.value: ReplicaStatus(reason) for reason in HELD}
AS_LOGGED = frozenset(reason.value for reason in (
    *HELD, Reason.CAME_BACK, Reason.CREDENTIALS, Reason.OPT_OUT, Reason.SECRET, Reason.BAD_REQUEST,
))  # fmt: skip
"""Reasons that follow from what no access log shows."""
NOT_LOGGED = "client-not-logged"
"""In place of a reason: the log has no client, since it was refused, and now it would not be."""


class ReplayedAnswer(NamedTuple):
    """What a request gets, as far as two answers can differ.

    Attributes:
        action: redirect, stream or refuse.
        reason: The decision's reason, or ``NOT_LOGGED``.
        target: Status and place of a redirect, status of a refusal, else ``-``.
    """

    action: str
    reason: str
    target: str = "-"

    @property
    def to_target(self) -> bool:
        """Whether it is a redirect to a target bucket, and not to the CDN."""
        return self.action == "redirect" and self.reason == Reason.IN_REGION

    def __str__(self) -> str:
        """As a row shows it."""
        return "/".join(self)


class ReplayedRequest(NamedTuple):
    """What becomes of everybody who asks the same.

    Attributes:
        before: The first configuration's answer.
        after: The second's.
        region: The region whose target takes the client, or lets it go; else the client's.
        site: Name of the site; empty where the request names none.
        path: Path as sent, without the query.
        kept: Whether it stays as logged, since the log does not show why.
        other: Whether the log has another reason than the first configuration.
    """

    before: ReplayedAnswer
    after: ReplayedAnswer
    region: str
    site: str
    path: str
    kept: bool
    other: bool


class Replay:
    """Decides logged requests by two engines."""

    def __init__(self, before: Engine, after: Engine) -> None:
        """Take the engines of two configurations, over the same list."""
        self._before, self._after = _replayed(before), _replayed(after)

    def replay(self, logged: LoggedRequest) -> ReplayedRequest:
        """What both configurations do with a request."""
        path = logged.target.partition("?")[0]
        if logged.reason == Reason.BAD_REQUEST:
            same = ReplayedAnswer("refuse", logged.reason, "400")
            return ReplayedRequest(same, same, UNKNOWN, "", path, kept=True, other=False)
        request, replicas = _request(logged), _replicas(logged)
        old = self._before.decide(request, replicas)
        shown = logged.reason == Reason.OPT_OUT == old.reason
        if logged.reason == Reason.OPT_OUT and not shown:
            request = replace(request, headers={**request.headers, _OPTED_OUT: b""})
            old = self._before.decide(request, replicas)
        new = self._after.decide(request, replicas)
        before, after = _answer(old, logged), _answer(new, logged)
        kept = not shown and logged.reason in AS_LOGGED and after.reason == logged.reason
        other = logged.reason is not None and logged.reason != before.reason
        return ReplayedRequest(
            before, after, _region(old, new), _site(new) or _site(old), path, kept=kept, other=other
        )


def _replayed(engine: Engine) -> Engine:
    """An engine that takes the logged client at its word, and the fields a log stands for."""
    engine = engine.for_client()
    trust = replace(engine.trust, secret_header=_WRONG_SECRET, secret_values=())
    sites = {host: replace(site, opt_out_header=_OPTED_OUT) for host, site in engine.sites.items()}
    return replace(engine, trust=trust, sites=sites)


def _request(logged: LoggedRequest) -> Request:
    """A logged request, as it may have been sent."""
    headers = {b"host": (logged.host or "").encode("utf-8", "replace")}
    if logged.agent is not None:
        headers[b"user-agent"] = logged.agent.encode("utf-8", "replace")
    if logged.cookie:
        headers[b"cookie"] = b""
    if logged.reason == Reason.CREDENTIALS:
        headers[b"authorization"] = b""
    if logged.reason == Reason.SECRET:
        headers[_WRONG_SECRET] = b""
    return Request(logged.method, logged.target, headers, logged.client)


class _LoggedReplicas:
    """What a line says of the buckets, for whoever asks."""

    def __init__(self, status: ReplicaStatus, *, came_back: bool) -> None:
        self._status, self._came_back = status, came_back

    def replica_status(self, _site: str, _region: str, _key: str) -> ReplicaStatus:
        return self._status

    def came_back(
        self, _site: str, _region: str, _client: str, _key: str, _request: Request
    ) -> bool:
        return self._came_back


_CAME_BACK = _LoggedReplicas(ReplicaStatus(), came_back=True)
_REPLICAS = {word: _LoggedReplicas(status, came_back=False) for word, status in _STATUSES.items()}


def _replicas(logged: LoggedRequest) -> ReplicaKnowledge:
    if logged.reason == Reason.CAME_BACK:
        return _CAME_BACK
    return _REPLICAS.get(logged.reason or "", ASSUME_REPLICATED)


def _answer(decision: Decision, logged: LoggedRequest) -> ReplayedAnswer:
    reason = decision.reason.value
    if isinstance(decision, Refuse):
        return ReplayedAnswer("refuse", reason, str(decision.status))
    if reason == Reason.CLIENT_UNKNOWN and logged.client is None and logged.reason != reason:
        reason = NOT_LOGGED
    if isinstance(decision, RedirectTo):
        return ReplayedAnswer("redirect", reason, f"{decision.status} {decision.base.rstrip('/')}")
    return ReplayedAnswer("stream", reason)


def _region(old: Decision, new: Decision) -> str:
    """Whose target it is about: the one that redirects there, else what the second finds."""
    found = [each for each in (new, old) if isinstance(each, RedirectTo | Stream)]
    sent = [each.region for each in found if each.reason is Reason.IN_REGION]
    return next(iter(sent), None) or next((each.region for each in found), None) or UNKNOWN


def _site(decision: Decision) -> str:
    return "" if isinstance(decision, Refuse) else decision.site
