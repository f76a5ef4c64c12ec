"""What a client sees of an object that is streamed from a real S3 server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.behaviour.streaming import FROM, full, in_front_of, scripted
from tests.build import EAST, WEST
from tests.conftest import BIG, SAMPLES
from tests.scripteds3 import Say, ScriptedS3, reply
from tests.serving import client_at, head_of

if TYPE_CHECKING:
    from tests.conftest import LocalS3
    from tests.serving import Serve

BIG_PATH = "/big/pack-1.0.tar.xz"


@pytest.mark.parametrize("key", SAMPLES)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_every_object_arrives_byte_for_byte_with_its_length(
    serve: Serve, s3: LocalS3, key: str, method: str
) -> None:
    async with serve(in_front_of(s3)) as served:
        answer = await served.get("/" + quote(key), FROM, method=method)
        await served.settled()
        content = s3.objects[key]
        assert answer.status == 200
        assert answer.headers["content-length"] == str(len(content))
        assert answer.headers["etag"].startswith('"')
        assert answer.body == (content if method == "GET" else b"")
        sent = len(content) if method == "GET" else 0
        assert served.count("nearbucket_streamed_bytes_total", "*", "outside") == sent
        assert served.count("nearbucket_stream_ends_total", "complete") == 1


async def test_only_the_fields_of_the_object_are_passed_on(serve: Serve, s3: LocalS3) -> None:
    async with serve(in_front_of(s3)) as served:
        answer = await served.get("/described.txt", FROM)
    assert answer.headers["content-disposition"] == 'attachment; filename="described.txt"'
    assert answer.headers["content-language"] == "de"
    assert answer.headers["cache-control"] == "public, max-age=60"
    assert answer.headers["expires"] == "Wed, 21 Oct 2037 07:28:00 GMT"
    assert answer.headers["server"] == "nearbucket"
    assert not [name for name in answer.headers if name.startswith("x-amz-")]


async def test_an_encoded_object_is_not_decoded(serve: Serve, s3: LocalS3) -> None:
    async with serve(in_front_of(s3)) as served:
        answer = await served.get("/packed.json", FROM)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.body == s3.objects["packed.json"]


@pytest.mark.parametrize(
    ("value", "first", "last"),
    [("bytes=0-99", 0, 99), ("bytes=0-0", 0, 0), ("bytes=-5", len(BIG) - 5, len(BIG) - 1),
     (f"bytes={len(BIG) - 1}-", len(BIG) - 1, len(BIG) - 1), ("bytes=0-", 0, len(BIG) - 1)],
)  # fmt: skip
async def test_a_range_is_a_206_of_those_bytes(
    serve: Serve, s3: LocalS3, value: str, first: int, last: int
) -> None:
    async with serve(in_front_of(s3)) as served:
        answer = await served.get(BIG_PATH, FROM, f"Range: {value}")
    assert answer.status == 206
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(BIG)}"
    assert answer.body == BIG[first : last + 1]


async def test_a_range_past_the_end_is_a_416_with_the_size(serve: Serve, s3: LocalS3) -> None:
    async with serve(in_front_of(s3)) as served:
        answer = await served.get(BIG_PATH, FROM, f"Range: bytes={len(BIG)}-")
    assert answer.status == 416
    assert answer.headers["content-range"] == f"bytes */{len(BIG)}"
    assert b"<" not in answer.body


async def test_conditions_are_answered_as_s3_answers_them(serve: Serve, s3: LocalS3) -> None:
    async with serve(in_front_of(s3)) as served:
        whole = await served.get("/text.txt", FROM)
        etag, modified = whole.headers["etag"], whole.headers["last-modified"]
        same = await served.get("/text.txt", FROM, f"If-None-Match: {etag}")
        since = await served.get("/text.txt", FROM, f"If-Modified-Since: {modified}")
        other = await served.get("/text.txt", FROM, 'If-Match: "other"')
        stale = await served.get("/text.txt", FROM, "Range: bytes=0-1", 'If-Range: "other"')
        fresh = await served.get("/text.txt", FROM, "Range: bytes=0-1", f"If-Range: {etag}")
    assert (same.status, since.status, other.status) == (304, 304, 412)
    assert same.headers["etag"] == etag
    assert "content-length" not in same.headers
    assert b"<" not in other.body
    assert (stale.status, stale.body) == (200, s3.objects["text.txt"])
    assert (fresh.status, fresh.body) == (206, s3.objects["text.txt"][:2])


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", ["/none.txt", "/", "/metrics", "/healthz", "//a", "/a//b"])
async def test_what_is_not_there_is_a_short_404(
    serve: Serve, s3: LocalS3, method: str, target: str
) -> None:
    async with serve(in_front_of(s3)) as served:
        answer = await served.get(target, FROM, method=method)
    assert answer.status == 404
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"<" not in answer.body
    assert int(answer.headers["content-length"]) > 0


async def test_a_query_never_reaches_the_origin(serve: Serve, s3: LocalS3) -> None:
    async with serve(in_front_of(s3)) as served:
        answer = await served.get("/text.txt?response-content-type=text/html&acl&uploads", FROM)
    assert answer.body == s3.objects["text.txt"]
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_a_connection_comes_back_to_the_fast_lane_after_a_stream(
    serve: Serve, s3: LocalS3
) -> None:
    async with serve(in_front_of(s3)) as served:
        client = await served.connect()
        for _ in range(3):
            assert (await client.get("/a.tar.gz", client_at(EAST))).status == 301
            assert (await client.get(BIG_PATH, FROM)).body == BIG
            assert (await client.get("/a.tar.gz", client_at(WEST))).status == 301
            assert (await client.get("/text.txt", FROM)).status == 200
        assert served.count("nearbucket_redirects_total", "*", "us-east-1") == 3
        assert served.open_connections() == 1


async def test_a_request_that_comes_during_a_stream_is_answered_behind_it(serve: Serve) -> None:
    size = 64  # MiB: more than all buffers on the way hold
    said = Say(reply("200 OK", b"", 'ETag: "e"', length=size << 20), mebibytes=size)
    async with ScriptedS3(said) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        await client.send(head_of("/a.tar.gz", client_at(EAST)))
        await client.skip(size << 20)
        assert (await client.answer()).status == 301


async def test_a_client_that_leaves_mid_body_frees_its_stream(serve: Serve, s3: LocalS3) -> None:
    async with serve(in_front_of(s3)) as served:
        for _ in range(20):
            client = await (await served.connect()).send(head_of(BIG_PATH, FROM))
            await client.reader.readexactly(1000)
            client.writer.transport.abort()
        await served.settled()
        assert (await served.get("/text.txt", FROM)).status == 200
        gone = served.count("nearbucket_stream_ends_total", "client-gone")
        whole = served.count("nearbucket_stream_ends_total", "complete")
        assert gone + whole == 21
        assert gone > 0


async def test_many_streams_at_once_are_all_whole(serve: Serve, s3: LocalS3) -> None:
    async with serve(in_front_of(s3)) as served:
        answers = await asyncio.gather(*(served.get(BIG_PATH, FROM) for _ in range(12)))
    assert all(answer.body == BIG for answer in answers)


async def test_a_drain_lets_downloads_finish_and_closes_what_idles(
    serve: Serve, s3: LocalS3
) -> None:
    async with serve(in_front_of(s3)) as served:
        idle, busy = await served.connect(), await served.connect()
        await idle.get("/a.tar.gz", client_at(EAST))
        await busy.send(head_of(BIG_PATH, FROM))
        head = await busy.reader.readuntil(b"\r\n\r\n")
        draining = asyncio.create_task(served.drain())
        assert await idle.rest() == b""
        with pytest.raises(ConnectionRefusedError):
            await served.connect()
        body = await busy.rest()
        await draining
    assert b" 200 " in head
    assert body == BIG


async def test_only_the_bytes_that_were_sent_are_counted(serve: Serve, s3: LocalS3) -> None:
    async with serve(in_front_of(s3)) as served:
        etag = (await served.get("/text.txt", FROM, method="HEAD")).headers["etag"]
        await served.get("/text.txt", FROM, f"If-None-Match: {etag}")
        await served.get("/none.txt", FROM)
        assert served.count("nearbucket_streamed_bytes_total", "*", "outside") == 0
        await served.get("/text.txt", FROM, "Range: bytes=2-4")
        assert served.count("nearbucket_streamed_bytes_total", "*", "outside") == 3
        client = await (await served.connect()).send(head_of(BIG_PATH, FROM))
        await client.reader.readexactly(1000)
        client.writer.transport.abort()
        await served.settled()
        sent = served.count("nearbucket_streamed_bytes_total", "*", "outside") - 3
        assert 0 < sent <= len(BIG)
        assert sum(served.figures("nearbucket_bypasses_total").values()) == 5


async def test_a_client_that_takes_nothing_is_cut_off_and_a_slow_one_is_not(serve: Serve) -> None:
    size = 200 << 20  # more than all buffers on the way hold
    said = Say(reply("200 OK", b"", 'ETag: "e"', length=size), mebibytes=size >> 20)
    async with ScriptedS3(said) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        await full(served)
        served.pass_time(0)
        await client.skip(size // 2)
        served.pass_time(76)
        await full(served)
        assert served.open_connections() == 1
        served.pass_time(24)
        served.pass_time(100)
        await served.settled()
        assert len(await client.rest()) < size // 2
        assert served.count("nearbucket_stream_ends_total", "client-gone") == 1
