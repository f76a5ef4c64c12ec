"""Tables on a terminal, TAB-separated lines elsewhere; messages go to standard error."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table as Grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.lib.frame import Figure, Table
    from bench.lib.results import Move

errors = Console(stderr=True, highlight=False, markup=False)


def say(text: str) -> None:
    """Print a message on standard error."""
    errors.print(text, soft_wrap=True)


def fault(where: str) -> None:
    """The exception that is handled: a bug of a bench."""
    say(where)
    errors.print_exception()


class Bar:
    """The progress bar, on a terminal."""

    def __init__(self, title: str) -> None:
        """Show a bar with this title."""
        self._title = title
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=errors,
            transient=True,
            disable=not errors.is_terminal,
        )
        self._task = self._progress.add_task(title, total=0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def expect(self, count: int) -> None:
        """Announce more steps."""
        total = (self._progress.tasks[0].total or 0) + count
        self._progress.update(self._task, total=total)

    def now(self, text: str) -> None:
        """Show what is being done."""
        self._progress.update(self._task, description=f"{self._title}: {text:<32}")

    def done(self) -> None:
        """Count one step."""
        self._progress.advance(self._task)


def show_table(table: Table) -> None:
    """Print one table and its notes."""
    columns = (*table.labels, *(column.title for column in table.columns))
    lines = [
        (*row.labels, *(_figure(row.figures.get(column.key), column) for column in table.columns))
        for row in table.rows
    ]
    _print(table.title, columns, lines, len(table.labels))
    for note in table.notes:
        say(note)


def _figure(value: float | None, column: Figure) -> str:
    return "-" if value is None else f"{value:.{column.digits}f}"


def show_changes(moves: Sequence[Move]) -> None:
    """Two results side by side: what moved, and how much did not."""
    columns = ("table", "row", "figure", "before", "after", "change")
    moved = [move for move in moves if move.moved]
    _print(
        "What moved",
        columns,
        [
            (
                move.table,
                move.row,
                move.figure,
                f"{move.before:.2f}",
                f"{move.after:.2f}",
                f"{move.change:+.1%}",
            )
            for move in moved
        ],
        3,
    )
    say(f"{len(moved)} of {len(moves)} compared figures moved by more than their noise")


def _print(title: str, columns: Sequence[str], lines: Sequence[Sequence[str]], names: int) -> None:
    if not sys.stdout.isatty():
        for line in ((f"# {title}",), columns, *lines):
            sys.stdout.write("\t".join(line) + "\n")
        sys.stdout.flush()
        return
    grid = Grid(title=title, title_justify="left")
    for place, column in enumerate(columns):
        grid.add_column(column, justify="left" if place < names else "right")
    for line in lines:
        grid.add_row(*line)
    Console().print(grid)
