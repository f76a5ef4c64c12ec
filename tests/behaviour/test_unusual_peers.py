"""What happens where S3, or a client, sends more than was asked for, in pieces, or leaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.behaviour.streaming import FROM, scripted
from tests.build import BLIND, EAST, FORWARDED, open_bucket, settings
from tests.scripteds3 import ETAG, Say, ScriptedS3, error, reply, rest
from tests.serving import PATIENCE, client_at, head_of

if TYPE_CHECKING:
    from tests.serving import Serve

IT = reply("200 OK", b"it", f"ETag: {ETAG}")
MISSING = error("404 Not Found", "NoSuchKey")


@pytest.mark.parametrize(
    "more", [b"and more", MISSING, b"x" * 100_000], ids=["text", "an answer", "much"]
)
async def test_bytes_behind_the_body_do_not_reach_the_client(serve: Serve, more: bytes) -> None:
    script = Say(IT + more), Say(IT), Say(IT)
    async with ScriptedS3(*script) as server, serve(scripted(server)) as served:
        client = await served.connect()
        assert (await client.get("/a.txt", FROM)).body == b"it"
        assert (await client.get("/b.txt", FROM, "Connection: close")).body == b"it"
        assert await client.rest() == b""


@pytest.mark.parametrize("cut", [10, len(MISSING) - 10], ids=["in its head", "in its document"])
async def test_an_error_of_s3_that_comes_in_pieces_is_asked_for_once(
    serve: Serve, cut: int
) -> None:
    said = Say(MISSING[:cut], rest=(MISSING[cut:],))
    async with ScriptedS3(said, Say(IT)) as server, serve(scripted(server)) as served:
        assert (await served.get("/a.txt", FROM)).status == 404
        assert (await served.get("/b.txt", FROM)).body == b"it"
    assert (len(server.asked), server.connections) == (2, 1)


async def test_s3_is_left_when_the_client_leaves_while_the_rest_is_awaited(serve: Serve) -> None:
    body = b"x" * 1000
    half = Say(reply("200 OK", body[:500], f"ETag: {ETAG}", length=1000), then="close")
    waits = Say(rest(body, 500, sent=0), then="hang")
    async with ScriptedS3(half, waits) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        await client.reader.readexactly(500)
        async with asyncio.timeout(PATIENCE):
            while len(server.asked) < 2:  # noqa: ASYNC110  # a plain list
                await asyncio.sleep(0.01)
        client.reset()
        async with asyncio.timeout(PATIENCE):
            await server.left.wait()
        await served.settled()
        assert served.count("nearbucket_stream_ends_total", "client-gone") == 1


@pytest.mark.parametrize("came", [0, 500], ids=["its head", "half of its body"])
async def test_a_client_that_closes_while_s3_is_silent_is_gone(serve: Serve, came: int) -> None:
    whole = reply("200 OK", b"x" * came, f"ETag: {ETAG}", length=1000)
    async with ScriptedS3(Say(whole, then="hang")) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        await client.reader.readexactly(came)
        await client.close()  # with a FIN, as one that waits would send
        async with asyncio.timeout(PATIENCE):
            await server.left.wait()
        await served.settled()
        ends = served.figures("nearbucket_stream_ends_total")
        assert {how: count for (how,), count in ends.items() if count} == {"client-gone": 1}


async def test_a_client_that_closes_before_s3_says_anything_is_gone(serve: Serve) -> None:
    async with ScriptedS3(Say(b"", then="hang")) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        async with asyncio.timeout(PATIENCE):
            await server.arrived.wait()
        await client.close()
        async with asyncio.timeout(PATIENCE):
            await server.left.wait()
        await served.settled()
        assert served.open_connections() == 0
        assert len(server.asked) == 1  # and not again after a timeout


async def test_a_half_closed_client_gets_an_answer_that_pauses_for_less_than_a_second(
    serve: Serve,
) -> None:
    said = Say(reply("200 OK", b"it", f"ETag: {ETAG}"), after=0.5)
    async with ScriptedS3(said) as server, serve(scripted(server)) as served:
        client = await served.connect()
        client.writer.write(head_of("/a.txt", FROM))
        client.writer.write_eof()
        assert (await client.answer()).body == b"it"
        assert await client.rest() == b""


async def test_a_half_closed_client_gets_its_answer_after_a_check_that_takes_too_long(
    serve: Serve,
) -> None:
    """The check ends when ``catalog.wait`` has passed, and only then S3 is asked for the object."""
    seen = Say(reply("200 OK", b"", f"ETag: {ETAG}", length=2))
    said = Say(IT, after=0.2)
    async with ScriptedS3(seen, said) as origin, ScriptedS3(Say(b"", then="hang")) as copy:
        site = {
            "origin": open_bucket(origin.endpoint),
            "targets": {"us-east-1": open_bucket(copy.endpoint)},
            "redirect": {**BLIND, "verify": "match", "scheme": "http"},
        }
        async with serve(settings(site=site, client_address=FORWARDED)) as served:
            client = await served.connect()
            client.writer.write(head_of("/a.tar.gz", client_at(EAST)))
            client.writer.write_eof()
            answer = await client.answer()
            assert (answer.status, answer.body) == (200, b"it")
            assert answer.headers["x-nearbucket"].endswith("reason=unverified")


async def test_a_client_that_sends_on_and_on_while_it_is_answered_is_not_read(
    serve: Serve,
) -> None:
    most = 64 << 20  # more than all buffers on the way hold
    said = Say(reply("200 OK", b"", f"ETag: {ETAG}", length=most), mebibytes=most >> 20)
    async with ScriptedS3(said) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        for _ in range(most >> 16):
            client.writer.write(head_of("/b.txt", f"X-Filler: {'x' * 65_000}"))
        await client.reader.readexactly(most // 2)  # which gives it time to read
        assert client.writer.transport.get_write_buffer_size() > most // 2
        client.reset()


async def test_a_request_body_that_says_it_is_packed_is_not_unpacked(serve: Serve) -> None:
    async with ScriptedS3(Say(IT), Say(IT)) as server, serve(scripted(server)) as served:
        client = await served.connect()
        packed = head_of("/a.txt", FROM, "Content-Encoding: gzip", "Content-Length: 4")
        await client.send(packed + b"none", head_of("/b.txt", FROM))
        assert [(await client.answer()).body for _ in range(2)] == [b"it", b"it"]


async def test_s3_is_asked_for_the_path_of_the_object_alone(serve: Serve) -> None:
    async with ScriptedS3(Say(IT), Say(IT)) as server, serve(scripted(server)) as served:
        await served.get("/a.txt", FROM)
        await served.get("/b.txt?acl", FROM, "If-Range: x", "Range: bytes=0-")
    assert [each.target for each in server.asked] == ["/downloads/a.txt", "/downloads/b.txt"]


async def test_a_field_that_comes_twice_is_read_as_one_in_the_order_of_its_lines(
    serve: Serve,
) -> None:
    async with ScriptedS3() as server, serve(scripted(server)) as served:
        answer = await served.get("/a.tar.gz", client_at(EAST), client_at("127.0.0.1"))
    assert answer.status == 301
