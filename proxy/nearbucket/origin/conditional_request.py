"""A client's Range and If-* fields, turned into fields that every S3 server understands.

S3 servers agree on one plain range, one strong ETag and well-formed dates, and on little else:
SeaweedFS has no If-Range, answers 416 to ``bytes=5-2`` and 400 to a date that it cannot read, and
does not match weak tags. So only what all of them read alike is sent, the rest is decided here, and
If-Range is sent as If-Match (RFC 9110 sections 13 and 14).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

from nearbucket.policy.byte_range import one_range
from nearbucket.policy.preconditions import ENTITY_TAG, entity_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_TIME = r"(?P<time>\d\d:\d\d:\d\d)"
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_DAY = "Mon|Tue|Wed|Thu|Fri|Sat|Sun"
_LONG_DAY = "Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday"
_DATES = tuple(
    re.compile(form, re.ASCII)
    for form in (
        rf"(?:{_DAY}), (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_TIME} GMT",
        rf"(?:{_LONG_DAY}), (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_TIME} GMT",
        rf"(?:{_DAY}) {_MONTH} (?P<day>[ \d]\d) {_TIME} (?P<year>\d{{4}})",
    )
)
"""IMF-fixdate, and the obsolete forms of RFC 850 and asctime."""
_SHORT_YEAR = 2
"""Digits of a year that is in this century, or the last if that is over 50 years from now."""
_UNCHANGED = frozenset({"if-none-match", "if-modified-since"})
"""Conditions to which 304 is an answer (RFC 9110 section 15.4.5)."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of one request.

    Attributes:
        headers: Header fields of the first request to S3, names in lower case.
        whole: Header fields of the second, for the whole object, if If-Range does not hold; None
            without an If-Range.
        unmoved: The Last-Modified that a part must have, if If-Range is a date.
        match: Tags of which the object must have one, if that is decided here.
        none_match: Tags of which the object must have none, or ``*``, if that is decided here.
    """

    headers: dict[str, str] = field(default_factory=dict)
    whole: dict[str, str] | None = None
    unmoved: datetime | None = None
    match: frozenset[str] | None = None
    none_match: frozenset[str] | None = None

    @property
    def may_be_304(self) -> bool:
        """Whether 304 is an answer to it; to a request without a condition it is none."""
        return self.none_match is not None or not _UNCHANGED.isdisjoint(self.headers)

    def if_range_holds(self, status: int, last_modified: str) -> bool:
        """Whether If-Range holds; if not, ``whole`` has to be sent.

        Args:
            status: S3's status for ``headers``.
            last_modified: Its Last-Modified, or an empty text.
        """
        if self.whole is None:
            return True
        if status == 304 and self.unmoved is not None:  # noqa: PLR2004  # Not Modified
            return False
        if status == 206 and self.unmoved is not None:  # noqa: PLR2004  # Partial Content
            # exactly that date (RFC 9110 section 13.1.5): an older one is another version too
            return _date(last_modified) == self.unmoved
        return status != 412  # noqa: PLR2004  # Precondition Failed

    def verdict(self, etag: str) -> int | None:
        """412 or 304 if a condition that is decided here says so, else None.

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
    """Read a client's conditions; malformed ones are ignored.

    Args:
        method: ``GET`` or ``HEAD``, which has no ranges (RFC 9110 section 14.2).
        given: Header name, in any case, to value: Range, If-Match, If-None-Match,
            If-Modified-Since, If-Unmodified-Since, If-Range. Other fields are ignored.
    """
    if not given:
        return _NONE
    fields = {name.lower(): value for name, value in given.items()}
    sent: dict[str, str] = {}
    match = _match(fields, sent)
    none_match = _none_match(fields, sent)
    range_ = one_range(fields.get("range", "")) if method == "GET" else None
    if range_ is None or match is not None or none_match is not None:
        # a 416 has no ETag to decide on; ignoring Range is always allowed (section 14.2)
        return Conditions(sent, match=match, none_match=none_match)
    if "if-range" not in fields:
        return Conditions(sent | {"range": range_})
    return _if_range(fields["if-range"].strip(), fields, sent, range_)


