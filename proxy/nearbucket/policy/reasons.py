"""Why a request is redirected, streamed or refused.

Metrics, access log, ``X-Nearbucket``, ``explain`` and the documentation take words and meanings
from here.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Action(StrEnum):
    """What the client gets: a redirect, the object, or an error."""

    REDIRECT = "redirect"
    STREAM = "stream"
    REFUSE = "refuse"


class Reason(StrEnum):
    """The rule that decided a request, with its action and its meaning in one sentence.

    The order of the members has no meaning; ``SitePolicy.reason`` has that of the rules.
    """

    action: Action
    help: str

    def __new__(cls, word: str, text: str, action: Action = Action.STREAM) -> Self:
        """Attach meaning and action to the word."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.action = action
        member.help = text
        return member

    IN_REGION = (
        "in-region",
        "The client's region has a target bucket, and no rule prevents a redirect.",
        Action.REDIRECT,
    )
    CLIENT_UNKNOWN = (
        "client-unknown",
        "A trusted proxy sent the request without a usable client address.",
    )
    OUTSIDE_AWS = ("outside-aws", "The client's address is in no prefix of the counted services.")
    NO_TARGET = ("no-target", "The client is in an AWS region without a target bucket.")
    HEAD = ("head", "A HEAD is answered here: redirect.head is stream.")
    PATH = (
        "path",
        "The object key matches no redirect.paths pattern, or matches redirect.exclude.",
    )
    MUTABLE = (
        "mutable",
        "The object key matches redirect.mutable: such objects are always streamed.",
    )
    SMALL = ("small", "The object is smaller than redirect.min_size.")
    OPT_OUT = ("opt-out", "A query, header, user agent or network of the opt_out setting matches.")
    CAME_BACK = (
        "came-back",
        "Redirects of the client fail: it asked for one object several times in a row.",
    )
    NOT_MODIFIED = (
        "not-modified",
        "If-None-Match names the current version: 304, without a request to S3.",
    )
    OTHER_ETAG = (
        "other-etag",
        "If-Match or If-Range has the ETag of the origin's object, and the copy has another one.",
    )
    CREDENTIALS = (
        "credentials",
        "The request has Authorization, Cookie, a signed query or an argument of origin.query.",
    )
    NOT_REPLICATED = (
        "not-replicated",
        "The target has no copy, or one that is not known to equal the origin's object.",
    )
    UNREADABLE = (
        "unreadable",
        "The target has the copy, but clients cannot read it: archived, or encrypted.",
    )
    ABSENT = ("absent", "The origin bucket does not have the object.")
    UNVERIFIED = (
        "unverified",
        "S3 did not say in time what origin and target have, or the URL could not be signed.",
    )
    TARGET_DOWN = (
        "target-down",
        "The target failed its health checks, those as clients see it included.",
    )
    PERCENT = ("percent", "The hash of client and path is outside redirect.percent.")
    SHADOW = ("shadow", "redirect.mode, or the target's, is shadow: else it would be redirected.")
    OFF = ("off", "redirect.mode, or the target's, is off: else it would be redirected.")
    WELL_KNOWN = (
        "well-known",
        "The path is that of the list of hosts, which the proxy answers itself.",
        Action.REFUSE,
    )
    METHOD = ("method", "The method is neither GET nor HEAD.", Action.REFUSE)
    HOST = ("host", "No site has the host that the request names.", Action.REFUSE)
    PATH_INVALID = (
        "path-invalid",
        "The path is not a valid, unambiguous object key.",
        Action.REFUSE,
    )
    BAD_REQUEST = ("bad-request", "The bytes are not one valid HTTP/1 request.", Action.REFUSE)
    SECRET = (
        "secret",
        "The origin secret's header has a value that is not accepted.",
        Action.REFUSE,
    )
