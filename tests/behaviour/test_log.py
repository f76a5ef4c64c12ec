"""What the access log says of an answer, whichever lane gave it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.behaviour.streaming import scripted
from tests.bucketserver import until
from tests.build import EAST, OUTSIDE
from tests.scripteds3 import ETAG, Say, ScriptedS3, error, reply, rest
from tests.serving import client_at, head_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.serving import Serve, Served

FROM = client_at(OUTSIDE)


def logged(path: Path, *names: str) -> list[tuple[Any, ...]]:
    """These fields of each line."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [tuple(line[name] for name in names) for line in lines]


def broken_off(path: Path) -> list[tuple[int, int, bool]]:
    """Status and bytes of each line, and whether it says that the answer broke off."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert all(line.get("complete") in {None, False} for line in lines)
    return [(line["status"], line["bytes"], "complete" in line) for line in lines]


@asynccontextmanager
async def logging_to(
    path: Path, serve: Serve, *script: Say, **limits: Any
) -> AsyncIterator[tuple[ScriptedS3, Served]]:
    """A worker before an origin with this script; its log is written at the end."""
    with path.open("wb") as sink:
        async with (
            ScriptedS3(*script) as server,
            serve(scripted(server, limits=limits), log=sink.fileno()) as served,
        ):
            yield server, served


@pytest.mark.parametrize(
    ("target", "fields", "said"),
    [
        pytest.param("/a.txt", [FROM], reply("200 OK", b"0123456789"), id="an object"),
        pytest.param("/a.txt", [FROM], reply("200 OK"), id="an empty object"),
        pytest.param("/a.txt", [FROM, "Range: bytes=2-4"],
                     reply("206 Partial Content", b"234", "Content-Range: bytes 2-4/10"),
                     id="a range"),
        pytest.param("/a.txt", [FROM, 'If-None-Match: "e"'],
                     b'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n', id="not modified"),
        pytest.param("/a.txt", [FROM], error("404 Not Found", "NoSuchKey"), id="not there"),
        pytest.param("/a.tar.gz", [client_at(EAST)], b"", id="a redirect"),
        pytest.param("/../a.txt", [FROM], b"", id="a refusal"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_log_has_the_bytes_of_the_body_and_the_reason_in_the_head(  # noqa: PLR0913, PLR0917
    serve: Serve, tmp_path: Path, method: str, target: str, fields: list[str], said: bytes
) -> None:
    if method == "HEAD":
        said = said.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    with (tmp_path / "log").open("wb") as sink:
        async with (
            ScriptedS3(Say(said)) as server,
            serve(scripted(server), log=sink.fileno()) as served,
        ):
            answer = await served.get(target, *fields, method=method)
    ((action, region, reason, *sent),) = logged(
        tmp_path / "log", "action", "region", "reason", "method", "status", "bytes"
    )
    assert sent == [method, answer.status, len(answer.body)]
    assert broken_off(tmp_path / "log") == [(answer.status, len(answer.body), False)]
    assert answer.headers["x-nearbucket"] == f"{action}; region={region}; reason={reason}"


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.1"])
@pytest.mark.parametrize("head", [head_of("/a.tar.gz", client_at(EAST)), head_of("/a.txt", FROM)])
async def test_the_log_has_the_time_and_the_version_of_the_request(
    serve: Serve, tmp_path: Path, head: bytes, version: str
) -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    with (tmp_path / "log").open("wb") as sink:
        async with (
            ScriptedS3(Say(reply("200 OK", b"x"))) as server,
            serve(scripted(server), log=sink.fileno()) as served,
        ):
            client = await served.connect()
            await client.send(head.replace(b"HTTP/1.1", version.encode()))
            await client.answer()
    ((written, protocol),) = logged(tmp_path / "log", "time", "protocol")
    assert before <= datetime.fromisoformat(written) <= datetime.now(UTC) + timedelta(seconds=1)
    assert protocol == version


async def test_of_a_body_that_breaks_off_the_log_has_the_bytes_that_were_sent(
    serve: Serve, tmp_path: Path
) -> None:
    short = Say(reply("200 OK", b"x" * 500, length=1000), then="close")
    with (tmp_path / "log").open("wb") as sink:
        async with (
            ScriptedS3(short) as server,
            serve(scripted(server), log=sink.fileno()) as served,
        ):
            client = await (await served.connect()).send(head_of("/a.txt", FROM))
            await client.reader.readuntil(b"\r\n\r\n")
            assert len(await client.rest()) == 500
    assert broken_off(tmp_path / "log") == [(200, 500, True)]


async def test_a_range_that_breaks_off_is_logged_as_that(serve: Serve, tmp_path: Path) -> None:
    said = reply("206 Partial Content", b"x" * 5, "Content-Range: bytes 0-9/20", length=10)
    async with logging_to(tmp_path / "log", serve, Say(said, then="close")) as (_, served):
        client = await served.connect()
        await client.send(head_of("/a.txt", FROM, "Range: bytes=0-9"))
        await client.rest()
    assert broken_off(tmp_path / "log") == [(206, 5, True)]


async def test_a_body_that_s3_drops_and_the_proxy_completes_did_not_break_off(
    serve: Serve, tmp_path: Path
) -> None:
    body = bytes(range(100))
    half = Say(reply("200 OK", body[:50], f"ETag: {ETAG}", length=100), then="close")
    async with logging_to(tmp_path / "log", serve, half, Say(rest(body, 50))) as (_, served):
        assert (await served.get("/a.txt", FROM)).body == body
    assert broken_off(tmp_path / "log") == [(200, 100, False)]


async def test_a_client_that_leaves_in_the_middle_of_a_body_did_not_get_all(
    serve: Serve, tmp_path: Path
) -> None:
    half = Say(reply("200 OK", b"01234", length=10), then="hang")
    async with logging_to(tmp_path / "log", serve, half) as (_, served):
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"01234")
        client.reset()
        await until(lambda: served.open_connections() == 0)
    assert broken_off(tmp_path / "log") == [(200, 5, True)]


async def test_a_client_that_leaves_before_an_answer_did_not_get_all(
    serve: Serve, tmp_path: Path
) -> None:
    async with logging_to(tmp_path / "log", serve, Say(b"", then="hang")) as (server, served):
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await server.arrived.wait()
        client.reset()
        await until(lambda: served.open_connections() == 0)
    assert broken_off(tmp_path / "log") == [(0, 0, True)]


async def test_what_the_drain_cuts_is_logged_as_broken_off(serve: Serve, tmp_path: Path) -> None:
    half = Say(reply("200 OK", b"01234", length=10), then="hang")
    log = tmp_path / "log"
    async with logging_to(log, serve, half, drain_timeout="100ms") as (_, served):
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"01234")
        await served.drain()
    assert broken_off(log) == [(200, 5, True)]


async def test_an_answer_in_place_of_an_object_is_complete(serve: Serve, tmp_path: Path) -> None:
    failed = Say(error("503 Slow Down", "SlowDown"))
    async with logging_to(tmp_path / "log", serve, failed, failed, failed) as (_, served):
        answer = await served.get("/a.txt", FROM)
    assert answer.status == 503
    assert broken_off(tmp_path / "log") == [(503, len(answer.body), False)]


async def test_the_next_line_of_the_same_object_says_nothing_of_the_one_that_broke_off(
    serve: Serve, tmp_path: Path
) -> None:
    whole, half = reply("200 OK", b"01234"), reply("200 OK", b"01234", length=10)
    script = Say(whole), Say(half, then="close"), Say(whole)
    async with logging_to(tmp_path / "log", serve, *script) as (_, served):
        assert (await served.get("/a.txt", FROM)).body == b"01234"
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.rest()
        assert (await served.get("/a.txt", FROM)).body == b"01234"
    assert broken_off(tmp_path / "log") == [(200, 5, False), (200, 5, True), (200, 5, False)]


@pytest.mark.parametrize("target", ["/a.tar.gz", "/a.txt"])
async def test_the_log_names_the_page_that_led_here_without_its_query(
    serve: Serve, tmp_path: Path, target: str
) -> None:
    fields = "Referer: https://example.com/list?token=secret", "User-Agent: curl/8"
    with (tmp_path / "log").open("wb") as sink:
        async with (
            ScriptedS3(Say(reply("200 OK", b"x"))) as server,
            serve(scripted(server), log=sink.fileno()) as served,
        ):
            await served.get(target, client_at(EAST), *fields)
    assert logged(tmp_path / "log", "referer", "user_agent") == [
        ("https://example.com/list", "curl/8")
    ]
