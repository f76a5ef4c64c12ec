"""The Python stack of a worker that hangs or crashes, for the log.

``faulthandler`` writes it in C, in a signal handler, so it needs neither the event loop nor the
interpreter. It writes to a file in memory, which the supervisor reads: standard error may have no
reader, and the process log may be JSON.
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal

SIGNAL = signal.SIGUSR1
CRASHES = {signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL}
"""Signals of a crash, at which faulthandler writes the stack too."""

_MOST = 64 << 10  # bytes; faulthandler writes 100 frames of a thread at most
_PATIENCE = 1.0  # seconds in which a process that can run has written its stack
_STEP = 0.05


def write_stack_to(descriptor: int) -> None:
    """Have this process write the stacks of its threads there on ``SIGNAL`` and at a crash."""
    faulthandler.enable(descriptor)
    faulthandler.register(SIGNAL, descriptor)


class StackDump:
    """The file in memory for the stack of one worker, as the supervisor has it."""

    def __init__(self) -> None:
        """Make an empty one."""
        self.descriptor = os.memfd_create("nearbucket-stack")

    def read(self) -> str:
        """What the worker has written; empty if nothing."""
        return os.pread(self.descriptor, _MOST, 0).decode(errors="replace").rstrip()

    async def ask(self, pid: int) -> str:
        """Have the worker write its stack, and return it; empty if it cannot within a second."""
        try:
            os.kill(pid, SIGNAL)
        except ProcessLookupError:
            return ""
        text, before = "", None
        for _ in range(round(_PATIENCE / _STEP)):
            await asyncio.sleep(_STEP)
            text = self.read()
            if text and text == before:
                break
            before = text
        return text

    def close(self) -> None:
        """Give the memory back."""
        os.close(self.descriptor)
