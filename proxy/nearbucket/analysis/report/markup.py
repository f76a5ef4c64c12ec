"""Makes HTML. Text is escaped; only what ``element`` has made is markup."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha256
from html import escape
from typing import NamedTuple

_OPTION = re.compile(r"(--[a-z][a-z-]*(?: [a-z]+:[a-z0-9-]+)?)")


class Html(str):
    """Markup, which is not escaped again."""

    __slots__ = ()


Part = str | None | Iterable["Part"]
"""Text, markup, nothing, or several of these."""


def element(name: str, *parts: Part, **attributes: str | float | None) -> Html:
    """An element that has an end tag.

    Args:
        name: Its name.
        parts: What is in it.
        attributes: Underscores become hyphens, ``class_`` is ``class``; None leaves one out.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Html(f"<{name}{given}>{joined(parts)}</{name}>")


def source_hash(text: str) -> str:
    """The source of a Content-Security-Policy that allows a script or style sheet of this text."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def joined(parts: Part) -> Html:
    """Parts one after the other."""
    if parts is None:
        return Html("")
    if isinstance(parts, Html):
        return parts
    if isinstance(parts, str):
        return Html(escape(parts))
    return Html("".join(joined(each) for each in parts))


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: Its heading.
        kind: Classes of its cells: ``n`` for figures, ``key`` for text of a log, ``why`` for a
            sentence; ``less`` is hidden on phones.
    """

    title: str
    kind: str = ""


def table(caption: str, columns: Sequence[Column], rows: Iterable[Sequence[Part]]) -> Html:
    """A table in a box that scrolls sideways; the first cell of a row is its heading."""
    head = [
        element("th", column.title, scope="col", class_=column.kind or None) for column in columns
    ]
    body = [element("tr", _cells(row, columns)) for row in rows]
    inner = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", head)),
        element("tbody", body),
    )
    return element("div", inner, class_="wide", role="region", aria_label=caption, tabindex="0")


def _cells(row: Sequence[Part], columns: Sequence[Column]) -> list[Html]:
    cells = []
    for number, (cell, column) in enumerate(zip(row, columns, strict=True)):
        kind = column.kind or None
        if number:
            cells.append(element("td", cell, class_=kind))
        else:
            cells.append(element("th", cell, scope="row", class_=kind))
    return cells


def bar(part: float, whole: float, kind: str = "") -> Html:
    """A small bar that shows a share; its figure stands beside it."""
    width = 0.0 if whole <= 0 else max(0.0, min(1.0, part / whole)) * 100
    return element(
        "svg",
        element("rect", class_="all", width="100", height="8", rx="2"),
        element("rect", class_=f"part {kind}".strip(), width=f"{width:.1f}", height="8", rx="2"),
        class_="bar",
        viewBox="0 0 100 8",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def with_options(text: str) -> Part:
    """A sentence in which options such as ``--plan flat:pro`` are not broken over lines."""
    parts = _OPTION.split(text)
    return [element("code", part) if _OPTION.fullmatch(part) else part for part in parts]


def legend(items: Iterable[tuple[str, str]]) -> Html:
    """The colours of a chart: names, and the colours of ``page.css`` that stand for them."""
    keys = [element("li", _square(colour), " ", element("bdi", name)) for name, colour in items]
    return element("ul", keys, class_="legend", hidden="")


def _square(colour: str) -> Html:
    box = element("rect", width="10", height="10", rx="2")
    return element("svg", box, class_=f"k-{colour}", viewBox="0 0 10 10", aria_hidden="true")
