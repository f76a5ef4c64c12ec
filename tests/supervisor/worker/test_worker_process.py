"""The main function of a worker process: what it waits for before it answers."""

from __future__ import annotations

import socket

import pytest

from nearbucket.supervisor.worker.worker_process import Inherited, _run
from tests.build import settings, snapshot

NONE = -1
"""In place of descriptors that are used once it answers."""


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the process ends there
async def test_a_forked_worker_answers_nobody_if_the_supervisor_ends_at_its_own_start() -> None:
    ours, theirs = socket.socketpair()
    listener = socket.create_server(("127.0.0.1", 0))
    given = Inherited((listener.detach(),), 0, theirs.detach(), NONE, NONE, "text")
    ours.close()
    assert await _run(given, snapshot(settings())) == 0
