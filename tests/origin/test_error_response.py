"""An error of S3 becomes the client's 404 or 416, or an error of ours; never a short body."""

from __future__ import annotations

from email.utils import formatdate
from time import time
from typing import TYPE_CHECKING

import pytest

from nearbucket.errors import OriginError
from nearbucket.origin import bucket_presence
from nearbucket.s3.http_session import client_session
from tests.origin.opening import OK, TEXT, Seen, fetch, held, scripted
from tests.scripteds3 import Say, error, reply, rest

if TYPE_CHECKING:
    from aiohttp import ClientSession


def encrypted() -> bytes:
    """S3's error for an object that is encrypted with a customer-provided key."""
    document = (
        b"<Error><Code>InvalidRequest</Code><Message>The object was stored using a form of Server "
        b"Side Encryption. The correct parameters must be provided.</Message></Error>"
    )
    return reply("400 Bad Request", document, "Content-Type: application/xml")


@pytest.mark.parametrize(
    ("raw", "status", "why"),
    [
        pytest.param(error("403 Forbidden", "AccessDenied"), 404, "", id="may not list"),
        pytest.param(error("404 Not Found", "NoSuchKey"), 404, "", id="no key"),
        pytest.param(error("404 Not Found", "NoSuchBucket"), 502, "NoSuchBucket", id="no bucket"),
        pytest.param(error("403 Forbidden", "ExpiredToken"), 502, "ExpiredToken", id="token"),
        pytest.param(
            error("403 Forbidden", "RequestTimeTooSkewed"), 502, "RequestTimeTooSkewed", id="clock"
        ),
        pytest.param(error("403 Forbidden", "InvalidObjectState"), 403, "", id="archived"),
        pytest.param(encrypted(), 403, "", id="encrypted with a customer-provided key"),
        pytest.param(error("400 Bad Request", "InvalidRequest"), 502, "400 Inv", id="another one"),
        pytest.param(error("403 Forbidden", "AllAccessDisabled"), 502, "AllAcc", id="disabled"),
        pytest.param(reply("403 Forbidden"), 502, r"403 \(no code\)", id="not S3 at all"),
        pytest.param(
            reply("302 Found", b"", "Location: https://login.example/"),
            502,
            "us-east-1; it redirects to another URL: correct the endpoint",
            id="a login page",
        ),
        pytest.param(
            error("301 Moved", "PermanentRedirect", "x-amz-bucket-region: eu-west-1"),
            502,
            "PermanentRedirect for bucket bkt in us-east-1; it is in eu-west-1",
            id="another region",
        ),
        pytest.param(
            error("307 Temporary Redirect", "TemporaryRedirect", "Location: http://127.0.0.1:1/"),
            502,
            "307 TemporaryRedirect",
            id="a redirect, not followed",
        ),
        pytest.param(error("400 Bad Request", "Oops"), 502, "400 Oops", id="bad request"),
        pytest.param(error("401 Unauthorized", "Oops"), 502, "401 Oops", id="unauthorized"),
        pytest.param(error("501 Not Implemented", "Oops"), 502, "501 Oops", id="501"),
        pytest.param(error("429 Too Many", "SlowDown"), 503, "429 SlowDown", id="429"),
        pytest.param(rest(TEXT, 5), 502, "206", id="a range that was not requested"),
        pytest.param(
            reply("404 Not Found", b"x" * 9000 + b"<Code>NoSuchBucket</Code>"),
            404,
            "",
            id="a code beyond what is read",
        ),
    ],
)
async def test_each_error_of_s3_is_the_clients_or_ours(
    session: ClientSession, raw: bytes, status: int, why: str
) -> None:
    async with scripted(session, Say(raw)) as (origin, _, _counted):
        if status < 500:
            assert await fetch(origin, "k") == Seen(status, {}, 0, b"")
        else:
            with pytest.raises(OriginError, match=why) as caught:
                await fetch(origin, "k")
            assert caught.value.status == status
        assert held(session) == 0


async def test_a_head_that_is_answered_404_is_404(session: ClientSession) -> None:
    async with scripted(session, Say(reply("404 Not Found", length=200))) as (origin, _, counted):
        assert (await fetch(origin, "k", "HEAD")).status == 404
    assert counted.statuses == [404, 0]  # the GET of one byte: the script has ended


@pytest.mark.parametrize(
    "get",
    [
        pytest.param(Say(b"no HTTP\r\n\r\n", "close"), id="not HTTP"),
        pytest.param(Say(error("503 Slow", "SlowDown")), id="busy"),
        pytest.param(Say(error("500 Internal", "InternalError")), id="its own error"),
        pytest.param(Say(error("403 Forbidden", "ExpiredToken")), id="token"),
    ],
)
async def test_a_404_to_a_head_stands_if_the_get_does_not_tell_whether_there_is_a_bucket(
    session: ClientSession, get: Say
) -> None:
    missing = Say(reply("404 Not Found"))
    async with scripted(session, missing, get, missing) as (origin, server, _):
        for key in ("a", "b"):
            assert (await fetch(origin, key, "HEAD")).status == 404
        assert held(session) == 0
    assert [each.method for each in server.asked] == ["HEAD", "GET", "HEAD"]


