"""The command: draw mutants, run the tests against each, and print what survives."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING

from tests.mutants.recording import record
from tests.mutants.running import Limits, copy_tree, run_pytest, share_out
from tests.mutants.syntax import mutants

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.mutants.recording import Recorded, Recording
    from tests.mutants.running import Run
    from tests.mutants.syntax import Mutant

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "build" / "mutants.json"
KILLED = ROOT / "build" / "mutants-killed.txt"
"""The mutants that earlier runs have killed, one a line."""

MEMORY = 1 << 30
"""Bytes that a process which tests a mutant may occupy."""

SURVIVED = ("survived", "error")

CHANGED = tuple(
    f"proxy/nearbucket/{folder}"
    for folder in ("policy", "regions", "frontend", "telemetry", "origin", "replicas", "s3")
)
"""Where mutants are made: what decides, answers, streams, and knows the copies."""

NOT_CHANGED = frozenset({"bucket_location.py", "sdk_client.py"})
"""Files in those folders that only ``sync``, ``check`` and the warm-up use."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of the tests for a mutant.

    Attributes:
        mutant: The mutant.
        what: ``killed``, by a test that passes on the original in the same run; ``time`` or
            ``memory``, which count as killed; ``survived``; or ``error``, where pytest itself
            failed, which counts as survived.
        why: The test that failed, or how many passed.
        seconds: How long it took.
    """

    mutant: Mutant
    what: str
    why: str
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit code 1 where too many survive."""
    options = _options(arguments)
    paths = [path for each in options.files for path in _files(ROOT / each)]
    drawn = draw(paths, options.count, options.seed)
    killed = set(KILLED.read_text(encoding="utf-8").splitlines()) if KILLED.exists() else set()
    if options.again:
        drawn = [mutant for mutant in drawn if _identity(mutant) not in killed]
    if options.list:
        sys.stdout.writelines(f"{mutant}\n" for mutant in drawn)
        return 0
    if not drawn:
        sys.stderr.write("there is no mutant to run\n")
        return 2
    outcomes: list[Outcome] = []
    interrupted = False
    try:
        _run(drawn, options.jobs, outcomes)
    except KeyboardInterrupt:
        interrupted = True
    enough = _report(outcomes, options.at_least)
    killed |= {_identity(each.mutant) for each in outcomes if each.what not in SURVIVED}
    KILLED.write_text("".join(f"{each}\n" for each in sorted(killed)), encoding="utf-8")
    return 130 if interrupted else int(not enough)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make mutants ARGS=...", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which sample is drawn (1)")
    parser.add_argument("--count", type=int, default=200, help="how many mutants (200)")
    parser.add_argument(
        "--files",
        nargs="+",
        default=CHANGED,
        metavar="PATH",
        help="files and folders to make mutants of",
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument(
        "--at-least",
        type=float,
        default=95.0,
        metavar="PERCENT",
        help="exit code 1 when fewer are killed (95)",
    )
    parser.add_argument(
        "--again", action="store_true", help="of the sample, those that no earlier run has killed"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants, run nothing")
    return parser.parse_args(arguments)


def _files(path: Path) -> list[Path]:
    found = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [each for each in found if each.name not in NOT_CHANGED]


def draw(paths: Sequence[Path], count: int, seed: int) -> list[Mutant]:
    """A sample of at most one mutant of a line, which stays the same where lines do."""
    ranked: dict[tuple[Path, int], list[Mutant]] = {}
    for path in paths:
        for mutant in mutants(str(path.relative_to(ROOT)), path.read_bytes()):
            ranked.setdefault((path, mutant.line), []).append(mutant)
    places = sorted(ranked, key=lambda place: min(_rank(each, seed) for each in ranked[place]))
    drawn: list[Mutant] = []
    for path, line in places:
        if len(drawn) < count:
            source = path.read_bytes()
            mutant = min(ranked[path, line], key=lambda each: _rank(each, seed))
            drawn += [mutant] if mutant.differs(source) else []
    return sorted(drawn, key=lambda each: (each.path, each.line))


def _rank(mutant: Mutant, seed: int) -> bytes:
    return hashlib.sha256(f"{seed} {_identity(mutant)}".encode()).digest()


def _identity(mutant: Mutant) -> str:
    """What tells a mutant from others, wherever its line has moved to."""
    return json.dumps([mutant.path, mutant.text, mutant.before, mutant.after])


def _run(drawn: Sequence[Mutant], jobs: int, outcomes: list[Outcome]) -> None:
    with TemporaryDirectory(prefix="mutants-") as scratch:
        first = copy_tree(ROOT, Path(scratch) / "0")
        recording = record(first, KEPT, jobs)
        left_out = len(recording.left_out)
        sys.stdout.write(f"{left_out} tests are left out, they do not pass as it is: see {KEPT}\n")

        async def work(tree: Path, item: tuple[int, Mutant]) -> None:
            outcomes.append(await _judge(tree, *item, recording))
            _progress(outcomes, len(drawn))

        trees = [first, *(copy_tree(first, Path(scratch) / str(job)) for job in range(1, jobs))]
        share_out(enumerate(drawn, 1), trees, work)


async def _judge(tree: Path, number: int, mutant: Mutant, recording: Recording) -> Outcome:
    related = recording.related(mutant)
    if not related:
        return Outcome(mutant, "survived", "no test reaches it", 0.0)
    began, flaky = monotonic(), set[str]()
    while True:
        chosen = [test for test in related if test.name not in flaky]
        path = tree / mutant.path
        source, status = path.read_bytes(), path.stat()
        try:
            path.write_bytes(mutant.apply(source))
            os.utime(path, (number, number))  # no bytecode of another mutant is taken for this one
            run = await _run_tests(tree, chosen, recording)
        finally:
            path.write_bytes(source)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        failed = re.search(r"^FAILED (tests/.+?)(?: - |$)", run.output, re.MULTILINE)
        names = [test.name for test in chosen]
        if run.over or run.code == 0 or not failed or failed[1] not in names:
            return _outcome(mutant, run, len(chosen), monotonic() - began)
        original = await _run_tests(tree, chosen[: names.index(failed[1]) + 1], recording)
        if original.code == 0:
            return Outcome(mutant, "killed", failed[1], monotonic() - began)
        flaky.add(failed[1])


def _outcome(mutant: Mutant, run: Run, count: int, seconds: float) -> Outcome:
    if run.over:
        return Outcome(mutant, run.over, "", seconds)
    if run.code == 0:
        return Outcome(mutant, "survived", f"{count} tests passed", seconds)
    # pytest's codes of failed tests, and of files it cannot import; of a conftest.py that is 4
    if run.code not in {1, 2} and "ImportError while loading conftest" not in run.output:
        return Outcome(mutant, "error", f"pytest ended with exit code {run.code}", seconds)
    failed = re.search(r"^(?:FAILED|ERROR) (tests/.+?)(?: - |$)", run.output, re.MULTILINE)
    return Outcome(mutant, "killed", failed[1] if failed else f"exit code {run.code}", seconds)


async def _run_tests(tree: Path, chosen: Sequence[Recorded], recording: Recording) -> Run:
    files = list(dict.fromkeys(test.file for test in chosen))
    names = [test.name for test in chosen]
    left_out = {test.name for test in recording.tests if test.file in files}.difference(names)
    left_out.update(recording.left_out)
    report = tree.parent / f"{tree.name}.json"
    report.write_text(json.dumps({"run": names, "left_out": sorted(left_out)}), encoding="utf-8")
    limits = Limits(60 + 3 * sum(test.seconds for test in chosen), MEMORY)
    return await run_pytest(tree, ["-x", *files], limits, MUTANTS_RUN=str(report))


def _progress(outcomes: Sequence[Outcome], total: int) -> None:
    last, count = outcomes[-1], len(outcomes)
    line = f"{last.what:8}  {last.mutant}  ({last.why}, {last.seconds:.1f} s)\n"
    if not sys.stdout.isatty():
        sys.stdout.write(f"{count:3}/{total}  {line}")
    else:
        survived = sum(each.what in SURVIVED for each in outcomes)
        sys.stdout.write("\r\x1b[K" + (line if last.what in SURVIVED else ""))
        sys.stdout.write(f"{count} of {total}, {survived} survived")
    sys.stdout.flush()


def _report(outcomes: Sequence[Outcome], at_least: float) -> bool:
    sys.stdout.writelines(_lines(outcomes))
    survived = sum(each.what in SURVIVED for each in outcomes)
    killed = 100 * (1 - survived / max(len(outcomes), 1))
    sys.stdout.write(f"{killed:.1f} % of {len(outcomes)} mutants killed\n")
    return killed >= at_least


def _lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "\n"
    for path in sorted({each.mutant.path for each in outcomes}):
        counts = Counter(each.what for each in outcomes if each.mutant.path == path)
        yield f"{path}: " + ", ".join(f"{counts[what]} {what}" for what in sorted(counts)) + "\n"
    yield "\n"
    for each in sorted(outcomes, key=lambda each: (each.mutant.path, each.mutant.line)):
        if each.what in SURVIVED:
            yield f"{each.what:8}  {each.mutant}  ({each.why})\n"


if __name__ == "__main__":
    raise SystemExit(main())
