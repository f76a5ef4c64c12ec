"""Connections of our own: who gets what comes, and which are kept."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from proxy.storage.pool import BUFFER, IDLE, Pool, Upstream
from tests.scripteds3 import Say, ScriptedS3, reply

ASK = b"GET /b/a HTTP/1.1\r\nhost: h\r\n\r\n"
SAID = reply("200 OK", b"body")
PATIENCE = 5.0


class Taker:
    """Copies what comes, and knows when it is all there or over."""

    def __init__(self, wanted: int) -> None:
        self.got = b""
        self.over: Exception | None = None
        self._wanted = wanted
        self._all = asyncio.Event()

    def received(self, data: memoryview) -> None:
        self.got += data
        if len(self.got) >= self._wanted:
            self._all.set()

    def lost(self, error: Exception | None) -> None:
        self.over = error or ConnectionError("closed")
        self._all.set()

    async def end(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self._all.wait()


def pool_of(server: ScriptedS3) -> Pool:
    port = int(server.endpoint.rpartition(":")[2])
    return Pool("127.0.0.1", port, tls=None, buffer=memoryview(bytearray(BUFFER)))


async def asked(upstream: Upstream, wanted: int = len(SAID)) -> Taker:
    taker = Taker(wanted)
    upstream.ask(ASK, taker)
    await taker.end()
    return taker


async def test_a_connection_that_was_freed_is_asked_again() -> None:
    async with ScriptedS3(Say(SAID), Say(SAID)) as server:
        pool = pool_of(server)
        first = await pool.open(PATIENCE)
        assert (await asked(first)).got == SAID
        first.free()
        assert pool.take() is first
        assert (await asked(first)).got == SAID
        assert pool.take() is None
        first.close()


async def test_one_that_s3_closes_meanwhile_is_not_given_out() -> None:
    async with ScriptedS3(Say(SAID, then="close")) as server:
        pool = pool_of(server)
        upstream = await pool.open(PATIENCE)
        await asked(upstream)
        upstream.free()
        async with asyncio.timeout(PATIENCE):
            while pool._free:  # noqa: ASYNC110  # a plain deque
                await asyncio.sleep(0.01)
        assert pool.take() is None


async def test_what_comes_unasked_ends_the_connection() -> None:
    async with ScriptedS3(Say(SAID + b"HTTP/1.1 200 more")) as server:
        pool = pool_of(server)
        upstream = await pool.open(PATIENCE)
        await asked(upstream)
        upstream.free()
        upstream.buffer_updated(3)
        assert pool.take() is None


async def test_a_connection_that_idles_too_long_is_closed() -> None:
    async with ScriptedS3(Say(SAID)) as server:
        pool = pool_of(server)
        upstream = await pool.open(PATIENCE)
        await asked(upstream)
        upstream.free()
        pool.check(monotonic() + IDLE - 1)
        assert len(pool._free) == 1
        pool.check(monotonic() + IDLE + 1)
        assert not upstream.usable
        assert pool.take() is None


async def test_who_waits_is_told_when_the_connection_is_gone() -> None:
    async with ScriptedS3(Say(SAID[:-2], then="close")) as server:
        pool = pool_of(server)
        taker = await asked(await pool.open(PATIENCE))
        assert taker.over is not None
        assert taker.got == SAID[:-2]


async def test_a_host_that_does_not_answer_is_an_error_in_time() -> None:
    async with ScriptedS3() as server:
        pool = pool_of(server)
    with pytest.raises(OSError, match=r"."):
        await pool.open(PATIENCE)
