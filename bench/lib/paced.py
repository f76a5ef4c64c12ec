"""A load at a steady rate, which does not wait for answers.

Run with ``PORT CONNECTIONS HEADS-FILE RATE SECONDS``. It writes to standard output ``started``
with the first request, and at the end ``figures ANSWERS FAILED P50 P99 LONGEST``, times in
microseconds. Latency counts from the moment a request was due, also while all connections wait
for answers: when a server pauses for 50 ms, each request due in those 50 ms counts as late. A
load that waits for answers would see the pause only once per connection.

It polls for answers without sleeping, so it needs a core of its own.
"""

from __future__ import annotations

import gc
import select
import socket
import sys
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.case import BenchError
from bench.lib.heads import UNIQUE
from bench.lib.origin_objects import read_heads
from bench.lib.processes import module_command, running
from bench.lib.requester import answer_end, percentiles, succeeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_TIMEOUT = 10.0
_GRACE = 30.0


class Pace(NamedTuple):
    """So many requests a second, on so many connections, for so many seconds."""

    rate: int
    connections: int
    seconds: float


class Waits(NamedTuple):
    """Latencies of a paced load, in milliseconds."""

    p50: float
    p99: float
    longest: float


@contextmanager
def pacing(port: int, heads: Path, pace: Pace, *, core: int) -> Iterator[Callable[[], Waits]]:
    """A load that runs from here on; the function waits for its end.

    Raises:
        BenchError: Requests failed.
    """
    arguments = (port, pace.connections, heads, pace.rate, pace.seconds)
    command = module_command(__name__, *arguments)
    with running(command, core=core, stdout=PIPE) as process:
        if process.stdout is None or process.stdout.readline() != b"started\n":
            raise BenchError("the paced load did not start")

        def end() -> Waits:
            words = process.communicate(timeout=pace.seconds + _GRACE)[0].split()
            if words[:1] != [b"figures"] or int(words[2]):
                raise BenchError(f"the paced load met failures: {words!r}")
            return Waits(*(int(word) / 1000 for word in words[3:]))

        yield end


class Run:
    """Sends requests in turn, each on a free connection."""

    def __init__(self, port: int, connections: int, heads: list[bytes]) -> None:
        self._heads = heads
        self._sent = 0
        self._poll = select.epoll()
        self._free: deque[socket.socket] = deque()
        self._busy: dict[int, tuple[socket.socket, float]] = {}
        self._parts: dict[int, bytes] = {}
        self.waits: list[float] = []
        self.failed = 0
        for _ in range(connections):
            connection = socket.create_connection(("127.0.0.1", port), _TIMEOUT)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._poll.register(connection, select.EPOLLIN)
            self._free.append(connection)

    def run(self, rate: int, seconds: float) -> None:
        """Send all, and wait for the last answer."""
        start, count = time.perf_counter(), int(rate * seconds)
        while self._sent < count or self._busy:
            due = start + self._sent / rate
            if self._sent < count and self._free and time.perf_counter() >= due:
                self._send(due)
            self._receive()

    def _send(self, due: float) -> None:
        connection = self._free.popleft()
        head = self._heads[self._sent % len(self._heads)]
        self._sent += 1
        connection.sendall(head.replace(UNIQUE.encode(), b"%08x" % self._sent))
        self._busy[connection.fileno()] = connection, due

    def _receive(self) -> None:
        for descriptor, _ in self._poll.poll(0):
            connection, due = self._busy[descriptor]
            piece = connection.recv(1 << 16)
            data = self._parts.pop(descriptor, b"") + piece
            if piece and not answer_end(data):
                self._parts[descriptor] = data
                continue
            self.waits.append(time.perf_counter() - due)
            self.failed += not (piece and succeeded(data))
            del self._busy[descriptor]
            if piece:
                self._free.append(connection)
            else:
                self._poll.unregister(connection)


if __name__ == "__main__":
    _port, _connections, _heads, _rate, _seconds = sys.argv[1:]
    _run = Run(int(_port), int(_connections), read_heads(Path(_heads)))
    gc.disable()  # its pauses would count as the server's
    print("started", flush=True)  # noqa: T201  # its output
    _run.run(int(_rate), float(_seconds))
    _found = (*percentiles(_run.waits), round(max(_run.waits) * 1e6))
    print("figures", len(_run.waits), _run.failed, *_found)  # noqa: T201  # its output
