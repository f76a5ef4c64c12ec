"""The command: runs benches, prints their tables, keeps one result file, compares two.

``python -m bench.run [NAME...]``; ``--compare A B`` shows what moved between two result files.
No figure makes it fail: times depend on the machine.
"""

from __future__ import annotations

import os
import resource
import tempfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.lib.case import ROOT, BenchError, ranges_file
from bench.lib.frame import Context
from bench.lib.processes import choose_cores, end_at_signals
from bench.lib.results import compare as compare_results
from bench.lib.results import differences, document, read, write
from bench.lib.show import Bar, fault, say, show_changes, show_table
from bench.redirect import (
    connections,
    idle,
    lookup,
    redirect,
    refresh,
    returning,
    startup,
    varied,
    workers,
)
from bench.report import report
from bench.slow import slow
from bench.streaming import streaming
from bench.sync import sync

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.lib.frame import Bench, Steps, Table

BENCHES: dict[str, Bench] = {
    "redirect": redirect,
    "varied": varied,
    "connections": connections,
    "idle": idle,
    "startup": startup,
    "workers": workers,
    "refresh": refresh,
    "streaming": streaming,
    "slow": slow,
    "lookup": lookup,
    "returning": returning,
    "report": report,
    "sync": sync,
}
"""Benches by their name on the command line and in result files, in the order of a run."""

RESULTS = Path(__file__).parent / "results"
_ROUNDS, _QUICK_ROUNDS = 5, 2


def run_all(names: Sequence[str], context: Context) -> tuple[dict[str, Sequence[Table]], bool]:
    """Run benches one after another and print each table as soon as it is there.

    Returns:
        The tables by bench, and whether all benches came to their end.
    """
    tables: dict[str, Sequence[Table]] = {}
    for name in names:
        try:
            tables[name] = _run(name, context)
        except (BenchError, OSError) as error:
            say(f"bench: {name}: {error}")
        except Exception:
            fault(f"bench: {name}")  # what the others found is kept all the same
    return tables, len(tables) == len(names)


def _run(name: str, context: Context) -> Sequence[Table]:
    bench = BENCHES[name]
    with Bar(bench.TITLE) as bar, tempfile.TemporaryDirectory(prefix="nearbucket-bench-") as place:
        steps: Steps = bar
        tables = bench.run(context._replace(folder=Path(place), steps=steps))
    for table in tables:
        show_table(table)
    return tables


def bench(names: Sequence[str], context: Context, output: Path | None) -> bool:
    """Measure, print and keep."""
    if not context.cores.apart:
        say("only one core: the load shares it with the server, so its busy time says nothing")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # servers and load inherit it
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {context.cores.load})  # nothing of ours runs beside the server
    try:
        tables, whole = run_all(names, context)
    finally:
        os.sched_setaffinity(0, everywhere)
    if tables:
        result = document(tables, context)
        moment = datetime.fromisoformat(result["date"])
        what = "all" if set(tables) == set(BENCHES) else "-".join(tables)
        path = output or RESULTS / f"{what}-{moment:%Y-%m-%d-%H%M%S}.json"
        write(path, result)
        say(f"kept in {path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}")
    return whole


def compare_files(before: Path, after: Path) -> None:
    """Print what moved from one result to the other."""
    old, new = read(before), read(after)
    show_changes(compare_results(old, new))
    for difference in differences(old, new):
        say(difference)


def main(
    names: Annotated[
        list[str] | None, typer.Argument(help=f"Of {', '.join(BENCHES)}; all when left out.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="Times each thing is measured.")] = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Few and short rounds.")] = False,
    output: Annotated[
        Path | None, typer.Option(help="Result file; by default one named by date.")
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None, typer.Option(help="Two result files: say what moved.")
    ] = None,
) -> None:
    """Side by side with nginx and HAProxy: CPU time, latency and memory, as ratios."""
    unknown = set(names or ()) - set(BENCHES)
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: not of {', '.join(BENCHES)}")
    try:
        if compare:
            compare_files(*compare)
            return
        count = rounds or (_QUICK_ROUNDS if quick else _ROUNDS)
        context = Context(choose_cores(), count, quick, Path(), ranges_file(), Bar(""))
        whole = bench(names or list(BENCHES), context, output)
    except (BenchError, OSError) as error:
        say(f"bench: {error}")
        whole = False
    if not whole:
        raise typer.Exit(1)


if __name__ == "__main__":
    end_at_signals()
    typer.run(main)
