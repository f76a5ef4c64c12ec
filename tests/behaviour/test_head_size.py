"""The bound on a request's head, and on what waits while a request is answered."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from tests.behaviour.streaming import FROM, scripted
from tests.behaviour.test_hostile import recorded
from tests.scripteds3 import Say, ScriptedS3, reply
from tests.serving import PATIENCE, head_of

if TYPE_CHECKING:
    from tests.serving import Client, Serve

LIMIT = 64 * 1024
FIELD = b"X: %b\r\n" % (b"v" * 4000)


def head(size: int) -> bytes:
    """A request head of so many bytes."""
    start = b"GET /a.txt HTTP/1.1\r\nHost: dl.example\r\n"
    count, rest = divmod(size - len(start) - len(b"Y: \r\n\r\n"), len(FIELD))
    made = start + FIELD * count + b"Y: " + b"w" * rest + b"\r\n\r\n"
    assert len(made) == size
    return made


BEFORE = {
    "nothing": b"",
    "a request": head_of("/a.txt"),
    "a body": head_of("/a.txt", "Content-Length: 9") + b"a\r\n\r\nbody",
}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("piece", [LIMIT * 2, 1000, LIMIT - 1])
async def test_a_head_may_have_64_kib_and_not_a_byte_more_in_whatever_pieces(
    serve: Serve, piece: int, before: str
) -> None:
    async with recorded(serve) as (served, _):
        for size, status in ((LIMIT, 200), (LIMIT + 1, 431)):
            raw = BEFORE[before] + head(size)
            pieces = [raw[at : at + piece] for at in range(0, len(raw), piece)]
            client = await (await served.connect()).send(*pieces)
            if before != "nothing":
                assert (await client.answer()).status == 200
            answer = await client.answer()
            assert answer.status == status
            if status == 431:
                assert answer.headers["x-nearbucket"].endswith("reason=bad-request")
                assert await client.rest() == b""


async def test_a_head_is_refused_with_the_first_byte_that_is_too_many(serve: Serve) -> None:
    async with recorded(serve) as (served, _):
        client = await (await served.connect()).send(head(LIMIT + 1000)[:LIMIT])
        answer = asyncio.ensure_future(client.answer())
        while not served.begun_heads():  # noqa: ASYNC110  # plain state of the worker
            await asyncio.sleep(0.01)
        assert not answer.done()
        await client.send(b"v")
        assert (await answer).status == 431
        assert served.count("nearbucket_refusals_total", "bad-request") == 1


async def _send_all(client: Client, piece: bytes, count: int) -> None:
    for _ in range(count):
        await client.send(piece)


async def test_unfinished_heads_and_requests_that_wait_take_no_more_memory_than_the_bound(
    serve: Serve,
) -> None:
    """Eight unfinished heads of 800 KiB, and twice 25 MiB behind a request."""
    async with (
        ScriptedS3(*[Say(reply("200 OK", length=10), "hang")] * 30) as server,
        serve(scripted(server, limits={"drain_timeout": "100ms"})) as served,
    ):
        tracemalloc.start()
        try:
            clients = [await served.connect() for _ in range(10)]
            for client in clients[8:]:
                await client.send(head_of("/a.txt", FROM))
                await client.reader.readuntil(b"\r\n\r\n")
            tracemalloc.reset_peak()
            behind = head(LIMIT)
            for client in clients[:8]:
                await client.send(behind[: LIMIT // 2])
            sending = [
                asyncio.ensure_future(_send_all(client, FIELD * 10, 20)) for client in clients[:8]
            ] + [asyncio.ensure_future(_send_all(client, behind, 400)) for client in clients[8:]]
            await asyncio.wait(sending, timeout=1)
            # the senders' own buffers have 64 KiB each at most, beside the piece under way
            peak = tracemalloc.get_traced_memory()[1]
            assert peak < 10 * 12 * LIMIT
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            for client in clients:
                client.writer.transport.abort()  # what waits would never be read
        finally:
            tracemalloc.stop()


async def test_what_waits_behind_a_body_that_is_not_read_is_bounded(serve: Serve) -> None:
    """Aiohttp drops the body after the answer, and reads from the client again."""
    says = Say(reply("200 OK", b"first")), Say(reply("200 OK", length=10), "hang")
    async with (
        ScriptedS3(*says) as server,
        serve(scripted(server, limits={"drain_timeout": "100ms"})) as served,
    ):
        client = await served.connect()
        body = bytes(10 * LIMIT)
        with_body = head_of("/a.txt", FROM, f"Content-Length: {len(body)}") + body
        await client.send(with_body + head_of("/b.txt", FROM) + FIELD * 25)
        assert (await client.answer()).body == b"first"
        await client.reader.readuntil(b"\r\n\r\n")
        flood = asyncio.ensure_future(_send_all(client, FIELD * 250, 25))
        await asyncio.wait([flood], timeout=0.5)
        assert not flood.done()
        flood.cancel()
        client.writer.transport.abort()


async def test_endless_trailers_end_the_connection(serve: Serve) -> None:
    async with recorded(serve) as (served, _):
        client = await served.connect()
        await client.send(head_of("/a.txt", "Transfer-Encoding: chunked"), b"1\r\na\r\n")
        assert (await client.answer()).status == 200
        await client.send(b"0\r\n")
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(_send_all(client, FIELD, 1 << 20), PATIENCE)
