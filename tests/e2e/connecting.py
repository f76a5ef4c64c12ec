"""Clients that connect, ask once and connect again, all the time."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.e2e.running import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 24
PAUSE = 0.005
"""Seconds between two connections of a client, in which the server has the processor."""


class Connecting:
    """The clients, and what became of their connections.

    Attributes:
        outcomes: How often a connection was ``answered``, answered and ``closing``, ``refused``,
            or went wrong in another way. A client that is refused does not come back.
    """

    def __init__(self, port: int, *requests: bytes, count: int = CLIENTS) -> None:
        self.outcomes: Counter[str] = Counter()
        self._port = port
        self._requests = requests
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(count)]

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Connect until the end of the block."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self.stop()
            self.until_refused()

    def stop(self) -> None:
        """Have every client make its last connection."""
        self._stop.set()

    def until_refused(self) -> None:
        """Wait until every client was refused, or is stopped."""
        for thread in self._threads:
            thread.join(PATIENCE)

    def seen(self, outcome: str, times: int = 1) -> None:
        """Wait until there are so many more connections with this outcome."""
        wanted = self.outcomes[outcome] + times
        deadline = time.monotonic() + PATIENCE
        while self.outcomes[outcome] < wanted:
            assert time.monotonic() < deadline, self.outcomes
            time.sleep(0.01)

    def _run(self, number: int) -> None:
        while not self._stop.wait(PAUSE):
            number += 1
            outcome = self._ask(self._requests[number % len(self._requests)])
            self.outcomes[outcome] += 1
            if outcome == "refused":
                return

    def _ask(self, request: bytes) -> str:
        try:
            with socket.create_connection(("127.0.0.1", self._port), PATIENCE) as client:
                return answer_of(client, request)
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            return repr(error)


def answer_of(client: socket.socket, request: bytes) -> str:
    """Send a request and read the head of its answer: ``answered`` or ``closing``, or the bytes."""
    client.sendall(request)
    head = b""
    while b"\r\n\r\n" not in head:
        piece = client.recv(65536)
        if not piece:
            return f"ended after {head!r}"
        head += piece
    if not head.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 301 ")):
        return repr(head)
    return "closing" if b"connection: close\r\n" in head.lower() else "answered"
