"""A mixed load at a steady rate: every kind of request that the product answers, and rude clients.

Each request has its time; one that is late is sent at once, and nothing is sent for one that finds
all connections busy. What is not as expected counts as an error, by kind.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE = 20.0
KEPT = 64
"""Connections that are kept, at most."""
AT_ONCE = 256
"""Requests under way, at most."""
PIECE = 1 << 16
OUTSIDE = "10.9.9.9"
"""A client in no region of any list: the sample has documentation addresses."""
CONDITION = "If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT"
"""With it a GET is streamed through aiohttp."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Kind(NamedTuple):
    """A kind of request.

    Attributes:
        share: How many of a hundred requests are of this kind.
        statuses: Expected ones.
        method: Its method.
        near: Whether the client is in a region with a target.
        large: Whether it asks for a large object.
        field: A further header field.
        new: Whether it has a connection of its own.
        missing: Whether the object does not exist.
        leaves: Bytes after which the client leaves; None if it stays.
        pause: Seconds between two reads.
    """

    share: float
    statuses: frozenset[int]
    method: str = "GET"
    near: bool = False
    large: bool = False
    field: str = ""
    new: bool = False
    missing: bool = False
    leaves: int | None = None
    pause: float = 0.0


_OK, _PART, _AWAY = frozenset({200}), frozenset({206}), frozenset({200, 301})
KINDS = {
    "redirect": Kind(40, _AWAY, near=True),
    "redirect, new connection": Kind(10, _AWAY, near=True, new=True),
    "stream": Kind(14, _OK),
    "stream, new connection": Kind(4, _OK, new=True),
    "stream, aiohttp": Kind(5, _OK, field=CONDITION),
    "range": Kind(8, _PART, field="Range: bytes=1000-20000"),
    "range, aiohttp": Kind(2, _PART, field=f"Range: bytes=-5000\r\n{CONDITION}"),
    "HEAD": Kind(6, _OK, method="HEAD", near=True),
    "missing": Kind(5, frozenset({404}), missing=True),
    "method": Kind(1, frozenset({405}), method="DELETE"),
    "large": Kind(1, _OK, large=True),
    "leaves": Kind(3, _OK, large=True, new=True, leaves=1 << 18),
    "slow": Kind(1, _OK, large=True, new=True, pause=0.25),
}
"""The kinds by name; a client that is streamed after a redirect came back, hence 200 beside 301."""


class Load:
    """The clients.

    Attributes:
        sent: Requests by kind.
        errors: Answers that were not as expected, by kind and what was wrong.
        skipped: Requests that were not sent because too many were under way.
    """

    def __init__(
        self, port: int, near: Sequence[str], small: Sequence[str], large: Sequence[str]
    ) -> None:
        """Request objects of two sizes, as these clients and one outside AWS."""
        self.sent: Counter[str] = Counter()
        self.errors: Counter[tuple[str, str]] = Counter()
        self.skipped = 0
        self._port, self._near, self._small, self._large = port, near, small, large
        self._chance = random.Random(17)  # noqa: S311  # repeats
        self._kept: list[Streams] = []
        self._running: set[asyncio.Task[None]] = set()

    async def run(self, rate: float, seconds: float) -> None:
        """Send requests for some seconds, and wait for the last answers."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        names, shares = list(KINDS), [kind.share for kind in KINDS.values()]
        for number in range(int(rate * seconds)):
            wait = start + number / rate - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            self._start(self._chance.choices(names, shares)[0])
        await asyncio.gather(*self._running)
        for _, writer in self._kept:
            writer.close()
        self._kept.clear()

    def _start(self, name: str) -> None:
        if len(self._running) >= AT_ONCE:
            self.skipped += 1
            return
        task = asyncio.create_task(self._one(name, KINDS[name]))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _one(self, name: str, kind: Kind) -> None:
        self.sent[name] += 1
        try:
            async with asyncio.timeout(PATIENCE + 60 * bool(kind.pause)):
                status = await self._request(kind)
        except (OSError, EOFError, ValueError) as error:
            self.errors[name, repr(error)] += 1
        else:
            if status not in kind.statuses:
                self.errors[name, f"status {status}"] += 1

    async def _request(self, kind: Kind) -> int:
        kept = not kind.new and bool(self._kept)
        streams = self._kept.pop() if kept else await self._connect()
        try:
            status, reusable = await self._exchange(kind, streams)
        except BaseException:
            streams[1].transport.abort()
            raise
        if reusable and not kind.new and len(self._kept) < KEPT:
            self._kept.append(streams)
        elif kind.leaves is None:
            streams[1].close()
        else:
            streams[1].transport.abort()
        return status

    async def _connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self._port, limit=PIECE)

    async def _exchange(self, kind: Kind, streams: Streams) -> tuple[int, bool]:
        """Status, and whether the connection may be used again."""
        reader, writer = streams
        writer.write(self._head(kind))
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        status = int(head.split(" ", 2)[1])
        fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
        left = 0 if kind.method == "HEAD" else int(fields["content-length"])
        if kind.leaves is not None:
            left = min(left, kind.leaves)
        while left:
            piece = await reader.read(min(left, PIECE))
            if not piece:
                raise EOFError(f"{left} bytes are missing")
            left -= len(piece)
            if kind.pause:
                await asyncio.sleep(kind.pause)
        return status, kind.leaves is None and fields.get("connection") != "close"

    def _head(self, kind: Kind) -> bytes:
        key = self._chance.choice(self._large if kind.large else self._small)
        if kind.missing:
            key = f"missing-{self._chance.randrange(100)}"
        address = self._chance.choice(self._near) if kind.near else OUTSIDE
        lines = [f"{kind.method} /{key} HTTP/1.1", "Host: dl.example",
                 f"X-Forwarded-For: {address}", *([kind.field] if kind.field else [])]  # fmt: skip
        return ("\r\n".join(lines) + "\r\n\r\n").encode()
