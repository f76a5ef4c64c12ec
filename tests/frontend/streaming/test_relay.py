"""What only the streaming lane can get wrong."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

import pytest

from nearbucket.frontend.limits.client_pace import LEAST
from nearbucket.frontend.streaming.origin_exchange import OriginExchange
from nearbucket.frontend.streaming.read_sizing import ReadSizer
from tests.behaviour.streaming import full, scripted
from tests.bucketserver import until
from tests.build import EAST, OUTSIDE
from tests.scripteds3 import Say, ScriptedS3, error, reply
from tests.serving import PATIENCE, Client, client_at, head_of, serving

if TYPE_CHECKING:
    from nearbucket.frontend.aiohttp_lane.protocol import AiohttpConnection
    from nearbucket.frontend.client_connection import ClientConnection
    from tests.serving import Served

FROM = client_at(OUTSIDE)
SAID = reply("200 OK", b"0123456789", 'ETag: "e"')


async def relaying(served: Served) -> ClientConnection:
    """The only connection, when part of a body has gone through it."""
    async with asyncio.timeout(PATIENCE):
        while not served.worker.context.counters.streams:  # noqa: ASYNC110  # a plain integer
            await asyncio.sleep(0.01)
    return served.client_connections()[0]


def completed(served: Served) -> float:
    """How many objects were sent to their ends."""
    return served.count("nearbucket_stream_ends_total", "complete")


async def test_a_plain_get_is_asked_for_once_and_never_handed_over() -> None:
    async with ScriptedS3(Say(SAID), Say(SAID)) as server, serving(scripted(server)) as served:
        client = await served.connect()
        for _ in range(2):
            assert (await client.get("/a.txt", FROM)).body == b"0123456789"
        assert len(server.asked) == 2
        assert sum(served.figures("nearbucket_handovers_total").values()) == 0
        assert served.count("nearbucket_streamed_bytes_total", "*", "outside") == 20


async def test_a_finished_stream_leaves_nothing_to_the_garbage_collector() -> None:
    async with ScriptedS3(Say(SAID), Say(SAID)) as server, serving(scripted(server)) as served:
        client = await served.connect()
        assert (await client.get("/a.txt", FROM)).status == 200
        gc.collect()
        gc.disable()
        try:
            assert (await client.get("/a.txt", FROM)).status == 200
            assert not [each for each in gc.get_objects() if isinstance(each, OriginExchange)]
        finally:
            gc.enable()


async def test_nothing_is_written_to_a_connection_that_is_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    half = Say(SAID[:-5], then="hang")
    async with ScriptedS3(half) as server, serving(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"01234")
        lane = await relaying(served)
        relay = lane._relay
        assert relay is not None
        written: list[Any] = []
        monkeypatch.setattr(os, "writev", lambda *what: written.append(what))
        lane.abort()  # from here on the descriptor may be another connection's
        relay._exchange.received(memoryview(b"56789"))
        assert written == []
        await served.settled()
        assert served.count("nearbucket_stream_ends_total", "client-gone") == 1
        assert served.count("nearbucket_stream_ends_total", "complete") == 0


async def test_what_comes_during_a_stream_is_answered_behind_it() -> None:
    half = Say(SAID[:-5], then="hang")
    async with ScriptedS3(half) as server, serving(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        lane = await relaying(served)
        await client.send(head_of("/b.tar.gz", client_at(EAST)))
        relay = lane._relay
        assert relay is not None
        async with asyncio.timeout(PATIENCE):
            while not lane._behind:  # noqa: ASYNC110  # a plain tuple
                await asyncio.sleep(0.01)
        relay._exchange.received(memoryview(b"56789"))
        assert (await client.answer()).body == b"0123456789"
        assert (await client.answer()).status == 301
        assert (await client.get("/c.tar.gz", client_at(EAST))).status == 301


@pytest.mark.parametrize("fields", [(), ('If-None-Match: "x"',)], ids=["streaming", "aiohttp"])
async def test_behind_an_answer_that_waits_for_its_client_no_requests_are_read(
    fields: tuple[str, ...],
) -> None:
    body = bytes(60_000)  # twice, because a transport keeps 64 KiB for the aiohttp lane
    said = Say(reply("200 OK", body))
    async with ScriptedS3(said, said) as server, serving(scripted(server)) as served:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.setblocking(False)  # noqa: FBT003  # the standard library's signature
        await asyncio.get_running_loop().sock_connect(slow, ("127.0.0.1", served.port))
        await until(lambda: served.open_connections() == 1)
        ours = served.client_connections()[0]._transport.get_extra_info("socket")
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for number in (1, 2) if fields else (1,):
            slow.send(head_of("/a.txt", FROM, *fields))
            await until(lambda: completed(served) == number)  # noqa: B023  # awaited here
        waiting = served.unsent()
        assert waiting > 0
        for _ in range(20):
            slow.send(head_of("/a.tar.gz", client_at(EAST)))
            await asyncio.sleep(0.005)
        assert 0 < served.unsent() <= waiting
        client = Client(*await asyncio.open_connection(sock=slow))
        for _ in server.asked:
            assert (await client.answer()).body == body
        for _ in range(20):
            assert (await client.answer()).status == 301
        await client.close()


class FullAfterRedirect:
    """A transport whose client stops taking bytes with a redirect."""

    def __init__(self, lane: ClientConnection) -> None:
        self._lane, self._transport = lane, lane._transport

    def write(self, data: bytes) -> None:
        self._transport.write(data)
        if data.startswith(b"HTTP/1.1 301"):
            self._lane.pause_writing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


@pytest.mark.parametrize("target", ["/a.txt", "/../a"], ids=["streaming", "aiohttp"])
async def test_requests_are_read_again_when_the_client_has_taken_its_answers(target: str) -> None:
    half = Say(reply("200 OK", b"01234", 'ETag: "e"', "Connection: close", length=10), "hang")
    redirect = head_of("/a.tar.gz", client_at(EAST))
    async with ScriptedS3(half, Say(SAID)) as server, serving(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        lane = await relaying(served)
        lane._transport = cast("asyncio.Transport", FullAfterRedirect(lane))
        for number, head in enumerate((redirect, head_of(target, FROM)), 1):
            await client.send(head)
            await until(lambda: len(lane._behind) == number)  # noqa: B023  # awaited here
        relay = lane._relay
        assert relay is not None
        relay._exchange.received(memoryview(b"56789"))
        lane.resume_writing()  # while the last request is being answered
        for _ in range(3):
            await client.answer()
        assert (await client.get("/c.tar.gz", client_at(EAST))).status == 301


async def test_a_client_whose_answers_are_too_much_again_at_once_is_waited_for_again() -> None:
    half = Say(reply("200 OK", b"01234", 'ETag: "e"', length=10), "hang")
    async with ScriptedS3(half) as server, serving(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        lane = await relaying(served)
        lane._transport = cast("asyncio.Transport", FullAfterRedirect(lane))
        heads = head_of("/a.tar.gz", client_at(EAST)), head_of("/../a", FROM)
        for number, head in enumerate(heads, 1):
            await client.send(head)
            await until(lambda: len(lane._behind) == number)  # noqa: B023  # awaited here
        relay = lane._relay
        assert relay is not None
        lane.pause_writing()
        relay._exchange.received(memoryview(b"56789"))
        lane.resume_writing()  # the redirect is too much for the client again
        assert lane._aiohttp is not None
        assert cast("AiohttpConnection", lane._aiohttp).writing_paused
        lane.resume_writing()
        assert [(await client.answer()).status for _ in range(3)] == [200, 301, 400]
        assert (await client.get("/c.tar.gz", client_at(EAST))).status == 301


async def test_what_waits_in_the_aiohttp_lane_is_bounded_for_a_client_that_was_waited_for() -> None:
    half = Say(reply("200 OK", b"01234", 'ETag: "e"', length=10), "hang")
    async with ScriptedS3(half, Say(b"", "hang")) as server, serving(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        lane = await relaying(served)
        lane._transport = cast("asyncio.Transport", FullAfterRedirect(lane))
        many = head_of("/a.txt", FROM, 'If-None-Match: "x"') * 150
        for number, heads in enumerate((head_of("/a.tar.gz", client_at(EAST)), many), 1):
            await client.send(heads)
            await until(lambda: len(lane._behind) == number)  # noqa: B023  # awaited here
        relay = lane._relay
        assert relay is not None
        relay._exchange.received(memoryview(b"56789"))
        lane.resume_writing()
        assert lane._aiohttp is not None
        unparsed = cast("AiohttpConnection", lane._aiohttp)._unparsed
        for _ in range(30):
            client.writer.write(many * 20)
            await asyncio.sleep(0.01)
        assert len(unparsed) < 2 * len(many)
        lane.abort()


@pytest.mark.parametrize("pieces", [1, 20, 1000], ids="in pieces of {} bytes".format)
async def test_the_head_of_an_object_may_come_in_any_pieces(pieces: int) -> None:
    silent = Say(b"")
    async with ScriptedS3(silent, silent, silent) as server, serving(scripted(server)) as served:
        for number in (1, 2):  # the second head may be compared with the first
            client = await (await served.connect()).send(head_of("/a.txt", FROM))
            await until(lambda: len(server.asked) == number)  # noqa: B023  # awaited right here
            lane = next(lane for lane in served.client_connections() if lane._relay is not None)
            relay = lane._relay
            assert relay is not None
            for start in range(0, len(SAID), pieces):
                relay._exchange.received(memoryview(SAID[start : start + pieces]))
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"0123456789")
            assert answer.headers["etag"] == '"e"'
        assert sum(served.figures("nearbucket_handovers_total").values()) == 0


@pytest.mark.parametrize(
    ("said", "asked"), [(b"", 4), (SAID[:20], 3)], ids=["nothing", "a part of a head"]
)
async def test_a_request_counts_as_tried_when_a_used_connection_closes_within_the_answer(
    said: bytes, asked: int
) -> None:
    busy = Say(error("503 Slow Down", "SlowDown"))
    script = Say(SAID), Say(said, then="close"), busy, busy
    async with ScriptedS3(*script) as server, serving(scripted(server)) as served:
        assert (await served.get("/a.txt", FROM)).status == 200
        assert (await served.get("/a.txt", FROM)).status == 503
        assert len(server.asked) == asked


async def test_a_connection_on_which_s3_fell_silent_is_closed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    script = Say(SAID[:-5], then="hang"), Say(error("404 Not Found", "NoSuchKey"))
    async with ScriptedS3(*script) as server, serving(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"01234")
        for later in (0, 31):
            served.pass_time(later)
        assert await client.rest() == b""
        await until(lambda: not server._tasks)
    assert "mid-body: TimeoutError('nothing for 30 s')" in caplog.text


async def test_reads_get_smaller_when_the_client_falls_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[int] = []
    on_limit = ReadSizer.on_limit

    def note(sizer: ReadSizer, limit: int, left: int) -> None:
        limits.append(limit)
        on_limit(sizer, limit, left)

    monkeypatch.setattr(ReadSizer, "on_limit", note)
    size = 64 << 20  # more than all buffers on the way hold
    async with (
        ScriptedS3(Say(reply("200 OK", length=size), mebibytes=size >> 20)) as server,
        serving(scripted(server)) as served,
    ):
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.skip(24 << 20)
        await full(served)
        for later in (0, 2, 2):
            served.pass_time(later)
        assert max(limits) > LEAST == limits[-1]
        await client.close()


async def test_an_error_of_s3_whose_end_does_not_come_is_answered_from_what_has_come() -> None:
    half = Say(error("404 Not Found", "NoSuchKey")[:-10], then="hang")
    async with ScriptedS3(half) as server, serving(scripted(server)) as served:
        asking = asyncio.create_task(served.get("/a.txt", FROM))
        await server.arrived.wait()
        lane = served.client_connections()[0]
        async with asyncio.timeout(PATIENCE):
            while lane._relay is None or lane._relay._exchange._error_reader is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        for later in (0, 4):
            lane.check(monotonic() + later)
        relay = lane._relay
        assert relay is not None
        relay._exchange.received(memoryview(b"<"))  # it goes on, but for how long?
        lane.check(monotonic() + 6)
        assert (await asking).status == 404
    assert len(server.asked) == 1


async def test_a_client_that_is_too_slow_for_the_answer_before_ends_no_stream() -> None:
    async with ScriptedS3(Say(b"", then="hang")) as server, serving(scripted(server)) as served:
        await (await served.connect()).send(head_of("/a.txt", FROM))
        await until(lambda: len(server.asked) == 1)
        (lane,) = served.client_connections()
        lane._end_slow_client(1024)
        assert served.streams() == 0
        assert not any(served.figures("nearbucket_stream_ends_total").values())
        limit = served.worker.context.stream_limits.by_site["*"]
        assert limit.count == 0
