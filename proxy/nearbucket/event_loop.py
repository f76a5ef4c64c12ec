"""Keeps long work away from the event loop, which serves every client of its process.

``in_background`` computes in a thread of the lowest priority. On a core that supervisor and worker
share, the scheduler would let such work run for 3 ms at a time while requests wait; at the lowest
priority it gives way at once. Priority belongs to a thread on Linux (setpriority(2), "C
library/kernel differences"), and a thread cannot raise it again without privileges: hence threads
of its own. New processes are started by the loop's thread, so workers keep the loop's priority.

``clear_incrementally`` empties large dictionaries between turns of the loop. Freeing one of 20,000
remembered requests at once would hold a worker's loop for 8 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

NICE = 19


def _step_back() -> None:
    if sys.platform == "linux":  # elsewhere the number would name another process
        with contextlib.suppress(OSError):  # a sandbox may forbid it: then it is not polite
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


_THREADS = ThreadPoolExecutor(2, "background", _step_back)


async def in_background(
    work: Callable[_Given, _Result], *args: _Given.args, **kwargs: _Given.kwargs
) -> _Result:
    """Like ``asyncio.to_thread``, at the lowest priority."""
    call = partial(work, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREADS, call)


_AT_A_TIME = 256
"""Entries a turn of the loop: about a tenth of a millisecond."""


def clear_incrementally(*kept: dict[Any, Any]) -> None:
    """Empty dictionaries bit by bit; where no loop runs nobody waits, and they go at once.

    Args:
        kept: The dictionaries; nobody else may use them.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    full = [each for each in kept if each]
    if full:
        loop.call_soon(_go_on, loop, full)


def _go_on(loop: asyncio.AbstractEventLoop, full: list[dict[Any, Any]]) -> None:
    last = full[-1]
    for _ in range(min(_AT_A_TIME, len(last))):
        last.popitem()
    if not last:
        full.pop()
    if full:
        loop.call_soon(_go_on, loop, full)
