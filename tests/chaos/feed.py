"""A source of prefixes that answers what a scene wants, byte for byte."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LATER = 10
"""Added to the token of a list that pretends to be newer."""
YEAR_2100 = 4_102_444_800


def answer(body: bytes, status: str = "200 OK", *fields: str) -> bytes:
    """A whole response."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Feed:
    """An HTTP server with one answer at a time.

    Attributes:
        raw: What it answers; the connection is closed behind it.
        asked: How often it was asked.
    """

    def __init__(self, path: Path, port: int) -> None:
        """Answer with a good list, until told otherwise."""
        self.good = path.read_bytes()
        self.raw = answer(self.good)
        self.asked = 0
        self._port = port
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """For the setting ``regions.source``."""
        return f"http://127.0.0.1:{self._port}/ip-ranges.json"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            self.asked += 1
            writer.write(self.raw)
            await writer.drain()
        writer.close()

    def attacks(self) -> Iterator[tuple[str, bytes]]:
        """Lists and answers that must not come into use, by what is wrong with them."""
        whole: dict[str, Any] = json.loads(self.good)
        rows, newer = whole["prefixes"], str(int(whole["syncToken"]) + LATER)

        def listed(token: object = newer, **more: object) -> bytes:
            return answer(json.dumps({**whole, "syncToken": token, **more}).encode())

        used = next(row for row in rows if row["service"] == "EC2")
        huge = [{**used, "ip_prefix": f"{first}.0.0.0/8"} for first in range(1, 200)]
        yield "an empty object", answer(b"{}")
        yield "no rows", listed(prefixes=[], ipv6_prefixes=[])
        yield "a page of a hotel's network", answer(b"<html>Log in</html>")
        yield "half of the document", answer(self.good[: len(self.good) // 2])
        yield "a body that breaks off", answer(self.good)[:-1000]
        yield "rows that are no rows", listed(prefixes=7)
        yield "strange rows", listed(prefixes=[{"ip_prefix": "x"}] * len(rows))
        yield "a tenth of the rows", listed(prefixes=rows[::10], ipv6_prefixes=[])
        yield (
            "every region renamed",
            listed(prefixes=[{**row, "region": "xx-west-9"} for row in rows]),
        )
        yield "half of the internet", listed(prefixes=[*rows, *huge])
        yield "a token of the year 2100", listed(str(YEAR_2100), prefixes=rows[:-1])
        yield "an older token", listed("1", prefixes=rows[1:])
        yield "40 MB", answer(self.good + b" " * 40_000_000)
        yield "an error", answer(b"no", "500 Internal Server Error")
        yield "a circle", answer(b"", "302 Found", "Location: /ip-ranges.json")
        yield "not HTTP", b"\x00\x01\x02\x03"
        yield "nothing", b""
