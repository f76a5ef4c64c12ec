"""Fixtures for tests of ``nearbucket analyze``: running it, a log, its report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.analysis.log_writers import w3c
from tests.analysis.made_logs import Mixed, mixed
from tests.made_ranges import MADE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Outcome, Run

LOG = [request for request in mixed(Mixed(400, 1), 0) if request.client]


@pytest.fixture
def log(tmp_path: Path) -> str:
    path = tmp_path / "E2EXAMPLE.2026-11-02-00.0000abcd.gz"
    w3c(path, LOG)
    return str(path)


@pytest.fixture
def analyze(nearbucket: Run) -> Any:
    def run(*arguments: str, stdin: bytes = b"") -> Outcome:
        return nearbucket("analyze", "--ranges", str(MADE), *arguments, stdin=stdin)

    return run


def report(done: Outcome, code: int = 0) -> dict[str, Any]:
    """The report as JSON of a command that ended with this code."""
    assert (done.code, bool(done.err)) == (code, code == 1)
    found: dict[str, Any] = json.loads(done.out)
    return found
