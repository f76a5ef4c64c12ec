"""Decides logged requests again, by the engines of two configurations.

What a log does not show is made up by its reason: a request that was logged with ``credentials``
has an Authorization again, one that was logged with ``opt-out`` has a header with which only a
replay opts out, and the buckets are as the reason says. So the rules keep their order, and an
earlier rule that applies now is seen.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.policy.engine import ASSUME_REPLICATED, Engine, FixedKnowledge
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
    from collections.abc import Mapping

    from nearbucket.analysis.reading.log_reader import LoggedRequest
    from nearbucket.policy.engine import ReplicaKnowledge
    from nearbucket.policy.model import Decision

    Floors = Mapping[str, int]

# names that no client can send, since they have a space (RFC 9110 section 5.1)
_OPTED_OUT = b"as logged: opt-out"
_WRONG_SECRET = b"as logged: secret"

HELD = (
    Reason.SMALL, Reason.ABSENT, Reason.NOT_REPLICATED, Reason.UNREADABLE, Reason.UNVERIFIED,
    Reason.TARGET_DOWN,
)  # fmt: skip
"""Reasons that depend on the buckets."""
_FROM_CLIENT = (
    Reason.CAME_BACK, Reason.NOT_MODIFIED, Reason.CREDENTIALS, Reason.OPT_OUT, Reason.SECRET,
    Reason.BAD_REQUEST, Reason.OTHER_ETAG,
)  # fmt: skip
AS_LOGGED = frozenset(reason.value for reason in (*HELD, *_FROM_CLIENT))
"""Reasons whose causes no access log shows."""
NOT_LOGGED = "client-not-logged"
"""In place of a reason: a request that was refused, and so logged without client, is not now."""


class ReplayedAnswer(NamedTuple):
    """The answer to a request, as far as configurations can change it.

    Attributes:
        action: redirect, stream or refuse.
        reason: The decision's reason, or ``NOT_LOGGED``.
        target: Status and base URL of a redirect, status of a refusal, else ``-``.
    """

    action: str
    reason: str
    target: str = "-"

    @property
    def to_target(self) -> bool:
        """Whether it is a redirect to a target bucket, and not to the CDN."""
        return self.action == "redirect" and self.reason == Reason.IN_REGION

    def same_for_client(self, other: ReplayedAnswer) -> bool:
        """Whether a client sees no difference: it is not told the reason."""
        return (self.action, self.target) == (other.action, other.target)

    def __str__(self) -> str:
        """The text in a row of the report."""
        return "/".join(self)


class ReplayedRequest(NamedTuple):
    """The answers of both configurations to a request.

    Attributes:
        before: The first configuration's answer.
        after: The second's.
        region: The region whose target gains or loses the client; else the client's.
        site: Name of the site; empty if the request is for none.
        path: Path as sent, without the query.
        kept: Whether the logged reason is kept, since the log does not show its cause.
        other: Whether the log has another reason than the first configuration gives.
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

    def __init__(
        self, before: Engine, after: Engine, floors: tuple[Floors, Floors] = ({}, {})
    ) -> None:
        """Take two configurations.

        Args:
            before: Engine of the first one.
            after: Engine of the second, built with the same list of prefixes.
            floors: ``redirect.min_size`` of the sites of both, by name.
        """
        self._before, self._after = _replayed(before), _replayed(after)
        self._floors = floors
        sizes = {size for each in floors for size in each.values() if size}
        self.sizes: tuple[int, ...] = (0, *sorted(sizes)) if sizes else ()
        """Sizes of objects from which on answers can differ; empty if they never do."""

    def replay(self, logged: LoggedRequest, size: int | None = None) -> ReplayedRequest:
        """What both configurations do with a request.

        Args:
            logged: The request.
            size: Bytes of the object; None if not known: then it is no smaller than
                ``redirect.min_size``, unless the log has the reason ``small``.
        """
        path = logged.target.partition("?")[0]
        if logged.reason == Reason.BAD_REQUEST:
            same = ReplayedAnswer("refuse", logged.reason, "400")
            return ReplayedRequest(same, same, UNKNOWN, "", path, kept=True, other=False)
        request = _request(logged)
        with_a, with_b = (_replicas(logged, size, floors) for floors in self._floors)
        old = self._before.decide(request, with_a)
        shown = logged.reason == Reason.OPT_OUT == old.reason
        if logged.reason == Reason.OPT_OUT and not shown:
            request = replace(request, headers={**request.headers, _OPTED_OUT: b""})
            old = self._before.decide(request, with_a)
        new = self._after.decide(request, with_b)
        before, after = _answer(old, logged), _answer(new, logged)
        shown |= size is not None and logged.reason == Reason.SMALL
        kept = not shown and logged.reason in AS_LOGGED and after.reason == logged.reason
        other = logged.reason is not None and logged.reason != before.reason
        return ReplayedRequest(
            before, after, _region(old, new), _site(new) or _site(old), path, kept=kept, other=other
        )


