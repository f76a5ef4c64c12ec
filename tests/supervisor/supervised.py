"""A supervisor of workers that are tasks of the test, and its configuration file."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from nearbucket.config.file import load
from nearbucket.policy.explain import ExplainQuery, Explanation
from nearbucket.supervisor.config_source import source_of
from nearbucket.supervisor.ipc import (
    LAST_STATS,
    Channel,
    Drain,
    ExplainReply,
    ExplainRequest,
    Ready,
    SnapshotRefused,
    Stats,
    StatsRequest,
)
from nearbucket.supervisor.pool.worker_handle import StartedWorker
from nearbucket.supervisor.prefork import PreforkedWorkers
from nearbucket.supervisor.snapshot import Snapshot, snapshot_of
from nearbucket.supervisor.stack_dump import StackDump
from nearbucket.supervisor.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearbucket.frontend.returning_clients.stuck_clients import StuckClient
    from nearbucket.telemetry.history.missing_copies import MissingCopy
    from nearbucket.telemetry.metrics import Values

NO_PROCESS = (1 << 22) + 1
"""More than any process id of Linux."""


class Worker:
    """The worker's end of a channel: applies snapshots but those of one mode."""

    def __init__(self, *, refuses: str | None = None, after: float = 0.0) -> None:
        self.pid, self.returncode = NO_PROCESS, 0
        self.modes: list[str] = []
        self.values: Values = {}
        self.stuck_clients: tuple[StuckClient, ...] = ()
        self.down: dict[tuple[str, str], str] = {}
        self.missing_copies: tuple[MissingCopy, ...] = ()
        self.queries: list[ExplainQuery] = []
        self._refuses, self._after = refuses, after
        self.end, self._end = socket.socketpair()

    async def wait(self) -> int:
        return 0

    async def run(self) -> None:
        channel = await Channel.over(self._end)
        channel.send(Ready())
        while not isinstance(message := await channel.receive(), Drain):
            if isinstance(message, Snapshot):
                mode = message.settings.sites[0].redirect.mode
                if mode == self._refuses:
                    await asyncio.sleep(self._after)
                    channel.send(SnapshotRefused("RuntimeError('broken')"))
                else:
                    self.modes.append(mode)
            elif isinstance(message, StatsRequest):
                told = self.stuck_clients, self.down, self.missing_copies
                channel.send(Stats(message.number, self.values, *told))
            elif isinstance(message, ExplainRequest):
                self.queries.append(message.query)
                channel.send(ExplainReply(message.number, Explanation("in-region", ())))
        channel.send(Stats(LAST_STATS, {}))
        await channel.close()


def write(file: Path, mode: str) -> None:
    nowhere = {"endpoint": "https://127.0.0.1:9", "credentials": "anonymous"}
    site = {
        "origin": {"bucket": "downloads", "region": "us-east-1", **nowhere},
        "targets": {"us-west-2": {"bucket": "west"}},
        "redirect": {"mode": mode},
    }
    file.write_text(json.dumps({"sites": [site]}), encoding="utf-8")


@asynccontextmanager
async def supervised(file: Path, *workers: Worker) -> AsyncIterator[Supervisor]:
    """A supervisor of these workers, which have applied the first snapshot."""
    write(file, "on")
    first = [StartedWorker(cast("Any", worker), worker.end, StackDump()) for worker in workers]
    listeners = [socket.socket() for _ in workers]
    supervisor = Supervisor(
        source_of(file), snapshot_of(load(file), None), PreforkedWorkers(listeners, first, 0)
    )
    pool = supervisor._pool
    pool.start()
    running = [asyncio.create_task(worker.run()) for worker in workers]
    await pool.ready(asyncio.Event())
    try:
        yield supervisor
    finally:
        supervisor._listings.stop()
        supervisor._origin_check.close()
        await pool.drain(Drain(25.0))
        await asyncio.gather(*running)
