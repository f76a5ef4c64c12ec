"""The project, once for all tests of this folder."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest

from tests.e2e.compose.project import Stack, engine

if TYPE_CHECKING:
    from collections.abc import Iterator


def say(text: str) -> None:
    """Show it with the failure, whatever pytest captures."""
    sys.stderr.write(f"\n{text}\n")


@pytest.fixture(scope="package")
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    """The project, up and waited for; down again whatever happens, with its logs on failure."""
    running = Stack(engine())
    failed = request.session.testsfailed
    complete = False
    try:
        running.compose("up", "-d", "--build", "--wait", "--wait-timeout", "180", limit=900)
        yield running
        complete = request.session.testsfailed == failed
    finally:
        if not complete:
            capture = request.config.pluginmanager.get_plugin("capturemanager")
            with capture.global_and_fixture_disabled() if capture else nullcontext():
                say(running.compose("ps", "-a", check=False))
                say(running.compose("logs", "--tail", "40", check=False))
        running.compose("down", "-v", "--timeout", "30", check=False)
        running.run("image", "rm", running.name, check=False)
