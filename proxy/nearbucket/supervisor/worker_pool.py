"""The worker processes: started, told, asked, replaced, drained.

In: snapshots to spread. Out: readiness and the sum of all figures. Refuses to know where
configuration and prefixes come from.

The first workers are there already (``prefork.py``). Later ones are new processes rather than
copies: the supervisor has threads by then. Every worker has its own listening socket on the
shared port (SO_REUSEPORT), which the supervisor keeps open, so that connections waiting for a
worker that died meet its successor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.errors import OriginError, ProxyError
from nearbucket.event_loop import in_background
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.supervisor.ipc import (
    LAST_STATS,
    Channel,
    CredentialsReply,
    CredentialsRequest,
    Drain,
    Ready,
    SnapshotRefused,
    Stats,
    StatsRequest,
    encoded,
)
from nearbucket.telemetry.metrics import Values, retired, total

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from nearbucket.replicas.object_version import CatalogBatch
    from nearbucket.supervisor.snapshot import Snapshot

_log = logging.getLogger(__name__)

ANSWER_TIMEOUT = 2.0  # seconds a worker may take to report before its last report stands in
DRAIN_GRACE = 5.0  # seconds a worker may take beyond drain_timeout before it is killed
RESTART_PAUSE = 1.0  # seconds before the successor of a worker that died young
STARTS = 3  # deaths in a row before the first worker ever answered: then the start has failed
YOUNG = 10.0  # seconds; what killed an older worker is not likely to be its start


@dataclass(slots=True)
class ForkedProcess:
    """A process that ``os.fork`` made, with the face of ``asyncio.subprocess.Process``."""

    pid: int
    returncode: int | None = field(default=None, init=False)

    def kill(self) -> None:
        """End it at once; without effect when ``wait`` has seen its end."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Its exit code, once it has ended; until then its number is nobody else's."""
        _, status = await asyncio.to_thread(os.waitpid, self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class PreforkedWorker(NamedTuple):
    """One of the first workers, and the supervisor's end of its channel."""

    process: ForkedProcess
    end: socket.socket


class _WorkerHandle:
    """One worker process as the supervisor sees it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process | ForkedProcess,
        channel: Channel,
        on_ready: Callable[[], None],
        ambient: SdkCredentials,
    ) -> None:
        self.process = process
        self.channel = channel
        self.on_ready = on_ready
        self._ambient = ambient
        self.ready = asyncio.Event()
        self.values: Values = {}
        self.refusal = ""
        self._reported = asyncio.Condition()
        self._answered_number = 0

    async def listen(self) -> None:
        """Take in what the worker says until it is gone."""
        while (message := await self.channel.receive()) is not None:
            if isinstance(message, Ready):
                self.ready.set()
                self.on_ready()
            elif isinstance(message, SnapshotRefused):
                self.refusal = message.error
            elif isinstance(message, Stats):
                self.values = message.values
                await self._answered(message.number)
            elif isinstance(message, CredentialsRequest):
                self._sending_credentials = asyncio.create_task(self._send_credentials())
        await self._answered(LAST_STATS)  # nobody waits for a worker that is gone

    async def _send_credentials(self) -> None:
        try:
            reply = CredentialsReply(await self._ambient.get())
        except OriginError as error:
            reply = CredentialsReply(None, error.status, error.detail)
        self.channel.send(reply)

    async def _answered(self, number: int) -> None:
        async with self._reported:
            self._answered_number = number
            self._reported.notify_all()

    async def wait_for_stats(self, number: int) -> None:
        """Return when the figures are no older than the request with this number."""
        async with self._reported:
            await self._reported.wait_for(lambda: self._answered_number >= number)


async def _start(
    listener: socket.socket, memory: int
) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """A worker as a new process, and the supervisor's end of its channel."""
    ours, theirs = socket.socketpair()
    with theirs, contextlib.ExitStack() as undo:
        undo.callback(ours.close)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "nearbucket.supervisor.worker_process", str(listener.fileno()),
            str(theirs.fileno()), str(memory),
            pass_fds=(listener.fileno(), theirs.fileno(), memory),
            stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        undo.pop_all()
    return process, ours


class WorkerPool:
    """All workers of one supervisor."""

    def __init__(
        self,
        listeners: Iterable[socket.socket],
        snapshot: Snapshot,
        first: Sequence[PreforkedWorker],
        memory: int,
    ) -> None:
        """Args: a socket a worker; what to decide by; the workers there are; their memory."""
        self._listeners = list(listeners)
        self._first = dict(enumerate(first))
        self._memory = memory
        self._drain_timeout = snapshot.settings.limits.drain_timeout
        self._encoded = encoded(snapshot)
        self._ambient = SdkCredentials()  # for all: the SDK is asked, and kept in memory, once
        self._workers: dict[int, _WorkerHandle] = {}
        self._retired: Values = {}
        self._draining = False
        self._answered = False
        self._stats_lock = asyncio.Lock()
        self._stats_number = 0
        self._tasks = [
            asyncio.create_task(self._keep(slot)) for slot in range(len(self._listeners))
        ]

    @property
    def serving(self) -> int:
        """Workers that answer now."""
        return sum(worker.ready.is_set() for worker in self._workers.values())

    @property
    def size(self) -> int:
        """Workers there should be."""
        return len(self._listeners)

    async def ready(self) -> None:
        """Return when every worker answers."""
        while self.serving < self.size:
            await asyncio.sleep(0.01)
            for task in self._tasks:
                if task.done():
                    task.result()

    async def broadcast_snapshot(self, snapshot: Snapshot) -> None:
        """Have every worker, and every later one, decide by ``snapshot``.

        When this returns, every worker that answered in time has applied it.

        Raises:
            ProxyError: A worker cannot apply it; all of them use the snapshot before again.
        """
        before, data = self._encoded, await in_background(encoded, snapshot)
        self._send_snapshot(data)
        await self.figures()  # workers handle messages in order, so these have applied it
        refusals = [
            f"worker process {worker.process.pid} cannot apply it: {worker.refusal}"
            for worker in self._workers.values()
            if worker.refusal
        ]
        if refusals:
            self._send_snapshot(before)
            raise ProxyError("; ".join(refusals))
        self._drain_timeout = snapshot.settings.limits.drain_timeout

    def _send_snapshot(self, data: bytes) -> None:
        self._encoded = data
        for worker in self._workers.values():
            worker.refusal = ""
            worker.channel.send_encoded(data)

    def broadcast_batch(self, batch: CatalogBatch) -> None:
        """Have every worker of now know what a bucket holds."""
        data = encoded(batch)
        for worker in self._workers.values():
            worker.channel.send_encoded(data)

    async def figures(self) -> Values:
        """The exact sum over all workers, those that ended included."""
        async with self._stats_lock:
            self._stats_number += 1
            workers = list(self._workers.values())
            for worker in workers:
                worker.channel.send(StatsRequest(self._stats_number))
            waits = [
                asyncio.create_task(worker.wait_for_stats(self._stats_number)) for worker in workers
            ]
            if waits:
                _, late = await asyncio.wait(waits, timeout=ANSWER_TIMEOUT)
                for wait in late:
                    wait.cancel()
            # Those that are there now: one that ended meanwhile is among the retired.
            current = (worker.values for worker in self._workers.values())
            return total([self._retired, *current])

    async def drain(self) -> None:
        """Let every worker finish and end."""
        self._draining = True
        for listener in self._listeners:
            listener.close()
        for worker in self._workers.values():
            worker.channel.send(Drain())
        ended = asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.wait({ended}, timeout=self._drain_timeout + DRAIN_GRACE)
        for worker in self._workers.values():
            _log.error("worker process %d does not end; killed", worker.process.pid)
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()
        await ended

    async def _keep(self, slot: int) -> None:
        """Run a worker on this slot's socket, and another when it dies."""
        deaths = 0
        while not self._draining:
            if deaths == STARTS and not self._answered:
                raise ProxyError("no worker process could start; see the log above")
            deaths += 1
            started = asyncio.get_running_loop().time()
            try:
                await self._run(slot)
            except Exception:
                # No process or descriptor to be had: its connections wait for the next try.
                _log.exception("worker %d could not be started", slot)
            if not self._draining:
                _log.error("worker %d died; starting another", slot)
                lived = asyncio.get_running_loop().time() - started
                await asyncio.sleep(RESTART_PAUSE if lived < YOUNG else 0)

    def _has_answered(self) -> None:
        self._answered = True

    async def _run(self, slot: int) -> None:
        first = self._first.pop(slot, None)
        process, end = first or await _start(self._listeners[slot], self._memory)
        worker = _WorkerHandle(process, await Channel.over(end), self._has_answered, self._ambient)
        worker.channel.send_encoded(self._encoded)
        self._workers[slot] = worker
        if self._draining:
            worker.channel.send(Drain())
        try:
            await worker.listen()
            await process.wait()
        finally:
            del self._workers[slot]
            self._retired = total([self._retired, retired(worker.values)])
            await worker.channel.close()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
