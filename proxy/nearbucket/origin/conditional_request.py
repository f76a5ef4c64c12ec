"""What a client asks about versions and parts of an object, turned into what S3 is asked.

In: the client's Range and If-* values. Out: headers for S3, and what has to be decided from
S3's answer. Refuses to know how S3 is reached.

S3 and its clones agree on one plain range, one strong ETag and well-formed dates, and on
little else: SeaweedFS has no If-Range, answers 416 to ``bytes=5-2`` and 400 to a date it
cannot read, and does not match weak tags. So only what all of them read alike is sent, the
rest is decided here, and one If-Range is asked as If-Match (RFC 9110 sections 13 and 14).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import format_datetime, formatdate, parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TAG = re.compile(r'(W/)?"([!#-~\x80-\U0010ffff]*)"')
_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
_BARE = re.compile(r"[0-9A-Za-z-]+")
_DIGITS = 18
"""Digits of a byte position that fit 64 bits; a longer one lies beyond any object anyway."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """One client's conditions, ready to be asked.

    Attributes:
        headers: What S3 is sent first, names in lower case.
        whole: What S3 is sent instead, without a range, when If-Range does not hold; None
            where there is no If-Range.
        unmoved: The Last-Modified a part must have, in seconds since the epoch, when
            If-Range is a date.
        match: Tags of which the object must have one, when that is decided here.
        none_match: Tags of which the object must have none, or ``*``, likewise.
    """

    headers: dict[str, str] = field(default_factory=dict)
    whole: dict[str, str] | None = None
    unmoved: float | None = None
    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    def part_holds(self, status: int, last_modified: str) -> bool:
        """Whether an answer stands, or If-Range turned out false and ``whole`` is due.

        Args:
            status: S3's status to ``headers``.
            last_modified: Its Last-Modified, or an empty text.
        """
        if self.whole is None:
            return True
        if status == 304 and self.unmoved is not None:  # noqa: PLR2004 - Not Modified
            return False
        if status == 206 and self.unmoved is not None:  # noqa: PLR2004 - Partial Content
            # exactly that date (RFC 9110 section 13.1.5): older is another version too
            return _seconds(last_modified) == self.unmoved
        return status != 412  # noqa: PLR2004 - Precondition Failed

    def verdict(self, etag: str) -> int | None:
        """412 or 304 where a condition decided here says so, else None.

        Args:
            etag: The object's ETag as S3 sent it.
        """
        if self.match is not None and etag not in self.match:
            return 412
        if self.none_match is not None and not self.none_match.isdisjoint(
            {"*", etag.removeprefix("W/")}
        ):
            return 304
        return None


_NONE = Conditions()


def read_conditions(method: str, given: Mapping[str, str]) -> Conditions:
    """Read a client's conditions; what is malformed is as if it had not been sent.

    Args:
        method: ``GET`` or ``HEAD``, which has no ranges (RFC 9110 section 14.2).
        given: Header name, in any case, to value: Range, If-Match, If-None-Match,
            If-Modified-Since, If-Unmodified-Since, If-Range. Others are ignored.
    """
    if not given:
        return _NONE
    asked = {name.lower(): value for name, value in given.items()}
    sent: dict[str, str] = {}
    match = _match(asked, sent)
    none_match = _none_match(asked, sent)
    range_ = one_range(asked.get("range", "")) if method == "GET" else None
    if range_ is None or match is not None or none_match is not None:
        # a 416 does not say which version it is about, so nothing could be decided on it;
        # ignoring Range is always allowed (RFC 9110 section 14.2)
        return Conditions(sent, match=match, none_match=none_match)
    if "if-range" not in asked:
        return Conditions(sent | {"range": range_})
    return _if_range(asked["if-range"].strip(), asked, sent, range_)


def _if_range(value: str, asked: dict[str, str], sent: dict[str, str], range_: str) -> Conditions:
    """The part if the object is still the client's, as a condition that every S3 knows."""
    busy = "if-match" in asked or "if-unmodified-since" in asked
    tag, date = _TAG.fullmatch(value), _seconds(value)
    if not busy and tag is not None and not tag[1]:
        return Conditions(sent | {"range": range_, "if-match": value}, whole=sent)
    busy = busy or "if-none-match" in asked or "if-modified-since" in asked
    if not busy and date is not None:
        dated = {
            "range": range_,
            "if-unmodified-since": _http_date(value),
            "if-modified-since": formatdate(date - 1, usegmt=True),
        }
        return Conditions(sent | dated, whole=sent, unmoved=date)
    # a weak tag never holds; and where the client uses the fields that are needed here, the
    # whole object is a right answer too
    return Conditions(sent)


