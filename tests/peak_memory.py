"""A plugin that reports the peak memory of test processes, and fails the run above ``MOST``."""

from __future__ import annotations

import resource
from typing import Any

import pytest

MOST = 1 << 30
"""Bytes that one test process may occupy, so that a machine with 4 GiB runs the suite."""


class PeakMemory:
    """Collects the peaks of the processes that run tests."""

    def __init__(self) -> None:
        self.peaks: list[int] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the peak of a worker process of pytest-xdist."""
        self.peaks.append(getattr(node, "workeroutput", {}).get("peak_memory", 0))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Report this process's peak; in the main process, judge all of them."""
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput["peak_memory"] = own
            return
        self.peaks = self.peaks or [own]
        if max(self.peaks) > MOST and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the peak memory of each process."""
        peaks = ", ".join(f"{peak >> 20} MiB" for peak in self.peaks)
        failed = max(self.peaks) > MOST
        line = f"peak memory of test processes: {peaks}"
        if failed:
            line += f"; FAILED: over {MOST >> 20} MiB"
        terminalreporter.write_line(line, red=failed)


def pytest_configure(config: pytest.Config) -> None:
    """Start collecting."""
    config.pluginmanager.register(PeakMemory(), "peak-memory")
