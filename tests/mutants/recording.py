"""Which test executes which function: recorded file by file, and kept until sources change."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.mutants.running import Limits, run_pytest, share_out

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.mutants.syntax import Mutant

NOT_RECORDED = ("e2e", "mutants")
"""Folders of tests that are not run: they start the product as processes of its own."""

LIMITS = Limits(900, 4 << 30)
"""For the tests of one file while they are recorded."""

NO_TESTS = 5
"""Exit code of pytest where every test of a file is deselected: each is a long one."""

SHARE = 0.05
"""How much of the time that all tests took is spent on one mutant at most."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recorded test.

    Attributes:
        name: Node id of the test.
        file: The test file.
        seconds: How long it took.
        executes: File and first line of each function that it executed.
    """

    name: str
    file: str
    seconds: float
    executes: frozenset[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Recording:
    """All tests that passed, and the names of those that did not."""

    tests: tuple[Recorded, ...]
    left_out: tuple[str, ...]

    def related(self, mutant: Mutant) -> list[Recorded]:
        """The tests for a mutant in the order in which they are run, within ``SHARE``.

        They are those that execute the changed function, or use the changed constant and then
        also those of the module's own test file; where there are none those that execute anything
        of the file, or all tests. The module's own test file comes first; then tests that execute
        what none before them did, and one of each function's variants in turn, so that each kind
        of test is among them; quick ones first.
        """
        places = {(mutant.path, line) for line in mutant.functions}
        tests = sorted(self.tests, key=lambda test: test.seconds)
        name = f"test_{Path(mutant.path).stem}.py"
        own = {test.file for test in tests if Path(test.file).name == name}
        named = own if mutant.runs_at_import else ()
        found = (
            [test for test in tests if test.file in named or not places.isdisjoint(test.executes)]
            or [test for test in tests if any(path == mutant.path for path, _ in test.executes)]
            or tests
        )
        seen: set[tuple[str, int]] = set()
        variants = Counter[str]()
        turns = []
        for test in found:
            function = test.name.partition("[")[0]
            is_new, seen = not test.executes <= seen, seen | test.executes
            turns.append(0 if is_new or test.file in own else variants[function])
            variants[function] += 1
        left, chosen = SHARE * sum(test.seconds for test in tests), list[Recorded]()
        for _, test in sorted(zip(turns, found, strict=True), key=lambda each: each[0]):
            if test.seconds <= left:
                chosen.append(test)
                left -= test.seconds
        cost = dict.fromkeys((test.file for test in chosen), 0.0)
        for test in chosen:
            cost[test.file] += test.seconds
        chosen.sort(key=lambda test: (test.file not in own, cost[test.file], test.file))
        return chosen


def record(tree: Path, kept: Path, jobs: int) -> Recording:
    """Record the tests of a tree.

    Args:
        tree: A copy of the tree.
        kept: Where records are kept; one counts while the product and its test file are the same.
        jobs: Processes at a time.
    """
    files = [
        path
        for path in sorted((tree / "tests").rglob("test_*.py"))
        if path.relative_to(tree).parts[1] not in NOT_RECORDED
    ]
    shared = _digest(
        path
        for path in sorted(tree.rglob("*.py"))
        if not path.name.startswith("test_") and path.parent.name != "mutants"
    )
    old = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    keys = {str(path.relative_to(tree)): f"{shared} {_digest([path])}" for path in files}
    reports = {name: old[name] for name in keys if old.get(name, {}).get("key") == keys[name]}
    unusable: list[str] = []

    async def work(tree: Path, name: str) -> None:
        sys.stderr.write(f"recording {name}\n")
        report = tree.parent / f"{name.replace('/', '.')}.json"
        run = await run_pytest(tree, [name], LIMITS, MUTANTS_RECORD=str(report))
        if run.over or run.code not in {0, 1, NO_TESTS}:
            unusable.append(f"{name} cannot be recorded: {run.over or run.code}\n{run.output}")
            return
        reports[name] = {"key": keys[name], **json.loads(report.read_text(encoding="utf-8"))}

    share_out(sorted(keys.keys() - reports.keys()), [tree] * jobs, work)
    kept.parent.mkdir(exist_ok=True)
    kept.write_text(json.dumps(reports), encoding="utf-8")
    if unusable:
        raise SystemExit("\n".join(unusable))
    return _recording(reports)


def _recording(reports: dict[str, Any]) -> Recording:
    tests = tuple(
        Recorded(name, file, seconds, frozenset((path, line) for path, line in executes))
        for file, report in sorted(reports.items())
        for name, (seconds, executes) in report["passed"].items()
    )
    return Recording(tests, tuple(x for each in reports.values() for x in each["left_out"]))


def _digest(paths: Iterable[Path]) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()
