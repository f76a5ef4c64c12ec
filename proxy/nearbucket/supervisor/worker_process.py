"""The main function of a worker process: acts on the supervisor's messages until it has drained.

``prefork.py`` calls it in a forked process, ``worker_pool.py`` runs it as a new one.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from typing import TYPE_CHECKING

import uvloop

from nearbucket.errors import OriginError
from nearbucket.frontend.recent_redirects import SharedTable
from nearbucket.policy.explain import Explanation
from nearbucket.replicas.object_version import CatalogBatch, VersionReport
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.supervisor.ipc import (
    LAST_STATS,
    Channel,
    CredentialsReply,
    CredentialsRequest,
    ExplainReply,
    ExplainRequest,
    Ready,
    SnapshotRefused,
    Stats,
    StatsRequest,
)
from nearbucket.supervisor.snapshot import Snapshot
from nearbucket.supervisor.worker import Worker

if TYPE_CHECKING:
    from nearbucket.s3.credentials import Credentials
    from nearbucket.supervisor.ipc import Message

_log = logging.getLogger(__name__)

CREDENTIALS_TIMEOUT = 30.0  # seconds; the SDK may have to wait for a slow metadata service


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

    def __init__(self, channel: Channel, worker: Worker, credentials: _CredentialsClient) -> None:
        self._channel = channel
        self._worker = worker
        self._credentials = credentials
        self._explaining: set[asyncio.Task[None]] = set()

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
            case CatalogBatch() as batch:
                self._worker.learn(batch)
            case VersionReport() as report:
                self._worker.on_report(report)
            case CredentialsReply() as reply:
                self._credentials.on_reply(reply)
            case _:  # Drain or None
                return False
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
        self._channel.send(Stats(number, worker.figures(), worker.stuck_clients(), worker.down()))

    async def drain(self) -> None:
        """Drain the worker, and go on handling messages meanwhile."""
        draining = asyncio.create_task(self._worker.drain())
        while not draining.done():
            receiving = asyncio.create_task(self._channel.receive())
            await asyncio.wait({draining, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                receiving.cancel()
            elif not self.handle_message(receiving.result()):
                await draining


async def _run(listener: socket.socket, end: socket.socket, redirect_table: SharedTable) -> None:
    """Run a worker until the supervisor sends ``Drain`` or is gone."""
    channel = await Channel.over(end)
    first = await channel.receive()
    if not isinstance(first, Snapshot):
        return
    logging.getLogger().setLevel(first.settings.log.level.upper())
    credentials = _CredentialsClient(channel)
    ambient = SdkCredentials(fetch=credentials.fetch)
    worker = Worker(first, ambient=ambient, redirect_table=redirect_table, report=channel.send)
    await worker.start(listener)
    # Collections hold the event loop. What exists now stays, so they need not visit it, and the
    # caches' many entries form no cycles, so they need visit those rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(700, 10, 100)
    handler = _MessageHandler(channel, worker, credentials)
    channel.send(Ready())
    while handler.handle_message(await channel.receive()):
        pass
    await handler.drain()
    handler.send_stats(LAST_STATS)
    await worker.context.log.close()
    handler.send_stats(LAST_STATS)  # again, with the log lines that could not be written
    await channel.close()


def serve(listener: socket.socket, end: socket.socket, memory: int) -> None:
    """Run a worker in this process.

    Args:
        listener: A socket that is bound to the public port.
        end: The worker's end of the channel.
        memory: Descriptor of the memory that all workers share (``frontend/recent_redirects.py``).
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A terminal or orchestrator may signal the whole group: only the supervisor acts.
        signal.signal(number, signal.SIG_IGN)
    form = "%(asctime)s %(levelname)s worker[%(process)d]: %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, force=True)  # also over the supervisor's
    listener.setblocking(False)  # noqa: FBT003  # the standard library's signature
    uvloop.run(_run(listener, end, SharedTable(memory)))


def main() -> None:
    """``python -m nearbucket.supervisor.worker_process LISTENER CHANNEL MEMORY``: descriptors."""
    listener, end, memory = (int(number) for number in sys.argv[1:4])
    serve(socket.socket(fileno=listener), socket.socket(fileno=end), memory)


if __name__ == "__main__":
    main()
