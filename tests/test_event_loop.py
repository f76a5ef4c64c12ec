"""Work in the background has the lowest priority, and nothing else has."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import pytest

from nearbucket.event_loop import NICE, CpuShare, in_background

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a thread's priority is Linux's")


def priority() -> int:
    """Priority of this thread."""
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


async def test_background_work_has_the_lowest_priority_and_the_loop_keeps_its_own() -> None:
    before = priority()
    assert await in_background(priority) == NICE
    assert await asyncio.to_thread(priority) == before
    assert priority() == before < NICE


async def test_processes_started_afterwards_have_the_loops_priority() -> None:
    await in_background(priority)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import os; print(os.getpriority(os.PRIO_PROCESS, 0))",
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await child.communicate()
    assert int(said) == priority()


async def test_background_work_gives_back_what_it_returns_or_raises() -> None:
    assert await in_background(sorted, [2, 1], reverse=False) == [1, 2]
    with pytest.raises(ZeroDivisionError):
        await in_background(lambda: 1 // 0)


async def test_a_task_that_shares_a_core_rests_three_times_as_long_as_it_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests: list[float] = []

    async def note(seconds: float) -> None:
        rests.append(seconds)

    used = [0.0]
    monkeypatch.setattr("nearbucket.event_loop.time.thread_time", lambda: used[0])
    monkeypatch.setattr("nearbucket.event_loop.asyncio.sleep", note)
    share = CpuShare(0.25, 0.01)
    for work in (0.1, 0.001):
        used[0] += work
        await share.rest()
    assert rests == pytest.approx([0.3, 0.01])
