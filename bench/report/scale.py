"""Reports on logs of several sizes: CPU time a line stays the same, and memory within its limit.

``python -m bench.report.scale --lines 2000000 --lines 20000000`` writes logs (100 bytes a line on
disk, 15 µs a line) with one distinct client for each 20 lines, reads them once, and removes them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from bench.lib.case import BenchError
from bench.lib.processes import choose_cores
from bench.lib.show import say
from bench.report.readers import analyze, free_space, run_once, write_logs

_BYTES_A_LINE = 200
_LINES_A_FILE = 50_000
_LINES_A_CLIENT = 5
"""Few clients ask often and many are never drawn: of so many, about a quarter are in the log."""


def main(
    lines: Annotated[list[int], typer.Option(help="Lines; may be repeated.")],
    folder: Annotated[Path | None, typer.Option(help="Where the logs are written.")] = None,
    memory: Annotated[str, typer.Option(help="--memory of analyze.")] = "1GiB",
) -> None:
    """Measure each size once."""
    cores = choose_cores()
    for count in lines:
        with tempfile.TemporaryDirectory(prefix="nearbucket-bench-", dir=folder) as place:
            if free_space(Path(place)) < count * _BYTES_A_LINE:
                raise BenchError(f"{count:,} lines need {count * _BYTES_A_LINE >> 30} GiB of disk")
            files = max(2, count // _LINES_A_FILE)
            logs = write_logs(Path(place) / "logs", count, files, count // _LINES_A_CLIENT)
            found = run_once(analyze(logs, "--memory", memory), logs, cores)
        say(
            f"{count:,} lines: {found.cpu:.2f} s of CPU time and {found.wall:.2f} s a million "
            f"lines, {found.peak:.0f} MiB at the most with --memory {memory}"
        )


if __name__ == "__main__":
    typer.run(main)
