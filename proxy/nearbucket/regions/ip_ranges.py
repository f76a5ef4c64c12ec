"""The published list: checks an ip-ranges.json and turns it into rows of numbers and names.

Format: VPC user guide, "AWS IP address ranges". Unknown keys are ignored; unknown regions and
services are kept.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any, NamedTuple

from nearbucket.errors import RangesError
from nearbucket.regions.prefixes import BITS, covered, parse_network, prefix_text, union

_WIDEST = {4: 8, 6: 16}
"""Shortest prefix length; AWS's own shortest are /11 and /32 (list of 2026-07-29)."""

_SPECIAL = {
    4: "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 "
    "192.168.0.0/16 224.0.0.0/4 240.0.0.0/4",
    6: "::1/128 fc00::/7 fe80::/10 ff00::/8",
}
"""Never public addresses of AWS (RFC 6890). Documentation networks are in our sample list."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
"""A name in the document: names are written to answer headers, logs and terminals."""

_NAMES = ("region", "service", "network_border_group")

_NOTES = 20
"""Rows left out that are described; all are counted."""


class PrefixRow(NamedTuple):
    """One row of the document.

    Attributes:
        family: 4 or 6.
        first: First address of the prefix, as a number.
        length: Prefix length in bits.
        region: AWS region, or None for GLOBAL.
        service: AWS service label.
        border_group: Network border group; the region's label if the row has none.
    """

    family: int
    first: int
    length: int
    region: str | None
    service: str
    border_group: str

    @property
    def prefix(self) -> str:
        """The prefix in CIDR notation."""
        return prefix_text(self.family, self.first, self.length)


@dataclass(frozen=True, slots=True)
class Ranges:
    """A checked ip-ranges document.

    Attributes:
        token: ``syncToken``: the publication time, in seconds since 1970.
        created: ``createDate`` as written (``YYYY-MM-DD-hh-mm-ss``, UTC), or empty.
        rows: Every usable row, in the document's order.
        skipped: What is wrong with the first rows that were left out, at most 20.
        skipped_rows: Number of rows that were left out.
        built_in: Whether it is the list that comes with this version, and the source has not
            confirmed it.
    """

    token: int
    created: str
    rows: tuple[PrefixRow, ...]
    skipped: tuple[str, ...] = ()
    skipped_rows: int = 0
    built_in: bool = False

    @property
    def date(self) -> str:
        """The day of ``created``, or the token if that is empty."""
        return self.created[:10] or str(self.token)

    def is_same_list(self, other: Ranges) -> bool:
        """Whether both have the same token and rows; their order means nothing."""
        return self.token == other.token and frozenset(self.rows) == frozenset(other.rows)

    def addresses(self) -> tuple[int, int]:
        """Numbers of IPv4 and of IPv6 addresses that the prefixes cover, each counted once."""
        v4, v6 = (
            covered(family, (row[1:3] for row in self.rows if row[0] == family))
            for family in (4, 6)
        )
        return v4, v6


def read_ranges(document: bytes) -> Ranges:
    """Check and parse an ip-ranges.json.

    Rows that cannot be right are left out and noted.

    Raises:
        RangesError: The document as a whole is not a usable list.
    """
    try:
        top = json.loads(document)
    except (ValueError, RecursionError) as error:
        raise RangesError(f"not JSON: {error}") from error
    if not isinstance(top, dict):
        raise RangesError(f"a JSON {type(top).__name__} where an object belongs")
    token, created = _token(top.get("syncToken")), top.get("createDate", "")
    if created != "" and not _is_name(created):
        raise RangesError(f"odd createDate: {_shown(created)}")
    rows: list[PrefixRow] = []
    problems: list[str] = []
    for family, listed, field in (
        (4, "prefixes", "ip_prefix"),
        (6, "ipv6_prefixes", "ipv6_prefix"),
    ):
        items = top.get(listed, [])
        if not isinstance(items, list):
            raise RangesError(f"{listed} is a JSON {type(items).__name__}, not a list")
        reader = _RowReader(family, field)
        for index, item in enumerate(items):
            row = reader.read(item)
            if isinstance(row, PrefixRow):
                rows.append(row)
            else:
                problems.append(f"{listed}[{index}]: {row}")
    if not rows:
        raise RangesError(f"no usable prefix ({'; '.join(problems[:3]) or 'none is listed'})")
    return Ranges(token, created, tuple(rows), tuple(problems[:_NOTES]), len(problems))


class _RowReader:
    """Reads the rows of one family. A prefix is listed under several services, but parsed once."""

    def __init__(self, family: int, field: str) -> None:
        self._family, self._field = family, field
        self._special = union(
            family,
            [known[1:] for text in _SPECIAL[family].split() if (known := parse_network(text))],
        )
        self._prefixes: dict[str, tuple[int, int] | str] = {}
        self._names: dict[str, str] = {}

    def read(self, item: Any) -> PrefixRow | str:
        """The row, or a text that says what is wrong with it."""
        if not isinstance(item, dict):
            return f"a JSON {type(item).__name__} where an object belongs"
        text, region = item.get(self._field), self._name(item.get("region"))
        service = self._name(item.get("service"))
        border_group = self._name(item.get("network_border_group", region))
        if region is None or service is None or border_group is None:
            return f"not names: {_shown([item.get(key) for key in _NAMES])}"
        if not isinstance(text, str):
            return f"{self._field} is not text: {_shown(text)}"
        prefix = self._prefixes.get(text)
        if prefix is None:
            prefix = self._prefixes[text] = self._prefix(text)
        if isinstance(prefix, str):
            return prefix
        known_region = None if region == "GLOBAL" else region
        return PrefixRow(self._family, *prefix, known_region, service, border_group)

    def _name(self, value: Any) -> str | None:
        """One object for a name that is listed often: less memory, and a smaller pickle."""
        if not isinstance(value, str):
            return None
        known = self._names.get(value)
        if known is None and _is_name(value):
            known = self._names[value] = value
        return known

    def _prefix(self, text: str) -> tuple[int, int] | str:
        parsed = parse_network(text)
        if parsed is None or parsed[0] != self._family:
            return f"not an IPv{self._family} prefix: {_shown(text)}"
        _, first, length = parsed
        if length < _WIDEST[self._family]:
            return f"too wide: {text}"
        end = first + (1 << BITS[self._family] - length)
        before = bisect_right(self._special, first)
        if before % 2 or bisect_left(self._special, end) > before:
            return f"special-purpose space: {text}"
        return first, length


def _token(value: Any) -> int:
    text = str(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(2**63))):
        raise RangesError("no syncToken" if value is None else f"odd syncToken: {_shown(value)}")
    return int(text)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _shown(value: Any) -> str:
    """A value from the document for a log line: escaped and short."""
    return ascii(value)[:80]
