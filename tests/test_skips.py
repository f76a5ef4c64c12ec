"""Skips in runs of their own: what is said of them, and which fail a run with CI set."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.skips import NO_ENGINE, NO_PROGRAM, NO_PUBLISHED_LIST

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., pytest.RunResult]

pytest_plugins = ("pytester",)

ROOT = Path(__file__).parents[1]
ODD = "it is Monday"
WAYS = {
    "call": f"import pytest\ndef test_it(): pytest.skip({ODD!r})",
    "mark": f"import pytest\n@pytest.mark.skipif(True, reason={ODD!r})\ndef test_it(): pass",
    "fixture": (
        f"import pytest\n@pytest.fixture\ndef it(): pytest.skip({ODD!r})\ndef test_it(it): pass"
    ),
    "module": (
        f"import pytest\npytest.skip({ODD!r}, allow_module_level=True)\ndef test_it(): pass"
    ),
}


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs modules of tests, with and without CI in the environment, and no other plugins."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(code: str, *options: str, ci: bool, **more: str) -> pytest.RunResult:
        if ci:
            monkeypatch.setenv("CI", "1")
        else:
            monkeypatch.delenv("CI", raising=False)
        pytester.makepyfile(test_inner=code, **{f"test_{name}": more[name] for name in more})
        # a process of its own takes half a second, and its workers must not be ours
        run = pytester.runpytest_subprocess if options else pytester.runpytest_inprocess
        return run("-p", "tests.skips", *options)

    return run


@pytest.mark.parametrize("options", [(), ("-p", "xdist", "-n", "1")], ids=["alone", "in workers"])
def test_with_ci_a_skip_for_a_reason_that_is_not_listed_fails_the_run_and_is_named(
    run: Run, options: tuple[str, ...]
) -> None:
    done = run("def test_it(): pass", *options, ci=True, **WAYS)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    named = rf"NOT ALLOWED TO SKIP test_(\w+)\.py(?:::test_it)?: {ODD}"
    found = [match[1] for line in done.outlines if (match := re.fullmatch(named, line))]
    assert sorted(found) == sorted(WAYS)
    assert done.outlines[-1].startswith("FAILED: CI is set")


def test_without_ci_it_is_named_and_the_run_passes(run: Run) -> None:
    done = run(WAYS["call"], ci=False)
    assert done.ret == pytest.ExitCode.OK
    assert done.outlines[-1] == f"NOT ALLOWED TO SKIP test_inner.py::test_it: {ODD}"


def test_listed_reasons_and_expected_failures_pass_with_ci(run: Run) -> None:
    reasons = [NO_PUBLISHED_LIST, "reads /proc"]
    lines = [f"def test_{n}(): pytest.skip({reason!r})" for n, reason in enumerate(reasons)]
    failing = "@pytest.mark.xfail\ndef test_failing(): assert False"
    done = run("\n".join(["import pytest", *lines, failing]), ci=True)
    assert done.ret == pytest.ExitCode.OK
    done.assert_outcomes(skipped=len(reasons), xfailed=1)
    assert "NOT ALLOWED" not in done.stdout.str()


def test_the_last_lines_say_which_programs_and_that_an_engine_were_missing(run: Run) -> None:
    reasons = [f"{NO_ENGINE}: no docker", f"curl is {NO_PROGRAM}", f"wget is {NO_PROGRAM}"]
    lines = [f"def test_{n}(): pytest.skip({reason!r})" for n, reason in enumerate(reasons)]
    done = run("\n".join(["import pytest", *lines, "def test_curl(): test_1()"]), ci=True)
    assert done.ret == pytest.ExitCode.OK
    assert sorted(done.outlines[-3:-1]) == [
        "NOT RUN, curl is not installed; `make test-clients` installs it (skipped: 2)",
        "NOT RUN, wget is not installed; `make test-clients` installs it (skipped: 1)",
    ]
    assert done.outlines[-1] == "compose: NOT RUN, no container engine: no docker (skipped: 1)"


def test_a_run_that_fails_still_fails(run: Run) -> None:
    done = run(f"{WAYS['call']}\ndef test_wrong(): assert False", ci=True)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.assert_outcomes(skipped=1, failed=1)
