"""What all commands share: options, exit codes, and ways to print.

In: values. Out: a table on a terminal, TAB-separated lines in a pipe, JSON on request.
Refuses to know any command.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal

from nearbucket.config.file import FILE_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What commands have to say they print; only `serve` has a log.
logging.getLogger("nearbucket").addHandler(logging.NullHandler())

NEEDS_ATTENTION, UNUSABLE, UNREACHABLE = 1, 2, 3

_DEFAULT = "nearbucket.yaml, if there is one"
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", envvar=FILE_VARIABLE, help="Configuration file.", show_default=_DEFAULT
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
RangesFile = Annotated[
    Path | None, typer.Option("--ranges", help="An ip-ranges.json; by default the cached copy.")
]
NO_RANGES = (
    "no list of prefixes yet, so no address has a region: run `nearbucket ranges update`, or give "
    "--ranges FILE"
)


def printable(text: str) -> str:
    """Text from outside, without control characters for the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def print_error(text: str) -> None:
    """A line on standard error."""
    typer.echo(f"nearbucket: {printable(text)}", err=True)


def size_text(size: int) -> str:
    """Bytes: rounded, with a unit, on a terminal; the number in a pipe."""
    return decimal(size) if sys.stdout.isatty() else str(size)


def print_json(value: Any) -> None:
    """A value for programs."""
    typer.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on a terminal; TAB-separated lines in a pipe."""
    safe = [tuple(printable(cell) for cell in row) for row in rows]
    if not sys.stdout.isatty():
        for row in safe:
            typer.echo("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415  # `serve` shows no table, and starts sooner
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns)
    for row in safe:
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)
