"""A failover bucket sends no other version of an object than the origin had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.behaviour.failing_origin import (
    BODY,
    FROM,
    SLOW_DOWN,
    begun,
    entry,
    failovers,
    site,
    whole,
)
from tests.scripteds3 import ETAG, Say, ScriptedS3, error, rest
from tests.serving import head_of
from tests.tuning import forget_missing_objects

if TYPE_CHECKING:
    from tests.serving import Serve

PARTS, OTHER_PARTS = '"00112233445566778899aabbccddeeff-2"', '"ffeeddccbbaa99887766554433221100-3"'


@pytest.mark.parametrize(
    ("known", "other", "range_", "status"),
    [
        pytest.param((BODY, ETAG), (BODY, ETAG), None, 200, id="same ETag"),
        pytest.param((BODY, ETAG), (BODY, f'"{"0" * 32}"'), None, 503, id="another ETag"),
        pytest.param((BODY, ETAG), (BODY[:-1], ETAG), None, 503, id="another size"),
        pytest.param((BODY, PARTS), (BODY, OTHER_PARTS), None, 200, id="other parts"),
        pytest.param((BODY, ETAG), (BODY, OTHER_PARTS), None, 200, id="now in parts"),
        pytest.param((BODY, PARTS), (BODY[:-1], OTHER_PARTS), None, 503, id="parts, other size"),
        pytest.param((BODY, PARTS), (BODY, PARTS), "bytes=9-", 206, id="range, same ETag"),
        pytest.param((BODY, PARTS), (BODY, OTHER_PARTS), "bytes=9-", 503, id="range, by size"),
    ],
)
async def test_a_failover_bucket_sends_no_other_version_than_the_origin_had(
    serve: Serve,
    known: tuple[bytes, str],
    other: tuple[bytes, str],
    range_: str | None,
    status: int,
) -> None:
    body, etag = other
    says = whole(body, etag) if range_ is None else Say(rest(body, 9, etag))
    async with (
        ScriptedS3(whole(*known), *[SLOW_DOWN] * 2) as first,
        ScriptedS3(*[says] * 4) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        assert (await served.get("/a.txt", FROM)).body == known[0]
        more = () if range_ is None else (f"Range: {range_}",)
        answer = await served.get("/a.txt", FROM, *more)
        assert answer.status == status
        if status < 400:
            assert answer.body == (body if range_ is None else body[9:])


async def test_an_object_that_the_origin_no_longer_had_is_not_sent(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_missing_objects(monkeypatch)
    gone = Say(error("404 Not Found", "NoSuchKey"))
    async with (
        ScriptedS3(whole(), gone, SLOW_DOWN, SLOW_DOWN) as first,
        ScriptedS3(*[whole()] * 2) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        statuses = [(await served.get("/a.txt", FROM)).status for _ in range(3)]
    assert statuses == [200, 404, 503]


async def test_a_body_goes_on_at_a_failover_bucket_at_the_byte_where_it_broke(
    serve: Serve,
) -> None:
    async with (
        ScriptedS3(begun(1000)) as first,
        ScriptedS3(Say(rest(BODY, 1000))) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        answer = await served.get("/a.txt", FROM)
        await served.settled()
        assert (answer.status, answer.body, answer.headers["etag"]) == (200, BODY, ETAG)
        asked = second.asked[0].headers
        assert (asked["range"], asked["if-match"]) == (f"bytes=1000-{len(BODY) - 1}", ETAG)
        assert failovers(served) == 1
        assert served.count("nearbucket_stream_ends_total", "complete") == 1


@pytest.mark.parametrize(
    "says",
    [
        pytest.param(Say(rest(BODY, 1000, OTHER_PARTS)), id="another ETag of the same size"),
        pytest.param(Say(error("412 Precondition Failed", "PreconditionFailed")), id="412"),
        pytest.param(Say(error("404 Not Found", "NoSuchKey")), id="404"),
        pytest.param(whole(), id="If-Match and Range ignored"),
    ],
)
async def test_a_body_never_goes_on_with_another_version(serve: Serve, says: Say) -> None:
    gone = Say(error("404 Not Found", "NoSuchKey"))
    async with (
        ScriptedS3(begun(1000), gone) as first,
        ScriptedS3(says) as second,
        serve(site(entry(first), entry(second, bucket="second"))) as served,
    ):
        client = await (await served.connect()).send(head_of("/a.txt", FROM))
        await client.reader.readuntil(b"\r\n\r\n")
        assert await client.rest() == BODY[:1000]
        await served.settled()
        assert served.count("nearbucket_stream_ends_total", "origin-failed") == 1
        assert failovers(served) == 0


async def test_the_version_of_an_argument_is_of_the_first_bucket_only(serve: Serve) -> None:
    async with ScriptedS3(SLOW_DOWN, SLOW_DOWN) as first, ScriptedS3(whole()) as second:
        chosen = site(entry(first, query=["versionId"]), entry(second, bucket="second"))
        async with serve(chosen) as served:
            assert (await served.get("/a.txt?versionId=7", FROM)).status == 503
        assert second.connections == 0
