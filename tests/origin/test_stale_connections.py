"""Connections that were kept may all be dead, as after a firewall or S3's server restarted."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from nearbucket.config import buckets
from nearbucket.origin.client import OriginClient
from nearbucket.s3.http_session import client_session
from tests.origin.opening import TEXT, Counted, Seen, fetch
from tests.scripteds3 import ETAG, reply, rest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEPT = 12
"""Connections in the pool: more than a request tries."""

CUT = 10


@asynccontextmanager
async def origin_that_answers_once_a_connection() -> AsyncIterator[OriginClient]:
    """The object ``cut`` breaks off; a connection's second request is answered by its end."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"range: bytes=" in head.lower():
            writer.write(rest(TEXT, CUT))
        elif b"/cut " in head:
            writer.write(reply("200 OK", TEXT[:CUT], f"ETag: {ETAG}", length=len(TEXT)))
            await writer.drain()
            writer.close()
            return
        else:
            writer.write(reply("200 OK", TEXT, f"ETag: {ETAG}"))
        await reader.read(1)
        writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    values = {"bucket": "bkt", "region": "us-east-1", "credentials": "anonymous"}
    entry = buckets.Origin.model_validate({"endpoint": endpoint, **values})
    async with server, client_session() as kept, client_session(keeps=False) as fresh:
        origin = OriginClient(entry, kept, counters=Counted(), pause=0, fresh=fresh)
        await fill(origin)
        yield origin


async def fill(origin: OriginClient) -> None:
    """Have as many connections kept as are in use at a time."""
    seen = await asyncio.gather(*(fetch(origin, "k") for _ in range(KEPT)))
    assert all(map(whole, seen))


async def test_a_request_that_meets_dead_connections_is_repeated_on_a_new_one() -> None:
    async with origin_that_answers_once_a_connection() as origin:
        assert whole(await fetch(origin, "k"))


async def test_the_rest_of_a_body_is_requested_on_a_new_connection() -> None:
    async with origin_that_answers_once_a_connection() as origin:
        assert whole(await fetch(origin, "cut"))


def whole(seen: Seen) -> bool:
    """Whether a response is the object."""
    return (seen.status, seen.body) == (200, TEXT)
