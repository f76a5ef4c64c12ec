"""The report on a terminal, and in a pipe.

On a terminal: the page's sections as tables. In a pipe: lines that begin with the name of a value
or a list of the JSON document; then its values, TAB-separated, in the document's order.
"""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from nearbucket.analysis.report import text_tables as tables
from nearbucket.analysis.report.findings import (
    bill_steps,
    headline,
    how_computed,
    other_notes,
    scope_text,
    surprise,
    title,
)
from nearbucket.analysis.report.json_report import document
from nearbucket.figures import harmless, visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.analysis.answers import Report
    from nearbucket.analysis.report.text_tables import TextTable

_LINE = 10_000
"""Characters of a text of a log in a pipe."""
_NO_BREAK = "\ue000"
"""Stands for a space at which no line ends. Text of a log never has it: it is not printable."""
_DAYS = 31
"""Days that a terminal lists at most."""
_MAPS = {"left_out", "by_region", "gb_month"}
"""Objects of the document whose names are data."""


def as_text(report: Report, *, width: int | None, colour: bool) -> str:
    """The report for a terminal of a width; for a pipe if that is None."""
    if width is None:
        return "".join("\t".join(line) + "\n" for line in _facts("", document(report)))
    out = StringIO()
    console = Console(
        file=out,
        width=width,
        force_terminal=colour,
        color_system="standard" if colour else None,
        markup=False,
        emoji=False,
        highlight=False,
        _environ={},
    )
    _show(console, report)
    shown = out.getvalue().replace(_NO_BREAK, " ")
    return "".join(f"{line.rstrip()}\n" for line in shown.splitlines())


def _facts(name: str, value: Any) -> Iterator[list[str]]:
    """Lines of a value: its name, and what it is."""
    if isinstance(value, dict):
        below = name.rpartition(".")[2] in _MAPS
        for key, each in value.items():
            if below:
                yield [name, harmless(key, _LINE), _cell(each)]
            else:
                yield from _facts(f"{name}.{key}" if name else key, each)
    elif isinstance(value, list):
        for each in value:
            yield from _row(name, each)
    elif name.endswith(".yaml"):
        yield from ([name, visible(line)] for line in value.splitlines())
    else:
        yield [name, _cell(value)]


def _row(name: str, value: Any) -> Iterator[list[str]]:
    """The line of one item of a list, and one for each pair that is in it."""
    if not isinstance(value, dict):
        yield [name, _cell(value)]
        return
    cells = [_cell(each) for each in value.values() if not isinstance(each, dict)]
    yield [name, *cells]
    for key, each in value.items():
        if isinstance(each, dict):
            yield from ([f"{name}.{key}", cells[0], *line[1:]] for line in _facts(key, each))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:z.2f}"  # z: never -0.00
    return harmless(value, _LINE) if isinstance(value, str) else str(value)


def _show(console: Console, report: Report) -> None:
    """The sections, in the page's order."""
    console.print(Text(title(report), style="bold"))
    console.print(Text(scope_text(report), style="dim"))
    console.print()
    now, *then = headline(report)
    console.print(_prose(now))
    console.print(_prose(" ".join(then), "bold"))
    for note in other_notes(report):
        console.print(_prose(f"! {harmless(note, 600)}", "yellow"))
    if not report.counts.requests:
        return
    if bill_steps(report):
        _print(console, tables.bill(report))
    _print(console, tables.regions(report))
    if len(report.counts.days) <= _DAYS:
        _print(console, tables.days(report))
    _print(console, tables.sizes(report))
    _policy(console, report)
    for table in tables.lists(report):
        _print(console, table)
    _heading(console, "How this is computed")
    for sentence in how_computed(report):
        console.print(Padding(_prose(f"- {sentence}"), (0, 0, 0, 2)))
    for table in tables.left_out(report):
        _print(console, table)


def _policy(console: Console, report: Report) -> None:
    _print(console, tables.compared(report))
    found = report.recommendation
    if found:
        _print(console, tables.why(found))
        _heading(console, "Policy to paste")
        for line in found.yaml.splitlines():
            console.print(Text(f"  {visible(line)}", style="cyan"), soft_wrap=True)
    _heading(console, "Who would notice")
    console.print(Padding(_prose(surprise(report)), (0, 0, 0, 2)))


def _prose(text: str, style: str = "") -> Text:
    """Text that may be folded, but not before a percent sign."""
    return Text(text.replace(" %", f"{_NO_BREAK}%"), style)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold"))


def _print(console: Console, made: TextTable) -> None:
    """A table with rows under its heading; the first column takes what is left of the width."""
    if not made.rows:
        return
    _heading(console, made.title)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in made.columns:
        figures = column.startswith(">")
        table.add_column(
            column.removeprefix(">"),
            justify="right" if figures else "left",
            no_wrap=figures,
            overflow="fold",
        )
    for row in made.rows:
        table.add_row(*(_prose(cell) for cell in row))
    console.print(Padding(table, (0, 0, 0, 2)))