def _replayed(engine: Engine) -> Engine:
    """An engine that takes the logged address as the client's, and the made-up header fields."""
    engine = engine.for_client()
    trust = replace(engine.trust, secret_header=_WRONG_SECRET, secret_values=())
    sites = {host: replace(site, opt_out_header=_OPTED_OUT) for host, site in engine.sites.items()}
    return replace(engine, trust=trust, sites=sites)


def _request(logged: LoggedRequest) -> Request:
    """A request that the log may stand for."""
    headers = {b"host": (logged.host or "").encode("utf-8", "replace")}
    if logged.agent is not None:
        headers[b"user-agent"] = logged.agent.encode("utf-8", "replace")
    if logged.cookie is not None:
        headers[b"cookie"] = logged.cookie.encode("utf-8", "replace")
    if logged.reason == Reason.CREDENTIALS:
        headers[b"authorization"] = b""
    if logged.reason == Reason.NOT_MODIFIED:
        headers[b"if-none-match"] = b"*"
    if logged.reason == Reason.OTHER_ETAG:
        headers[b"if-match"] = b'"origin"'
    if logged.reason == Reason.SECRET:
        headers[_WRONG_SECRET] = b""
    return Request(logged.method, logged.target, headers, logged.client)


class _SizedReplicas:
    def __init__(self, others: ReplicaKnowledge, size: int, floors: Floors) -> None:
        self._others, self._size, self._floors = others, size, floors

    def replica_status(self, site: str, region: str, key: str) -> ReplicaStatus:
        if self._size < self._floors.get(site, 0):
            return _SMALL
        return self._others.replica_status(site, region, key)

    def came_back(self, site: str, region: str, client: str, key: str, request: Request) -> bool:
        return self._others.came_back(site, region, client, key, request)


_SMALL = ReplicaStatus(Reason.SMALL)
_REPLICAS: dict[str | None, ReplicaKnowledge] = {
    Reason.CAME_BACK.value: FixedKnowledge(ReplicaStatus(), came_back=True),
    Reason.NOT_MODIFIED.value: FixedKnowledge(ReplicaStatus(etags=("-",))),
    Reason.OTHER_ETAG.value: FixedKnowledge(ReplicaStatus(etags=("copy", "origin"))),
    **{each.value: FixedKnowledge(ReplicaStatus(each)) for each in HELD},
}
"""The buckets as the reason of a line implies."""


def _replicas(logged: LoggedRequest, size: int | None, floors: Floors) -> ReplicaKnowledge:
    """The buckets as a line implies, and the size of the object."""
    known = size is not None and logged.reason == Reason.SMALL
    implied = _REPLICAS.get(None if known else logged.reason, ASSUME_REPLICATED)
    return sized(implied, size, floors)


def sized(others: ReplicaKnowledge, size: int | None, floors: Floors) -> ReplicaKnowledge:
    """The same buckets, with an object of this size; None if it is not known."""
    return others if size is None else _SizedReplicas(others, size, floors)


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
    """The region of the redirect in one of both; else the second configuration's."""
    found = [each for each in (new, old) if isinstance(each, RedirectTo | Stream)]
    sent = [each.region for each in found if each.reason is Reason.IN_REGION]
    return next(iter(sent), None) or next((each.region for each in found), None) or UNKNOWN


def _site(decision: Decision) -> str:
    return "" if isinstance(decision, Refuse) else decision.site