def _match(asked: dict[str, str], sent: dict[str, str]) -> frozenset[str] | None:
    """If-Match and, only without it, If-Unmodified-Since (RFC 9110 section 13.1.4)."""
    value = asked.get("if-match")
    if value is None:
        if date := _http_date(asked.get("if-unmodified-since", "")):
            sent["if-unmodified-since"] = date
        return None
    if value.strip() == "*":
        return None
    # strong comparison: weak tags never match (section 13.1.1)
    tags = frozenset(f'"{tag}"' for weak, tag in _TAG.findall(_quoted(value)) if not weak)
    if len(tags) == 1:
        sent["if-match"] = next(iter(tags))
        return None
    return tags


def _none_match(asked: dict[str, str], sent: dict[str, str]) -> frozenset[str] | None:
    """If-None-Match and, only without it, If-Modified-Since (RFC 9110 section 13.1.3)."""
    value = asked.get("if-none-match")
    if value is None:
        if date := _http_date(asked.get("if-modified-since", "")):
            sent["if-modified-since"] = date
        return None
    if value.strip() == "*":
        return frozenset("*")
    # weak comparison: W/ makes no difference (section 13.1.2)
    tags = frozenset(f'"{tag}"' for _, tag in _TAG.findall(_quoted(value)))
    if len(tags) > 1:
        return tags
    if tags:
        sent["if-none-match"] = next(iter(tags))
    return None


def _quoted(value: str) -> str:
    """One tag without its quotes gets them, as S3 reads it (versity/versitygw#1715)."""
    return f'"{value.strip()}"' if _BARE.fullmatch(value.strip()) else value


def one_range(value: str) -> str | None:
    """One valid range of bytes in canonical form; None for everything else.

    S3 answers several ranges with the whole object, too (GetObject, "Range").
    """
    found = _RANGE.fullmatch(value.strip())
    if found is None or not (found[1] or found[2]):
        return None
    first, last = (_position(digits) for digits in found.groups())
    if first and last and int(first) > int(last):
        return None
    return f"bytes={first}-{last}"


def range_size(range_: str, size: int) -> int:
    """Bytes that a range of ``one_range`` has of an object of ``size`` bytes."""
    first, _, last = range_.removeprefix("bytes=").partition("-")
    if not first:
        return min(int(last), size)
    end = min(int(last), size - 1) if last else size - 1
    return max(0, end - int(first) + 1)


def _position(digits: str) -> str:
    """A byte position that fits 64 bits, without leading zeros; empty stays empty."""
    kept = digits.lstrip("0") or digits[:1]
    return kept if len(kept) <= _DIGITS else "9" * _DIGITS


def _seconds(value: str) -> float | None:
    """An HTTP date in seconds since the epoch; None when it is none."""
    try:
        date = parsedate_to_datetime(value)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _http_date(value: str) -> str:
    """An HTTP date in the one form that may be sent (RFC 9110 section 5.6.7), or nothing."""
    try:
        date = parsedate_to_datetime(value)
        date = date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
        return format_datetime(date, usegmt=True)
    except (ValueError, TypeError, OverflowError):
        return ""
