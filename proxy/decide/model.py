"""The vocabulary: what a request is, what can be decided about it, and why.

In: nothing. Out: values that every other module speaks in. Refuses to know how any of
them is read from a socket, shown to a person or counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN = "UNKNOWN"
"""How a client without a region is written wherever a person reads it."""


class Action(StrEnum):
    """What an answer does."""

    REDIRECT = "redirect"
    STREAM = "stream"
    REFUSE = "refuse"


class Reason(StrEnum):
    """Why a decision was taken: the same word in metrics, logs, headers and documentation."""

    action: Action
    help: str

    def __new__(cls, word: str, action: Action, text: str) -> Self:
        """Attach the action a reason belongs to and its one-sentence meaning."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.action = action
        member.help = text
        return member

    IN_REGION = (
        "in-region",
        Action.REDIRECT,
        "The client is in a region that has a target bucket, and no rule stands against it.",
    )
    CLIENT_UNKNOWN = (
        "client-unknown",
        Action.STREAM,
        "A trusted proxy sent the request without a usable client address.",
    )
    OUTSIDE_AWS = (
        "outside-aws",
        Action.STREAM,
        "No published prefix of the counted services holds the client's address.",
    )
    NO_TARGET = (
        "no-target",
        Action.STREAM,
        "The client is in an AWS region for which the site has no target bucket.",
    )
    PATH = (
        "path",
        Action.STREAM,
        "The object key matches no pattern of redirect.paths, or one of redirect.exclude.",
    )
    OPT_OUT = (
        "opt-out",
        Action.STREAM,
        "The client asked not to be redirected, by query, header, user agent or network.",
    )
    CREDENTIALS = (
        "credentials",
        Action.STREAM,
        "The request carries Authorization, Cookie or a query that this host alone can answer.",
    )
    PERCENT = (
        "percent",
        Action.STREAM,
        "The stable hash of client and path falls outside redirect.percent.",
    )
    SHADOW = (
        "shadow",
        Action.STREAM,
        "redirect.mode is shadow: this request would have been redirected.",
    )
    OFF = (
        "off",
        Action.STREAM,
        "redirect.mode is off: this request would have been redirected.",
    )
    METHOD = (
        "method",
        Action.REFUSE,
        "Only GET and HEAD are answered with objects; OPTIONS says so.",
    )
    HOST = (
        "host",
        Action.REFUSE,
        "No site serves the host that the request names.",
    )
    PATH_INVALID = (
        "path-invalid",
        Action.REFUSE,
        "The path is not one encoding of a legal, unambiguous object key.",
    )
    BAD_REQUEST = (
        "bad-request",
        Action.REFUSE,
        "The bytes are not one well-formed HTTP/1 request; the connection is closed.",
    )
    SECRET = (
        "secret",
        Action.REFUSE,
        "The request carries the origin secret's header with a value that is not accepted.",
    )


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


@dataclass(frozen=True, slots=True)
class Match:
    """The longest prefix that holds an address.

    Attributes:
        region: AWS region name, or None when the prefix belongs to no region.
        prefix: The prefix in CIDR notation.
    """

    region: str | None
    prefix: str


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the client to a target bucket.

    Attributes:
        site: Name of the site.
        key: Object key, decoded once, without the bucket's prefix.
        client: The client's address.
        region: The client's region, whose target this is.
        base: Absolute URL of the target, up to and with the slash before the key.
        path: The key, encoded once.
        status: 301, 302, 303, 307 or 308.
        browser: Whether the request names its Origin: following takes CORS's permission.
        reason: Always ``Reason.IN_REGION``.
    """

    site: str
    key: str
    client: str
    region: str
    base: str
    path: str
    status: int
    browser: bool = False
    reason: Reason = Reason.IN_REGION

    @property
    def location(self) -> str:
        """Absolute URL of the object's regional copy."""
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


Decision = Redirect | Stream | Refuse


class ProxyError(Exception):
    """Something failed, and the child class says on whose side."""


class ConfigError(ProxyError):
    """The operator's side: the configuration cannot be used. Names the file and the key."""


class RangesError(ProxyError):
    """The data feed's side: a document is not a usable ip-ranges.json."""


class OriginError(ProxyError):
    """The upstream's side: S3 gave no usable answer.

    Attributes:
        status: What the client is told: 502, 503 or 504.
        detail: What happened, for the log; never shown to a client.
    """

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


class RequestError(ProxyError):
    """The client's side: the request cannot be read as one."""
