"""Serves the admin port on a socket that is bound already."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

if TYPE_CHECKING:
    import socket

LAST_REQUESTS = 0.25  # seconds for requests in progress at the end; some clients never read

_log = logging.getLogger(__name__)


def _is_fault(record: logging.LogRecord) -> bool:
    """Whether it is about more than a request that is no HTTP or too long, which gets 400."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_log.addFilter(_is_fault)


class AdminServer:
    """The admin port's server.

    Attributes:
        listener: Its socket.
    """

    def __init__(self, listener: socket.socket, application: web.Application) -> None:
        self.listener = listener
        self.address = listener.getsockname()[:2]
        self._runner = web.AppRunner(
            application, access_log=None, logger=_log, shutdown_timeout=LAST_REQUESTS
        )
        self._site: web.SockSite | None = None

    async def start(self) -> None:
        """Accept connections."""
        await self._runner.setup()
        self._site = web.SockSite(self._runner, self.listener)
        await self._site.start()

    async def hand_over(self) -> None:
        """Leave new connections to the other process that has the socket, and close the others.

        A monitor must learn from that process whether the address is ready.
        """
        if self._site is not None:
            await self._site.stop()
        await asyncio.sleep(LAST_REQUESTS)
        await self.close()

    async def close(self) -> None:
        """Close the port and its connections."""
        await self._runner.cleanup()
        self.listener.close()
