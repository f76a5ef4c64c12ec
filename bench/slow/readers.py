"""Clients that read slowly: each reads one object at a fixed rate, through a small buffer.

Run with ``PORT HEADS-FILE SIZE READERS BYTES``, BYTES a second for each reader; it ends at
SIGTERM. It writes a line to standard output when every answer has begun, and one at the end: how
many readers got less than was due. All bytes are compared with the object; a wrong byte or a
closed connection ends it with a message on standard error.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from itertools import cycle, islice
from pathlib import Path

from bench.lib.origin_objects import KIB, AnswerError, body_of, is_part, read_heads

_BUFFER = 32 * KIB
"""SO_RCVBUF, which the kernel doubles: little, so that what waits, waits on the proxy's side."""

_TURNS = 50  # in each second: readers take turns instead of coming all at once
_LEAST = 0.8  # of what is due: a full buffer may hold less than one turn's bytes


class Reader:
    """One connection and its place in the object."""

    def __init__(self, port: int, size: int, head: bytes) -> None:
        """Connect to a port of loopback and send the request."""
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._socket.connect(("127.0.0.1", port))
        self._socket.send(head)
        self._socket.setblocking(False)  # noqa: FBT003  # the standard library's signature
        self._size = size
        self._head: bytes | None = b""
        self.position = 0

    @property
    def begun(self) -> bool:
        """Whether the answer's head has come."""
        return self._head is None

    def read(self, count: int) -> None:
        """Read at most so many bytes.

        Raises:
            AnswerError: It is not the object.
        """
        try:
            data = self._socket.recv(count)
        except BlockingIOError:
            return
        if not data:
            raise AnswerError(f"closed at {self.position}")
        if self._head is not None:
            self._head += data
            body = body_of(self._head, self._size)
            if body is None:
                return
            self._head, data = None, body
        if not is_part(data, self.position):
            raise AnswerError(f"wrong bytes at {self.position}")
        self.position += len(data)


class Crowd:
    """All readers, and whether it is over."""

    def __init__(self, readers: list[Reader], bytes_a_second: int) -> None:
        """Take connections that have sent their request; each reads at this rate."""
        self._readers = readers
        self._bytes = bytes_a_second
        self._over = False

    def stop(self, _number: int, _frame: object) -> None:
        """Handle the signal that ends it."""
        self._over = True

    def begin(self) -> None:
        """Take the start of every answer."""
        waiting = self._readers
        while waiting and not self._over:
            for reader in waiting:
                reader.read(KIB)
            waiting = [reader for reader in waiting if not reader.begun]
            time.sleep(1 / _TURNS)

    def read(self) -> int:
        """Read until it is over.

        Returns:
            How many readers got much less than they would have read.
        """
        before = [reader.position for reader in self._readers]
        due, turn = time.monotonic(), 0
        while not self._over:
            for reader in self._readers[turn % _TURNS :: _TURNS]:
                reader.read(self._bytes)
            turn += 1
            due += 1 / _TURNS
            time.sleep(max(0.0, due - time.monotonic()))
        wanted = turn // _TURNS * self._bytes * _LEAST
        pairs = zip(self._readers, before, strict=True)
        return sum(reader.position - then < wanted for reader, then in pairs)


def main(port: int, heads: Path, size: int, readers: int, bytes_a_second: int) -> None:
    """Read until SIGTERM."""
    asking = islice(cycle(read_heads(heads)), readers)
    crowd = Crowd([Reader(port, size, head) for head in asking], bytes_a_second)
    signal.signal(signal.SIGTERM, crowd.stop)
    crowd.begin()
    sys.stdout.write("reading\n")
    sys.stdout.flush()
    sys.stdout.write(f"{crowd.read()}\n")


if __name__ == "__main__":
    _port, _heads, *_numbers = sys.argv[1:]
    try:
        main(int(_port), Path(_heads), *map(int, _numbers))
    except (AnswerError, OSError) as error:
        sys.exit(str(error))
