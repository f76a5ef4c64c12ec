"""How long a response is kept: the chapters "Expiration" and "HTTP 4xx and 5xx status codes"."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.cdn.distribution import CachePolicy, Distribution

ERROR_TTL = 10.0
"""Error caching minimum TTL of a distribution that does not set it."""

KEPT_ERRORS = frozenset({404, 410, 414, 500, 501, 502, 503, 504})
"""Errors that are kept whatever they say, unless they are of ``OBEYING_ERRORS``."""
OBEYING_ERRORS = frozenset({404, 410, 414, 501})
"""The errors whose ``no-store``, ``no-cache`` and ``private`` are obeyed."""
DATED_ERRORS = frozenset({400, 403, 405, 412, 415})
"""Errors that are only kept if they have ``max-age`` or ``s-maxage``."""

UNSHARED = frozenset({"no-store", "no-cache", "private"})


def directives(fields: Mapping[str, str]) -> dict[str, str]:
    """The directives of Cache-Control, lower-case, with their values."""
    found = {}
    for each in fields.get("Cache-Control", "").split(","):
        name, _, value = each.strip().partition("=")
        found[name.lower()] = value.strip('"')
    return found


def lifetime(
    status: int, fields: Mapping[str, str], policy: CachePolicy, distribution: Distribution
) -> float:
    """Seconds for which a response is kept; 0 if it is not.

    Args:
        status: Its status.
        fields: Its header fields; names in any case.
        policy: Cache policy of the behaviour.
        distribution: For the TTLs of errors.
    """
    said = directives(fields)
    asked = _asked(said, fields)
    if status >= 400:
        least = distribution.errors.get(status, ERROR_TTL)
        return _of_error(status, said, None if asked is None else min(asked, policy.maximum), least)
    if UNSHARED & said.keys():
        return min(policy.minimum, policy.maximum)
    if asked is None:
        asked = policy.default
    return min(max(asked, policy.minimum), policy.maximum)


def _asked(said: Mapping[str, str], fields: Mapping[str, str]) -> float | None:
    """The time that the origin asks for: s-maxage before max-age before Expires."""
    for name in ("s-maxage", "max-age"):
        if said.get(name, "").isdigit():
            return float(said[name])
    if "Expires" in fields and "Date" in fields:
        expires, date = (parsedate_to_datetime(fields[name]) for name in ("Expires", "Date"))
        return max((expires - date).total_seconds(), 0.0)
    return None


def _of_error(status: int, said: Mapping[str, str], asked: float | None, least: float) -> float:
    """As ``lifetime``: the longer of what the origin asks for and the error caching minimum TTL."""
    if status in OBEYING_ERRORS and UNSHARED & said.keys():
        return 0.0
    if status in KEPT_ERRORS or (status in DATED_ERRORS and asked is not None):
        return max(asked or 0.0, least)
    return 0.0


def may_be_stale(fields: Mapping[str, str]) -> bool:
    """Whether a response may still be used after its time, when the origin fails."""
    said = directives(fields)
    strict = {"must-revalidate", "proxy-revalidate", *UNSHARED} & said.keys()
    return not strict and said.get("stale-if-error") != "0"
