"""Idle connections: each gets one answer and is then kept open.

Run with ``PORT COUNT HEADS-FILE``. It writes ``held COUNT`` to standard output when every
connection has had its answer, and keeps all of them until a signal ends the process.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING

from bench.lib.case import BenchError
from bench.lib.origin_objects import read_heads
from bench.lib.processes import module_command, running
from bench.lib.requester import answer_end, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterator

_TIMEOUT = 10.0
_BIND_ADDRESS_NO_PORT = 24  # linux/in.h: else bind takes a port from everybody, for a minute more
_PER_ADDRESS = 5000  # connections from one address: ports are few, and others use them too
_AT_ONCE = 250  # connections that wait for their answer: one by one each is a wait for a core
_OTHERS = 64  # descriptors for everything else


@contextmanager
def holding(port: int, count: int, heads: Path, core: int) -> Iterator[None]:
    """So many idle connections to a server, until the block is left.

    Raises:
        BenchError: They cannot be had.
    """
    command = module_command(__name__, port, count, heads)
    with running(command, core=core, stdout=PIPE) as process:
        said = process.stdout.readline() if process.stdout else b""
        if said != b"held %d\n" % count:
            raise BenchError(f"{count} connections could not be held: {said.decode()!r}")
        yield


def _ask(port: int, head: bytes, number: int) -> socket.socket:
    connection = socket.socket()
    connection.settimeout(_TIMEOUT)
    connection.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
    connection.bind((f"127.0.0.{2 + number // _PER_ADDRESS}", 0))
    connection.connect(("127.0.0.1", port))
    connection.sendall(head)
    return connection


def _await_answer(connection: socket.socket) -> None:
    answer = b""
    while not answer_end(answer):
        answer += (piece := connection.recv(1 << 16))
        if not piece:
            raise ConnectionError("closed in the middle of an answer")
    if not succeeded(answer):
        raise ConnectionError(f"an answer was {answer[:40]!r}")


def _hold(port: int, count: int, heads: list[bytes]) -> list[socket.socket]:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed != resource.RLIM_INFINITY and allowed < count + _OTHERS:
        raise OSError(f"only {allowed} open files are allowed (ulimit -Hn)")
    held: list[socket.socket] = []
    for first in range(0, count, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, count))
        batch = [_ask(port, heads[number % len(heads)], number) for number in numbers]
        for connection in batch:
            _await_answer(connection)
        held += batch
    return held


def _main(port: int, count: int, heads: list[bytes]) -> None:
    try:
        held = _hold(port, count, heads)
    except OSError as error:
        print(error, flush=True)  # noqa: T201  # its output
        return
    print("held", len(held), flush=True)  # noqa: T201  # its output
    signal.pause()


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), read_heads(Path(sys.argv[3])))
