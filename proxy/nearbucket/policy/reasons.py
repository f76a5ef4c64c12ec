"""Why a decision was taken: one word each, the same wherever it is shown or counted.

In: nothing. Out: ``Action`` and ``Reason``, which the rest of the vocabulary (``model.py``) hands
on. Refuses to know who decides.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class Action(StrEnum):
    """What an answer does."""

    REDIRECT = "redirect"
    STREAM = "stream"
    REFUSE = "refuse"


class Reason(StrEnum):
    """Why a decision was taken: the same word in metrics, logs, headers and documentation."""

    action: Action
    help: str

    def __new__(cls, word: str, text: str, action: Action = Action.STREAM) -> Self:
        """Attach its one-sentence meaning to a reason, and the action it belongs to."""
        member = str.__new__(cls, word)
        member._value_ = word
        member.action = action
        member.help = text
        return member

    IN_REGION = (
        "in-region",
        "The client is in a region that has a target bucket, and no rule stands against it.",
        Action.REDIRECT,
    )
    CLIENT_UNKNOWN = (
        "client-unknown",
        "A trusted proxy sent the request without a usable client address.",
    )
    OUTSIDE_AWS = (
        "outside-aws",
        "No published prefix of the counted services holds the client's address.",
    )
    NO_TARGET = (
        "no-target",
        "The client is in an AWS region for which the site has no target bucket.",
    )
    PATH = (
        "path",
        "The object key matches no pattern of redirect.paths, or one of redirect.exclude.",
    )
    SMALL = ("small", "The object is smaller than redirect.min_size.")
    OPT_OUT = (
        "opt-out",
        "The client asked not to be redirected, by query, header, user agent or network.",
    )
    CAME_BACK = (
        "came-back",
        "The client sends the request again right after its redirect: it did not get through.",
    )
    CREDENTIALS = (
        "credentials",
        "The request carries Authorization, Cookie or a query that this host alone can answer.",
    )
    NOT_REPLICATED = (
        "not-replicated",
        "The target bucket does not hold the object, or holds another version of it.",
    )
    UNVERIFIED = (
        "unverified",
        "S3 did not say in time what origin and target hold, or the target's keys were not there.",
    )
    TARGET_DOWN = (
        "target-down",
        "The target bucket failed its last checks; it is asked again every few seconds.",
    )
    PERCENT = ("percent", "The stable hash of client and path falls outside redirect.percent.")
    SHADOW = ("shadow", "redirect.mode is shadow: this request would have been redirected.")
    OFF = ("off", "redirect.mode is off: this request would have been redirected.")
    WELL_KNOWN = (
        "well-known",
        "The path is that of the list of hosts, which the proxy answers itself.",
        Action.REFUSE,
    )
    METHOD = (
        "method",
        "Only GET and HEAD are answered with objects; OPTIONS says so.",
        Action.REFUSE,
    )
    HOST = ("host", "No site serves the host that the request names.", Action.REFUSE)
    PATH_INVALID = (
        "path-invalid",
        "The path is not one encoding of a legal, unambiguous object key.",
        Action.REFUSE,
    )
    BAD_REQUEST = (
        "bad-request",
        "The bytes are not one well-formed HTTP/1 request; the connection is closed.",
        Action.REFUSE,
    )
    SECRET = (
        "secret",
        "The request carries the origin secret's header with a value that is not accepted.",
        Action.REFUSE,
    )
