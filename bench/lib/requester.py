"""A small load generator, for machines without wrk.

Run with ``PORT CONNECTIONS HEADS-FILE REQUESTS FIRST``. It writes to standard output, as
``rotate.lua`` does, ``figures REQUESTS FAILED P50-MICROSECONDS P99-MICROSECONDS``. Answers of
status 400 and above, and requests without an answer, count as failed. Each connection sends its
next request when the last answer is complete.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from statistics import quantiles
from typing import cast

import uvloop

from bench.lib.heads import UNIQUE
from bench.lib.origin_objects import read_heads

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_END = b"\r\n\r\n"
_STATUS = slice(9, 10)  # its first digit, behind "HTTP/1.1 "


def answer_end(data: bytes) -> int:
    """Where the first answer in ``data`` ends; 0 while it is not whole."""
    head = data.find(_END)
    if head < 0:
        return 0
    found = _LENGTH.search(data, 0, head + 2)
    end = head + len(_END) + (int(found[1]) if found else 0)
    return end if len(data) >= end else 0


def succeeded(data: bytes) -> bool:
    """Whether an answer is of status 200 to 399."""
    return data[_STATUS] in {b"2", b"3"}


def percentiles(seconds: list[float]) -> tuple[int, int]:
    """Median and 99th percentile, in microseconds."""
    cuts = quantiles(seconds, n=100, method="inclusive")
    return round(cuts[49] * 1e6), round(cuts[98] * 1e6)


class Run:
    """What all connections share: the heads in turn, and what came of them."""

    def __init__(self, heads: list[bytes], requests: int, first: int) -> None:
        self._heads = heads
        self._sent, self._last = first, first + requests
        self.failed = 0
        self.seconds: list[float] = []

    @property
    def left(self) -> int:
        """Requests to be sent."""
        return self._last - self._sent

    def next_head(self) -> bytes:
        """The next request."""
        self._sent += 1
        head = self._heads[self._sent % len(self._heads)]
        return head.replace(UNIQUE.encode(), b"%08x" % self._sent)


class Connection(asyncio.Protocol):
    """One connection: the next request when an answer is whole."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._data = b""
        self._waits = False
        self._started = 0.0
        self._transport: asyncio.Transport
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast("asyncio.Transport", transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and ask again."""
        self._data += data
        end = answer_end(self._data)
        if not end:
            return
        self._run.seconds.append(time.perf_counter() - self._started)
        self._run.failed += not succeeded(self._data)
        closes = _CLOSE.search(self._data, 0, end)
        self._data, self._waits = b"", False
        if closes:
            self._transport.close()
        else:
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        """A request without an answer has failed."""
        self._run.failed += self._waits
        self.closed.set_result(None)

    def _ask(self) -> None:
        if not self._run.left:
            self._transport.close()
            return
        self._waits = True
        self._started = time.perf_counter()
        self._transport.write(self._run.next_head())


async def _connections(run: Run, port: int) -> None:
    """One connection after another, as the server closes them."""
    loop = asyncio.get_running_loop()
    while run.left:
        _, connection = await loop.create_connection(lambda: Connection(run), "127.0.0.1", port)
        await connection.closed


async def _main(run: Run, port: int, connections: int) -> None:
    await asyncio.gather(*(_connections(run, port) for _ in range(connections)))


if __name__ == "__main__":
    _port, _count, _file, _requests, _first = sys.argv[1:]
    _run = Run(read_heads(Path(_file)), int(_requests), int(_first))
    uvloop.run(_main(_run, int(_port), int(_count)))
    print("figures", len(_run.seconds), _run.failed, *percentiles(_run.seconds))  # noqa: T201  # its output
