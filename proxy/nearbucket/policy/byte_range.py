"""The grammar of one range of bytes in a Range field (RFC 9110 section 14.1.2), and its bounds."""

from __future__ import annotations

import re

BYTE_RANGE = re.compile(r"bytes=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
"""The whole field; either bound may be empty."""

LOGGED_DIGITS = 15
"""Most digits of a bound in an access log: readers of logs take a longer one for no number."""


def short_bound(digits: str, most: int) -> str:
    """A bound without leading zeros, and with ``most`` nines if it is longer; empty stays empty."""
    number = digits.lstrip("0") or digits[:1]
    return number if len(number) <= most else "9" * most
