"""The worker processes as the supervisor sees them: start, snapshots, metrics, replacement, drain.

The first workers exist already (``prefork.py``). Later ones are new processes, because the
supervisor has threads by then, which a fork would not copy. The supervisor keeps the listening
socket of every worker open, so that connections that wait for a worker that died are accepted by
its replacement.
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
from nearbucket.replicas.object_version import VersionReport
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.supervisor.ipc import (
    LAST_STATS,
    Channel,
    CredentialsReply,
    CredentialsRequest,
    Drain,
    ExplainReply,
    ExplainRequest,
    Ready,
    SnapshotRefused,
    Stats,
    StatsRequest,
    encoded,
)
from nearbucket.telemetry.process_totals import retired, total

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nearbucket.frontend.stuck_clients import StuckClient
    from nearbucket.policy.explain import ExplainQuery, Explanation
    from nearbucket.replicas.object_version import CatalogBatch
    from nearbucket.supervisor.snapshot import Snapshot
    from nearbucket.telemetry.metrics import Values

_log = logging.getLogger(__name__)

STATS_TIMEOUT = 2.0  # seconds a worker may take to send its metrics; then its last ones are used
APPLY_ATTEMPTS = 5  # times STATS_TIMEOUT: how long workers may take to apply a snapshot
DRAIN_GRACE = 5.0  # seconds a worker may take beyond drain_timeout before it is killed
RESTART_PAUSE = 1.0  # seconds before a worker that died young is replaced
STARTS = 3  # if no worker ever started, the start has failed after so many processes on a socket
YOUNG = 10.0  # seconds; a worker that lived longer did not die of its start


@dataclass(slots=True)
class ForkedProcess:
    """A process made by ``os.fork``, with the interface of ``asyncio.subprocess.Process``."""

    pid: int
    returncode: int | None = field(default=None, init=False)

    def kill(self) -> None:
        """Kill it, unless it has ended."""
        if self.returncode is None:
            os.kill(self.pid, signal.SIGKILL)

    async def wait(self) -> int:
        """Wait for its end, and return its exit code."""
        _, status = await asyncio.to_thread(os.waitpid, self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode


class PreforkedWorker(NamedTuple):
    """One of the first workers, and the supervisor's end of the channel to it."""

    process: ForkedProcess
    end: socket.socket


class _WorkerHandle:
    """One worker process as the supervisor sees it."""

    def __init__(
        self,
        process: asyncio.subprocess.Process | ForkedProcess,
        channel: Channel,
        credentials: SdkCredentials,
        on_report: Callable[[Channel, VersionReport], None],
    ) -> None:
        self.process = process
        self.channel = channel
        self.ready = False  # to accept connections
        self.values: Values = {}  # the metrics that it sent last
        self.stuck_clients: Sequence[StuckClient] = ()  # those that it sent last
        self.down: Mapping[tuple[str, str], str] = {}  # targets, and why, as it sent last
        self.refusal = ""  # why it could not apply the last snapshot
        self.explanations: dict[int, asyncio.Future[Explanation]] = {}
        self._credentials = credentials
        self._on_report = on_report
        self._reported = asyncio.Condition()
        self._answered_number = 0

    async def listen(self) -> None:
        """Act on the worker's messages until its end of the channel closes."""
        while (message := await self.channel.receive()) is not None:
            match message:
                case Ready():
                    self.ready = True
                case SnapshotRefused(error):
                    self.refusal = error
                case Stats(number, values, stuck_clients, down):
                    self.values, self.stuck_clients, self.down = values, stuck_clients, down
                    await self._answered(number)
                case ExplainReply(number, explanation):
                    waiting = self.explanations.get(number)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(explanation)
                case VersionReport() as report:
                    self._on_report(self.channel, report)
                case CredentialsRequest():
                    self._sending_credentials = asyncio.create_task(self._send_credentials())
        await self._answered(LAST_STATS)  # ends all waits for this worker

    async def _send_credentials(self) -> None:
        try:
            reply = CredentialsReply(await self._credentials.get())
        except OriginError as error:
            reply = CredentialsReply(None, error.status, error.detail)
        self.channel.send(reply)

    async def _answered(self, number: int) -> None:
        async with self._reported:
            self._answered_number = number
            self._reported.notify_all()

    async def wait_for_stats(self, number: int) -> None:
        """Return when ``values`` are no older than the request with this number."""
        async with self._reported:
            await self._reported.wait_for(lambda: self._answered_number >= number)


async def _start(
    listener: socket.socket, memory: int
) -> tuple[asyncio.subprocess.Process, socket.socket]:
    """Start a worker as a new process. Returns it, and the supervisor's end of its channel."""
    ours, theirs = socket.socketpair()
    descriptors = (listener.fileno(), theirs.fileno(), memory)
    command = [sys.executable, "-m", "nearbucket.supervisor.worker_process", *map(str, descriptors)]
    with theirs, contextlib.ExitStack() as undo:
        undo.callback(ours.close)
        process = await asyncio.create_subprocess_exec(
            *command, pass_fds=descriptors, stdin=asyncio.subprocess.DEVNULL
        )
        undo.pop_all()
    return process, ours


