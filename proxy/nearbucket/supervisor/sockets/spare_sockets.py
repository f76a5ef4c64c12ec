"""Accepts connections for workers that hang or are being replaced.

With ``SO_REUSEPORT`` the kernel gives each listening socket its share of the connections, whether
its worker accepts them or not. Every worker has inherited all of these sockets, so others can take
the connections from its accept queue. For the same reason a socket is closed only when every worker
has closed its copy.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Collection, Mapping

_log = logging.getLogger(__name__)


class SpareSockets:
    """The listening sockets of the other workers, as one worker has them."""

    def __init__(
        self,
        listeners: Mapping[int, socket.socket],
        accept: Callable[[socket.socket], Awaitable[asyncio.Server]],
    ) -> None:
        """Accept nothing yet.

        Args:
            listeners: The sockets, by slot.
            accept: Accepts connections on a socket until the server is closed.
        """
        self._listeners = dict(listeners)
        self._accept = accept
        self._is_last = False
        self._wanted: Collection[int] = ()
        self._servers: dict[int, asyncio.Server] = {}
        self._opening: dict[int, asyncio.Task[None]] = {}

    def use(self, slots: Collection[int]) -> None:
        """Accept connections on the sockets of these slots, and on no other."""
        if self._is_last:
            return
        self._wanted = [slot for slot in slots if slot in self._listeners]
        for slot in [slot for slot in self._servers if slot not in self._wanted]:
            self._servers.pop(slot).close()
        for slot in self._wanted:
            if slot not in self._servers and slot not in self._opening:
                self._opening[slot] = asyncio.create_task(self._open(slot))

    @property
    def listeners(self) -> list[socket.socket]:
        """The sockets."""
        return list(self._listeners.values())

    def use_all(self) -> None:
        """Accept connections on every socket until ``close``, whatever is wanted meanwhile."""
        self.use(self._listeners)
        self._is_last = True

    def close(self) -> None:
        """Accept nothing any more, and close the sockets."""
        self._is_last = False
        self.use(())
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    async def _open(self, slot: int) -> None:
        try:
            if slot not in self._wanted:
                return
            server = await self._accept(self._listeners[slot].dup())
        except OSError:
            _log.exception("the connections of worker %d cannot be accepted", slot)
            return
        finally:
            del self._opening[slot]
        if slot in self._wanted:
            self._servers[slot] = server
        else:
            server.close()
