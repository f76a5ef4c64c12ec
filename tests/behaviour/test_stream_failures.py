"""What a client gets of a stream whose origin fails."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.behaviour.streaming import FROM, full, scripted
from tests.build import FORWARDED, OUTSIDE, WEST, settings
from tests.scripteds3 import ETAG, Say, ScriptedS3, error, reply, rest
from tests.serving import PATIENCE, client_at, head_of
from tests.tuning import resume_at_once

if TYPE_CHECKING:
    from tests.conftest import LocalS3
    from tests.serving import Serve


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
        client_address=FORWARDED,
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
    ("said", "broken"),
    [
        pytest.param(Say(error("503 Slow Down", "SlowDown")), 0, id="SlowDown"),
        pytest.param(Say(error("404 Not Found", "NoSuchBucket")), 0, id="no bucket"),
        pytest.param(Say(b"", then="close"), 0, id="closed"),
        pytest.param(Say(reply("200 OK", b"x", length=2), then="close"), 1, id="mid-body"),
    ],
)
async def test_a_failure_of_the_origin_is_logged_once_and_counts_as_a_stream_if_one_breaks_off(
    serve: Serve, caplog: pytest.LogCaptureFixture, said: Say, broken: int
) -> None:
    async with ScriptedS3(said, said) as server, serve(scripted(server)) as served:
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        await client.close()
        await served.settled()
        ends = served.figures("nearbucket_stream_ends_total")
        assert {labels: count for labels, count in ends.items() if count} == (
            {("origin-failed",): 1} if broken else {}
        )
        assert served.count("nearbucket_responses_total", "5xx") == (not broken)
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
