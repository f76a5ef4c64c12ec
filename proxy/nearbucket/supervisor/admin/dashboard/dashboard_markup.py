"""Tables that phones show as lists, and times in words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from nearbucket.analysis.report.markup import Html, element

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nearbucket.analysis.report.markup import Part

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def live(name: str, title: str, *parts: Part, **attributes: str) -> Html:
    """A section that the script replaces when it has changed."""
    heading = element("h2", title, id=f"{name}-title")
    return element(
        "section", heading, *parts, id=name, class_="live", aria_labelledby=f"{name}-title",
        **attributes,
    )  # fmt: skip


def listing_table(
    caption: str, columns: Sequence[str], rows: Iterable[Sequence[Part]], nothing: str
) -> Html:
    """A table; each cell has its column's name, which phones show before it.

    Args:
        caption: What it shows, for screen readers.
        columns: Names of the columns; one that begins with ``#`` has figures.
        rows: Their cells; the first one is the heading of its row.
        nothing: What is shown if there are none.
    """
    body = [element("tr", _row(row, columns)) for row in rows]
    if not body:
        return element("p", nothing, class_="quiet")
    head = [element("th", name.lstrip("#"), scope="col", class_=_kind(name)) for name in columns]
    return element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head)),
        element("tbody", body),
    )


def _row(row: Sequence[Part], columns: Sequence[str]) -> list[Html]:
    cells = []
    for number, (cell, column) in enumerate(zip(row, columns, strict=True)):
        given = {"class_": _kind(column), "data_label": column.lstrip("#")}
        if number:
            cells.append(element("td", element("div", cell), **given))
        else:
            cells.append(element("th", element("div", cell), scope="row", **given))
    return cells


def _kind(column: str) -> str | None:
    return "n" if column.startswith("#") else None


def lasted(seconds: float) -> str:
    """A duration in words, such as 2 h 10 min."""
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        minutes = whole % _HOUR // _MINUTE
        return f"{whole // _HOUR} h" + (f" {minutes} min" if minutes else "")
    hours = whole % _DAY // _HOUR
    days = whole // _DAY
    return f"{days} day{'s' * (days > 1)}" + (f" {hours} h" if hours else "")


def short_time(seconds: float | None) -> str:
    """The duration of an answer, such as 1.2 ms; a dash if there was none."""
    if seconds is None:
        return "-"
    if seconds < 0.001:  # noqa: PLR2004  # below a millisecond
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 100 else lasted(seconds)  # noqa: PLR2004


def clock(moment: str, now: datetime) -> Html:
    """An ISO time as a reader needs it: the time of today, else with its date; always UTC."""
    at = datetime.fromisoformat(moment).astimezone(UTC)
    form = "%H:%M:%S" if at.date() == now.date() else "%-d %b %H:%M"
    return element("time", f"{at:{form}} UTC", datetime=moment)


def ago(moment: str, now: datetime) -> str:
    """How long ago an ISO time is."""
    return lasted((now - datetime.fromisoformat(moment)).total_seconds())
