"""The skips that are allowed, each with its reason, and a plugin that fails runs with any other.

With ``CI`` set in the environment, a skip for any other reason fails the run. In any case the last
lines of a run say what did not run for want of a program or a container engine.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator


class Allowed(NamedTuple):
    """Skips that are allowed.

    Attributes:
        reason: Pattern that matches the whole reason of the skip.
        why: Why they are allowed.
        heading: If not empty, the last lines of a run are this, the reasons, and how many tests
            were skipped.
    """

    reason: str
    why: str
    heading: str = ""


NO_PUBLISHED_LIST = "no copy of AWS's published list beside the repository"
NO_PROGRAM = "not installed; `make test-clients` installs it"
NO_ENGINE = "no container engine"
NO_SPARK = "PySpark is not installed; `make spark` installs it"
NO_JAVA = "Java is not installed, which Spark needs"
NO_KUBECTL = "kubectl is not installed"
NO_TERRAFORM = "Terraform, with the AWS provider in a mirror below /opt, is not installed"
NO_DEPLOY_TOOLS = "moto, cfn-lint and checkov are not installed; `make deploy-check` installs them"
NO_FILTERS = "the kernel attaches no filter to a TCP socket of this user"
NO_IPV6 = "this machine has no IPv6"

ALLOWED = (
    Allowed(
        re.escape(NO_PUBLISHED_LIST),
        "the addresses of AWS's list change; the same test ran on the synthetic list",
    ),
    Allowed(
        rf"\S+ is {re.escape(NO_PROGRAM)}",
        "tests install nothing; `make check` installs the programs where it can",
        heading="NOT RUN",
    ),
    Allowed(
        rf"{NO_ENGINE}: .*",
        "an engine needs rights that a build machine may not give",
        heading="compose: NOT RUN",
    ),
    Allowed(
        f"{re.escape(NO_SPARK)}|{re.escape(NO_JAVA)}",
        "half a gigabyte, and a Java, for one command that few people need",
        heading="spark: NOT RUN",
    ),
    Allowed(NO_KUBECTL, "Debian has no package of it; the manifests are read without it"),
    Allowed(
        f"{re.escape(NO_TERRAFORM)}|{re.escape(NO_DEPLOY_TOOLS)}",
        "Terraform is no package; the other tools are 300 MB for two folders",
        heading="deploy: NOT RUN",
    ),
    Allowed(NO_FILTERS, "some kernels keep that to root; downloads go on without it"),
    Allowed(NO_IPV6, "containers are often given IPv4 alone"),
    Allowed(r"a thread's priority is Linux's|reads /proc", "the product runs on Linux"),
)


class Skips:
    """Collects the skips of a run, those of its worker processes too."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._found: dict[str, list[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not hasattr(report, "wasxfail"):
            self._add(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._add(report)

    def _add(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.skipped and isinstance(report.longrepr, tuple):
            reason = report.longrepr[2].removeprefix("Skipped: ")
            self._found.setdefault(reason, []).append(report.nodeid)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """After pytest's own last line: what did not run, and what must not be skipped."""
        result = yield
        lines = [
            f"NOT ALLOWED TO SKIP {test}: {reason}"
            for reason, tests in self._found.items()
            for test in tests
            if _entry(reason) is None
        ]
        if lines and os.environ.get("CI"):
            lines.append("FAILED: CI is set, and tests/skips.py does not list these reasons")
            if session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        if terminal is not None:
            for line in [*lines, *self._not_run()]:
                terminal.write_line(line)
        return result

    def _not_run(self) -> list[str]:
        """What did not run, in the order of ``ALLOWED``."""
        return [
            f"{entry.heading}, {reason} (skipped: {len(tests)})"
            for entry in ALLOWED
            for reason, tests in self._found.items()
            if entry.heading and _entry(reason) is entry
        ]


def _entry(reason: str) -> Allowed | None:
    return next((entry for entry in ALLOWED if re.fullmatch(entry.reason, reason)), None)


def pytest_configure(config: pytest.Config) -> None:
    """Start collecting, but not in a worker process: its reports reach the main one."""
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Skips(config), "skips")
