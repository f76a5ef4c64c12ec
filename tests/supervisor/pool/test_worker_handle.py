"""One worker process as the supervisor sees it, with real processes."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

from nearbucket.s3.credentials import SdkCredentials
from nearbucket.supervisor.ipc import Channel
from nearbucket.supervisor.pool.worker_handle import StartedWorker, WorkerHandle
from nearbucket.supervisor.stack_dump import StackDump
from nearbucket.supervisor.worker_silence import START_LIMIT

if TYPE_CHECKING:
    import pytest


async def test_a_new_process_that_ends_when_it_is_asked_for_its_stack_is_reported_as_hung(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ours, theirs = socket.socketpair()
    with theirs:  # the process knows the signal as little as one that has not imported anything
        process = await asyncio.create_subprocess_exec("sleep", "60", pass_fds=[theirs.fileno()])
    started = StartedWorker(process, ours, StackDump())
    channel = await Channel.over(ours)
    handle = WorkerHandle(started, channel, SdkCredentials(), lambda *_: None)
    handle.silence.seconds = START_LIMIT
    await handle.check()
    await handle.listen()
    await handle.ended()
    await handle.close()
    await asyncio.sleep(0)
    gc.collect()  # a task that failed says so when it is collected
    (line,) = caplog.messages
    assert f"worker process {process.pid} has not become ready for 6" in line
