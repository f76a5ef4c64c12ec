"""Binds the public port and forks the first workers, before there is an event loop.

The first workers are forks because this process has imported everything that they run: imports
are nine tenths of a worker's start and half of its memory (bench/redirect/startup.py). Later ones
are new processes (``pool/worker_pool.py``): a fork would not copy the supervisor's threads.
"""

from __future__ import annotations

import errno
import gc
import logging
import os
import resource
import socket
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from nearbucket.errors import ConfigError
from nearbucket.frontend.returning_clients.recent_redirects import SIZE
from nearbucket.s3.tls_trust import environment_of_workers, trusted
from nearbucket.supervisor.pool.worker_handle import ForkedProcess, StartedWorker
from nearbucket.supervisor.sockets.port_handover import TakenSockets, take_sockets
from nearbucket.supervisor.sockets.socket_activation import PassedSockets
from nearbucket.supervisor.stack_dump import StackDump
from nearbucket.supervisor.worker.worker import BACKLOG
from nearbucket.supervisor.worker.worker_process import Inherited, serve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nearbucket.config.settings import Admin, Listen, Settings
    from nearbucket.supervisor.snapshot import Snapshot

_log = logging.getLogger(__name__)

_FILES = 64  # of the supervisor, or of a worker; about 20 are open when nothing happens
_FILES_OF_WORKER = 4  # in the supervisor, for each worker: 3, and one while it is replaced


class GivenSockets(NamedTuple):
    """What the supervisor has from another process besides the sockets of its workers.

    Attributes:
        taken: The sockets of the instance that this one replaces.
        surplus: Those of them that have no worker here.
        admin: The admin port.
        stay: Whether systemd keeps the sockets of the workers open.
    """

    taken: TakenSockets | None = None
    surplus: Sequence[socket.socket] = ()
    admin: socket.socket | None = None
    stay: bool = False

    @property
    def sockets(self) -> list[socket.socket]:
        """All of them."""
        taken = (self.taken.door, self.taken.running) if self.taken else ()
        return [*taken, *self.surplus, *([self.admin] if self.admin else ())]


class PreforkedWorkers(NamedTuple):
    """The listening sockets, a worker on each, and the descriptor of memory that they share."""

    listeners: Sequence[socket.socket]
    first: Sequence[StartedWorker]
    memory: int
    given: GivenSockets = GivenSockets()


def launch(snapshot: Snapshot, *, take_over: bool = False) -> PreforkedWorkers:
    """Bind the public port, or get it from another process, and fork the workers.

    They decide by the snapshot, whose table they share with this process, once that has started.

    Must be called before there are threads or an event loop, and with the garbage collector off: it
    is on in the workers.

    Raises:
        ConfigError: The authorities cannot be used, the address cannot be bound, or this process
            may have too few open files.
    """
    settings = snapshot.settings
    count = snapshot.workers
    _raise_file_limit(settings.limits.max_connections, count)
    listeners, given = _listeners(settings, count, take_over=take_over)
    environment_of_workers()
    trusted()  # read once for all workers
    gc.freeze()  # a collection writes to every object it visits, which would end its being shared
    memory = os.memfd_create("nearbucket")
    os.ftruncate(memory, SIZE)
    first = _fork(listeners, memory, snapshot, given.sockets)
    return PreforkedWorkers(listeners, first, memory, given)


def _listeners(
    settings: Settings, count: int, *, take_over: bool
) -> tuple[list[socket.socket], GivenSockets]:
    """A listening socket for each worker, and what came with them."""
    passed = PassedSockets(settings)
    if len(passed.public) > count:
        raise ConfigError(
            f"listen.workers: systemd has passed {len(passed.public)} sockets of listen.port, and "
            f"there are {count} workers; raise listen.workers, or pass fewer sockets"
        )
    if passed.public:
        shared = [passed.public[slot % len(passed.public)].dup() for slot in range(count)]
        for each in passed.public:
            each.close()
        return shared, GivenSockets(admin=passed.admin, stay=True)
    taken = take_sockets(settings) if take_over else None
    if taken is None:
        return open_listeners(settings.listen, count), GivenSockets(admin=passed.admin)
    first = taken.public[0]
    more = [_beside(first) for _ in range(count - len(taken.public))]
    surplus = taken.public[count:]
    return [*taken.public[:count], *more], GivenSockets(taken, surplus, taken.admin)


