"""Clients that download as fast as they can and use little CPU time for it.

Run with ``PORT HEADS-FILE SIZE CONNECTIONS REQUESTS``. Its status is 0 when every answer was
200, as long as the object, and had the object's bytes wherever a sample was read: at the start,
at the end, and every 16 MiB; else there is a line on standard error. The kernel discards the
other bytes without copying them (MSG_TRUNC, tcp(7)).
"""

from __future__ import annotations

import select
import socket
import sys
from itertools import cycle
from pathlib import Path

from bench.lib.origin_objects import KIB, MIB, AnswerError, body_of, is_part, read_heads

_SAMPLE = 4 * KIB
_EVERY = 16 * MIB
_SINK = bytearray(4 * MIB)  # never written to: its length tells the kernel how much may go
_PATIENCE = 30


class Download:
    """One keep-alive connection, and the answer that it is reading."""

    def __init__(self, port: int, size: int) -> None:
        """Connect to a port of loopback; ``size`` is the object's."""
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setblocking(False)  # noqa: FBT003  # the standard library's signature
        self._size = size
        self._head: bytes | None = None
        self._position = 0

    @property
    def over(self) -> bool:
        """Whether the answer is complete."""
        return self._position == self._size

    def ask(self, head: bytes) -> None:
        """Send the next request."""
        self.socket.send(head)
        self._head, self._position = b"", 0

    def read(self) -> None:
        """Read what has come.

        Raises:
            AnswerError: It is not what was asked for.
        """
        skip = 0 if self._head is not None else _until_sample(self._position, self._size)
        if skip:
            self._advance(self.socket.recv_into(_SINK, min(skip, len(_SINK)), socket.MSG_TRUNC))
            return
        data = self.socket.recv(_SAMPLE)
        if self._head is None:
            self._take(data)
            return
        self._head += data
        body = body_of(self._head, self._size)
        if body is not None:
            self._head = None
        if body or not data:
            self._take(body or b"")

    def _take(self, data: bytes) -> None:
        if not is_part(data, self._position):
            raise AnswerError(f"wrong bytes at {self._position}")
        self._advance(len(data))

    def _advance(self, count: int) -> None:
        self._position += count
        if not count or self._position > self._size:
            raise AnswerError(f"{'more than' if count else 'closed at'} {self._position} bytes")


def _until_sample(position: int, size: int) -> int:
    """How many bytes from here on are not checked."""
    last = size - _SAMPLE
    if position >= last or (position >= _EVERY and position % _EVERY < _SAMPLE):
        return 0
    return min(last, (position // _EVERY + 1) * _EVERY) - position


def run(port: int, heads: Path, size: int, connections: int, requests: int) -> None:
    """Download so often, over so many connections.

    Raises:
        AnswerError: An answer was wrong, or none came.
    """
    epoll = select.epoll()
    downloads: dict[int, Download] = {}
    asking = cycle(read_heads(heads))
    for _ in range(min(connections, requests)):
        download = Download(port, size)
        downloads[download.socket.fileno()] = download
        epoll.register(download.socket, select.EPOLLIN)
        download.ask(next(asking))
    left = requests - len(downloads)
    while downloads:
        events = epoll.poll(_PATIENCE)
        if not events:
            raise AnswerError(f"nothing came for {_PATIENCE} s")
        for number, _ in events:
            download = downloads[number]
            download.read()
            if download.over and left:
                left -= 1
                download.ask(next(asking))
            elif download.over:
                downloads.pop(number).socket.close()


if __name__ == "__main__":
    _port, _heads, *_numbers = sys.argv[1:]
    try:
        run(int(_port), Path(_heads), *map(int, _numbers))
    except (AnswerError, OSError) as error:
        sys.exit(str(error))
