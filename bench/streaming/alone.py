"""Single rows of the streaming benches, to repeat while something is being changed.

``python -m bench.streaming.alone 64k-plain slow-200-plain --rounds 9`` prints the same tables
with only these rows, and keeps no result file.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.lib.case import BenchError, ranges_file
from bench.lib.frame import Context
from bench.lib.processes import choose_cores, end_at_signals
from bench.lib.show import Bar, say, show_table
from bench.slow import slow
from bench.streaming import streaming

if TYPE_CHECKING:
    from collections.abc import Collection

    from bench.lib.frame import Steps

ROWS = {str(row): row for row in streaming.ROWS}
CROWDS = {str(crowd): crowd for crowd in slow.CROWDS}


def measure(names: Collection[str], rounds: int) -> None:
    """Measure and print."""
    cores = choose_cores()
    os.sched_setaffinity(0, {cores.load})  # nothing of ours runs beside the server
    rows = [row for name, row in ROWS.items() if name in names]
    crowds = [crowd for name, crowd in CROWDS.items() if name in names]
    with Bar("") as bar, tempfile.TemporaryDirectory(prefix="nearbucket-bench-") as folder:
        steps: Steps = bar
        context = Context(
            cores=cores,
            rounds=rounds,
            quick=False,
            folder=Path(folder),
            ranges=ranges_file(),
            steps=steps,
        )
        tables = streaming.compare(context, rows) if rows else []
        tables += [slow.compare(context, crowds, rounds)] if crowds else []
    for table in tables:
        show_table(table)


def main(
    names: Annotated[list[str], typer.Argument(help=f"Of {', '.join((*ROWS, *CROWDS))}.")],
    rounds: Annotated[int, typer.Option(min=1, help="Times each row is measured.")] = 5,
) -> None:
    """Single rows of the streaming benches, without a result file."""
    unknown = {*names} - {*ROWS, *CROWDS}
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: not of {', '.join((*ROWS, *CROWDS))}")
    try:
        measure(names, rounds)
    except (BenchError, OSError) as error:
        say(f"bench: {error}")
        raise typer.Exit(1) from None


if __name__ == "__main__":
    end_at_signals()
    typer.run(main)
