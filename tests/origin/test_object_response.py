"""A body is all bytes or an error; one that S3 drops is resumed, which the client does not see."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.errors import OriginError
from nearbucket.s3.http_session import client_session
from tests.bucketserver import until
from tests.origin.opening import OK, TEXT, fetch, held, scripted
from tests.scripteds3 import ETAG, Say, error, reply, rest

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from nearbucket.origin.object_response import ObjectResponse


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their lengths are those of ``test_client``."""
    monkeypatch.setattr("nearbucket.origin.failover.rest_of_body.PAUSE", 0.001)


def part(sent: int) -> Say:
    """A 200 that breaks off after ``sent`` bytes."""
    return Say(reply("200 OK", TEXT[:sent], f"ETag: {ETAG}", length=len(TEXT)), "close")


@pytest.mark.parametrize("sent", [0, 1, 10, 18])
async def test_a_dropped_body_goes_on_unseen_at_the_byte_where_it_broke(
    session: ClientSession, sent: int
) -> None:
    async with scripted(session, part(sent), Say(rest(TEXT, sent))) as (origin, server, counted):
        seen = await fetch(origin, "k")
    assert (seen.status, seen.body, seen.length) == (200, TEXT, len(TEXT))
    again = server.asked[1].headers
    assert (again["range"], again["if-match"]) == (f"bytes={sent}-18", ETAG)
    assert (counted.resumes, counted.statuses) == (1, [200, 206])


async def test_what_came_before_the_connection_broke_is_not_requested_again(
    session: ClientSession,
) -> None:
    async with scripted(session, part(10), Say(rest(TEXT, 10))) as (origin, server, _):
        async with await origin.open("GET", "k", {}) as answer:
            response = answer._response
            assert response is not None
            await until(lambda: response.content.exception() is not None)  # before a byte is taken
            body = b"".join([piece async for piece in answer.body()])
        assert (body, server.asked[1].headers["range"]) == (TEXT, "bytes=10-18")


async def test_a_dropped_part_goes_on_within_the_part(session: ClientSession) -> None:
    raw = reply(
        "206 Partial Content", TEXT[5:8], f"ETag: {ETAG}", "Content-Range: bytes 5-14/19", length=10
    )
    more = reply("206 Partial Content", TEXT[8:15], f"ETag: {ETAG}", "Content-Range: bytes 8-14/19")
    async with scripted(session, Say(raw, "close"), Say(more)) as (origin, server, _):
        seen = await fetch(origin, "k", Range="bytes=5-14")
    assert (seen.status, seen.body) == (206, TEXT[5:15])
    assert server.asked[1].headers["range"] == "bytes=8-14"


async def test_a_range_of_an_empty_object_is_passed_on(session: ClientSession) -> None:
    # Go's http.ServeContent, on which some S3 servers are built, says this of the last 5 bytes
    raw = reply("206 Partial Content", b"", f"ETag: {ETAG}", "Content-Range: bytes 0--1/0")
    async with scripted(session, Say(raw)) as (origin, _, _counted):
        seen = await fetch(origin, "k", Range="bytes=-5")
    assert (seen.status, seen.body, seen.length) == (206, b"", 0)


async def test_a_body_that_stalls_is_resumed_too() -> None:
    stalled = Say(reply("200 OK", TEXT[:4], f"ETag: {ETAG}", length=len(TEXT)), "hang")
    async with (
        client_session(read=0.05) as session,
        scripted(session, stalled, Say(rest(TEXT, 4))) as (origin, _, _counted),
    ):
        assert (await fetch(origin, "k")).body == TEXT


@pytest.mark.parametrize("status", ["429 Too Many Requests", "500 Oops", "503 Slow Down"])
async def test_a_body_goes_on_after_s3_failed_for_a_moment(
    session: ClientSession, status: str
) -> None:
    script = part(4), Say(error(status, "InternalError")), Say(rest(TEXT, 4))
    async with scripted(session, *script) as (origin, server, _):
        assert (await fetch(origin, "k")).body == TEXT
        assert held(session) == 0
    assert len(server.asked) == 3


async def test_a_body_may_drop_often_while_it_gets_on(session: ClientSession) -> None:
    says = [Say(rest(TEXT, first, sent=1), "close") for first in range(1, 19)]
    async with scripted(session, part(1), *says) as (origin, _, counted):
        assert (await fetch(origin, "k")).body == TEXT
    assert counted.resumes == 18


