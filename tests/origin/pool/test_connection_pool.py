"""Connections to S3: what receivers get, and which connections are kept."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from fcntl import ioctl
from termios import FIONREAD
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from nearbucket.origin.pool.connection_pool import ConnectionPool
from nearbucket.origin.pool.read_buffer import BUFFER, USUAL, ReadBuffers
from nearbucket.origin.pool.tls_stream import TlsStream
from nearbucket.s3.http_session import IDLE_TIMEOUT
from tests.bucketserver import until
from tests.certificates import client_side, make_certificate
from tests.scripteds3 import Say, ScriptedS3, reply

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.config.settings import Tls as Certificate
    from nearbucket.origin.pool.connection import UpstreamConnection

ASK = b"GET /b/a HTTP/1.1\r\nhost: h\r\n\r\n"
SAID = reply("200 OK", b"body")
PATIENCE = 5.0


class Taker:
    """A receiver that copies what comes until it has everything or the connection is lost."""

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


def pool_of(server: ScriptedS3) -> ConnectionPool:
    port = int(server.endpoint.rpartition(":")[2])
    return ConnectionPool("127.0.0.1", port, tls=server.trust, buffers=ReadBuffers.new())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("pool"), "s3.example")


@pytest.fixture(params=["plain", "TLS"])
def tls(request: pytest.FixtureRequest, certificate: Certificate) -> Certificate | None:
    """The server's certificate, or None for plain HTTP."""
    return certificate if request.param == "TLS" else None


async def asked(upstream: UpstreamConnection, wanted: int = len(SAID)) -> Taker:
    taker = Taker(wanted)
    upstream.send(ASK, taker)
    await taker.end()
    return taker


async def test_the_receive_buffer_may_grow_until_the_connection_is_freed() -> None:
    lock, locked = 72, 2  # SO_BUF_LOCK and SOCK_RCVBUF_LOCK of linux/socket.h
    async with ScriptedS3(Say(SAID)) as server:
        upstream = await pool_of(server).open(PATIENCE)
        sock = upstream._transport.get_extra_info("socket")
        seen = [sock.getsockopt(socket.SOL_SOCKET, lock)]
        upstream.fix_receive_buffer(fixed=False)
        seen.append(sock.getsockopt(socket.SOL_SOCKET, lock))
        await asked(upstream)
        upstream.release(monotonic())
        seen.append(sock.getsockopt(socket.SOL_SOCKET, lock))
        upstream.close()
    assert seen == [locked, 0, locked]


async def test_a_connection_that_was_freed_is_asked_again(tls: Certificate | None) -> None:
    async with ScriptedS3(Say(SAID), Say(SAID), tls=tls) as server:
        pool = pool_of(server)
        first = await pool.open(PATIENCE)
        assert (await asked(first)).got == SAID
        first.release(monotonic())
        assert pool.take() is first
        assert (await asked(first)).got == SAID
        assert pool.take() is None
        first.close()


async def test_one_that_s3_closes_meanwhile_is_not_given_out(tls: Certificate | None) -> None:
    async with ScriptedS3(Say(SAID, then="close"), tls=tls) as server:
        pool = pool_of(server)
        upstream = await pool.open(PATIENCE)
        await asked(upstream)
        upstream.release(monotonic())
        async with asyncio.timeout(PATIENCE):
            while pool.idle:  # noqa: ASYNC110  # a plain deque
                await asyncio.sleep(0.01)
        assert pool.take() is None


async def test_what_comes_unasked_ends_the_connection() -> None:
    async with ScriptedS3(Say(SAID + b"HTTP/1.1 200 more")) as server:
        pool = pool_of(server)
        upstream = await pool.open(PATIENCE)
        await asked(upstream)
        upstream.release(monotonic())
        upstream.buffer_updated(3)
        assert pool.take() is None


async def test_a_connection_that_idles_too_long_is_closed(tls: Certificate | None) -> None:
    async with ScriptedS3(Say(SAID), tls=tls) as server:
        pool = pool_of(server)
        upstream = await pool.open(PATIENCE)
        await asked(upstream)
        upstream.release(monotonic())
        pool.check(monotonic() + IDLE_TIMEOUT - 1)
        assert len(pool.idle) == 1
        pool.check(monotonic() + IDLE_TIMEOUT + 1)
        assert upstream.closing()
        assert pool.take() is None


async def test_who_waits_is_told_when_the_connection_is_gone(tls: Certificate | None) -> None:
    async with ScriptedS3(Say(SAID[:-2], then="close"), tls=tls) as server:
        pool = pool_of(server)
        taker = await asked(await pool.open(PATIENCE))
        assert taker.over is not None
        assert taker.got == SAID[:-2]


async def test_a_host_that_does_not_answer_is_an_error_in_time() -> None:
    async with ScriptedS3() as server:
        pool = pool_of(server)
    with pytest.raises(OSError, match=r"."):
        await pool.open(PATIENCE)


async def test_a_host_that_is_silent_in_the_handshake_is_an_error_in_time(
    certificate: Certificate,
) -> None:
    async with ScriptedS3(Say(b"")) as silent:  # it waits for the end of a request's head
        port = int(silent.endpoint.rpartition(":")[2])
        pool = ConnectionPool(
            "127.0.0.1", port, tls=client_side(certificate), buffers=ReadBuffers.new()
        )
        with pytest.raises(TimeoutError):
            await pool.open(0.1)
        await until(lambda: not silent._tasks)  # and the connection is closed


