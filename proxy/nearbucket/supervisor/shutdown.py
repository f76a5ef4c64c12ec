"""When and how an instance ends: by a signal, or because another has taken its ports over."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import TYPE_CHECKING

from nearbucket.supervisor.ipc import Drain
from nearbucket.supervisor.sockets.port_handover import Handover, open_door

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from nearbucket.config.settings import Limits, Settings
    from nearbucket.supervisor.admin.admin_server import AdminServer
    from nearbucket.supervisor.pool.worker_pool import WorkerPool
    from nearbucket.supervisor.prefork import GivenSockets

_log = logging.getLogger(__name__)


class Shutdown:
    """The end of this instance, and its ports' way from the one before and to the next.

    Attributes:
        requested: Set when the instance has to end.
    """

    def __init__(
        self, given: GivenSockets, public: Sequence[socket.socket], pool: WorkerPool
    ) -> None:
        """Prepare.

        Args:
            given: What came from systemd, or from the instance before.
            public: The sockets of the public port.
            pool: The workers.
        """
        self.requested = asyncio.Event()
        self._given = given
        self._public = public
        self._pool = pool
        self._taking_over = given.taken is not None
        self._handover: Handover | None = None

    def watch_signals(self, on_hangup: Callable[[], None]) -> None:
        """End at SIGTERM and SIGINT; a SIGINT after either cuts the answers that still run.

        SIGUSR1 and SIGUSR2 have a meaning in other servers. By default they would end this one at
        once, with all downloads.
        """
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.requested.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})  # see ``__main__.py``
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            loop.add_signal_handler(number, _ignore, number.name)

    def _interrupt(self) -> None:
        if self.requested.is_set():
            _log.warning("interrupted: answers that are not complete are cut now")
            self._pool.cut_answers()
        self.requested.set()

    async def take_over(self, not_ready: Callable[[], Sequence[str]]) -> bool:
        """Wait until this instance is ready, and have the one before stop, if there is one.

        Returns:
            Whether that was done. Otherwise the admin port stays with the one before.
        """
        if self._given.taken is None:
            return False
        if reasons := not_ready():
            _log.info("the running instance goes on until this one is ready: %s", reasons)
        while not_ready() and not self.requested.is_set():  # noqa: ASYNC110  # three causes
            await asyncio.sleep(0.05)
        if not self.requested.is_set():
            await self._given.taken.confirm(self._given.surplus)
            self._taking_over = False
            _log.info("the ports are taken over from the instance before")
        return not self._taking_over

    async def hand_over(self, settings: Settings, admin: AdminServer) -> None:
        """End when another instance has taken the ports over."""
        if self._given.stay or self._taking_over:
            return  # the sockets are systemd's, or still those of the instance before
        door = self._given.taken.door if self._given.taken else open_door(settings)
        if door is None:
            return
        with door:
            self._handover = Handover(
                door, admin.listener, self._public, self._pool.share_all_sockets
            )
            await self._handover.done()
        await admin.hand_over()
        self.requested.set()

    def drain(self, limits: Limits, *, serving: bool) -> Drain:
        """How the workers end; ``serving`` says whether one accepts connections."""
        grace = min(limits.drain_grace, limits.drain_timeout) if serving else 0.0
        finish = f"answers that are not complete in {limits.drain_timeout:g} s are cut"
        shared = self._handover is not None and self._handover.shared
        if self._given.stay:
            _log.info("draining: new connections wait in systemd's socket; %s", finish)
            return Drain(limits.drain_timeout, sockets_stay=True)
        if shared or self._taking_over:
            _log.info("draining: the other instance accepts new connections; %s", finish)
            return Drain(limits.drain_timeout, grace, sockets_stay=True)
        _log.info("draining: connections are accepted for %g s more; %s", grace, finish)
        return Drain(limits.drain_timeout, grace)


def _ignore(name: str) -> None:
    _log.warning(
        "%s is ignored: SIGHUP reloads the configuration, SIGTERM drains and ends; a log file is "
        "rotated by copying and truncating it, without a signal",
        name,
    )