@pytest.mark.parametrize(
    ("script", "why", "asked"),
    [
        pytest.param(
            [Say(error("412 Precondition Failed", "PreconditionFailed"))],
            "S3 answered 412",
            2,
            id="the object changed",
        ),
        pytest.param([OK], "S3 answered 200", 2, id="If-Match ignored"),
        pytest.param([Say(rest(TEXT, 4, '"new"'))], "S3 answered 206", 2, id="another ETag"),
        pytest.param([Say(rest(TEXT, 5))], "S3 answered 206", 2, id="another place"),
        pytest.param([Say(error("404 No", "NoSuchKey"))], "S3 answered 404", 2, id="deleted"),
        pytest.param(
            [Say(error("503 Slow Down", "SlowDown"))] * 8,
            "gave up after 8 .*, at last because S3 answered 503",
            9,
            id="SlowDown",
        ),
        pytest.param(
            [Say(b"", "close")] * 8,
            "gave up after 8 .*, at last because .* cannot be reached",
            9,
            id="gone for good",
        ),
        pytest.param(
            [Say(rest(TEXT, 4, sent=0), "close")] * 8,
            "gave up after 8 .*progress$",
            9,
            id="never a byte",
        ),
    ],
)
async def test_a_body_that_cannot_go_on_is_an_error_never_a_short_success(
    session: ClientSession, script: list[Say], why: str, asked: int
) -> None:
    async with scripted(session, part(4), *script) as (origin, server, _):
        got: list[bytes] = []
        async with await origin.open("GET", "k", {}) as answer:
            with pytest.raises(OriginError, match=f"at byte 4 of 19.*{why}"):
                await gather_pieces(answer, got)
        assert (b"".join(got), len(server.asked), held(session)) == (TEXT[:4], asked, 0)


async def test_a_body_that_gets_on_by_a_few_bytes_a_connection_is_given_up_after_eight_requests(
    session: ClientSession,
) -> None:
    body = bytes(1 << 20)
    drips = [Say(rest(body, first, sent=400), "close") for first in range(400, 16_000, 400)]
    begin = Say(reply("200 OK", body[:400], f"ETag: {ETAG}", length=len(body)), "close")
    async with scripted(session, begin, *drips) as (origin, server, counted):
        with pytest.raises(OriginError, match="gave up after 8 attempts"):
            await fetch(origin, "k")
    assert (len(server.asked), counted.resumes) == (9, 8)


async def test_a_body_that_gets_on_by_its_share_may_drop_any_number_of_times(
    session: ClientSession,
) -> None:
    body, step = bytes(range(256)) * 4096, 16 << 10
    drops = [Say(rest(body, first, sent=step), "close") for first in range(step, len(body), step)]
    begin = Say(reply("200 OK", body[:step], f"ETag: {ETAG}", length=len(body)), "close")
    async with scripted(session, begin, *drops) as (origin, _, counted):
        assert (await fetch(origin, "k")).body == body
    assert counted.resumes == len(drops)


async def gather_pieces(answer: ObjectResponse, into: list[bytes]) -> None:
    async for piece in answer.body():
        into.append(piece)  # noqa: PERF401 - what came before an error is looked at


@pytest.mark.parametrize("header", ['ETag: W/"1"', "X-Other: none"])
async def test_a_dropped_body_without_a_strong_tag_is_an_error(
    session: ClientSession, header: str
) -> None:
    raw = reply("200 OK", TEXT[:4], header, length=len(TEXT))
    async with scripted(session, Say(raw, "close")) as (origin, server, _):
        with pytest.raises(OriginError, match="without a strong ETag"):
            await fetch(origin, "k")
    assert len(server.asked) == 1


async def test_bytes_beyond_the_announced_length_are_not_served(session: ClientSession) -> None:
    # aiohttp keeps the connection and stumbles over them next time; the second try is a new one
    raw = reply("200 OK", TEXT + b"more", f"ETag: {ETAG}", length=len(TEXT))
    async with scripted(session, Say(raw), OK, OK) as (origin, _, _counted):
        assert (await fetch(origin, "k")).body == TEXT
        assert (await fetch(origin, "k")).body == TEXT


async def test_a_receive_buffer_may_be_fixed_when_its_connection_was_just_lost(
    session: ClientSession,
) -> None:
    async with (
        scripted(session, part(4)) as (origin, _, _counted),
        await origin.open("GET", "k", {}) as answer,
    ):
        assert answer._response is not None
        connection = answer._response.connection
        assert connection is not None
        await until(lambda: connection.transport is None)
        answer.fix_receive_buffer(fixed=True)
