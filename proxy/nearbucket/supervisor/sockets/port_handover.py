"""Hands the listening sockets of a running instance over to the next one (``--take-over``).

The sockets themselves change hands (SCM_RIGHTS), so no connection that waits in one is lost, and
none is refused. A running instance can be reached through a socket in Linux's abstract namespace:
it is named after both addresses, is as visible as a TCP port, and is gone with its last process.

1. The next instance connects and gets the sockets. Both instances accept connections.
2. When it is ready and has fewer workers, it sends a byte: each worker of the running instance then
   accepts from every socket, and those without a worker in the next instance are emptied.
3. When that is done, it sends another byte. If it ends before, the running instance goes on, with
   all sockets.
4. The running instance stops accepting and drains.

Each end makes sure that the other runs as the same user.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import struct
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.errors import ConfigError
from nearbucket.supervisor.sockets.accept_queue import (
    emptied,
    ignore_new_connections,
    take_new_connections,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nearbucket.config.settings import Settings

TIMEOUT = 10.0  # seconds that the running instance may take to send its sockets
_ONE, _END = b"s", b"."  # a socket; the end of the sockets, and: this instance is ready
_FEWER = b"-"  # some sockets will be closed: empty them
_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group

_log = logging.getLogger(__name__)


class TakenSockets(NamedTuple):
    """The sockets of a running instance, in this one.

    Attributes:
        door: Where the next instance connects.
        admin: The admin port.
        public: The public port.
        running: The connection to the running instance.
    """

    door: socket.socket
    admin: socket.socket
    public: list[socket.socket]
    running: socket.socket

    async def confirm(self, surplus: Sequence[socket.socket]) -> None:
        """Have the running instance stop. ``surplus`` has no worker here; it is closed."""
        with contextlib.suppress(OSError):  # it has ended by itself
            if surplus:
                self.running.send(_FEWER)
                for each in surplus:
                    ignore_new_connections(each)
                await emptied(*surplus)
            self.running.send(_END)
        for each in (self.running, *surplus):
            each.close()


def take_sockets(settings: Settings) -> TakenSockets | None:
    """The sockets of the instance that runs with the same addresses; None if there is none.

    Raises:
        ConfigError: It is another user's, or does not answer.
    """
    with ExitStack() as undo:
        running = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        running.settimeout(TIMEOUT)
        try:
            running.connect(_name(settings))
            if not _is_same_user(running):
                raise ConfigError("--take-over: the running instance belongs to another user")
            door, admin, *public = _received(running)
        except ConnectionRefusedError:
            return None
        except (OSError, ValueError) as error:
            raise ConfigError(
                "--take-over: the running instance does not hand its port over "
                f"({error or 'it has ended'}); it may be stopping: try again when it has ended"
            ) from None
        undo.pop_all()
    return TakenSockets(door, admin, public, running)


def open_door(settings: Settings) -> socket.socket | None:
    """A socket to which the next instance can connect; None if the name is taken."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.bind(_name(settings))
    except OSError as error:
        _log.warning("no other instance can take the port over: %s", error.strerror)
        door.close()
        return None
    door.listen()
    return door


class Handover:
    """The running instance's side.

    Attributes:
        shared: Whether another instance has the sockets too.
    """

    def __init__(
        self,
        door: socket.socket,
        admin: socket.socket,
        public: Sequence[socket.socket],
        on_fewer: Callable[[], None],
    ) -> None:
        """Prepare; ``done`` hands over.

        Args:
            door: Where the next instance connects.
            admin: The admin port.
            public: The public port.
            on_fewer: Has each worker accept from every socket: some are about to be closed.
        """
        self._on_fewer = on_fewer
        self._door = door
        self._public = public
        self._sockets = (door, admin, *public)
        self.shared = False

    async def done(self) -> None:
        """Return when another instance has taken over."""
        loop = asyncio.get_running_loop()
        self._door.setblocking(False)  # noqa: FBT003  # the standard library's signature
        while True:
            successor, _ = await loop.sock_accept(self._door)
            with successor:
                if not _is_same_user(successor):
                    continue
                _log.info("another instance starts to take over")
                self.shared = True
                if await self._confirmed(successor):
                    return
                self.shared = False
            for each in self._public:  # it may have begun to close some
                take_new_connections(each)
            _log.warning("the other instance has ended before it was ready; this one goes on")

    async def _confirmed(self, successor: socket.socket) -> bool:
        try:
            for each in self._sockets:  # one message each: the kernel limits descriptors in one
                socket.send_fds(successor, [_ONE], [each.fileno()])
            successor.send(_END)
            loop = asyncio.get_running_loop()
            while (word := await loop.sock_recv(successor, 1)) == _FEWER:
                self._on_fewer()
        except OSError:
            return False
        return word == _END


def _name(settings: Settings) -> str:
    listen, admin = settings.listen, settings.admin
    return f"\0nearbucket {listen.host} {listen.port} {admin.host} {admin.port}"


def _is_same_user(other: socket.socket) -> bool:
    packed = other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(packed)
    return bool(user == os.geteuid())


def _received(running: socket.socket) -> list[socket.socket]:
    with ExitStack() as undo:
        sockets: list[socket.socket] = []
        while True:
            kind, descriptors, _, _ = socket.recv_fds(running, 1, 1)
            if kind != _ONE:
                break
            sockets += (undo.enter_context(socket.socket(fileno=each)) for each in descriptors)
            for each in sockets:  # recv_fds ignores MSG_CMSG_CLOEXEC; later workers would get them
                each.set_inheritable(False)
        if kind != _END:
            raise ConnectionResetError
        undo.pop_all()
    return sockets
