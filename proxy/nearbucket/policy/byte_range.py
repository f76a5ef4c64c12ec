"""One range of bytes in a Range field (RFC 9110 section 14.1.2): its grammar, bounds and size."""

from __future__ import annotations

import re

BYTE_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
"""The whole field; either bound may be empty."""

_DIGITS = 18
"""Digits of a byte position that fit into 64 bits; a longer one is beyond the end of any object."""

LOGGED_DIGITS = 15
"""Most digits of a bound in an access log: readers of logs take a longer one for no number."""


def one_range(value: str) -> str | None:
    """The canonical form of one valid range of bytes; None for everything else.

    S3 answers several ranges with the whole object too (GetObject, "Range").
    """
    found = BYTE_RANGE.fullmatch(value.strip())
    if found is None or not (found[1] or found[2]):
        return None
    first, last = (short_bound(digits, _DIGITS) for digits in found.groups())
    if first and last and int(first) > int(last):
        return None
    return f"bytes={first}-{last}"


def range_size(range_: str, size: int) -> int:
    """Bytes in a range of ``one_range`` for an object of ``size`` bytes."""
    first, _, last = range_.removeprefix("bytes=").partition("-")
    if not first:
        return min(int(last), size)
    end = min(int(last), size - 1) if last else size - 1
    return max(0, end - int(first) + 1)


def short_bound(digits: str, most: int) -> str:
    """A bound without leading zeros, and with ``most`` nines if it is longer; empty stays empty."""
    number = digits.lstrip("0") or digits[:1]
    return number if len(number) <= most else "9" * most
