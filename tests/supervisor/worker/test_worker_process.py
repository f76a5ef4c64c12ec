"""The main function of a worker process: what it waits for before it answers, and at its end."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from nearbucket.supervisor.worker.worker_process import Inherited, _run
from tests.build import settings, snapshot
from tests.serving import PATIENCE

NONE = -1
"""In place of descriptors that are used once it answers."""


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the process ends there
async def test_a_forked_worker_answers_nobody_if_the_supervisor_ends_at_its_own_start() -> None:
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    given = Inherited((listener.detach(),), 0, theirs.detach(), NONE, NONE, "text")
    ours.close()
    assert await _run(given, snapshot(settings())) == 0


LOOKS_UP = """
import asyncio, threading
from nearbucket.supervisor.worker import worker_process

async def run(given, snapshot):
    asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
    {end}

worker_process._run = run
worker_process.serve(worker_process.Inherited((), 0, -1, -1, 2, "text"))
"""


@pytest.mark.parametrize(("end", "code"), [("return 3", 3), ("raise LookupError", 1)])
def test_a_thread_that_waits_for_a_name_server_does_not_hold_up_the_end(
    end: str, code: int
) -> None:
    command = [sys.executable, "-c", LOOKS_UP.format(end=end)]
    done = subprocess.run(command, check=False, capture_output=True, timeout=PATIENCE)
    assert done.returncode == code
    assert (b"the worker failed" in done.stderr) is (code == 1)
