"""What a client sees of an object that is streamed from a real S3 server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.build import EAST, OUTSIDE, WEST, settings
from tests.conftest import BIG, SAMPLES
from tests.scripteds3 import ETAG, Say, ScriptedS3, error, reply, rest
from tests.serving import PATIENCE, client_at, head_of
from tests.tuning import resume_at_once

if TYPE_CHECKING:
    from tests.conftest import LocalS3
    from tests.serving import Serve, Served

FROM = client_at(OUTSIDE)
BIG_PATH = "/big/pack-1.0.tar.xz"


def in_front_of(s3: LocalS3, **sections: Any) -> Any:
    """A configuration with the real server as origin."""
    return settings(
        site={"origin": s3.entry(s3.private).model_dump()},
        client_address={"from": "x-forwarded-for", "trusted_proxies": ["loopback"]},
        **sections,
    )


def scripted(server: ScriptedS3, **more: Any) -> Any:
    """A configuration with a scripted server as origin, and ``more`` sections."""
    entry = {
        "bucket": "downloads",
        "region": "us-east-1",
        "endpoint": server.endpoint,
        "credentials": "anonymous",
    }
    return settings(
        site={"origin": entry, "redirect": {"head": "redirect"}},
        client_address={"from": "x-forwarded-for", "trusted_proxies": ["loopback"]},
        **more,
    )


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


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("client", [OUTSIDE, WEST])
async def test_an_origin_bucket_that_does_not_exist_is_a_502_for_all(
    serve: Serve, s3: LocalS3, method: str, client: str
) -> None:
    chosen = settings(
        site={
            "origin": s3.entry("download").model_dump(),
            "targets": {"us-west-2": s3.entry(s3.public).model_dump(exclude={"query"})},
            "redirect": {
                "paths": ["*"],
                "verify": "match",
                "head": "redirect",
                "scheme": "http",
            },
        },
        client_address={"from": "x-forwarded-for", "trusted_proxies": ["loopback"]},
        catalog={"wait": "5s"},
    )
    reason = "outside-aws" if client == OUTSIDE else "unverified"
    async with serve(chosen) as served:
        for path in ("/text.txt", "/none.txt", "/text.txt"):
            answer = await served.get(path, client_at(client), method=method)
            assert answer.status == 502
            assert answer.headers["x-nearbucket"].endswith(f"reason={reason}")
            assert answer.headers["cache-control"] == "no-store"
        assert served.count("nearbucket_checks_total", "absent") == 0


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


async def test_a_body_that_breaks_off_breaks_the_connection(serve: Serve) -> None:
    short = Say(reply("200 OK", b"x" * 500, length=1000))
    async with ScriptedS3(short) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        assert len(await client.rest()) < 1000
        await served.settled()
        assert served.count("nearbucket_stream_ends_total", "origin-failed") == 1


async def test_a_body_that_breaks_off_for_good_ends_with_the_end_of_the_connection(
    serve: Serve,
) -> None:
    """As at nginx, and not with a reset; some clients take it for whole (request-handling.md)."""
    short = Say(reply("200 OK", b"x" * 500, length=1000), then="close")
    async with ScriptedS3(short) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        head = await client.reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 1000\r\n" in head
        assert await asyncio.wait_for(client.reader.read(), PATIENCE) == b"x" * 500


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(error("503 Slow Down", "SlowDown"), 503, id="SlowDown"),
        pytest.param(error("500 Oops", "InternalError"), 502, id="500"),
        pytest.param(error("403 Forbidden", "AccessDenied"), 404, id="403 for a missing key"),
        pytest.param(error("403 Forbidden", "SignatureDoesNotMatch"), 502, id="our signature"),
        pytest.param(error("404 Not Found", "NoSuchBucket"), 502, id="no bucket"),
        pytest.param(error("301 Moved Permanently", "PermanentRedirect"), 502, id="wrong region"),
    ],
)
async def test_what_s3_says_is_never_shown(serve: Serve, said: bytes, status: int) -> None:
    async with ScriptedS3(Say(said), Say(said)) as server, serve(scripted(server)) as served:
        answer = await served.get("/a.txt", FROM)
    assert answer.status == status
    assert b"<" not in answer.body
    assert ("retry-after" in answer.headers) is (status >= 500)
    assert "x-amz-request-id" not in answer.headers


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


async def test_a_large_body_that_s3_drops_goes_on_for_a_client_that_is_slow(serve: Serve) -> None:
    size = 64 << 20  # each half is more than all buffers on the way hold
    body = bytes(range(256)) * (size // 256)
    half = Say(reply("200 OK", body[: size // 2], f"ETag: {ETAG}", length=size), then="close")
    async with (
        ScriptedS3(half, Say(rest(body, size // 2))) as server,
        serve(scripted(server)) as served,
    ):
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await full(served)
        await client.reader.readuntil(b"\r\n\r\n")
        assert await client.reader.readexactly(size // 2) == body[: size // 2]
        await full(served)  # once more, with what S3 was asked for again
        assert await client.reader.readexactly(size // 2) == body[size // 2 :]
        await served.settled()
        assert served.count("nearbucket_stream_ends_total", "complete") == 1


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(Say(error("503 Slow Down", "SlowDown")), id="SlowDown"),
        pytest.param(Say(error("404 Not Found", "NoSuchBucket")), id="no bucket"),
        pytest.param(Say(b"", then="close"), id="closed"),
        pytest.param(Say(reply("200 OK", b"x", length=2), then="close"), id="mid-body"),
    ],
)
async def test_a_failure_of_the_origin_is_counted_and_logged_once_with_the_object(
    serve: Serve, caplog: pytest.LogCaptureFixture, said: Say
) -> None:
    async with ScriptedS3(said, said) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        await client.close()
        await served.settled()
        assert served.count("nearbucket_stream_ends_total", "origin-failed") == 1
        assert served.count("nearbucket_stream_ends_total", "complete") == 0
    assert len(caplog.records) == 1
    assert "origin of *, 'a.txt'" in caplog.text


async def test_an_origin_that_says_nothing_is_a_504(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    silent = Say(b"", then="hang")
    async with ScriptedS3(silent) as server, serve(scripted(server)) as served:
        served.shorten_origin_timeout(0.2)
        asking = asyncio.create_task(served.get("/a.txt", FROM))
        await server.arrived.wait()
        for later in (0, 31):
            served.pass_time(later)
        answer = await asking
        assert served.figures("nearbucket_origin_requests_total") == {("*", "0"): 1}
        assert served.count("nearbucket_stream_ends_total", "origin-failed") == 1
    assert "origin of *, 'a.txt'" in caplog.text
    assert (answer.status, "retry-after" in answer.headers) == (504, True)


async def test_an_origin_that_gives_400_bytes_a_connection_is_asked_nine_times(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    resume_at_once(monkeypatch)
    body = bytes(1 << 20)
    begin = Say(reply("200 OK", body[:400], f"ETag: {ETAG}", length=len(body)), then="close")
    drips = [Say(rest(body, first, sent=400), then="close") for first in range(400, 16_000, 400)]
    async with ScriptedS3(begin, *drips) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        assert await client.rest() == body[: 9 * 400]
        await served.settled()
        assert served.count("nearbucket_origin_resumes_total", "*") == 8
        assert served.count("nearbucket_stream_ends_total", "origin-failed") == 1
    assert len(server.asked) == 9


async def full(served: Served) -> None:
    """Wait until everything between server and client that can hold bytes is full."""
    held, same = -1, 0
    async with asyncio.timeout(PATIENCE):
        while same < 20:
            await asyncio.sleep(0.01)
            now = served.unsent()
            same = same + 1 if now and now == held else 0
            held = now


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
