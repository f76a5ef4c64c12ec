"""The end of a worker: it goes on accepting connections, then finishes them, then cuts them.

Every worker has all sockets of the public port, and each of them is closed only when all workers
have closed it. So one that hangs or crashes during the drain loses no connection: while a worker
is known not to accept, others do so for it (``supervisor/sockets/spare_sockets.py``), and before
the sockets are closed, every worker accepts from all of them until they are empty.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.supervisor.sockets.accept_queue import emptied, ignore_new_connections

if TYPE_CHECKING:
    import socket

    from nearbucket.frontend.worker_context import WorkerContext
    from nearbucket.supervisor.sockets.spare_sockets import SpareSockets

_SETTLE = 0.05  # seconds for the event loop to make connections of what it accepted last

_log = logging.getLogger(__name__)


class Accepting(NamedTuple):
    """What a worker accepts connections with.

    Attributes:
        listener: Its own socket.
        server: The server on it.
        spare: The sockets of other workers.
    """

    listener: socket.socket
    server: asyncio.Server
    spare: SpareSockets

    async def stop(self) -> None:
        """Accept what is in the queues, and close the sockets."""
        self.spare.use_all()
        sockets = self.listener, *self.spare.listeners
        for each in sockets:
            ignore_new_connections(each)
        await emptied(*sockets)
        self.stop_now()

    def stop_now(self) -> None:
        """Close the sockets as they are."""
        self.server.close()
        self.spare.close()


class WorkerDrain:
    """One drain of a worker."""

    def __init__(self, context: WorkerContext, accepting: Accepting, cut_after: float) -> None:
        """Answers close their connection from now on.

        Args:
            context: The worker's context.
            accepting: What it accepts connections with.
            cut_after: Seconds until answers that are not complete are cut.
        """
        self._context = context
        self._accepting = accepting
        self._start = time.monotonic()
        self._deadline = self._start + cut_after
        context.drain()

    async def run(self, grace: float, *, sockets_stay: bool) -> int:
        """Finish the open connections; those that are left then are cut.

        Args:
            grace: Seconds for which connections are still accepted, and idle ones kept.
            sockets_stay: Whether another process keeps the listening sockets open: then nothing is
                accepted from now on, and what waits in a socket is left there.

        Returns:
            How many answers were cut.
        """
        if sockets_stay:
            self._accepting.stop_now()
        await self._wait(self._start + grace, for_new=not sockets_stay)
        if not sockets_stay:
            await self._accepting.stop()
        await asyncio.sleep(_SETTLE)
        self._context.closing_idle = True
        await self._wait(self._deadline)
        for handshake in tuple(self._context.handshakes):
            handshake.cancel()
        cut = self._cut()
        await asyncio.sleep(0)
        return cut

    def end(self, cut_after: float) -> None:
        """Cut the answers that are not complete after so many seconds."""
        self._deadline = min(self._deadline, time.monotonic() + cut_after)

    async def _wait(self, until: float, *, for_new: bool = False) -> None:
        """Wait for the end of all connections, at most until a time and the end of the drain.

        With ``for_new`` also while there is no connection, because new ones may come.
        """
        context = self._context
        while (for_new or context.connections or context.handshakes) and (
            time.monotonic() < min(until, self._deadline)
        ):
            for connection in tuple(context.connections):
                connection.check(time.monotonic())
            await asyncio.sleep(0.05)

    def _cut(self) -> int:
        connections = tuple(self._context.connections)
        cut = sum(connection.is_answering for connection in connections)
        if cut:
            _log.warning("limits.drain_timeout is over: %d answers cut", cut)
        for connection in connections:
            connection.abort()
        return cut
