"""Clients get complete objects and their headers, and no connection stays in use."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.errors import OriginError
from nearbucket.origin import bucket_presence
from nearbucket.origin.client import OriginClient
from nearbucket.origin.failover.rest_of_body import RestOfBody
from tests.conftest import BIG
from tests.origin.opening import OK, TEXT, Counted, Seen, fetch, held, scripted
from tests.scripteds3 import ETAG, Say, error, reply

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from tests.conftest import LocalS3


async def test_every_object_comes_whole_with_its_length(
    s3: LocalS3, downloads: OriginClient
) -> None:
    for key, content in s3.objects.items():
        seen = await fetch(downloads, key)
        assert (seen.status, seen.length, seen.body) == (200, len(content), content), key
        assert seen.headers["Content-Length"] == str(len(content))


async def test_head_announces_the_length_and_has_no_body(downloads: OriginClient) -> None:
    seen = await fetch(downloads, "text.txt", "HEAD")
    whole = await fetch(downloads, "text.txt")
    assert (seen.status, seen.length, seen.body) == (200, len(TEXT), b"")
    assert seen.headers == whole.headers


async def test_head_with_a_range_is_about_the_whole_object(downloads: OriginClient) -> None:
    seen = await fetch(downloads, "text.txt", "HEAD", Range="bytes=0-0")
    assert (seen.status, seen.length) == (200, len(TEXT))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("key", ["missing", "k" * 1025, "ü" * 513, ""])
async def test_a_key_that_is_not_there_is_404_without_headers(
    downloads: OriginClient, method: str, key: str
) -> None:
    seen = await fetch(downloads, key, method)
    seen.headers.pop("Vary", None)  # SeaweedFS sends it with or without CORS rules
    assert seen == Seen(404, {}, 0, b"")


async def test_the_empty_key_is_not_asked_for(s3: LocalS3, session: ClientSession) -> None:
    counted = Counted()
    assert (await fetch(OriginClient(s3.entry(), session, counters=counted), "")).status == 404
    assert counted.statuses == []


async def test_the_prefix_stands_in_front_of_every_key(s3: LocalS3, session: ClientSession) -> None:
    origin = OriginClient(s3.entry(prefix="big"), session)
    assert (await fetch(origin, "pack-1.0.tar.xz")).body == BIG
    assert (await fetch(origin, "text.txt")).status == 404


async def test_clients_see_the_objects_headers_and_nothing_of_s3(downloads: OriginClient) -> None:
    seen = await fetch(downloads, "described.txt")
    assert seen.headers.pop("Last-Modified")
    assert seen.headers.pop("ETag").startswith('"')
    assert seen.headers == {
        "Content-Type": "text/plain",
        "Content-Length": "39",
        "Content-Disposition": 'attachment; filename="described.txt"',
        "Content-Language": "de",
        "Cache-Control": "public, max-age=60",
        "Expires": "Wed, 21 Oct 2037 07:28:00 GMT",
        "Accept-Ranges": "bytes",
        "Vary": "Origin",
    }


@pytest.mark.parametrize("key", ["packed.json", "chunked.json"])
async def test_encoded_objects_come_as_they_are_stored(
    s3: LocalS3, downloads: OriginClient, key: str
) -> None:
    seen = await fetch(downloads, key)
    assert (seen.body, seen.headers["Content-Encoding"]) == (s3.objects[key], "gzip")
    assert seen.headers["Content-Length"] == str(len(s3.objects[key]))


async def test_an_open_bucket_is_read_without_keys_and_a_closed_one_seems_empty(
    s3: LocalS3, session: ClientSession
) -> None:
    counted = Counted()
    for bucket, status in ((s3.public, 200), (s3.private, 404)):
        entry = s3.entry(bucket, credentials="anonymous")
        origin = OriginClient(entry, session, counters=counted)
        assert (await fetch(origin, "text.txt")).status == status
        assert (await fetch(origin, "text.txt", "HEAD")).status == status
    assert counted.statuses == [200, 200, 403, 403, 403]


async def test_a_bucket_that_does_not_exist_is_our_fault(
    s3: LocalS3, session: ClientSession
) -> None:
    with pytest.raises(OriginError, match="404 NoSuchBucket for bucket nowhere") as caught:
        await fetch(OriginClient(s3.entry("nowhere"), session), "k")
    assert caught.value.status == 502


async def test_wrong_keys_are_our_fault(s3: LocalS3, session: ClientSession, tmp_path: Any) -> None:
    wrong = tmp_path / "secret"
    wrong.write_text("wrong")
    files = s3.files.model_copy(update={"secret_key_file": wrong})
    with pytest.raises(OriginError, match="403 SignatureDoesNotMatch") as caught:
        await fetch(OriginClient(s3.entry(credentials=files), session), "text.txt")
    assert caught.value.status == 502


async def test_clients_that_leave_in_the_middle_hold_no_connection(
    downloads: OriginClient, session: ClientSession
) -> None:
    for _ in range(20):
        async with await downloads.open("GET", "big/pack-1.0.tar.xz", {}) as answer:
            async for _piece in answer.body():
                break
            assert held(session) == 1
        assert held(session) == 0
    assert (await fetch(downloads, "text.txt")).status == 200


async def test_a_request_cancelled_while_s3_thinks_holds_no_connection(
    session: ClientSession,
) -> None:
    async with scripted(session, Say(b"", "hang")) as (origin, server, _):
        task = asyncio.ensure_future(origin.open("GET", "k", {}))
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held(session) == 0


async def test_what_is_read_to_its_end_leaves_one_connection_for_all(
    downloads: OriginClient, session: ClientSession
) -> None:
    for key in ("text.txt", "missing", "empty.bin", "text.txt"):
        await fetch(downloads, key)
        await fetch(downloads, key, "HEAD")
        await fetch(downloads, key, Range="bytes=99-")
        await fetch(downloads, key, Range="bytes=1-2", If_Range='"x"')
    assert session.connector is not None
    assert sum(map(len, session.connector._conns.values())) == 1


@pytest.mark.parametrize(
    ("said", "conditions", "status"),
    [
        pytest.param(
            b'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n',
            {"If-None-Match": '"e"'},
            304,
            id="304",
        ),
        pytest.param(error("404 Not Found", "NoSuchKey"), {}, 404, id="404"),
        pytest.param(error("412 Failed", "PreconditionFailed"), {}, 412, id="412"),
        pytest.param(error("416 Range", "InvalidRange"), {}, 416, id="416"),
        pytest.param(OK.raw, {"If-None-Match": f'"x", {ETAG}'}, 304, id="304 decided here"),
        pytest.param(OK.raw, {"If-Match": '"x", "y"'}, 412, id="412 decided here"),
    ],
)
async def test_an_answer_without_an_object_leaves_its_connection_for_the_next(
    session: ClientSession, said: bytes, conditions: dict[str, str], status: int
) -> None:
    async with scripted(session, Say(said), OK) as (origin, server, _):
        async with await origin.open("GET", "k", conditions) as answer:
            assert answer.status == status
        assert held(session) == 0
        assert (await fetch(origin, "k")).status == 200
    assert server.connections == 1


@pytest.mark.parametrize(
    ("key", "target"),
    [
        ("a+b c%.txt", "/bkt/a%2Bb%20c%25.txt"),
        ("ünï.tar.gz", "/bkt/%C3%BCn%C3%AF.tar.gz"),
        ("a//b/../c/", "/bkt/a//b/../c/"),
        ("/lead", "/bkt//lead"),
        ("-_.~!*'()@:$&,;=?#", "/bkt/-_.~%21%2A%27%28%29%40%3A%24%26%2C%3B%3D%3F%23"),
        ("100%25", "/bkt/100%2525"),
    ],
)
async def test_a_key_goes_out_encoded_once_and_not_tidied(
    session: ClientSession, key: str, target: str
) -> None:
    async with scripted(session, OK) as (origin, server, _):
        await fetch(origin, key)
    assert [one.target for one in server.asked] == [target]


async def test_s3_is_sent_nothing_but_what_it_needs(session: ClientSession) -> None:
    async with scripted(session, OK, expected_owner="123456789012") as (origin, server, _):
        await fetch(origin, "k", Range="bytes=0-1", X_Other="x", Accept_Encoding="br")
    headers = server.asked[0].headers
    assert headers.pop("user-agent").startswith("nearbucket/")
    assert headers == {
        "host": server.endpoint.removeprefix("http://"),
        "x-amz-expected-bucket-owner": "123456789012",
        "range": "bytes=0-1",
        "via": "1.1 nearbucket",
        "accept-encoding": "identity",
    }


async def test_headers_of_s3_and_of_the_connection_are_dropped(session: ClientSession) -> None:
    private = (
        "x-amz-request-id: 1",
        "x-amz-meta-a: b",
        "Server: AmazonS3",
        "Set-Cookie: a=b",
        "Connection: keep-alive, Expires",
        "Keep-Alive: timeout=5",
        "Location: http://elsewhere/",
        "Content-Encoding: aws-chunked",
    )
    say = Say(reply("200 OK", b"x", *private, "expires: 0", 'eTag: W/"1"'))
    async with scripted(session, say) as (origin, _, _counted):
        seen = await fetch(origin, "k")
    untyped = {"Content-Type": "application/octet-stream", "Content-Length": "1"}
    assert seen.headers == {**untyped, "Expires": "0", "ETag": 'W/"1"'}


async def test_lines_of_one_list_are_joined_and_of_another_field_the_first_counts(
    session: ClientSession,
) -> None:
    twice = (
        "Cache-Control: max-age=5",
        "Cache-Control: no-store",
        "Vary: Origin",
        "vary: Accept-Encoding",
        "Content-Encoding: aws-chunked",
        "Content-Encoding: gzip",
        "Content-Type: text/x",
        "Content-Type: text/y",
    )
    async with scripted(session, Say(reply("200 OK", b"x", *twice))) as (origin, _, _counted):
        seen = await fetch(origin, "k")
    assert seen.headers == {
        "Content-Type": "text/x",
        "Content-Length": "1",
        "Content-Encoding": "gzip",
        "Cache-Control": "max-age=5, no-store",
        "Vary": "Origin, Accept-Encoding",
    }


async def test_a_field_that_no_answer_can_have_is_dropped(session: ClientSession) -> None:
    fields = (
        "Content-Type: x",
        "Content-Disposition: a\x01b",
        "Content-Language: \x7f",
        "Cache-Control: max-age=1\t, x",
    )
    async with scripted(session, Say(reply("200 OK", b"x", *fields))) as (origin, _, _counted):
        seen = await fetch(origin, "k")
    passed_on = {"Content-Type": "x", "Cache-Control": "max-age=1\t, x"}
    assert seen.headers == {"Content-Length": "1", **passed_on}


async def test_the_rest_of_a_body_is_requested_at_once_and_then_after_pauses_of_up_to_a_second(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def skip(seconds: float) -> None:
        pauses.extend([seconds] if seconds else [])
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", skip)
    async with scripted(session, *[OK] * 8) as (origin, _, _counted):
        rest = RestOfBody([(origin, "/bkt/k")])
        for attempt in range(1, 9):
            (await rest(attempt, {"if-match": ETAG})).response.release()
    assert pauses == pytest.approx([0.1, 0.2, 0.4, 0.8, 1, 1, 1])


async def test_a_slow_reader_holds_a_bounded_buffer(
    downloads: OriginClient, session: ClientSession
) -> None:
    async with await downloads.open("GET", "big/pack-1.0.tar.xz", {}) as answer:
        sizes = [len(piece) async for piece in answer.body()]
    assert sum(sizes) == len(BIG)
    assert max(sizes) <= 512 * 1024
    assert held(session) == 0


async def test_a_head_of_an_object_in_a_bucket_that_is_not_there_is_no_404(
    s3: LocalS3, session: ClientSession
) -> None:
    origin = OriginClient(s3.entry(bucket="no-such-bucket"), session)
    for method in ("HEAD", "GET"):
        with pytest.raises(OriginError, match="404 NoSuchBucket for bucket no-such-bucket"):
            await fetch(origin, "text.txt", method)


async def test_one_get_tells_for_all_heads_that_the_bucket_exists(session: ClientSession) -> None:
    missing, said = Say(reply("404 Not Found")), Say(error("404 Not Found", "NoSuchKey"))
    async with scripted(session, missing, said, missing, missing) as (origin, server, _):
        for key in ("a", "b", "c"):
            assert (await fetch(origin, key, "HEAD")).status == 404
        methods = [(asked.method, asked.target) for asked in server.asked]
        assert methods == [
            ("HEAD", "/bkt/a"),
            ("GET", "/bkt/a"),
            ("HEAD", "/bkt/b"),
            ("HEAD", "/bkt/c"),
        ]


async def test_one_get_tells_for_the_heads_of_a_second_that_there_is_no_bucket(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_presence, "FAILED", 60.0)
    missing, said = Say(reply("404 Not Found")), Say(error("404 Not Found", "NoSuchBucket"))
    async with scripted(session, missing, said, missing) as (origin, server, _):
        for key in ("a", "b"):
            with pytest.raises(OriginError, match="NoSuchBucket") as failure:
                await fetch(origin, key, "HEAD")
            assert failure.value.status == 502
        assert [asked.method for asked in server.asked] == ["HEAD", "GET", "HEAD"]


async def test_a_bucket_that_is_created_is_noticed(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_presence, "FAILED", 0.0)
    missing = Say(reply("404 Not Found"))
    script = [missing, Say(error("404 Not Found", "NoSuchBucket"))]
    script += [missing, Say(error("404 Not Found", "NoSuchKey"))]
    async with scripted(session, *script) as (origin, _, _):
        with pytest.raises(OriginError):
            await fetch(origin, "a", "HEAD")
        assert (await fetch(origin, "a", "HEAD")).status == 404
