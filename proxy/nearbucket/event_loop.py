"""Work that can wait: done in threads that leave the processor to everybody else.

In: a function that takes some CPU time, and its arguments. Out: what it returns or raises.
Refuses to know what is computed, and to be used for anything that a client waits for.

On a core that supervisor and worker share, the scheduler would let such work run for 3 ms at a
time while requests wait. At the lowest priority it gives way to whoever wakes up. Priority
belongs to a thread on Linux (setpriority(2), "C library/kernel differences"), and new processes
are started by the loop's, so workers keep the loop's priority. A thread cannot rise again without
privileges: hence threads of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

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