async def test_what_is_known_of_a_bucket_stands_if_a_get_does_not_tell(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_presence, "FAILED", 0.0)
    missing, gone = Say(reply("404 Not Found")), Say(error("404 Not Found", "NoSuchBucket"))
    busy = Say(error("503 Slow", "SlowDown"))
    async with scripted(session, missing, gone, missing, busy) as (origin, server, _):
        for _attempt in range(2):
            with pytest.raises(OriginError, match="NoSuchBucket"):
                await fetch(origin, "k", "HEAD")
    assert [each.method for each in server.asked] == ["HEAD", "GET", "HEAD", "GET"]


@pytest.mark.parametrize(
    ("head", "get", "status"),
    [
        pytest.param("403 Forbidden", error("403 Forbidden", "AccessDenied"), 404, id="no list"),
        pytest.param("403 Forbidden", error("404 Not Found", "NoSuchKey"), 404, id="deleted"),
        pytest.param("403 Forbidden", error("403 No", "InvalidAccessKeyId"), 502, id="key"),
        pytest.param("403 Forbidden", error("403 No", "SignatureDoesNotMatch"), 502, id="secret"),
        pytest.param("403 Forbidden", error("403 No", "RequestTimeTooSkewed"), 502, id="clock"),
        pytest.param("403 Forbidden", error("403 No", "AllAccessDisabled"), 502, id="disabled"),
        pytest.param("403 Forbidden", error("404 Not Found", "NoSuchBucket"), 502, id="no bucket"),
        pytest.param("403 Forbidden", error("503 Slow", "SlowDown"), 503, id="busy"),
        pytest.param("403 Forbidden", reply("403 Forbidden"), 502, id="not S3 at all"),
        pytest.param("403 Forbidden", rest(TEXT, 0, sent=1), 502, id="can be read"),
        pytest.param("400 Bad Request", error("400 Bad", "ExpiredToken"), 502, id="token"),
        pytest.param("400 Bad Request", encrypted(), 403, id="customer's key"),
    ],
)
async def test_a_get_of_one_byte_tells_why_a_head_was_refused(
    session: ClientSession, head: str, get: bytes, status: int
) -> None:
    says = Say(reply(head, length=200)), Say(get)
    async with scripted(session, *says) as (origin, server, _counted):
        if status < 500:
            assert await fetch(origin, "k", "HEAD") == Seen(status, {}, 0, b"")
        else:
            with pytest.raises(OriginError) as caught:
                await fetch(origin, "k", "HEAD")
            assert caught.value.status == status
        assert held(session) == 0
    assert [each.method for each in server.asked] == ["HEAD", "GET"]
    assert server.asked[1].headers["range"] == "bytes=0-0"


ARCHIVED = error("403 Forbidden", "InvalidObjectState")


def restored(seconds: float) -> str:
    """The field of a copy that stays restored for so many seconds."""
    return f'ongoing-request="false", expiry-date="{formatdate(time() + seconds, usegmt=True)}"'


@pytest.mark.parametrize(
    ("fields", "get", "status"),
    [
        (["x-amz-storage-class: GLACIER"], ARCHIVED, 403),
        (["x-amz-storage-class: DEEP_ARCHIVE"], ARCHIVED, 403),
        (["x-amz-storage-class: GLACIER", 'x-amz-restore: ongoing-request="true"'], ARCHIVED, 403),
        (["x-amz-archive-status: ARCHIVE_ACCESS"], ARCHIVED, 403),
        (["x-amz-storage-class: GLACIER"], rest(TEXT, 0, sent=1), 200),
        (["x-amz-storage-class: GLACIER", 'x-amz-restore: ongoing-request="false"'], None, 200),
        (["x-amz-storage-class: GLACIER", f"x-amz-restore: {restored(1800)}"], None, 200),
        (["x-amz-storage-class: GLACIER", f"x-amz-restore: {restored(-60)}"], ARCHIVED, 403),
        (["x-amz-storage-class: GLACIER_IR"], None, 200),
        (["x-amz-server-side-encryption: aws:kms"], None, 200),
    ],
)
async def test_a_head_of_an_archived_object_is_answered_as_a_get_would_be(
    session: ClientSession, fields: list[str], get: bytes | None, status: int
) -> None:
    says = [Say(reply("200 OK", b"", *fields, length=19)), *([Say(get)] if get else [])]
    async with scripted(session, *says) as (origin, server, _counted):
        assert (await fetch(origin, "k", "HEAD")).status == status
        assert len(server.asked) == len(says)


