"""The main function of a worker process: acts on the supervisor's messages until it has drained.

``supervisor/prefork.py`` calls it in a forked process, ``supervisor/pool/worker_handle.py`` starts
a new Python process for it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Literal, NamedTuple, NoReturn

import uvloop

from nearbucket.errors import OriginError
from nearbucket.frontend.returning_clients.recent_redirects import SharedTable
from nearbucket.policy.explain import Explanation
from nearbucket.replicas.object_version import CatalogBatch, VersionReport
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.supervisor.ipc import (
    LAST_STATS,
    Channel,
    CredentialsReply,
    CredentialsRequest,
    Drain,
    ExplainReply,
    ExplainRequest,
    Heartbeat,
    Ready,
    ServeSockets,
    SnapshotRefused,
    Stats,
    StatsRequest,
    encoded,
)
from nearbucket.supervisor.snapshot import Snapshot
from nearbucket.supervisor.stack_dump import write_stack_to
from nearbucket.supervisor.worker.worker import Worker
from nearbucket.supervisor.worker_silence import HEARTBEAT
from nearbucket.telemetry.process_log import ProcessLog, lines_dropped

if TYPE_CHECKING:
    from nearbucket.s3.credentials import Credentials
    from nearbucket.supervisor.ipc import Message

_log = logging.getLogger(__name__)

LOG_PATIENCE = 1.0  # seconds for the reader of each log at the end; both fit in END_MARGIN
CREDENTIALS_TIMEOUT = 30.0  # seconds; the SDK may have to wait for a slow metadata service


class Inherited(NamedTuple):
    """What a worker process has from the supervisor: descriptors, and the format of its log.

    Attributes:
        listeners: Sockets that are bound to the public port, one for each worker.
        slot: Which of them is its own.
        channel: Its end of the channel.
        memory: The memory that all workers share (``SharedTable``).
        stack: The file for its Python stack (``supervisor/stack_dump.py``).
        log_format: Format of the process log.
    """

    listeners: tuple[int, ...]
    slot: int
    channel: int
    memory: int
    stack: int
    log_format: Literal["text", "json"]

    @property
    def descriptors(self) -> tuple[int, ...]:
        """All descriptors."""
        return *self.listeners, self.channel, self.memory, self.stack


class _CredentialsClient:
    """Asks the supervisor for the credentials of the SDK's chain, one request at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._answer: asyncio.Future[CredentialsReply] | None = None

    async def fetch(self) -> Credentials:
        """The credentials of now, or ``OriginError``."""
        self._answer = asyncio.get_running_loop().create_future()
        self._channel.send(CredentialsRequest())
        try:
            async with asyncio.timeout(CREDENTIALS_TIMEOUT):
                answer = await self._answer
        except TimeoutError:
            raise OriginError(503, "AWS credentials were not handed over in time") from None
        if answer.credentials is None:
            raise OriginError(answer.status, answer.detail)
        return answer.credentials

    def on_reply(self, answer: CredentialsReply) -> None:
        """Give a reply to ``fetch``."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


class _MessageHandler:
    """Acts on the supervisor's messages."""

    def __init__(
        self,
        channel: Channel,
        worker: Worker,
        credentials: _CredentialsClient,
    ) -> None:
        self._channel = channel
        self._worker = worker
        self._credentials = credentials
        self._explaining: set[asyncio.Task[None]] = set()
        self._drain: Drain | None = None  # None if the supervisor is gone

    def handle_message(self, message: Message | None) -> bool:
        """Act on a message, or on None: the supervisor is gone. Returns whether to go on."""
        match message:
            case Snapshot() as snapshot:
                self._apply(snapshot)
            case StatsRequest(number):
                self.send_stats(number)
            case ExplainRequest() as asked:
                task = asyncio.create_task(self._explain(asked))
                self._explaining.add(task)
                task.add_done_callback(self._explaining.discard)
            case ServeSockets(slots):
                self._worker.spare.use(slots)
            case CatalogBatch() as batch:
                self._worker.learn(batch)
            case VersionReport() as report:
                self._worker.on_report(report)
            case CredentialsReply() as reply:
                self._credentials.on_reply(reply)
            case Drain() | None as last:
                self._drain = last
                return False
            case _:  # what a worker sends
                pass
        return True

    def _apply(self, snapshot: Snapshot) -> None:
        try:
            self._worker.apply(snapshot)
        except Exception as error:
            _log.exception("the new configuration or list is not used; the old one stays in use")
            self._channel.send(SnapshotRefused(repr(error)))

    async def _explain(self, asked: ExplainRequest) -> None:
        try:
            explanation = await self._worker.explain(asked.query)
        except Exception as error:
            _log.exception("a decision could not be explained")
            explanation = Explanation.of_failure(error)
        self._channel.send(ExplainReply(asked.number, explanation))

    def send_stats(self, number: int) -> None:
        """Send the metrics; ``number`` is that of the request."""
        worker = self._worker
        values = worker.figures()
        values["nearbucket_log_lines_dropped_total"]["process",] = lines_dropped()
        context = worker.context
        self._channel.send(
            Stats(
                number,
                values,
                worker.stuck_clients(),
                worker.down(),
                context.missing_copies.top(),
                tuple(context.log.recent),
            )
        )

    async def drain(self) -> int:
        """Drain the worker, and go on handling messages meanwhile; how many answers were cut."""
        worker = self._worker
        if self._drain is None:
            _log.error("the supervisor is gone: this worker finishes its answers and ends")
        drain = self._drain or Drain(  # without a supervisor, others may have the socket or not
            worker.context.settings.limits.drain_timeout, sockets_stay=True
        )
        draining = asyncio.create_task(
            worker.drain(drain.cut_after, drain.grace, sockets_stay=drain.sockets_stay)
        )
        while not draining.done():
            receiving = asyncio.create_task(self._channel.receive())
            await asyncio.wait({draining, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                receiving.cancel()
            elif not self.handle_message(receiving.result()):
                if self._drain is None:
                    await draining
                else:
                    worker.end_drain(self._drain.cut_after)
        return draining.result()


async def _run(given: Inherited, snapshot: Snapshot | None) -> int:
    """Run a worker until the supervisor sends ``Drain`` or is gone; the exit code."""
    listeners = {slot: _listener(number) for slot, number in enumerate(given.listeners)}
    channel = await Channel.over(socket.socket(fileno=given.channel))
    # a forked worker, too, waits for the supervisor, which may end at its own start
    message = await channel.receive()
    first = message if isinstance(message, Snapshot) else snapshot
    if message is None or first is None:
        return 0
    logging.getLogger().setLevel(first.settings.log.level.upper())
    credentials = _CredentialsClient(channel)
    worker = Worker(
        first,
        ambient=SdkCredentials(fetch=credentials.fetch),
        redirect_table=SharedTable(given.memory),
        report=channel.send,
    )
    await worker.start(listeners.pop(given.slot), listeners)
    # Collections hold the event loop. What exists now stays, so they need not visit it, and the
    # caches' many entries form no cycles, so they need visit those rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 100)
    handler = _MessageHandler(channel, worker, credentials)
    if message is not first:
        handler.handle_message(message)
    channel.send(Ready())
    beating = asyncio.create_task(_send_heartbeats(channel))
    while handler.handle_message(await channel.receive()):
        pass
    cut = await handler.drain()
    handler.send_stats(LAST_STATS)
    await worker.context.log.close(LOG_PATIENCE)
    handler.send_stats(LAST_STATS)  # again, with the log lines that could not be written
    beating.cancel()
    await channel.close()
    return int(cut > 0)


def _listener(descriptor: int) -> socket.socket:
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)  # noqa: FBT003  # the standard library's signature
    return listener


async def _send_heartbeats(channel: Channel) -> None:
    data = encoded(Heartbeat())
    while True:
        channel.send_encoded(data)
        await asyncio.sleep(HEARTBEAT)


def serve(given: Inherited, snapshot: Snapshot | None = None) -> NoReturn:
    """Run a worker in this process, and end the process.

    The event loop is not closed: that would wait for lookups of names, which take 10 s and more
    while no name server answers, and the worker would seem to hang.

    Args:
        given: What it has from the supervisor.
        snapshot: What it decides by at first; by default, what the supervisor sends.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2):
        # A terminal or orchestrator may signal the whole group: only the supervisor acts.
        signal.signal(number, signal.SIG_IGN)
    write_stack_to(given.stack)
    log = ProcessLog(given.log_format, "worker")
    log.start()
    logging.getLogger().setLevel(logging.INFO)
    code = 1
    try:
        code = uvloop.new_event_loop().run_until_complete(_run(given, snapshot))
    except BaseException:
        _log.exception("the worker failed")
    log.close(LOG_PATIENCE)
    os._exit(code)


def main() -> None:
    """``python -m nearbucket.supervisor.worker.worker_process INHERITED``, as JSON."""
    listeners, *rest = json.loads(sys.argv[1])
    serve(Inherited(tuple(listeners), *rest))


if __name__ == "__main__":
    main()
