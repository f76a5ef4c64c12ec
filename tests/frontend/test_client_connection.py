"""Which requests go to aiohttp, by cause; answers during a drain; clients that do not read."""

from __future__ import annotations

import asyncio

import pytest

from nearbucket.frontend.client_connection import ClientConnection
from nearbucket.frontend.request_parser import MAX_REQUEST_HEAD
from tests.behaviour.streaming import scripted
from tests.behaviour.test_redirect import chosen
from tests.bucketserver import until
from tests.build import EAST, OUTSIDE
from tests.scripteds3 import Say, ScriptedS3, reply
from tests.serving import client_at, head_of, serving

FROM = client_at(EAST)
PLAIN = head_of("/a.tar.gz", FROM)


def test_a_connection_has_the_methods_that_event_loops_call() -> None:
    names = {name for name in dir(asyncio.Protocol) if not name.startswith("_")}
    assert names <= set(dir(ClientConnection))
    assert not hasattr(ClientConnection, "get_buffer")  # loops would use it, not data_received


@pytest.mark.parametrize(
    ("cause", "pieces"),
    [
        ("stream", [head_of("/a.txt", client_at(OUTSIDE), method="HEAD")]),
        ("refuse", [head_of("/../a", FROM)]),
        ("partial", [PLAIN[:20], PLAIN[20:]]),
        ("pipelined", [PLAIN + PLAIN]),
        ("body", [head_of("/a.tar.gz", FROM, "Content-Length: 0")]),
        ("unparsable", [head_of("/a.tar.gz", FROM, "X-\xe9: 1")]),
        ("unusual", [PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0")]),
    ],
)
async def test_a_request_that_leaves_the_lane_is_counted_by_its_cause(
    cause: str, pieces: list[bytes]
) -> None:
    async with serving(chosen()) as served:
        client = await served.connect()
        for piece in pieces:
            await client.send(piece)
            await until(lambda: served.count("nearbucket_handovers_total", cause) == 1)
        await client.reader.readuntil(b"\r\n\r\n")
        assert sum(served.figures("nearbucket_handovers_total").values()) == 1


@pytest.mark.parametrize(("size", "left"), [(MAX_REQUEST_HEAD, 0), (MAX_REQUEST_HEAD + 1, 1)])
async def test_a_head_up_to_aiohttps_limit_of_a_line_is_read_in_the_lane(
    size: int, left: int
) -> None:
    head = head_of("/a.tar.gz", FROM, "X-Fill: ")
    head = head.replace(b"X-Fill: ", b"X-Fill: " + b"x" * (size - len(head)))
    async with serving(chosen()) as served:
        client = await (await served.connect()).send(head)
        assert (await client.answer()).status == 301
        assert served.count("nearbucket_handovers_total", "unusual") == left
    assert MAX_REQUEST_HEAD == 8190


@pytest.mark.parametrize(
    "head", [PLAIN, head_of("/a.txt", client_at(OUTSIDE))], ids=["redirect", "stream"]
)
async def test_an_answer_while_draining_ends_its_connection(head: bytes) -> None:
    async with (
        ScriptedS3(Say(reply("200 OK", b"x"))) as server,
        serving(scripted(server)) as served,
    ):
        client = await served.connect()
        await until(lambda: served.open_connections() == 1)
        served.worker.context.drain()
        await client.send(head)
        assert (await client.answer()).headers["connection"] == "close"
        assert await client.rest() == b""


async def test_nothing_more_is_read_of_a_client_that_does_not_take_its_answers() -> None:
    async with serving(chosen()) as served:
        client = await served.connect()
        assert (await client.get("/a.tar.gz", FROM)).status == 301
        (lane,) = served.client_connections()
        lane.pause_writing()
        assert not lane._transport.is_reading()
        lane.resume_writing()
        assert lane._transport.is_reading()
        assert (await client.get("/a.tar.gz", FROM)).status == 301
