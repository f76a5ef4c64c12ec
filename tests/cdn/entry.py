"""A response that is kept, whole or in parts, and what it answers."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from multidict import CIMultiDict

if TYPE_CHECKING:
    from collections.abc import Mapping

Span = tuple[int, int]
"""First byte, and the one after the last."""

_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer to a viewer: status, header fields, body."""

    status: int
    fields: CIMultiDict[str]
    body: bytes


@dataclass(slots=True)
class Entry:
    """A kept response.

    Attributes:
        status: Status: 200 for an object, also where only parts of it are here.
        fields: Header fields, without Content-Length and Content-Range.
        total: Size of the body.
        parts: What is here of it, by the first byte; ranges that touch are one part.
        stored: When it was stored or revalidated.
        until: Until when it is fresh.
    """

    status: int
    fields: CIMultiDict[str]
    total: int
    parts: dict[int, bytes] = field(default_factory=dict)
    stored: float = 0.0
    until: float = 0.0

    @classmethod
    def of(cls, status: int, fields: Mapping[str, str], body: bytes, *, head: bool) -> Entry:
        """The entry of a response with its body; ``head``: it answers a HEAD, and has none."""
        kept = CIMultiDict(fields)
        length = int(kept.pop("Content-Length", len(body)))
        span = _CONTENT_RANGE.fullmatch(kept.pop("Content-Range", ""))
        if status == 206 and span:
            return cls(200, kept, int(span[3]), {int(span[1]): body})
        nothing = head and status < 300
        return cls(status, kept, length, {} if nothing else {0: body})

    def same_version(self, other: Entry) -> bool:
        """Whether parts of both are of one object, by its ETag and size."""
        tag = self.fields.get("ETag", "")
        return bool(tag) and tag == other.fields.get("ETag") and self.total == other.total

    def add(self, parts: Mapping[int, bytes]) -> None:
        """Add parts of the same version."""
        whole: dict[int, bytes] = {}
        last = 0
        for first, data in sorted([*self.parts.items(), *parts.items()]):
            end = last + len(whole.get(last, b""))
            if whole and first <= end:
                whole[last] += data[max(end - first, 0) :]
            else:
                whole[first], last = data, first
        self.parts = whole

    def bytes_of(self, span: Span) -> bytes | None:
        """Some bytes of the body, if they are all here."""
        for first, data in self.parts.items():
            if first <= span[0] and span[1] <= first + len(data):
                return data[span[0] - first : span[1] - first]
        return None

    def reply(self, request: Mapping[str, str], *, head: bool) -> Reply | None:
        """What it answers to a request's header fields; None if its parts do not suffice."""
        if self.status == 200 and self._unmodified(request):
            return Reply(304, self.fields.copy(), b"")
        span = None
        if self.status == 200 and not head and self._range_holds(request):
            span = wanted(request.get("Range", ""), self.total)
        if span is not None and span[0] >= min(span[1], self.total):
            return Reply(416, CIMultiDict({"Content-Range": f"bytes */{self.total}"}), b"")
        fields = self.fields.copy()
        first, end = span or (0, self.total)
        fields["Content-Length"] = str(end - first)
        if span:
            fields["Content-Range"] = f"bytes {first}-{end - 1}/{self.total}"
        if head:
            return Reply(self.status, fields, b"")
        body = self.bytes_of((first, end))
        if body is None and self.status < 300:
            return None
        fields["Content-Length"] = str(len(body or b""))
        return Reply(206 if span else self.status, fields, body or b"")

    def _unmodified(self, request: Mapping[str, str]) -> bool:
        if tags := request.get("If-None-Match"):
            known = self.fields.get("ETag", "").removeprefix("W/")
            return tags == "*" or known in {
                tag.strip().removeprefix("W/") for tag in tags.split(",")
            }
        since, modified = request.get("If-Modified-Since"), self.fields.get("Last-Modified")
        return bool(since and modified) and _seconds(modified) <= _seconds(since)

    def _range_holds(self, request: Mapping[str, str]) -> bool:
        condition = request.get("If-Range", "")
        return not condition or condition in {
            self.fields.get("ETag"),
            self.fields.get("Last-Modified"),
        }


def _seconds(date: str | None) -> float:
    return parsedate_to_datetime(date or "").timestamp()


def wanted(range_field: str, total: int) -> Span | None:
    """What a Range asks for, of a body of ``total`` bytes; None if it is not one range."""
    match = _RANGE.fullmatch(range_field)
    if not match or not any(match.groups()):
        return None
    if not match[1]:
        return max(total - int(match[2]), 0), total
    return int(match[1]), min(int(match[2]) + 1, total) if match[2] else total


def widened(range_field: str, block: int) -> str:
    """A Range of one span, widened to whole blocks: CloudFront may ask for more than its viewer."""
    match = _RANGE.fullmatch(range_field)
    if not match or not match[1] or not block:
        return range_field
    first = int(match[1]) // block * block
    return f"bytes={first}-{(int(match[2]) // block + 1) * block - 1 if match[2] else ''}"