async def test_a_host_that_hangs_up_in_the_handshake_or_is_another_is_an_error(
    certificate: Certificate, tmp_path: Path
) -> None:
    stranger = make_certificate(tmp_path, "s3.example")
    async with ScriptedS3() as closing, ScriptedS3(tls=stranger) as other:
        for server in (closing, other):
            port = int(server.endpoint.rpartition(":")[2])
            pool = ConnectionPool(
                "127.0.0.1", port, tls=client_side(certificate), buffers=ReadBuffers.new()
            )
            with pytest.raises(OSError, match=r"."):
                await pool.open(0.5)


class Greedy(Taker):
    """A receiver that calls ``read_now``."""

    def __init__(self, wanted: int, upstream: UpstreamConnection) -> None:
        super().__init__(wanted)
        self._upstream = upstream

    def received(self, data: memoryview) -> None:
        super().received(self._upstream.read_now(data[3:]))


async def test_what_came_meanwhile_stands_behind_what_was_received(
    tls: Certificate | None,
) -> None:
    said = bytes(range(256)) * 400
    async with ScriptedS3(Say(said), tls=tls) as server:
        upstream = await pool_of(server).open(PATIENCE)
        taker = Greedy(len(said) - 30, upstream)
        upstream.send(ASK, taker)
        await taker.end()
    assert taker.got[:500] == said[3:503]  # the first three of every piece were left out
    assert taker.over is None


async def test_no_more_is_read_than_there_is_room_for(certificate: Certificate) -> None:
    async with ScriptedS3(Say(b"x" * 100), tls=certificate) as server:
        upstream = await pool_of(server).open(PATIENCE)
        upstream.send(ASK, Taker(100))
        await server.arrived.wait()
        upstream._filled = USUAL + 5  # a read that ended a record begun before
        data = memoryview(b"y")
        assert upstream.read_now(data) is data
        upstream.close()


async def test_a_connection_that_cannot_be_asked_is_lost_and_not_raised(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_data: bytes) -> bytes:
        raise ssl.SSLWantReadError  # as in a renegotiation

    async with ScriptedS3(tls=certificate) as server:
        upstream = await pool_of(server).open(PATIENCE)
        assert upstream._tls is not None
        monkeypatch.setattr(TlsStream, "seal", lambda _tls, data: refuse(data))
        taker = await asked(upstream)
        assert isinstance(taker.over, ssl.SSLError)


async def test_what_the_kernel_does_not_take_of_a_request_is_sent_all_the_same(
    tls: Certificate | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:10]))
    async with ScriptedS3(Say(SAID), tls=tls) as server:
        upstream = await pool_of(server).open(PATIENCE)
        assert (await asked(upstream)).got == SAID
        upstream.close()


async def test_nothing_is_written_to_the_descriptor_of_a_closed_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with ScriptedS3() as server:
        upstream = await pool_of(server).open(PATIENCE)
        upstream.close()
        written: list[tuple[object, ...]] = []
        monkeypatch.setattr(os, "write", lambda *what: written.append(what))
        upstream.send(ASK, Taker(1))  # the descriptor may be another connection's
        assert written == []


class Ending(Taker):
    """A receiver that lowers the low water mark to what is left."""

    def __init__(self, wanted: int, upstream: UpstreamConnection) -> None:
        super().__init__(wanted)
        self._left = wanted
        self._upstream = upstream

    def received(self, data: memoryview) -> None:
        self._left -= len(data)
        if self._left < BUFFER:
            self._upstream.set_low_water_mark(1)
        super().received(data)


async def test_more_are_taken_at_a_time_where_more_are_waited_for(tls: Certificate | None) -> None:
    said = b"x" * (8 << 20)
    async with ScriptedS3(Say(said), Say(said[:10]), tls=tls) as server:
        upstream = await pool_of(server).open(PATIENCE)
        for count, most in ((BUFFER // 2, BUFFER), (1, USUAL)):
            upstream.set_low_water_mark(count)
            assert len(upstream.get_buffer(0)) == most
        taker = Ending(len(said), upstream)
        upstream.set_low_water_mark(BUFFER // 2)
        upstream.send(ASK, taker)
        await taker.end()
    assert taker.got == said


def waiting(upstream: UpstreamConnection) -> int:
    """Bytes that have come and are not taken yet."""
    sock = upstream._transport.get_extra_info("socket")
    return int.from_bytes(ioctl(sock.fileno(), FIONREAD, bytes(4)), sys.byteorder)


async def test_bytes_that_are_waited_for_come_together(tls: Certificate | None) -> None:
    said = b"x" * 200_000
    async with ScriptedS3(Say(said[:1000], then="hang"), tls=tls) as server:
        upstream = await pool_of(server).open(PATIENCE)
        upstream.set_low_water_mark(5000)
        taker = Taker(1000)
        upstream.send(ASK, taker)
        await until(lambda: waiting(upstream) >= 1000)
        for _ in range(3):  # turns in which the loop would read
            await asyncio.sleep(0)
        assert taker.got == b""
        upstream.set_low_water_mark(1)
        await taker.end()
    assert taker.got == said[:1000]
