"""What the connections of a worker share: warnings, at most one a second."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearbucket.frontend.worker_context import WorkerContext
from tests.build import settings, snapshot

if TYPE_CHECKING:
    import pytest


def test_of_many_warnings_in_a_second_one_is_logged_and_the_others_are_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = snapshot(settings(log={"access": "off"}))
    context = WorkerContext(made.settings, made.table, made.cdn)
    for _ in range(2):
        caplog.clear()
        for number in range(3):
            context.warnings.warn(f"fault {number}")
        assert caplog.messages == ["fault 0"]
        context.tick()
        assert caplog.messages == ["fault 0", "and 2 more like the last"]
    caplog.clear()
    context.warnings.warn("alone")
    context.tick()
    context.tick()
    assert caplog.messages == ["alone"]


async def test_lines_that_the_log_drops_are_counted() -> None:
    made = snapshot(settings())
    context = WorkerContext(made.settings, made.table, made.cdn, descriptor=-1)
    context.log.keep(b"one\n")
    context.log.keep(b"two\n")
    await context.log.close()
    assert context.counters.snapshot()["nearbucket_log_lines_dropped_total"]["access",] == 2
