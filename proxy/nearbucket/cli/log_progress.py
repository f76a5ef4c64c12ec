"""The progress bar of ``nearbucket analyze``: bytes read, rate and time left."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def progress(size: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, if it is a terminal; call it with bytes just read.

    Args:
        size: Bytes of all files; 0 if that is not known.
    """
    columns = (
        TextColumn("reading logs"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=size or None)
        yield lambda more: bar.update(task, advance=more)