@pytest.mark.parametrize(
    "fields",
    [[], ["Content-Range: bytes */\x01"], ["Content-Range: bytes */" + "9" * 5000]],
    ids=["missing", "invalid", "too long"],
)
async def test_the_size_of_a_416_is_taken_from_the_document_when_the_header_does_not_say_it(
    session: ClientSession, fields: list[str]
) -> None:
    document = b"<Error><Code>InvalidRange</Code><ActualObjectSize>19</ActualObjectSize></Error>"
    async with scripted(session, Say(reply("416 No", document, *fields))) as (origin, _, _counted):
        seen = await fetch(origin, "k", Range="bytes=50-")
    assert seen == Seen(416, {"Content-Range": "bytes */19"}, 0, b"")


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(Say(error("503 Slow Down", "SlowDown")), id="SlowDown"),
        pytest.param(Say(error("500 Internal Server Error", "InternalError")), id="500"),
        pytest.param(Say(b"", "close"), id="closed without a word"),
    ],
)
async def test_a_failure_of_the_moment_is_tried_once_more(
    session: ClientSession, first: Say
) -> None:
    async with scripted(session, first, OK) as (origin, server, _):
        assert (await fetch(origin, "k")).body == TEXT
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("say", "status"),
    [
        pytest.param(Say(error("503 Slow Down", "SlowDown")), 503, id="SlowDown"),
        pytest.param(Say(error("500 Internal Server Error", "InternalError")), 502, id="500"),
        pytest.param(Say(b"", "close"), 502, id="closed without a word"),
        pytest.param(Say(b"SSH-2.0-OpenSSH\r\n", "close"), 502, id="not HTTP"),
    ],
)
async def test_a_failure_that_lasts_is_an_error(
    session: ClientSession, say: Say, status: int
) -> None:
    async with scripted(session, say, say) as (origin, server, _):
        with pytest.raises(OriginError) as caught:
            await fetch(origin, "k")
    assert (caught.value.status, len(server.asked)) == (status, 2)


async def test_a_server_that_is_not_there_is_502(session: ClientSession) -> None:
    async with scripted(session) as (origin, _, counted):
        pass
    with pytest.raises(OriginError, match="cannot be reached") as caught:
        await fetch(origin, "k")
    assert caught.value.status == 502
    assert set(counted.statuses) == {0}
    assert caught.value.detail.endswith(" cannot be reached: Connection refused")


async def test_a_request_that_nobody_can_sign_is_counted_as_one_without_an_answer(
    session: ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_asked: object) -> dict[str, str]:
        raise OriginError(502, "no AWS credentials found")

    async with scripted(session, OK) as (origin, server, counted):
        monkeypatch.setattr(origin.signer, "headers", refuse)
        with pytest.raises(OriginError, match="no AWS credentials"):
            await fetch(origin, "k")
    assert (counted.statuses, server.asked) == ([0], [])


async def test_a_slow_first_byte_is_504_and_not_tried_again() -> None:
    async with (
        client_session(read=0.05) as session,
        scripted(session, Say(b"", "hang")) as (origin, server, _),
    ):
        with pytest.raises(OriginError, match="did not answer in time") as caught:
            await fetch(origin, "k")
        assert (caught.value.status, len(server.asked), held(session)) == (504, 1, 0)


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwho knows", id="until close"),
    ],
)
async def test_an_object_of_unannounced_length_is_an_error(
    session: ClientSession, raw: bytes
) -> None:
    async with scripted(session, Say(raw, "close")) as (origin, _, _counted):
        with pytest.raises(OriginError, match="without Content-Length") as caught:
            await fetch(origin, "k")
        assert (caught.value.status, held(session)) == (502, 0)


async def test_a_304_to_a_request_without_a_condition_is_an_error(session: ClientSession) -> None:
    raw = b'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n'
    async with scripted(session, Say(raw), Say(raw)) as (origin, _, _counted):
        with pytest.raises(OriginError, match="S3 answered 304") as caught:
            await fetch(origin, "k")
        assert caught.value.status == 502
        assert (await fetch(origin, "k", If_None_Match='"e"')).status == 304


@pytest.mark.parametrize(
    "span", ["", "bytes 0-4/*", "bytes 0-3/19", "bytes 0-4/4", "bytes 0-4/" + "9" * 5000]
)
async def test_a_part_that_does_not_say_its_place_is_an_error(
    session: ClientSession, span: str
) -> None:
    raw = reply("206 Partial Content", TEXT[:5], f"Content-Range: {span}")
    async with scripted(session, Say(raw)) as (origin, _, _counted):
        with pytest.raises(OriginError, match="Content-Range"):
            await fetch(origin, "k", Range="bytes=0-4")
