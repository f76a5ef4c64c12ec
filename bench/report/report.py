"""A report on two million lines beside decompressing them, and beside GoAccess.

Decompressing is what no reader of logs can do without, so it is the unit. GoAccess takes minutes,
and has one round of its own. Both are Debian packages (isal, goaccess).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.lib.case import BenchError
from bench.lib.frame import Figure, Row, Table, interleaved, middle, ratios
from bench.report.readers import (
    LogSet,
    analyze,
    goaccess,
    igzip,
    installed,
    run_once,
    write_logs,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.lib.frame import Context
    from bench.report.readers import Run

TITLE = "Reports on access logs"
_LINES, _QUICK_LINES = 2_000_000, 200_000
_FILES = 40
_ADDRESSES = 200_000
_ROUNDS = 3
IGZIP, GOACCESS = "igzip, two at a time", "GoAccess, JSON"
OURS, COUNTS, KEPT = "nearbucket", "nearbucket --no-recommend", "nearbucket --keep, second run"
_COLUMNS = (
    Figure("cpu_s", "CPU s a million lines"),
    Figure("wall_s", "s a million lines"),
    Figure("peak_mib", "peak MiB", 0, watched=True, noise=0.1),
    Figure("cpu_ratio", "CPU to igzip", 1, watched=True, noise=0.1),
    Figure("cpu_low", "lowest", 1),
    Figure("cpu_high", "highest", 1),
    Figure("wall_ratio", "time to nearbucket", 2, watched=True, noise=0.25),
)


def run(context: Context) -> Sequence[Table]:
    """Every program once a round."""
    context = context._replace(rounds=min(context.rounds, _ROUNDS))
    has_igzip, has_goaccess = installed()
    if not has_igzip:
        raise BenchError("igzip is not installed, the unit of this bench: apt-get install isal")
    lines = _QUICK_LINES if context.quick else _LINES
    context.steps.now("writing logs")
    whole = write_logs(context.folder / "logs", lines, _FILES, _ADDRESSES)
    programs: dict[str, tuple[list[str], LogSet]] = {
        IGZIP: (igzip(whole), whole),
        OURS: (analyze(whole), whole),
        COUNTS: (analyze(whole, "--no-recommend"), whole),
        KEPT: (analyze(whole, "--keep", context.folder / "kept"), whole),
    }
    measure = _measure(context)
    context.steps.expect(len(programs) * (context.rounds + 1))
    samples = interleaved(programs, measure, context)  # round 0 fills the kept folder
    rows = [Row((name,), _figures(name, samples)) for name in programs]
    notes: tuple[str, ...] = ()
    if has_goaccess:
        once = {name: programs[name] for name in (IGZIP, OURS)}
        once[GOACCESS] = goaccess(whole), whole
        context.steps.expect(len(once))
        taken = interleaved(once, measure, context._replace(rounds=1), warm_up=False)
        rows.append(Row((GOACCESS,), _figures(GOACCESS, taken)))
    else:
        notes = ("GoAccess is left out: not installed (see bench/README.md)",)
    load = {"lines": lines, "files": _FILES, "gzip_bytes": _size(whole)}
    title = f"A report on {lines:,} lines of CloudFront's log"
    return [Table("report", title, ("program",), _COLUMNS, tuple(rows), notes, load)]


def _measure(context: Context) -> Callable[[tuple[list[str], LogSet], int], Run]:
    def measure(program: tuple[list[str], LogSet], _number: int) -> Run:
        command, logs = program
        return run_once(command, logs, context.cores)

    return measure


def _figures(name: str, samples: dict[str, list[Run]]) -> dict[str, float | None]:
    runs = samples[name]
    found = ratios((each.cpu for each in runs), (each.cpu for each in samples[IGZIP]))
    times = ratios((each.wall for each in runs), (each.wall for each in samples[OURS]))
    return {
        "cpu_s": middle(each.cpu for each in runs),
        "wall_s": middle(each.wall for each in runs),
        # igzip and GoAccess are children of a shell, whose memory would be shown
        "peak_mib": max(each.peak for each in runs) if name in {OURS, COUNTS, KEPT} else None,
        "cpu_ratio": middle(found),
        "cpu_low": min(found, default=None),
        "cpu_high": max(found, default=None),
        "wall_ratio": middle(times),
    }


def _size(logs: LogSet) -> int:
    return sum(path.stat().st_size for path in logs.folder.iterdir())
