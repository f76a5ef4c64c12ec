"""Results for people and for pipes.

In: a result or two. Out: a table on a terminal, TAB-separated lines elsewhere; what is said
beside them goes to standard error. Refuses to compute.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from figures import Move, Row

errors = Console(stderr=True, highlight=False, markup=False)


def say(text: str) -> None:
    """A line beside the result."""
    errors.print(text, soft_wrap=True)


def progress() -> Progress:
    """A bar, where somebody watches."""
    return Progress(
        TextColumn("{task.description:<34}"), BarColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(), console=errors, transient=True, disable=not errors.is_terminal,
    )  # fmt: skip


def show_rows(rows: Sequence[Row], baseline: str) -> None:
    """The comparison."""
    columns = ("server", "access log", "CPU µs a request", "user µs", "core busy µs",
               f"CPU to {baseline}", "lowest to highest", "core to " + baseline)  # fmt: skip
    _print(columns, [(
        row["server"], _log(on=row["log"]), f"{row['cpu_us']:.2f}", f"{row['user_us']:.2f}",
        f"{row['core_us']:.2f}", f"{row['cpu_ratio']:.2f}",
        f"{row['cpu_ratio_low']:.2f}-{row['cpu_ratio_high']:.2f}", f"{row['core_ratio']:.2f}",
    ) for row in rows])  # fmt: skip


def show_moves(moves: Sequence[Move]) -> None:
    """Two results side by side."""
    columns = ("server", "access log", "figure", "before", "after", "change", "moved")
    _print(columns, [(
        move.server, _log(on=move.log), move.figure, f"{move.before:.2f}", f"{move.after:.2f}",
        f"{move.change:+.1%}", "yes" if move.moved else "no",
    ) for move in moves])  # fmt: skip


def _log(*, on: bool) -> str:
    return "json" if on else "off"


def _print(columns: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    if not sys.stdout.isatty():
        for line in (columns, *lines):
            sys.stdout.write("\t".join(line) + "\n")
        return
    table = Table()
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place < 2 else "right")  # noqa: PLR2004  # names
    for line in lines:
        table.add_row(*line)
    Console().print(table)
