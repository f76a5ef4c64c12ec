"""What the access log says of an answer, whichever lane gave it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tests.behaviour.test_stream import scripted
from tests.build import EAST, OUTSIDE
from tests.scripteds3 import Say, ScriptedS3, error, reply
from tests.serving import client_at, head_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.behaviour.test_stream import Serve

FROM = client_at(OUTSIDE)


def logged(path: Path, *names: str) -> list[tuple[Any, ...]]:
    """These fields of each line."""
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    return [tuple(line[name] for name in names) for line in lines]


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
    assert logged(tmp_path / "log", "status", "bytes") == [(200, 500)]


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
