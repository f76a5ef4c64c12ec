"""A pytest plugin with two modes, each chosen by a variable of the environment.

``MUTANTS_RECORD=FILE`` writes for each test that passed how long it took and which functions of
the tree it executed. ``MUTANTS_RUN=FILE`` runs the tests named in that file, in its order.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

ROOT = str(Path(__file__).parents[2])


class Recorder:
    """Notes the functions that each test executes, in every thread of the test process."""

    def __init__(self, report: Path) -> None:
        """Write the record to this file."""
        self._report = report
        self._functions: dict[tuple[str, int], tuple[str, int] | None] = {}
        self._executed: set[tuple[str, int]] = set()
        self._failed: set[str] = set()
        self._tests: dict[str, tuple[float, list[tuple[str, int]]]] = {}
        self.trace: Callable[[FrameType, str, Any], None] = self._trace
        threading.settrace(self.trace)
        sys.settrace(self.trace)

    def _trace(self, frame: FrameType, _event: str, _argument: Any) -> None:
        name, line = place = frame.f_code.co_filename, frame.f_code.co_firstlineno
        try:
            function = self._functions[place]
        except KeyError:
            ours = name.startswith(ROOT) and not name.startswith(f"{ROOT}/tests")
            function = (os.path.relpath(name, ROOT), line) if ours else None
            self._functions[place] = function
        if function is not None:
            self._executed.add(function)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Set-up and tear-down count as well: a fixture may be all that calls the product."""
        self._executed.clear()
        began = perf_counter()
        result = yield
        self._tests[item.nodeid] = (perf_counter() - began, sorted(self._executed))
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test that does not pass here cannot tell a mutant from the original."""
        if not report.passed:
            self._failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        """Write the report."""
        sys.settrace(None)
        passed = {name: each for name, each in self._tests.items() if name not in self._failed}
        report = {"passed": passed, "left_out": sorted(self._failed)}
        self._report.write_text(json.dumps(report), encoding="utf-8")


class Chooser:
    """Runs the chosen tests, and those that a changed table has given another name."""

    def __init__(self, chosen: Path) -> None:
        """Args: the file with the names of tests in order, and of those left out."""
        names = json.loads(chosen.read_text(encoding="utf-8"))
        self._rank = {name: rank for rank, name in enumerate(names["run"])}
        self._left_out = frozenset(names["left_out"])

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Pick the chosen tests, in their order."""
        config.hook.pytest_deselected(items=[x for x in items if x.nodeid in self._left_out])
        kept = [item for item in items if item.nodeid not in self._left_out]
        items[:] = sorted(kept, key=lambda item: self._rank.get(item.nodeid, len(self._rank)))


def pytest_configure(config: pytest.Config) -> None:
    """Take the mode from the environment."""
    if report := os.environ.get("MUTANTS_RECORD"):
        config.pluginmanager.register(Recorder(Path(report)))
    if chosen := os.environ.get("MUTANTS_RUN"):
        config.pluginmanager.register(Chooser(Path(chosen)))
