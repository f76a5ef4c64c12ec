"""The worker processes as the supervisor sees them: start, snapshots, metrics, replacement, drain.

The first workers exist already (``supervisor/prefork.py``). Later ones are new processes, because
the supervisor has threads by then, which a fork would not copy. The supervisor keeps the listening
socket of every worker open, so that connections that wait for a worker that died are accepted by
its replacement.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from operator import attrgetter
from typing import TYPE_CHECKING

from nearbucket.errors import ProxyError
from nearbucket.event_loop import in_background
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.supervisor.ipc import (
    Channel,
    Drain,
    ExplainRequest,
    ServeSockets,
    SnapshotMessage,
    StatsRequest,
    encoded,
)
from nearbucket.supervisor.pool.restart_backoff import FAILURES, FIRST_STARTS, YOUNG, RestartBackoff
from nearbucket.supervisor.pool.worker_handle import WorkerHandle, start_worker
from nearbucket.supervisor.worker_silence import STEP
from nearbucket.telemetry.metrics import RestartCause
from nearbucket.telemetry.process_totals import retired, total

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Sequence

    from nearbucket.frontend.returning_clients.stuck_clients import StuckClient
    from nearbucket.policy.explain import ExplainQuery, Explanation
    from nearbucket.replicas.object_version import CatalogBatch, VersionReport
    from nearbucket.supervisor.pool.worker_handle import StartedWorker
    from nearbucket.supervisor.snapshot import Snapshot
    from nearbucket.telemetry.metrics import Values

_log = logging.getLogger(__name__)

STATS_TIMEOUT = 2.0  # seconds a worker may take to send its metrics; then its last ones are used
APPLY_ATTEMPTS = 5  # times STATS_TIMEOUT: how long workers may take to apply a snapshot
END_MARGIN = 3.0  # seconds a worker may take beyond drain_timeout before it is killed


class WorkerPool:
    """All workers of one supervisor."""

    def __init__(
        self,
        listeners: Sequence[socket.socket],
        snapshot: Snapshot,
        first: Sequence[StartedWorker],
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
        self._message = SnapshotMessage(snapshot)
        self._log_format = snapshot.settings.log.format
        self.credentials = SdkCredentials()  # of all workers: the SDK takes 8 MiB of memory
        self._workers: dict[int, WorkerHandle] = {}
        self._retired: Values = {}
        self._drain: Drain | None = None
        self._kill: asyncio.TimerHandle | None = None
        self._failed = False  # whether a worker ended in the drain with an answer cut, or worse
        self._answered = False
        self._stats_lock = asyncio.Lock()
        self._stats_number = 0
        self._explain_number = 0
        self._late = False  # whether a worker did not answer the last request for metrics
        self._tasks: list[asyncio.Task[None]] = []
        self._backoffs = [RestartBackoff() for _ in listeners]
        self._restarts = Counter(dict.fromkeys(RestartCause, 0))
        self._unserved: set[int] = set()  # sockets whose own worker does not accept
        self._shared: frozenset[int] = frozenset()  # those that the workers know of
        self._closing_sockets = False
        self._failure: ProxyError | None = None
        self._no_pause = asyncio.Event()
        self._on_failure: Callable[[], object]
        self._watching: asyncio.Task[None]

    def start(self, on_failure: Callable[[], object] = lambda: None) -> None:
        """Run one worker on each socket.

        Args:
            on_failure: Called when no worker lives long; ``raise_failure`` then tells it.
        """
        self._on_failure = on_failure
        self._tasks = [
            asyncio.create_task(self._keep(slot)) for slot in range(len(self._listeners))
        ]
        self._watching = asyncio.create_task(self._watch())

    async def ready(self, stop: asyncio.Event) -> None:
        """Return when a worker accepts connections on every socket, or when ``stop`` is set.

        A socket whose first worker failed is not waited for, if another worker is ready.

        Raises:
            ProxyError: The first three processes on each socket ended, and no worker ever started.
        """
        while not (self._is_settled() or self._failure or stop.is_set()):  # noqa: ASYNC110  # once
            await asyncio.sleep(0.01)
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise a ``ProxyError`` if no worker lives long."""
        if self._failure is not None:
            raise self._failure

    def _is_settled(self) -> bool:
        ready = {slot for slot, worker in self._workers.items() if worker.ready}
        return bool(ready) and all(
            slot in ready or backoff.failures for slot, backoff in enumerate(self._backoffs)
        )

    @property
    def serving(self) -> int:
        """How many workers accept connections now."""
        return sum(worker.answers for worker in self._workers.values())

    @property
    def problems(self) -> list[str]:
        """What is wrong with workers now."""
        silent = [
            f"worker process {worker.process.pid} has not answered for "
            f"{worker.silence.seconds:.0f} s"
            for worker in self._workers.values()
            if worker.is_silent
        ]
        ended = [
            f"worker {slot} ended and is not replaced yet"
            for slot in sorted(self._unserved)
            if self._drain is None and (slot not in self._workers or not self._workers[slot].ready)
        ]
        others = "; others accept its connections" if self.serving else ""
        return [f"{problem}{others}" for problem in (*silent, *ended)]

    @property
    def stuck_clients(self) -> list[StuckClient]:
        """Clients whose redirects fail, as of the last ``figures``."""
        return [client for worker in self._workers.values() for client in worker.stuck_clients]

    @property
    def down(self) -> dict[tuple[str, str], str]:
        """Why targets and origins are down, as in ``Stats``, as of the last ``figures``."""
        return {name: why for worker in self._workers.values() for name, why in worker.down.items()}

    @property
    def workers(self) -> Iterable[WorkerHandle]:
        """The worker processes, with what they sent for the last ``figures``."""
        return self._workers.values()

    async def broadcast_snapshot(self, snapshot: Snapshot) -> None:
        """Have every worker, and every later one, decide by ``snapshot``.

        When this returns, every worker has applied it, unless one hangs.

        Raises:
            ProxyError: A worker cannot apply it; all of them use the snapshot before again.
        """
        before, message = self._message, SnapshotMessage(snapshot)
        await in_background(attrgetter("encoded"), message)
        self._send_snapshot(message)
        for _ in range(APPLY_ATTEMPTS):
            workers = [worker for worker in self._workers.values() if not worker.is_silent]
            await self._ask(workers)  # they handle messages in order: who answers has applied it
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

    def _send_snapshot(self, message: SnapshotMessage) -> None:
        self._message = message
        for worker in self._workers.values():
            worker.refusal = ""
            worker.channel.send_encoded(message.encoded)

    def broadcast(
        self, message: CatalogBatch | VersionReport, sender: Channel | None = None
    ) -> None:
        """Tell every worker that runs now, but the sender, what is known of objects.

        One that has stopped reading is not told: its own checks show the change to it later.
        """
        data = encoded(message)
        for worker in self._workers.values():
            if worker.channel is not sender and not worker.channel.is_behind:
                worker.channel.send_encoded(data)

    async def figures(self) -> Values:
        """The metrics of all workers, added up; those that ended count too.

        Of a worker that is not ready, or does not answer, they are those that it sent last.
        """
        await self._ask([worker for worker in self._workers.values() if worker.answers])
        own: Values = {
            "nearbucket_workers": {(): self.serving},
            "nearbucket_worker_restarts_total": {
                (cause.value,): count for cause, count in self._restarts.items()
            },
        }
        # The workers of now: one that ended meanwhile is in _retired.
        current = (worker.values for worker in self._workers.values())
        return total([own, self._retired, *current])

    async def _ask(self, workers: Iterable[WorkerHandle]) -> None:
        """Have workers send their metrics."""
        async with self._stats_lock:
            self._stats_number += 1
            waits = []
            for worker in workers:
                worker.channel.send(StatsRequest(self._stats_number))
                waits.append(asyncio.create_task(worker.wait_for_stats(self._stats_number)))
            self._late = False
            if waits:
                _, late = await asyncio.wait(waits, timeout=STATS_TIMEOUT)
                self._late = bool(late)
                for wait in late:
                    wait.cancel()

    async def explain(self, query: ExplainQuery, timeout: float) -> list[Explanation]:  # noqa: ASYNC109  # of workers that hang
        """The explanations of all workers that answer within ``timeout`` seconds."""
        self._explain_number += 1
        number, workers = self._explain_number, [w for w in self._workers.values() if w.answers]
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

    async def drain(self, drain: Drain) -> bool:
        """Have every worker finish its answers and end; kill those that do not in time.

        Returns:
            Whether every worker ended by itself, with all answers complete.
        """
        for listener in self._listeners:
            listener.close()
        self._no_pause.set()
        self._send_drain(drain)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._watching.cancel()
        if self._kill is not None:
            self._kill.cancel()
        return not self._failed

    def cut_answers(self) -> None:
        """End a drain: cut the answers that are not complete."""
        if self._drain is not None:
            self._send_drain(Drain(0.0))

    def _send_drain(self, drain: Drain) -> None:
        self._drain = drain
        for worker in self._workers.values():
            if worker.ready:
                worker.channel.send(drain)
            else:  # it has no connection yet
                worker.kill()
        if self._kill is not None:
            self._kill.cancel()
        loop = asyncio.get_running_loop()
        self._kill = loop.call_later(drain.cut_after + END_MARGIN, self._kill_all)

    def _kill_all(self) -> None:
        for worker in self._workers.values():
            _log.error("worker process %d does not end; killed", worker.process.pid)
            worker.kill()

    async def _keep(self, slot: int) -> None:
        """Run a worker on this slot's socket, and another when it ends."""
        backoff = self._backoffs[slot]
        while not (self._drain or self._failure):
            started, ended = time.monotonic(), None
            try:
                ended = await self._run(slot)
            except Exception:
                # No process or descriptor was left. Connections wait in the socket meanwhile.
                _log.exception("worker %d could not be started", slot)
            self._unserved.add(slot)
            self._share_sockets()
            if self._drain is None:
                was_ready = ended is not None and ended.ready
                backoff.ended(time.monotonic() - started if was_ready else 0.0)
                self._restarts[ended.cause if ended else RestartCause.START] += 1
                how = ended.end_words if ended else "could not be started"
                self._fail_if_no_use(how)
                pause = f"in {backoff.pause:g} s" if backoff.pause else "now"
                _log.error("worker %d %s; another is started %s", slot, how, pause)
                await self._wait(backoff.pause)

    async def _wait(self, pause: float) -> None:
        """Wait for some seconds, or until the drain begins."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._no_pause.wait()

    def _fail_if_no_use(self, how: str) -> None:
        """End the server if no worker answers and all have failed too often in a row."""
        limit = FAILURES if self._answered else FIRST_STARTS
        fewest = min(backoff.failures for backoff in self._backoffs)
        if self.serving or fewest < limit or self._failure:
            return
        life = f"lives for {YOUNG:.0f} s" if self._answered else "could start"
        self._failure = ProxyError(
            f"no worker process {life}; the last of {fewest} on each socket {how}; "
            "see the log above"
        )
        self._no_pause.set()
        self._on_failure()

    async def _run(self, slot: int) -> WorkerHandle:
        """Run one process to its end."""
        started = self._first.pop(slot, None) or await start_worker(
            self._listeners, slot, self._memory, self._log_format
        )
        channel = await Channel.over(started.end)
        worker = WorkerHandle(started, channel, self.credentials, self.broadcast)
        if started.snapshot is not self._message.snapshot:
            worker.channel.send_encoded(self._message.encoded)
        worker.channel.send(ServeSockets(self._shared))
        self._workers[slot] = worker
        if self._drain is not None:
            worker.kill()
        try:
            await worker.listen()
            await worker.ended()
        finally:
            del self._workers[slot]
            self._answered |= worker.ready
            self._retired = total([self._retired, retired(worker.values)])
            await worker.close()
            cut = worker.ready and worker.process.returncode != 0
            self._failed |= self._drain is not None and cut
        return worker

    async def _watch(self) -> None:
        """Notice workers that hang, until all have ended."""
        while True:
            await asyncio.sleep(STEP)
            try:
                await self._check()
            except Exception:
                _log.exception("the workers could not be checked")

    async def _check(self) -> None:
        for slot, worker in tuple(self._workers.items()):
            await worker.check()
            if worker.is_silent:
                self._unserved.add(slot)
            elif worker.ready:
                self._unserved.discard(slot)
        self._share_sockets()

    def share_all_sockets(self) -> None:
        """Have every worker accept from every socket: some are about to be closed."""
        self._closing_sockets = True
        self._share_sockets()

    def _share_sockets(self) -> None:
        """Have the other workers accept the connections of workers that do not."""
        unserved = range(len(self._listeners)) if self._closing_sockets else self._unserved
        if (shared := frozenset(unserved)) != self._shared:
            self._shared = shared
            for worker in self._workers.values():
                worker.channel.send(ServeSockets(self._shared))
