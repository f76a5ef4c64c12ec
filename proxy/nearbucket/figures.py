"""Figures as a reader sees them, and text of a log that nothing obeys.

Volumes are in the units of AWS's bills: 1 TB is 1,024 GB, 1 GB is 2^30 bytes. Sizes of objects are
in KiB, MiB and GiB, as in the configuration.
"""

from __future__ import annotations

from math import log10
from typing import TYPE_CHECKING

from nearbucket.plural import plural

if TYPE_CHECKING:
    from datetime import datetime

_STEP = 1024
_VOLUMES = ("bytes", "KB", "MB", "GB", "TB", "PB")
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_LONGEST = 160
"""Characters of a text of a log that are shown."""
_FORMULA = "=+-@"
"""A cell that begins with one of these is a formula to a spreadsheet (OWASP, "CSV Injection")."""


def harmless(text: str, longest: int = _LONGEST) -> str:
    r"""Text of a log for a reader: on one line, of bounded length, and nothing obeys it.

    Characters that move the cursor, change the direction of writing or are invisible are shown as
    escapes such as ``\x1b`` and ``\u202e``. Before what a spreadsheet would take for a formula
    comes an apostrophe.
    """
    shown = visible(text[:longest])
    if len(shown) > 1 and shown[0] in _FORMULA:
        shown = f"'{shown}"
    return f"{shown}… ({count(len(text))} characters)" if len(text) > longest else shown


def visible(text: str) -> str:
    """Text in which characters that cannot be printed, and a terminal may obey, are escapes."""
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def count(number: float) -> str:
    """A count with commas."""
    return f"{number:,.0f}"


def about(number: float) -> str:
    """An estimated count: three digits that count, such as 149,000."""
    size = abs(number)
    digits = 2 - int(log10(size)) if size >= 1 else 0
    return count(round(number, min(digits, 0)))


def money(usd: float) -> str:
    """US dollars: whole ones from 100 on, else with cents."""
    sign = "-" if round(usd, 2) < 0 else ""
    size = abs(usd)
    if 0 < size < 0.005:  # noqa: PLR2004  # half a cent
        return "under $0.01" if usd > 0 else "about $0"
    whole = size == 0 or size >= 99.995  # noqa: PLR2004  # $100.00 and more
    return f"{sign}${size:,.0f}" if whole else f"{sign}${size:,.2f}"


def _scaled(number: float, units: tuple[str, ...]) -> tuple[float, str]:
    at = 0
    while abs(number) >= _STEP and at < len(units) - 1:
        number, at = number / _STEP, at + 1
    return number, units[at]


def _three_digits(number: float) -> str:
    if abs(number) >= 99.95:  # noqa: PLR2004  # 100 and more
        return f"{number:,.0f}"
    return f"{number:.1f}" if abs(number) >= 9.995 else f"{number:.2f}"  # noqa: PLR2004


def volume(size: float) -> str:
    """Bytes of a bill or a log, such as 49.7 TB."""
    if not size:
        return "0"
    number, unit = _scaled(size, _VOLUMES)
    return f"{_three_digits(number)} {unit}" if unit != "bytes" else plural(round(size), "byte")


def size(of_object: int) -> str:
    """Size of an object, such as 16 MiB."""
    number, unit = _scaled(of_object, _SIZES)
    whole = float(number).is_integer()
    return f"{count(number) if whole else _three_digits(number)} {unit}"


def share(part: float, whole: float) -> str:
    """Percentage: 100 % and 0 % only if they are exact."""
    if not whole or not part:
        return "0 %"
    if part < 0:
        return f"-{share(-part, whole)}" if -part >= 0.001 * whole else "about 0 %"
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "<0.1 %" if percent < 0.1 else f"{percent:.1f} %"  # noqa: PLR2004
    if 99 <= percent < 100:  # noqa: PLR2004
        return ">99.9 %" if percent > 99.9 else f"{percent:.1f} %"  # noqa: PLR2004
    return f"{percent:.0f} %"


def period(first: datetime | None, last: datetime | None) -> str:
    """The days of a period, such as 1 to 14 November 2026."""
    if first is None or last is None:
        return "no requests"
    if first.date() == last.date():
        return f"{first.day} {first:%B %Y}, {first:%H:%M} to {last:%H:%M} UTC"
    begin = str(first.day)
    if (first.year, first.month) != (last.year, last.month):
        begin += f" {first:%B}"
    if first.year != last.year:
        begin += f" {first.year}"
    return f"{begin} to {last.day} {last:%B %Y}"
