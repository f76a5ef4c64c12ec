"""Starts commands of the product as forks of a process that has imported everything.

Imports and the AWS SDK's description of S3 are a second of CPU time for each command; the tests
start some two hundred. A fork is a process of its own as any other: it has its arguments,
environment, working folder and standard streams, gets signals, and ends with an exit code. What
``python -m`` does before is seen by the tests that start ``COMMAND`` itself.

``python -m tests.command_server N`` is that process. It takes commands from the socket N.
"""

from __future__ import annotations

import asyncio
import fcntl
import gc
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import nearbucket
from nearbucket.cli.main import command_line, main
from nearbucket.config.buckets import Bucket
from nearbucket.pricing.price_list import price_list
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.sdk.sdk_client import opened
from nearbucket.s3.tls_trust import NAMES as TRUST_VARIABLES
from nearbucket.s3.tls_trust import environment_of_workers, trusted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[1]
LATE = (
    "nearbucket.cli.analyze.analyze_run",
    "nearbucket.cli.sync_report",
    "nearbucket.replication.replicator",
    "nearbucket.supervisor.prefork",
    "nearbucket.supervisor.supervisor",
    "nearbucket.supervisor.worker.worker_process",
    "nearbucket.telemetry.prometheus",
    "encodings.idna",  # of a host's name
)
"""Modules that commands import only when they need them."""

_NUMBER = struct.Struct("i")
_MOST = 1 << 17
"""Bytes of a request, most of them the environment."""


