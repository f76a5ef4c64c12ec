"""Streams are bounded: how many there are, what the kernel holds for each, and how slow one is.

A drain waits for slow clients, until it cuts them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import sys
import termios
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.behaviour.streaming import FROM, full, scripted
from tests.bucketserver import until
from tests.build import EAST
from tests.certificates import client_side, make_certificate
from tests.scripteds3 import Say, ScriptedS3, reply
from tests.serving import PATIENCE, RESET, Client, client_at, head_of

if TYPE_CHECKING:
    from tests.serving import Serve

MIB = 1 << 20
LONG = 200 * MIB
"""Bytes of an object: more than all buffers on the way hold."""

SHORT = 150_000
"""Bytes of an object that the kernel holds for one client."""

SO_MEMINFO, TCP_NOTSENT_LOWAT = 55, 25  # linux/socket.h, linux/tcp.h
ENDS = "nearbucket_stream_ends_total"


def long_object() -> Say:
    return Say(reply("200 OK", b"", 'ETag: "e"', length=LONG), mebibytes=LONG // MIB, then="close")


async def slow_client(port: int) -> socket.socket:
    """A client that has requested an object, and whose kernel takes little of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    sock.setblocking(False)  # noqa: FBT003  # the standard library's signature
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
    sock.send(head_of("/a.txt", FROM))
    return sock


def options(level: int, option: int, *, ours: int = 0, theirs: int = 0) -> list[bytes]:
    """An option of each TCP connection of this process with this local or remote port."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile, or listening
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as sock:
                if sock.family == socket.AF_INET:
                    ports = sock.getsockname()[1], sock.getpeername()[1]
                    if ports[0] == ours or ports[1] == theirs:
                        found.append(sock.getsockopt(level, option, 36))
    return found


def kernel_memory(*, ours: int = 0, theirs: int = 0) -> int:
    """Bytes that the kernel holds for these connections, received and to be sent."""
    return sum(
        memory[0] + memory[5]
        for option in options(socket.SOL_SOCKET, SO_MEMINFO, ours=ours, theirs=theirs)
        if (memory := struct.unpack("9I", option))
    )


async def test_the_kernel_holds_little_for_each_of_many_slow_clients(serve: Serve) -> None:
    count, most = 40, 512 * 1024
    script = [long_object() for _ in range(count)]
    async with ScriptedS3(*script) as server, serve(scripted(server)) as served:
        port = int(server.endpoint.rpartition(":")[2])
        clients = [await slow_client(served.port) for _ in range(count)]
        loop = asyncio.get_running_loop()
        for client in clients:
            assert await asyncio.wait_for(loop.sock_recv(client, 100), PATIENCE)
        await full(served)
        held = kernel_memory(ours=served.port), kernel_memory(theirs=port)
        assert min(held) > 0
        assert sum(held) < count * most
        for client in clients:
            client.close()


async def test_a_client_that_keeps_up_gets_all_that_the_kernel_has(serve: Serve) -> None:
    async with ScriptedS3(long_object()) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        limits: list[int] = []
        while not limits or limits[-1]:
            assert len(limits) < LONG // MIB
            await client.skip(MIB)
            (limit,) = options(socket.IPPROTO_TCP, TCP_NOTSENT_LOWAT, ours=served.port)
            limits.append(int.from_bytes(limit, sys.byteorder))
        assert limits[0] > 0, "until it has shown its speed, it is limited"
        client.reset()


async def test_over_tls_a_client_that_was_slow_is_answered_on_the_same_connection(
    serve: Serve, tmp_path: Path
) -> None:
    tls = make_certificate(tmp_path, "one.example")
    size, short = 20 * MIB, Say(reply("200 OK", b"short", 'ETag: "e"'))
    long = Say(reply("200 OK", b"", 'ETag: "e"', length=size), mebibytes=size // MIB)
    async with (
        ScriptedS3(long, *[short] * 3) as server,
        serve(scripted(server, listen={"tls": tls})) as served,
    ):
        client = Client(
            *await asyncio.open_connection(
                "127.0.0.1", served.port, ssl=client_side(tls), server_hostname="one.example"
            )
        )
        await client.send(head_of("/a.txt", FROM))
        await full(served)
        assert len((await client.answer()).body) == size
        for _ in range(3):
            assert (await client.get("/a.tar.gz", client_at(EAST))).status == 301
            assert (await client.get("/a.txt", FROM)).body == b"short"
        await client.close()


async def test_beyond_max_streams_objects_get_503_and_redirects_go_on(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    short = Say(reply("200 OK", b"whole", 'ETag: "e"'))
    async with (
        ScriptedS3(long_object(), short) as server,
        serve(scripted(server, limits={"max_streams": 1})) as served,
    ):
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.skip(MIB)
        for method in ("GET", "HEAD"):
            answer = await served.get("/b.txt", FROM, method=method)
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
            assert answer.headers["cache-control"] == "no-store"
        assert (await served.get("/b.tar.gz", client_at(EAST))).status == 301
        assert served.count("nearbucket_streams_refused_total", "*") == 2
        assert "limits.max_streams" in caplog.text
        assert len(server.asked) == 1
        client.writer.transport.abort()
        await served.settled()
        assert (await served.get("/b.txt", FROM)).body == b"whole"


async def test_a_request_that_s3_does_not_answer_yet_is_one_of_max_streams(serve: Serve) -> None:
    late = Say(reply("404 Not Found"), then="hang")
    async with (
        ScriptedS3(Say(b"", then="hang"), late) as server,
        serve(scripted(server, limits={"max_streams": 1})) as served,
    ):
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await asyncio.wait_for(server.arrived.wait(), PATIENCE)
        assert (await served.get("/b.txt", FROM)).status == 503
        client.reset()
        async with asyncio.timeout(PATIENCE):
            while (await served.get("/b.txt", FROM)).status == 503:  # noqa: ASYNC110  # no event
                await asyncio.sleep(0.01)


async def test_a_client_below_min_rate_is_ended_and_one_above_it_is_not(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """Twice idle_timeout is the credit: 150 s, of which each step takes 50 less what was read."""
    for min_rate, survives in (("64KiB/s", False), ("1KiB/s", True)):
        async with (
            ScriptedS3(long_object()) as server,
            serve(scripted(server, limits={"min_rate": min_rate})) as served,
        ):
            client = await (await served.connect()).send(head_of("/a.txt", FROM))
            await client.reader.readuntil(b"\r\n\r\n")
            await full(served)
            served.pass_time(0)
            for _ in range(3 if survives else 6):
                if not served.open_connections():
                    break
                await client.skip(MIB)
                await full(served)
                served.pass_time(50)
                await asyncio.sleep(0)
            assert bool(served.open_connections()) is survives
            await asyncio.sleep(0)
            assert served.count(ENDS, "client-slow") == (not survives)
            assert ("limits.min_rate" in caplog.text) is not survives
            client.reset()
            caplog.clear()


async def test_a_client_that_pauses_and_goes_on_is_not_below_min_rate(serve: Serve) -> None:
    async with ScriptedS3(long_object()) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        await full(served)
        served.pass_time(0)
        for _ in range(4):
            served.pass_time(74)
            await client.skip(12 * MIB)
            await full(served)
            served.pass_time(1)
        assert served.open_connections() == 1
        assert served.count(ENDS, "client-slow") == 0
        client.writer.transport.abort()


def short_object(after: float = 0.0) -> Say:
    return Say(reply("200 OK", b"x" * SHORT, 'ETag: "e"'), after=after)


def received(sock: socket.socket) -> int:
    """Bytes that a client's kernel has and the client has not read."""
    return int.from_bytes(fcntl.ioctl(sock, termios.FIONREAD, bytes(4)), sys.byteorder)


