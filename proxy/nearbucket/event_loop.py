"""Keeps long work away from the event loop.

``in_background`` runs a function in a thread of the lowest priority. On a core that supervisor and
worker share, the scheduler would let such work run for 3 ms at a time while requests wait; at the
lowest priority it gives way at once. On Linux each thread has its own priority (setpriority(2), "C
library/kernel differences"), and cannot raise it again without privileges, so these threads do
nothing else. Workers are started by the event loop's thread, and have its priority.

``CpuShare`` makes a long task sleep between steps, so that it takes only a share of one core.

``clear_incrementally`` empties large dictionaries bit by bit. Freeing 20,000 cached requests at
once would hold a worker's event loop for 8 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

NICE = 19


def _lower_priority() -> None:
    if sys.platform == "linux":  # elsewhere the number would mean a process
        with contextlib.suppress(OSError):  # a sandbox may forbid it
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


_THREADS = ThreadPoolExecutor(2, "background", _lower_priority)


async def in_background(
    work: Callable[_Given, _Result], *args: _Given.args, **kwargs: _Given.kwargs
) -> _Result:
    """Like ``asyncio.to_thread``, at the lowest priority."""
    call = partial(work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)


class CpuShare:
    """Limits the share of a core that a long task in the event loop uses, by sleeps."""

    def __init__(self, share: float, shortest: float) -> None:
        """Begin to measure.

        Args:
            share: Share of a core that the event loop's thread may use, such as 0.25.
            shortest: Seconds that each sleep takes at least.
        """
        self._factor = 1 / share - 1
        self._shortest = shortest
        self._used = time.thread_time()

    async def rest(self) -> None:
        """Sleep for as long as the CPU time since the last call requires."""
        before, self._used = self._used, time.thread_time()
        await asyncio.sleep(max(self._shortest, (self._used - before) * self._factor))


_BATCH = 256
"""Entries to free in one turn of the event loop, which takes a tenth of a millisecond."""


def clear_incrementally(*unused: dict[Any, Any]) -> None:
    """Empty dictionaries that are no longer used, a few entries in each turn of the event loop.

    Without a running event loop they are freed at once, when the caller drops them.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    full = [each for each in unused if each]
    if full:
        loop.call_soon(_clear_some, loop, full)


def _clear_some(loop: asyncio.AbstractEventLoop, full: list[dict[Any, Any]]) -> None:
    last = full[-1]
    for _ in range(min(_BATCH, len(last))):
        last.popitem()
    if not last:
        full.pop()
    if full:
        loop.call_soon(_clear_some, loop, full)
