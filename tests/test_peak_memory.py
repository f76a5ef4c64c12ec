"""A run whose processes take more memory than allowed fails, and says how much they took."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import peak_memory

pytest_plugins = ("pytester",)

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("most", "workers", "code", "told"),
    [
        pytest.param(1 << 40, (), pytest.ExitCode.OK, r"\d+ MiB$", id="enough"),
        pytest.param(1 << 20, (), pytest.ExitCode.TESTS_FAILED, "FAILED: over 1 MiB$",
                     id="too much"),
        pytest.param(1 << 20, ("-p", "xdist", "-n", "2"), pytest.ExitCode.TESTS_FAILED,
                     r"\d+ MiB, \d+ MiB; FAILED: over 1 MiB$", id="too much in workers"),
    ],
)  # fmt: skip
def test_a_run_that_takes_too_much_memory_fails(  # noqa: PLR0913, PLR0917  # columns of a table
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    workers: tuple[str, ...],
    most: int,
    code: pytest.ExitCode,
    told: str,
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(peak_memory, "MOST", most)  # for a run in this process
    pytester.makeconftest(f"from tests import peak_memory\npeak_memory.MOST = {most}")
    pytester.makepyfile(test_inner="def test_it(): pass\ndef test_more(): pass")
    run = pytester.runpytest_subprocess if workers else pytester.runpytest_inprocess
    done = run("-p", "tests.peak_memory", *workers)
    assert done.ret == code
    done.stdout.re_match_lines([f"peak memory of test processes: .*{told}"])
