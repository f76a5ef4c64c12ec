"""The values of a decision: ``Request``, and ``RedirectTo``, ``Stream`` or ``Refuse``."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from nearbucket.policy.reasons import Action, Reason
from nearbucket.policy.record import record

__all__ = [
    "REPLICA_OK", "UNKNOWN", "Action", "Decision", "Reason", "RedirectTo", "Refuse",
    "ReplicaStatus", "Request", "Stream", "action_of",
]  # fmt: skip

UNKNOWN = "UNKNOWN"
"""Shown in place of the region when a client has none."""


@record(frozen=True, slots=True)
class Request:
    """The parts of an HTTP request that a decision depends on.

    Attributes:
        method: The method token as sent.
        target: The request target as sent: origin-form or absolute-form, still encoded.
        headers: Lower-case name to value, both as sent; repeated fields joined with ``, ``
            in order (RFC 9110 section 5.3).
        peer: The socket's remote address as text, or None where there is none.
        located: What an earlier request with the same fields and peer showed: the client's address
            and region, each None if it has none. None if that has to be found out.
    """

    method: str
    target: str
    headers: dict[bytes, bytes]
    peer: str | None
    located: tuple[str | None, str | None] | None = field(default=None, repr=False, compare=False)


class ReplicaStatus(NamedTuple):
    """What is known of the copy in a target bucket.

    Attributes:
        against: Why clients are not redirected to it, or None.
        size: Bytes of the object, or None when unknown.
        until: Monotonic time at which this expires.
        etags: ETags of the version that may be redirected to, without quotes, the copy's first;
            empty when unknown.
    """

    against: Reason | None = None
    size: int | None = None
    until: float = inf
    etags: tuple[str, ...] = ()


REPLICA_OK = ReplicaStatus()
"""The copy may be used, without an expiry."""


@record(frozen=True, slots=True)
class RedirectTo:
    """Redirect the client to a target bucket or to the CDN.

    Attributes:
        site: Name of the site.
        key: Object key, decoded once, without the bucket's prefix.
        client: The client's address, or None when it is not known.
        region: The client's region, or None.
        target: Whether the site has a target in ``region``.
        base: Absolute URL up to the key, with a slash at its end; empty when ``path`` is a URL.
        path: The key, encoded once; or a signed URL.
        status: 301, 302, 303, 307 or 308.
        browser: Whether the request has an Origin field, so that CORS applies to the redirect.
        reason: ``Reason.IN_REGION`` for a target; for the CDN why no target is used.
        replica: What is known of the target's copy.
    """

    site: str
    key: str
    client: str | None
    region: str | None
    target: bool
    base: str
    path: str = field(repr=False)
    status: int
    browser: bool
    reason: Reason
    replica: ReplicaStatus

    @property
    def is_for_cdn(self) -> bool:
        """Whether it is a redirect to the CDN."""
        return self.reason is not Reason.IN_REGION

    @property
    def location(self) -> str:
        """Absolute URL for the Location field."""
        return self.base + self.path


@record(frozen=True, slots=True)
class Stream:
    """Stream the object from the origin bucket.

    The first five attributes are those of ``RedirectTo``; the key may be empty. ``reason`` says why
    there is no redirect. ``query`` has the arguments passed on to S3: names and values, decoded.
    ``etag``, without quotes, is set for ``not-modified``: that of the version that the client has.
    ``size`` is that of the object in bytes, where it is known from the comparison with a copy.
    ``is_for_cdn`` is set for ``came-back`` if redirects to the CDN fail, and not those to a target.
    """

    site: str
    key: str
    client: str | None
    region: str | None
    target: bool
    reason: Reason
    query: tuple[tuple[str, str], ...] = ()
    etag: str = ""
    size: int | None = None
    is_for_cdn: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an HTTP status, without any bucket."""

    status: int
    reason: Reason


Decision = RedirectTo | Stream | Refuse


def action_of(decision: Decision) -> Action:
    """The action; not always that of the reason, since a redirect to the CDN keeps its reason."""
    return Action.REDIRECT if isinstance(decision, RedirectTo) else decision.reason.action
