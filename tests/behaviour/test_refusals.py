"""What a client gets where S3 refuses, and that S3 is asked for it once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.behaviour.streaming import FROM, scripted
from tests.scripteds3 import Say, ScriptedS3, chunked, error, reply
from tests.serving import PATIENCE, head_of, serving

if TYPE_CHECKING:
    from tests.serving import Serve

MISSING = error("404 Not Found", "NoSuchKey")
IT = reply("200 OK", b"it")
SAID = {
    "no such key": (MISSING, 404),
    "may not list": (error("403 Forbidden", "AccessDenied"), 404),
    "no bucket": (error("404 Not Found", "NoSuchBucket"), 502),
    "elsewhere": (error("301 Moved Permanently", "PermanentRedirect"), 502),
    "too many": (error("429 Too Many Requests", "SlowDown"), 503),
}


@pytest.mark.parametrize("framing", [bytes, chunked], ids=["with its length", "in chunks"])
@pytest.mark.parametrize(("said", "status"), SAID.values(), ids=SAID)
async def test_a_refusal_is_asked_for_once_and_its_connection_used_again(
    serve: Serve, said: bytes, status: int, framing: type[bytes]
) -> None:
    script = Say(framing(said)), Say(framing(said)), Say(IT)
    async with ScriptedS3(*script) as server, serve(scripted(server)) as served:
        for path in ("/a.txt", "/b.txt"):
            answer = await served.get(path, FROM)
            assert answer.status == status
            assert b"<" not in answer.body
        assert (await served.get("/c.txt", FROM)).body == b"it"
        number = said.split(b" ")[1].decode()
        assert served.count("nearbucket_origin_requests_total", "*", number) == 2
    assert (len(server.asked), server.connections) == (3, 1)


@pytest.mark.parametrize(
    ("fields", "document", "span"),
    [
        (["Content-Range: bytes */10"], b"", "bytes */10"),
        ([], b"<Error><ActualObjectSize>10</ActualObjectSize></Error>", "bytes */10"),
        ([], b"<Error></Error>", None),
    ],
)
async def test_a_range_that_is_not_there_is_asked_for_once(
    serve: Serve, fields: list[str], document: bytes, span: str | None
) -> None:
    said = reply("416 Range Not Satisfiable", document, *fields)
    async with ScriptedS3(Say(said)) as server, serve(scripted(server)) as served:
        answer = await served.get("/a.txt", FROM, "Range: bytes=20-")
    assert answer.status == 416
    assert answer.headers.get("content-range") == span
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("said", "status"),
    [
        pytest.param(MISSING[:-10], 404, id="behind the code"),
        pytest.param(MISSING.split(b"<")[0], 404, id="before it"),
    ],
)
async def test_a_document_that_breaks_off_is_judged_by_what_there_is(
    serve: Serve, said: bytes, status: int
) -> None:
    async with ScriptedS3(Say(said, then="close")) as server, serve(scripted(server)) as served:
        answer = await served.get("/a.txt", FROM)
    assert answer.status == status
    assert len(server.asked) == 1


async def test_a_connection_with_more_on_it_than_the_refusal_is_not_used_again(
    serve: Serve,
) -> None:
    script = Say(MISSING + MISSING), Say(IT)
    async with ScriptedS3(*script) as server, serve(scripted(server)) as served:
        assert (await served.get("/a.txt", FROM)).status == 404
        assert (await served.get("/b.txt", FROM)).body == b"it"
    assert server.connections == 2


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(reply("408 Request Timeout", b"", "Connection: close"), id="connection"),
        pytest.param(
            error("400 Bad Request", "RequestTimeout", "Connection: close"), id="the same"
        ),
        pytest.param(error("403 Forbidden", "RequestTimeTooSkewed"), id="clock"),
        pytest.param(error("400 Bad Request", "ExpiredToken"), id="token"),
        pytest.param(error("403 Forbidden", "InvalidAccessKeyId"), id="rotated keys"),
    ],
)
async def test_what_another_try_cures_is_tried_again_where_all_was_well_before(
    said: bytes,
) -> None:
    script = Say(IT), Say(said, "close" if b"close" in said else "keep"), Say(IT), Say(IT)
    async with ScriptedS3(*script) as server, serving(scripted(server)) as served:
        for _ in range(3):
            assert (await served.get("/a.txt", FROM)).body == b"it"
    assert len(server.asked) == 4


async def test_fields_behind_the_document_are_not_taken_for_the_answers(serve: Serve) -> None:
    said = chunked(MISSING).removesuffix(b"\r\n") + b"Access-Control-Allow-Origin: *\r\n\r\n"
    async with ScriptedS3(Say(said)) as server, serve(scripted(server)) as served:
        answer = await served.get("/a.txt", FROM)
    assert answer.status == 404
    assert "access-control-allow-origin" not in answer.headers


async def test_a_refusal_is_of_one_request(serve: Serve) -> None:
    script = Say(MISSING), Say(reply("200 OK")), Say(MISSING), Say(IT)
    async with ScriptedS3(*script) as server, serve(scripted(server)) as served:
        client = await served.connect()
        assert (await client.get("/a.txt", FROM)).status == 404
        assert (await client.get("/b.txt", FROM, method="HEAD")).status == 200
        await client.send(head_of("/c.txt", FROM), head_of("/d.txt", FROM))
        assert (await client.answer()).status == 404
        assert (await client.answer()).body == b"it"
    assert len(server.asked) == 4


async def test_a_refusal_that_is_no_http_is_asked_for_again() -> None:
    broken = MISSING.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nX")
    async with ScriptedS3(Say(broken), Say(IT)) as server, serving(scripted(server)) as served:
        assert (await served.get("/a.txt", FROM)).body == b"it"


@pytest.mark.parametrize("said", [MISSING, IT], ids=["404", "200"])
async def test_the_time_that_s3_took_is_the_requests(serve: Serve, said: bytes) -> None:
    async with ScriptedS3(Say(said, after=0.1)) as server, serve(scripted(server)) as served:
        await served.get("/a.txt", FROM)
        await served.settled()
        assert 0.1 <= served.seconds("stream") < PATIENCE
