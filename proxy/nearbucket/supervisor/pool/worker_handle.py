"""One worker process as the supervisor sees it: its start, its messages, its silence, its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from nearbucket.errors import OriginError
from nearbucket.replicas.object_version import VersionReport
from nearbucket.s3.tls_trust import environment_of_workers
from nearbucket.supervisor.ipc import (
    LAST_STATS,
    Channel,
    CredentialsReply,
    CredentialsRequest,
    ExplainReply,
    Ready,
    SnapshotRefused,
    Stats,
)
from nearbucket.supervisor.stack_dump import CRASHES, StackDump
from nearbucket.supervisor.worker.worker_process import Inherited
from nearbucket.supervisor.worker_silence import (
    HUNG_AFTER,
    START_LIMIT,
    SUSPECT_AFTER,
    WorkerSilence,
)
from nearbucket.telemetry.metrics import RestartCause

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nearbucket.frontend.returning_clients.stuck_clients import StuckClient
    from nearbucket.policy.explain import Explanation
    from nearbucket.s3.credentials import SdkCredentials
    from nearbucket.supervisor.snapshot import Snapshot
    from nearbucket.telemetry.history.missing_copies import MissingCopy
    from nearbucket.telemetry.metrics import Values

_log = logging.getLogger(__name__)


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


class StartedWorker(NamedTuple):
    """A worker process that was started.

    Attributes:
        process: The process.
        end: The supervisor's end of the channel to it.
        stack: Its stack when it hangs.
        snapshot: What it decides by; None if it waits for a snapshot.
    """

    process: asyncio.subprocess.Process | ForkedProcess
    end: socket.socket
    stack: StackDump
    snapshot: Snapshot | None = None


async def start_worker(
    listeners: Sequence[socket.socket], slot: int, memory: int, log_format: Literal["text", "json"]
) -> StartedWorker:
    """Start a worker as a new process.

    Args:
        listeners: The listening sockets of all workers.
        slot: Which of them is its own.
        memory: Descriptor of the memory that all workers share.
        log_format: Format of the process log.
    """
    ours, theirs = socket.socketpair()
    stack = StackDump()
    sockets = tuple(listener.fileno() for listener in listeners)
    given = Inherited(sockets, slot, theirs.fileno(), memory, stack.descriptor, log_format)
    module = "nearbucket.supervisor.worker.worker_process"
    command = [sys.executable, "-m", module, json.dumps(given)]
    authorities, variables = environment_of_workers()
    descriptors = [each for each in (*given.descriptors, authorities) if each is not None]
    with theirs, contextlib.ExitStack() as undo:
        undo.callback(ours.close)
        undo.callback(stack.close)
        process = await asyncio.create_subprocess_exec(
            *command,
            pass_fds=descriptors,
            stdin=asyncio.subprocess.DEVNULL,
            env={**os.environ, **variables},
        )
        undo.pop_all()
    return StartedWorker(process, ours, stack)


class WorkerHandle:
    """One worker process.

    Attributes:
        process: The process.
        channel: The channel to it.
        silence: How long nothing has come from it.
        ready: Whether it has begun to accept connections.
        values: The metrics that it sent last.
        stuck_clients: Clients whose redirects fail, as it sent them last.
        down: Why targets are down, by site and region, as it sent them last.
        missing_copies: Objects that targets lack, as it sent them last.
        recent: The last lines of its access log.
        refusal: Why it could not apply the last snapshot; empty if it could.
        explanations: Those that it is asked for, by number.
        hung: Whether it was silent for too long and is killed.
    """

    def __init__(
        self,
        started: StartedWorker,
        channel: Channel,
        credentials: SdkCredentials,
        on_report: Callable[[VersionReport, Channel], None],
    ) -> None:
        self.process = started.process
        self.channel = channel
        self.silence = WorkerSilence(started.process.pid)
        self.ready = False
        self.values: Values = {}
        self.stuck_clients: Sequence[StuckClient] = ()
        self.down: Mapping[tuple[str, str], str] = {}
        self.missing_copies: Sequence[MissingCopy] = ()
        self.recent: Sequence[bytes] = ()
        self.refusal = ""
        self.explanations: dict[int, asyncio.Future[Explanation]] = {}
        self.hung = False
        self._was_silent = False
        self._stack = started.stack
        self._credentials = credentials
        self._on_report = on_report
        self._reported = asyncio.Condition()
        self._answered_number = 0

    async def listen(self) -> None:
        """Act on the worker's messages until its end of the channel closes."""
        while (message := await self.channel.receive()) is not None:
            self.silence.end()
            match message:  # a Heartbeat has done its work
                case Ready():
                    self.ready = True
                case SnapshotRefused(error):
                    self.refusal = error
                case Stats() as stats:
                    self._keep(stats)
                    await self._answered(stats.number)
                case ExplainReply(number, explanation):
                    waiting = self.explanations.get(number)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(explanation)
                case VersionReport() as report:
                    self._on_report(report, self.channel)
                case CredentialsRequest():
                    self._sending_credentials = asyncio.create_task(self._send_credentials())
        await self._answered(LAST_STATS)  # ends all waits for this worker

    def _keep(self, stats: Stats) -> None:
        self.values = stats.values
        self.stuck_clients, self.down = stats.stuck_clients, stats.down
        self.missing_copies, self.recent = stats.missing_copies, stats.recent

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
        """Return when ``values`` are no older than the request with this number.

        Or when the worker has become silent, or has ended.
        """
        async with self._reported:
            await self._reported.wait_for(lambda: self._answered_number >= number or self.is_silent)

    @property
    def answers(self) -> bool:
        """Whether it accepts connections, and its event loop runs."""
        return self.ready and not self.is_silent

    @property
    def is_silent(self) -> bool:
        """Whether its event loop, once it ran, seems to have stopped."""
        return self.ready and self.silence.seconds >= SUSPECT_AFTER

    async def check(self) -> None:
        """Every ``STEP`` seconds: act on its silence."""
        self.silence.check()
        was_silent, self._was_silent = self._was_silent, self.is_silent
        if self.is_silent and not was_silent:
            pid, state = self.process.pid, self.silence.state
            _log.warning("worker process %d does not answer: %s", pid, state)
            async with self._reported:
                self._reported.notify_all()
        elif was_silent and not self.is_silent:
            _log.warning("worker process %d answers again", self.process.pid)
        limit = HUNG_AFTER if self.ready else START_LIMIT
        if self.silence.seconds >= limit and not self.hung:
            self.hung = True
            self._killing = asyncio.create_task(self._end_hung())

    async def _end_hung(self) -> None:
        pid, seconds, state = self.process.pid, self.silence.seconds, self.silence.state
        stack = "" if self.silence.is_stopped else await self._stack.ask(pid)
        _log.error(
            "worker process %d has not %s for %.0f s: %s; killed%s",
            pid,
            "answered" if self.ready else "become ready",
            seconds,
            state,
            f". Where it was:\n{stack}" if stack else "",
        )
        self.kill()

    async def ended(self) -> None:
        """Wait for the end of the process; log where it crashed."""
        await self.process.wait()
        if self.hung:
            await self._killing  # it may still ask for the stack: the signal can end a new process
        elif -(self.process.returncode or 0) in CRASHES and (stack := self._stack.read()):
            _log.error("worker process %d crashed. Where it was:\n%s", self.process.pid, stack)

    @property
    def cause(self) -> RestartCause:
        """What has ended it."""
        if self.hung:
            return RestartCause.HUNG
        if not self.ready:
            return RestartCause.START
        return RestartCause.SIGNAL if (self.process.returncode or 0) < 0 else RestartCause.EXIT

    @property
    def end_words(self) -> str:
        """How it has ended, as the end of a sentence."""
        code = self.process.returncode
        if self.hung:
            return "hung"
        if code is None or code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name
        return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")

    async def close(self) -> None:
        """Close the channel, and kill the process if it runs."""
        await self.channel.close()
        self._stack.close()
        self.kill()

    def kill(self) -> None:
        """Kill the process, if it runs."""
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