class WorkerPool:
    """All workers of one supervisor."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        snapshot: Snapshot,
        first: Sequence[PreforkedWorker],
        memory: int,
    ) -> None:
        """Prepare; ``start`` runs the workers.

        Args:
            listeners: The listening socket of each worker.
            snapshot: What workers decide by until another is broadcast.
            first: The worker processes that exist already.
            memory: Descriptor of the memory that all workers share.
        """
        self._listeners = listeners
        self._first = dict(enumerate(first))
        self._memory = memory
        self._encoded = encoded(snapshot)
        self._drain_timeout = snapshot.settings.limits.drain_timeout
        self.credentials = SdkCredentials()  # of all workers: the SDK takes 8 MiB of memory
        self._workers: dict[int, _WorkerHandle] = {}
        self._retired: Values = {}
        self._draining = False
        self._answered = False
        self._stats_lock = asyncio.Lock()
        self._stats_number = 0
        self._explain_number = 0
        self._late = False  # whether a worker did not answer the last request for metrics
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Run one worker on each socket."""
        self._tasks = [
            asyncio.create_task(self._keep(slot)) for slot in range(len(self._listeners))
        ]

    async def ready(self, stop: asyncio.Event) -> None:
        """Return when every worker accepts connections, or when ``stop`` is set.

        Raises:
            ProxyError: The first three processes on a socket ended, and no worker ever started.
        """
        while self.serving < len(self._listeners) and not stop.is_set():
            await asyncio.sleep(0.01)
            for task in self._tasks:
                if task.done():
                    task.result()

    @property
    def serving(self) -> int:
        """How many workers accept connections now."""
        return sum(worker.ready for worker in self._workers.values())

    @property
    def stuck_clients(self) -> list[StuckClient]:
        """Clients whose redirects fail, as of the last ``figures``."""
        return [client for worker in self._workers.values() for client in worker.stuck_clients]

    @property
    def down(self) -> dict[tuple[str, str], str]:
        """Why targets are down, by site and region, as of the last ``figures``."""
        return {name: why for worker in self._workers.values() for name, why in worker.down.items()}

    async def broadcast_snapshot(self, snapshot: Snapshot) -> None:
        """Have every worker, and every later one, decide by ``snapshot``.

        When this returns, every worker has applied it, unless one hangs.

        Raises:
            ProxyError: A worker cannot apply it; all of them use the snapshot before again.
        """
        before, data = self._encoded, await in_background(encoded, snapshot)
        self._send_snapshot(data)
        for _ in range(APPLY_ATTEMPTS):
            await self.figures()  # workers handle messages in order: who answers has applied it
            if not self._late:
                break
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
        """Tell every worker that runs now what a bucket holds."""
        data = encoded(batch)
        for worker in self._workers.values():
            worker.channel.send_encoded(data)

    def _pass_on(self, sender: Channel, report: VersionReport) -> None:
        """Tell the other workers what one has learned of an object.

        One that has stopped reading is not told: its own checks show the change to it later.
        """
        data = encoded(report)
        for worker in self._workers.values():
            if worker.channel is not sender and not worker.channel.is_behind:
                worker.channel.send_encoded(data)

    async def figures(self) -> Values:
        """The metrics of all workers, added up; those that ended count too."""
        async with self._stats_lock:
            self._stats_number += 1
            workers = list(self._workers.values())
            for worker in workers:
                worker.channel.send(StatsRequest(self._stats_number))
            waits = [
                asyncio.create_task(worker.wait_for_stats(self._stats_number)) for worker in workers
            ]
            self._late = False
            if waits:
                _, late = await asyncio.wait(waits, timeout=STATS_TIMEOUT)
                self._late = bool(late)
                for wait in late:
                    wait.cancel()
            # The workers of now: one that ended meanwhile is in _retired.
            current = (worker.values for worker in self._workers.values())
            return total([self._retired, *current])

    async def explain(self, query: ExplainQuery, timeout: float) -> list[Explanation]:  # noqa: ASYNC109  # of workers that hang
        """The explanations of all workers that answer within ``timeout`` seconds."""
        self._explain_number += 1
        number, workers = self._explain_number, [w for w in self._workers.values() if w.ready]
        loop = asyncio.get_running_loop()
        for worker in workers:
            worker.explanations[number] = loop.create_future()
            worker.channel.send(ExplainRequest(number, query))
        waits = [worker.explanations[number] for worker in workers]
        done: set[asyncio.Future[Explanation]] = set()
        try:
            if waits:
                done, _ = await asyncio.wait(waits, timeout=timeout)
        finally:
            for worker in workers:
                del worker.explanations[number]
        return [wait.result() for wait in waits if wait in done]

    async def drain(self) -> None:
        """Have every worker finish its requests and end; kill those that do not in time."""
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
        """Run a worker on this slot's socket, and another when it ends."""
        deaths = 0
        while not self._draining:
            if deaths == STARTS and not (self._answered or self.serving):
                raise ProxyError("no worker process could start; see the log above")
            deaths += 1
            started = asyncio.get_running_loop().time()
            try:
                await self._run(slot)
            except Exception:
                # No process or descriptor was left. Connections wait in the socket meanwhile.
                _log.exception("worker %d could not be started", slot)
            if not self._draining:
                _log.error("worker %d died; starting another", slot)
                lived = asyncio.get_running_loop().time() - started
                await asyncio.sleep(RESTART_PAUSE if lived < YOUNG else 0)

    async def _run(self, slot: int) -> None:
        first = self._first.pop(slot, None)
        process, end = first or await _start(self._listeners[slot], self._memory)
        channel = await Channel.over(end)
        worker = _WorkerHandle(process, channel, self.credentials, self._pass_on)
        worker.channel.send_encoded(self._encoded)
        self._workers[slot] = worker
        if self._draining:
            worker.channel.send(Drain())
        try:
            await worker.listen()
            await process.wait()
        finally:
            del self._workers[slot]
            self._answered |= worker.ready
            self._retired = total([self._retired, retired(worker.values)])
            await worker.channel.close()
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