def _if_range(value: str, fields: dict[str, str], sent: dict[str, str], range_: str) -> Conditions:
    """If-Range as conditions that every S3 server knows."""
    busy = "if-match" in fields or "if-unmodified-since" in fields
    tag, date = ENTITY_TAG.fullmatch(value), _date(value)
    if not busy and tag is not None and not tag[1] and value.isprintable():
        return Conditions(sent | {"range": range_, "if-match": value}, whole=sent)
    busy = busy or "if-none-match" in fields or "if-modified-since" in fields
    if not busy and date is not None:
        dated = {
            "range": range_,
            "if-unmodified-since": _http_date(date),
            "if-modified-since": _http_date(date - timedelta(seconds=1)),
        }
        return Conditions(sent | dated, whole=sent, unmoved=date)
    # a weak tag never holds; if the client sent the fields that are needed here itself, the whole
    # object is a correct answer too
    return Conditions(sent)


def _match(fields: dict[str, str], sent: dict[str, str]) -> frozenset[str] | None:
    """If-Match and, only without it, If-Unmodified-Since (RFC 9110 section 13.1.4)."""
    value = fields.get("if-match")
    if value is None:
        if date := _date(fields.get("if-unmodified-since", "")):
            sent["if-unmodified-since"] = _http_date(date)
        return None
    if value.strip() == "*":
        return None
    # strong comparison: weak tags never match (section 13.1.1)
    tags = frozenset(f'"{tag}"' for weak, tag in _sendable_tags(value) if not weak)
    if len(tags) == 1:
        sent["if-match"] = next(iter(tags))
        return None
    return tags


def _none_match(fields: dict[str, str], sent: dict[str, str]) -> frozenset[str] | None:
    """If-None-Match and, only without it, If-Modified-Since (RFC 9110 section 13.1.3)."""
    value = fields.get("if-none-match")
    if value is None:
        if date := _date(fields.get("if-modified-since", "")):
            sent["if-modified-since"] = _http_date(date)
        return None
    if value.strip() == "*":
        return frozenset("*")
    # weak comparison: W/ makes no difference (section 13.1.2)
    tags = frozenset(f'"{tag}"' for _, tag in _sendable_tags(value))
    if len(tags) > 1:
        return tags
    if tags:
        sent["if-none-match"] = next(iter(tags))
    return None


def _sendable_tags(value: str) -> list[tuple[str, str]]:
    """The tags of ``entity_tags`` but for those with bytes that are not UTF-8.

    No object has such a tag, and aiohttp would send it without these bytes: as another one.
    """
    return [(weak, tag) for weak, tag in entity_tags(value) if tag.isprintable()]


def _date(value: str) -> datetime | None:
    """An HTTP date in one of its three forms, in UTC; None for everything else.

    Everything else has to be ignored: also two lines, lists, other cases, zones and parameters,
    which parsers of e-mail dates accept (RFC 9110 sections 5.6.7 and 13.1.3).
    """
    found = next((each for form in _DATES if (each := form.fullmatch(value))), None)
    if found is None:
        return None
    year, month = int(found["year"]), _MONTHS.index(found["month"]) + 1
    if len(found["year"]) == _SHORT_YEAR:
        this_year = datetime.now(UTC).year
        year += this_year // 100 * 100
        year -= 100 if year > this_year + 50 else 0
    hour, minute, second = (int(part) for part in found["time"].split(":"))
    try:
        return datetime(year, month, int(found["day"]), hour, minute, second, tzinfo=UTC)
    except ValueError:  # no such day or time
        return None


def _http_date(date: datetime) -> str:
    """The form of a date that may be sent (RFC 9110 section 5.6.7)."""
    return format_datetime(date, usegmt=True)