@pytest.mark.parametrize("after", [0.1, 0.0], ids=["answers", "idles"])
async def test_a_drain_ends_when_a_slow_client_has_the_last_byte(
    serve: Serve, after: float
) -> None:
    async with ScriptedS3(short_object(after)) as server, serve(scripted(server)) as served:
        with closing(await slow_client(served.port)) as client:
            await until(lambda: bool(server.asked))
            draining, loop = asyncio.create_task(served.drain()), asyncio.get_running_loop()
            size = 0
            while not draining.done():
                size += len(await loop.sock_recv(client, 4096))
                await asyncio.sleep(0.02)  # it takes longer than a drain without clients
            sent = received(client)
            size += sent
            while sent:  # and then the end, without waiting
                sent -= len(client.recv(1 << 16))
            assert size > SHORT
            assert client.recv(1) == b""


async def test_a_drain_cuts_a_client_that_does_not_take_what_the_kernel_has(serve: Serve) -> None:
    async with ScriptedS3(short_object()) as server, serve(scripted(server)) as served:
        with closing(await slow_client(served.port)) as client:
            await until(lambda: bool(server.asked) and not served.streams() and not served.unsent())
            assert await served.drain(0.5) == 1
            assert received(client) < SHORT


async def test_a_drain_does_not_wait_for_a_client_that_has_gone(serve: Serve) -> None:
    async with ScriptedS3(short_object()) as server, serve(scripted(server)) as served:
        client = await slow_client(served.port)
        draining = asyncio.create_task(served.drain(PATIENCE))
        await until(lambda: bool(server.asked) and not served.open_connections())
        assert not draining.done()
        client.close()
        assert await draining == 0


async def test_a_drain_does_not_wait_for_what_was_sent_to_a_connection_that_is_cut(
    serve: Serve,
) -> None:
    async with ScriptedS3(long_object()) as server, serve(scripted(server)) as served:
        with closing(await slow_client(served.port)):
            await full(served)
            served.begin_drain()
            (connection,) = served.client_connections()
            connection.abort()
            await until(lambda: not served.kept_connections())
