"""The command ``nearbucket demo``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nearbucket.cli.output import NEEDS_ATTENTION


def demo(
    *,
    stay: Annotated[
        bool | None,
        typer.Option(
            help="Keep running until Ctrl-C after the commands.", show_default="stay on a terminal"
        ),
    ] = None,
) -> None:
    """Start a local S3 server, two buckets and the proxy; show commands, and a report on a log."""
    from nearbucket.cli.demo.demo import run  # noqa: PLC0415

    if not run(stay=sys.stdout.isatty() if stay is None else stay):
        raise typer.Exit(NEEDS_ATTENTION)
