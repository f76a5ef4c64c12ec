"""A worker process: it follows its supervisor from the first message to the last.

In: a listening socket, and the channel. Out: a ``Worker`` that does what the supervisor says, and
its figures when asked. Refuses to know what a worker does with a request.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import sys
from mmap import mmap
from typing import TYPE_CHECKING

import uvloop

from nearbucket.errors import OriginError
from nearbucket.frontend.recent_redirects import SIZE, SharedTable
from nearbucket.replicas.object_version import CatalogBatch
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.supervisor.ipc import (
    LAST_STATS,
    Channel,
    CredentialsReply,
    CredentialsRequest,
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

CREDENTIALS_TIMEOUT = 30.0  # seconds the SDK's chain may take, with a metadata service that is slow


class _CredentialsClient:
    """Asks the supervisor for the credentials of the SDK's chain, one request at a time."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._answer: asyncio.Future[CredentialsReply] | None = None

    async def fetch(self) -> Credentials:
        """What the chain says now; raises its ``OriginError``."""
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
        """The supervisor answered."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)


class _MessageHandler:
    """Does what each message says."""

    def __init__(self, channel: Channel, worker: Worker, credentials: _CredentialsClient) -> None:
        self._channel = channel
        self._worker = worker
        self._credentials = credentials

    def handle_message(self, message: Message | None) -> bool:
        """Do it; False where the message ends the service."""
        match message:
            case Snapshot() as snapshot:
                self._apply(snapshot)
            case StatsRequest(number):
                self.send_stats(number)
            case CatalogBatch() as batch:
                self._worker.learn(batch)
            case CredentialsReply() as reply:
                self._credentials.on_reply(reply)
            case _:  # Drain, or the supervisor is gone
                return False
        return True

    def _apply(self, snapshot: Snapshot) -> None:
        try:
            self._worker.apply(snapshot)
        except Exception as error:
            _log.exception("the new configuration or list is not used; the old one stays in use")
            self._channel.send(SnapshotRefused(repr(error)))

    def send_stats(self, number: int) -> None:
        """Send the figures."""
        self._channel.send(Stats(number, self._worker.figures()))

    async def drain(self) -> None:
        """Finish what runs; meanwhile go on handling messages."""
        draining = asyncio.create_task(self._worker.drain())
        while not draining.done():
            receiving = asyncio.create_task(self._channel.receive())
            await asyncio.wait({draining, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not receiving.done():
                receiving.cancel()
            elif not self.handle_message(receiving.result()):
                await draining


async def _run(listener: socket.socket, end: socket.socket, redirect_table: SharedTable) -> None:
    """Follow the supervisor until it says to drain, or is gone."""
    channel = await Channel.over(end)
    first = await channel.receive()
    if not isinstance(first, Snapshot):
        return
    logging.getLogger().setLevel(first.settings.log.level.upper())
    credentials = _CredentialsClient(channel)
    ambient = SdkCredentials(fetch=credentials.fetch)
    worker = Worker(first, ambient=ambient, redirect_table=redirect_table)
    await worker.start(listener)
    # What is there now stays: collections, which hold the loop, need not look at it, and rarely
    # at the cache's many entries, which are no cycles.
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
    handler.send_stats(LAST_STATS)  # with what the log lost
    await channel.close()


def serve(listener: socket.socket, end: socket.socket, memory: int) -> None:
    """Be a worker: answer on a bound socket, follow the supervisor behind the channel.

    Args:
        listener: The socket.
        end: Our end of the channel.
        memory: Descriptor of what the workers share: the table of ``frontend/recent_redirects.py``.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A terminal or orchestrator may signal the whole group: only the supervisor acts.
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s worker[%(process)d]: %(message)s",
        force=True,  # a copy of the supervisor has the supervisor's
    )  # fmt: skip
    # One line a worker about where credentials were found is no news.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    logging.getLogger("aiobotocore").setLevel(logging.WARNING)
    listener.setblocking(False)  # noqa: FBT003  # the standard library's signature
    uvloop.run(_run(listener, end, SharedTable(mmap(memory, SIZE))))


def main() -> None:
    """Entry of a process of its own.

    ``python -m nearbucket.supervisor.worker_process LISTENER CHANNEL MEMORY``
    """
    listener, end, memory = (int(number) for number in sys.argv[1:4])
    serve(socket.socket(fileno=listener), socket.socket(fileno=end), memory)


if __name__ == "__main__":
    main()