def _readable(descriptor: int, timeout: float | None) -> bool:
    """Wait for bytes; ``select`` takes no descriptor from 1,024 on."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


class Started:
    """A started command, with the methods of ``subprocess.Popen``.

    Attributes:
        pid: Process id, which is its session's too.
        returncode: Exit code, negative for a signal; None until ``poll`` or ``wait`` has seen it.
    """

    def __init__(self, pid: int, ended: int) -> None:
        """Take the end of the pipe that tells its exit code."""
        self.pid = pid
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        """The exit code, if it has ended."""
        return self._code(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended.

        Raises:
            TimeoutExpired: That takes longer than so many seconds.
        """
        code = self._code(timeout)
        if code is None:
            raise subprocess.TimeoutExpired([str(self.pid)], timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def _code(self, timeout: float | None) -> int | None:
        if self.returncode is None and _readable(self._ended, timeout):
            (self.returncode,) = _NUMBER.unpack(os.read(self._ended, _NUMBER.size))
            os.close(self._ended)
        return self.returncode


class _Server:
    """The process, as seen by the tests."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.command_server", str(theirs.fileno())],
                cwd=ROOT,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def start(
        self, request: Mapping[str, Any], streams: Sequence[int], sockets: Sequence[int]
    ) -> Started:
        ours, theirs = os.pipe()
        try:
            with self._turn:
                data = json.dumps(request).encode()
                socket.send_fds(self._channel, [data], [*streams, theirs, *sockets])
                (pid,) = _NUMBER.unpack(self._channel.recv(_NUMBER.size))
        finally:
            os.close(theirs)
        return Started(pid, ours)

    def close(self) -> None:
        self._channel.close()
        self._process.wait()


_servers: list[_Server] = []
"""The one of this process, or none."""


@contextmanager
def command_server() -> Iterator[None]:
    """Have ``start`` work; at the end no more command may run."""
    made = _Server()
    _servers.append(made)
    try:
        yield
    finally:
        _servers.remove(made)
        made.close()


def start(
    *words: str,
    env: Mapping[str, str],
    stdout: IO[bytes],
    stderr: IO[bytes],
    cwd: Path = ROOT,
    sockets: Sequence[socket.socket] = (),
) -> Started:
    """Start a command in a session of its own, without standard input.

    Args:
        words: Its arguments.
        env: Its environment.
        stdout: File for its standard output.
        stderr: File for its standard error.
        cwd: Its working folder.
        sockets: Passed as systemd passes sockets (sd_listen_fds(3)), if there are any.
    """
    request = {"words": words, "env": dict(env), "cwd": str(cwd)}
    with Path(os.devnull).open("rb") as nothing:
        streams = [each.fileno() for each in (nothing, stdout, stderr)]
        return _servers[-1].start(request, streams, [each.fileno() for each in sockets])


class Ended(NamedTuple):
    """How a command ended: its exit code, and what it wrote."""

    code: int
    out: str
    err: str


class Begun:
    """A command whose output is kept.

    Attributes:
        process: The process.
    """

    def __init__(self, *words: str, env: Mapping[str, str]) -> None:
        """Start it."""
        self._out, self._err = TemporaryFile(), TemporaryFile()  # noqa: SIM115  # closed by end
        self.process = start(*words, env=env, stdout=self._out, stderr=self._err)

    def end(self, patience: float = 60) -> Ended:
        """Wait for its end, at most so many seconds."""
        with self._out, self._err:
            try:
                code = self.process.wait(patience)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
                raise
            return Ended(code, _text(self._out), _text(self._err))


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()


def _prepare() -> None:
    """Import and read what commands need, and leave nothing for the collector to visit."""
    for name in LATE:
        import_module(name)

    async def open_client() -> None:
        nowhere = Bucket(bucket="bucket", region="us-east-1", endpoint="http://127.0.0.1:9")
        async with opened(BucketLocation("nowhere", nowhere, "anonymous")):
            pass

    asyncio.run(open_client())
    command_line()
    price_list()
    gc.collect()
    gc.freeze()


def _serve(channel: socket.socket) -> None:
    """Fork for each request, and tell how each fork has ended; returns in the forks alone."""
    running: dict[int, tuple[int, int]] = {}
    while True:
        for ready in select.select([channel.fileno(), *running], [], [])[0]:
            if ready in running:
                _tell(*running.pop(ready))
                os.close(ready)
            elif _fork(channel, running):
                return


def _tell(pid: int, ended: int) -> None:
    """Write the exit code of a fork that has ended."""
    _, status = os.waitpid(pid, 0)
    os.write(ended, _NUMBER.pack(os.waitstatus_to_exitcode(status)))
    os.close(ended)


def _fork(channel: socket.socket, running: dict[int, tuple[int, int]]) -> bool:
    """Fork for the next request; whether this process is the fork.

    If there are no more requests, this process ends, and every fork that is left is killed.
    """
    data, streams, _, _ = socket.recv_fds(channel, _MOST, 8)
    if not data:
        for pid, _ in running.values():
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        sys.exit()
    pid = os.fork()
    if pid == 0:
        channel.close()
        _become(json.loads(data), streams, [*running, *(end for _, end in running.values())])
        return True
    for descriptor in (*streams[:3], *streams[4:]):
        os.close(descriptor)
    running[os.pidfd_open(pid)] = pid, streams[3]
    channel.send(_NUMBER.pack(pid))
    return False


def _become(request: Mapping[str, Any], streams: Sequence[int], others: Sequence[int]) -> None:
    """Make this fork what a new process of the command would be."""
    for number, descriptor in enumerate(streams[:3]):
        os.dup2(descriptor, number)
    sockets = [fcntl.fcntl(each, fcntl.F_DUPFD, 64) for each in streams[4:]]  # out of the way
    for descriptor in (*streams, *others):
        os.close(descriptor)
    os.setsid()
    os.chdir(request["cwd"])
    trusted_files = [os.environ.get(name) for name in TRUST_VARIABLES]
    os.environ.clear()
    os.environ.update(request["env"])
    if trusted_files != [os.environ.get(name) for name in TRUST_VARIABLES]:
        trusted.cache_clear()
        environment_of_workers.cache_clear()
    if sockets:
        _pass_sockets(sockets)
    sys.modules["__main__"].__package__ = nearbucket.__name__  # by which usage texts name it
    sys.argv = [str(Path(nearbucket.__path__[0], "__main__.py")), *request["words"]]


def _pass_sockets(sockets: Sequence[int]) -> None:
    for number, descriptor in enumerate(sockets, 3):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(sockets)))


if __name__ == "__main__":
    _prepare()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    main()
