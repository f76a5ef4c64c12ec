"""A small load generator, for machines without wrk.

In: ``requester.py PORT HEADS-FILE CONNECTIONS REQUESTS``. Out: ``figures REQUESTS FAILED`` on
standard output: answers that came, and how many were no redirect. Every connection sends its
next request when the last answer is whole. Refuses to measure anything.
"""  # noqa: INP001  # scripts that run from their own folder, not a package

from __future__ import annotations

import asyncio
import re
import sys
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, cast

import uvloop

if TYPE_CHECKING:
    from collections.abc import Iterator

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_END = b"\r\n\r\n"


def answer_end(data: bytes) -> int:
    """Where the first answer in ``data`` ends; 0 while it is not whole."""
    head = data.find(_END)
    if head < 0:
        return 0
    found = _LENGTH.search(data, 0, head + 2)
    end = head + len(_END) + (int(found[1]) if found else 0)
    return end if len(data) >= end else 0


class Run:
    """What all connections share: the heads in turn, and how many requests are left."""

    def __init__(self, heads: list[bytes], requests: int) -> None:
        self.heads: Iterator[bytes] = cycle(heads)
        self.left = requests
        self.answers = 0
        self.failed = 0
        self.open = 0
        self.over = asyncio.Event()

    def next_head(self) -> bytes | None:
        """The next request, or None when enough are sent."""
        if not self.left:
            return None
        self.left -= 1
        return next(self.heads)


class Connection(asyncio.Protocol):
    """One keep-alive connection."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._run.open += 1
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask again."""
        self._data += data
        if not answer_end(self._data):
            return
        self._run.answers += 1
        self._run.failed += not self._data.startswith(b"HTTP/1.1 301 ")
        self._data = b""
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """The last connection to close ends the run."""
        self._run.open -= 1
        if not self._run.open:
            self._run.over.set()

    def _ask(self) -> None:
        head = self._run.next_head()
        if head is None:
            self._transport.close()
        else:
            self._transport.write(head)


async def _main(port: int, heads: list[bytes], connections: int, requests: int) -> Run:
    run = Run(heads, requests)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Connection(run), "127.0.0.1", port)
    await run.over.wait()
    return run


if __name__ == "__main__":
    _port, _file, _connections, _requests = sys.argv[1:]
    _heads = [head + _END for head in Path(_file).read_bytes().split(_END) if head]
    _run = uvloop.run(_main(int(_port), _heads, int(_connections), int(_requests)))
    print("figures", _run.answers, _run.failed + _run.left)  # noqa: T201  # its output