def open_listeners(section: Listen | Admin, count: int = 1) -> list[socket.socket]:
    """``count`` sockets on one address and port, of which the first listens.

    With ``::`` as host they take IPv4 connections too.

    Raises:
        ConfigError: The address cannot be bound; names the key to change.
    """
    host, port = section.host, section.port
    made = [_socket(socket.AF_INET6 if ":" in host else socket.AF_INET)]
    try:
        made[0].bind((host, port))
        # Without SO_REUSEPORT, one socket alone can listen, also if two servers start at once.
        made[0].listen(BACKLOG)
        while len(made) < count:
            made.append(_beside(made[0]))
    except OSError as error:
        for each in made:
            each.close()
        name = type(section).__name__.lower()
        raise ConfigError(
            f"{name}: cannot listen on {host} port {port}: {error.strerror}; "
            f"{_remedy(name, error.errno)}"
        ) from None
    return made


def _remedy(name: str, number: int | None) -> str:
    """What helps if the address of a section cannot be bound."""
    if number == errno.EACCES:
        return f"change {name}.port, or give this process the capability CAP_NET_BIND_SERVICE"
    if number == errno.EADDRINUSE:
        return f"change {name}.host or {name}.port, or stop the program that holds it"
    return f"change {name}.host or {name}.port"


def _socket(family: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:  # the default depends on net.ipv6.bindv6only
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    return made


def _beside(first: socket.socket) -> socket.socket:
    """One more socket on the address of one that listens; the kernel spreads connections."""
    more = _socket(first.family)
    for each in (first, more):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        more.bind(first.getsockname())
    except OSError:
        more.close()
        raise
    return more


def _fork(
    listeners: Sequence[socket.socket],
    memory: int,
    snapshot: Snapshot,
    of_supervisor: Iterable[socket.socket],
) -> Sequence[StartedWorker]:
    made: list[StartedWorker] = []
    for slot in range(len(listeners)):
        ours, theirs = socket.socketpair()
        stack = StackDump()
        others = [ours, *of_supervisor, *(first.end for first in made)]
        pid = os.fork()
        if pid == 0:
            sockets = tuple(listener.detach() for listener in listeners)
            log_format = snapshot.settings.log.format
            given = Inherited(sockets, slot, theirs.detach(), memory, stack.descriptor, log_format)
            _be_worker(given, snapshot, others)
        theirs.close()
        made.append(StartedWorker(ForkedProcess(pid), ours, stack, snapshot))
    return made


def _be_worker(given: Inherited, snapshot: Snapshot, others: Iterable[socket.socket]) -> NoReturn:
    """Run a worker in the forked process, and end the process."""
    gc.enable()
    try:
        for each in others:
            each.close()  # a copy of a channel would keep it open when the supervisor is gone
        serve(given, snapshot)
    finally:
        os._exit(1)  # without the supervisor's own clean-up, if it could not begin


def _raise_file_limit(max_connections: int, workers: int) -> None:
    """Allow as many open files as possible: each streamed download holds two sockets.

    Raises:
        ConfigError: The processes could not start, or only without serving anything.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return
    least = _FILES + _FILES_OF_WORKER * workers
    if hard < least:
        raise ConfigError(
            f"open files: {hard} are allowed (nofile), and listen.workers: {workers} needs at "
            f"least {least}; raise the limit to 1024 or more: ulimit -n in a shell, "
            "LimitNOFILE= in a systemd unit, --ulimit nofile= of a container"
        )
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _log.info("open files: %d allowed", hard)
    if hard < 2 * max_connections // workers:
        _log.warning(
            "limits.max_connections %d may need more open files than %d; raise the process's "
            "nofile limit",
            max_connections,
            hard,
        )
