"""Where a report goes, and what the reader has to know if it is not of all requests."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import typer

from nearbucket.analysis.answers import NO_ADDRESS
from nearbucket.analysis.reducing.reduce import UNREADABLE
from nearbucket.analysis.reducing.request_columns import NO_TIME
from nearbucket.analysis.report import render
from nearbucket.cli.output import print_error, write_whole
from nearbucket.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nearbucket.analysis.answers import Report

_NAMED = 5
"""Damaged files that are named on standard error; the report names more."""


def put_out(report: Report, form: str, output: Path | None) -> bool:
    """Write a report to a file or to standard output.

    If nobody reads it here, standard error has what is missing.

    Returns:
        Whether every line was counted or left out by an option, and the log has addresses.
    """
    if output is not None:
        try:
            write_whole(output, render(report, form))
        except OSError as error:
            raise ConfigError(f"--output {output}: {error.strerror or error}") from None
    elif form == "text" and sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415

        colour = not os.environ.get("NO_COLOR")
        typer.echo(render(report, "text", width=Console().width, colour=colour), nl=False)
    else:
        typer.echo(render(report, form), nl=False)
    missing = list(_missing(report))
    if output is not None or form != "text":
        for text in missing:
            print_error(text)
    return not missing


def _missing(report: Report) -> Iterator[str]:
    """What does not count, of the files that were given, and why."""
    damaged = report.scope.damaged
    for each in damaged[:_NAMED]:
        yield f"{each.name}: {each.why}"
    if len(damaged) > _NAMED:
        yield f"{len(damaged) - _NAMED} more files are damaged or left out: see the report"
    for reason in (UNREADABLE, NO_TIME):
        if lines := report.scope.left_out.get(reason):
            yield f"lines that do not count: {lines} {reason}"
    if all(each.region == NO_ADDRESS for each in report.counts.regions):
        yield "no request has the address of a client, so none is in a region of AWS"
