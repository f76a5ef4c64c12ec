"""What a client gets where S3 refuses, and that S3 is asked for it once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.decide.model import Action
from tests.behaviour.test_stream import FROM, scripted
from tests.scripteds3 import Say, ScriptedS3, chunked, error, reply
from tests.serving import PATIENCE

if TYPE_CHECKING:
    from tests.behaviour.test_stream import Serve

MISSING = error("404 Not Found", "NoSuchKey")
SAID = {
    "no such key": (MISSING, 404),
    "may not list": (error("403 Forbidden", "AccessDenied"), 404),
    "our signature": (error("403 Forbidden", "SignatureDoesNotMatch"), 502),
    "no bucket": (error("404 Not Found", "NoSuchBucket"), 502),
    "elsewhere": (error("301 Moved Permanently", "PermanentRedirect"), 502),
    "not ours": (error("400 Bad Request", "ExpiredToken"), 502),
    "too many": (error("429 Too Many Requests", "SlowDown"), 503),
}


@pytest.mark.parametrize("framing", [bytes, chunked], ids=["with its length", "in chunks"])
@pytest.mark.parametrize(("said", "status"), SAID.values(), ids=SAID)
async def test_a_refusal_is_asked_for_once_and_its_connection_used_again(
    serve: Serve, said: bytes, status: int, framing: type[bytes]
) -> None:
    script = Say(framing(said)), Say(framing(said)), Say(reply("200 OK", b"it"))
    async with ScriptedS3(*script) as server, serve(scripted(server)) as served:
        for _ in range(2):
            answer = await served.get("/a.txt", FROM)
            assert answer.status == status
            assert b"<" not in answer.body
        assert (await served.get("/a.txt", FROM)).body == b"it"
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
        pytest.param(error("403 Forbidden", "AccessDenied").split(b"<")[0], 502, id="before it"),
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
    script = Say(MISSING + MISSING), Say(reply("200 OK", b"it"))
    async with ScriptedS3(*script) as server, serve(scripted(server)) as served:
        assert (await served.get("/a.txt", FROM)).status == 404
        assert (await served.get("/b.txt", FROM)).body == b"it"
    assert server.connections == 2


async def test_a_refusal_that_is_no_http_is_one_all_the_same(serve: Serve) -> None:
    broken = MISSING.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nX")
    async with ScriptedS3(Say(broken), Say(MISSING)) as server, serve(scripted(server)) as served:
        assert (await served.get("/a.txt", FROM)).status == 404


@pytest.mark.parametrize("said", [MISSING, reply("200 OK", b"it")], ids=["404", "200"])
async def test_the_time_that_s3_took_is_the_requests(serve: Serve, said: bytes) -> None:
    async with ScriptedS3(Say(said, after=0.1)) as server, serve(scripted(server)) as served:
        await served.get("/a.txt", FROM)
        await served.settled()
        *_, seconds = served.worker.state.counters.seconds[Action.STREAM]
    assert 0.1 <= seconds < PATIENCE
