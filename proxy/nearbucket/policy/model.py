"""The vocabulary: what a request is, what can be decided about it, and why.

In: nothing. Out: values that every other module speaks in. Refuses to know how any of
them is read from a socket, shown to a person or counted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.policy.reasons import Action, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "REPLICA_OK", "UNKNOWN", "Action", "Decision", "Reason", "RedirectTo", "Refuse",
    "ReplicaStatus", "Request", "Stream", "action_of",
]  # fmt: skip

UNKNOWN = "UNKNOWN"
"""How a client without a region is written wherever a person reads it."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, as far as a decision needs it.

    Attributes:
        method: The method token as sent.
        target: The request target as sent: origin-form or absolute-form, still encoded.
        headers: Lower-case name to value, both as sent; repeated fields joined with ``, ``
            in order (RFC 9110 section 5.3).
        peer: The socket's remote address as text, or None where there is none.
    """

    method: str
    target: str
    headers: Mapping[bytes, bytes]
    peer: str | None


class ReplicaStatus(NamedTuple):
    """What is known of the copy that a client would be sent to.

    Attributes:
        against: Why it is better not sent there, or None.
        size: Bytes of the object, or None where nobody asked.
        until: Monotonic time until which this holds.
    """

    against: Reason | None = None
    size: int | None = None
    until: float = inf


REPLICA_OK = ReplicaStatus()
"""Nothing stands against it, for good."""


@dataclass(frozen=True, slots=True)
class RedirectTo:
    """Send the client elsewhere: to a target bucket, or to where the CDN has the object.

    Attributes:
        site: Name of the site.
        key: Object key, decoded once, without the bucket's prefix.
        client: The client's address, or None when it is not known.
        region: The client's region, or None.
        target: Whether the site has a target in ``region``.
        base: Absolute URL of the place, up to and with the slash before the key.
        path: The key, encoded once; a whole signed URL behind an empty ``base``.
        status: 301, 302, 303, 307 or 308.
        browser: Whether the request names its Origin: following takes CORS's permission.
        reason: ``Reason.IN_REGION`` for a target; else why there is none for this request.
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
    browser: bool = False
    reason: Reason = Reason.IN_REGION
    replica: ReplicaStatus = REPLICA_OK

    @property
    def location(self) -> str:
        """Absolute URL that the client is sent to."""
        return self.base + self.path


@dataclass(frozen=True, slots=True)
class Stream:
    """Serve the object from the origin bucket.

    Attributes:
        site: Name of the site.
        key: Object key, decoded once, without the bucket's prefix; may be empty.
        client: The client's address, or None when it is not known.
        region: The client's region, or None.
        target: Whether the site has a target in ``region``.
        reason: Why there is no redirect.
        query: Names and values, decoded, of the arguments the origin is to be asked.
    """

    site: str
    key: str
    client: str | None
    region: str | None
    target: bool
    reason: Reason
    query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an error: the request is not one that any bucket could serve.

    Attributes:
        status: HTTP status of the answer.
        reason: Which rule the request breaks.
    """

    status: int
    reason: Reason


Decision = RedirectTo | Stream | Refuse


def action_of(decision: Decision) -> Action:
    """What the answer does: a redirect past the targets has the reason there is no target."""
    return Action.REDIRECT if isinstance(decision, RedirectTo) else decision.reason.action
