"""By what a mutant counts as killed."""

from __future__ import annotations

import pytest

from tests.mutants.__main__ import _outcome
from tests.mutants.running import Run
from tests.mutants.syntax import mutants


@pytest.mark.parametrize(
    ("code", "output", "what"),
    [
        (0, "3 passed", "survived"),
        (1, "FAILED tests/policy/test_rules.py::test_b - assert False", "killed"),
        (2, "ERROR tests/policy/test_rules.py - ValueError", "killed"),
        (4, "ImportError while loading conftest '/0/tests/cli/conftest.py'.", "killed"),
        (4, "ERROR: file or directory not found: tests/policy/test_rules.py", "error"),
        (3, "INTERNALERROR> ValueError", "error"),
    ],
)
def test_only_a_failure_of_tests_or_of_their_import_kills(
    code: int, output: str, what: str
) -> None:
    mutant, *_ = mutants("x.py", b"x = 1")
    assert _outcome(mutant, Run(code, output, 1.0, ""), 3, 1.0).what == what
