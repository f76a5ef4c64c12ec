"""What a cache in front, which all clients share, is told about each answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.behaviour.two_buckets import FROM, OBJECTS, copies, reason
from tests.build import FORWARDED, OUTSIDE, open_bucket, settings
from tests.scripteds3 import ETAG, Say, ScriptedS3, error, reply
from tests.serving import client_at

if TYPE_CHECKING:
    from tests.serving import Serve

ASKED = client_at(OUTSIDE)
STORED = "public, max-age=60"
KEPT_BY_CLIENTS = "private, max-age=60"

MERGED = [
    pytest.param(None, "private", id="none"),
    pytest.param("public, max-age=60", "private, max-age=60", id="public"),
    pytest.param("s-maxage=9,max-age=60 , immutable", "private, max-age=60, immutable", id="age"),
    pytest.param("Public,S-MaxAge = 9, proxy-revalidate", "private", id="shared caches alone"),
    pytest.param("no-store", "private, no-store", id="no-store"),
    pytest.param("no-cache", "private, no-cache", id="no-cache"),
    pytest.param('private="a, public", x="s, public"', 'private, x="s, public"', id="quoted"),
    pytest.param('max-age=60, x="a, public', 'private, max-age=60, x="a, public', id="unclosed"),
    pytest.param(",,private,,", "private", id="empty"),
]


def behind(server: ScriptedS3, **site: Any) -> Any:
    """A configuration with a scripted server as origin."""
    entry = open_bucket(server.endpoint)
    return settings(site={"origin": entry, **site}, client_address=FORWARDED)


def whole(cache_control: str | None = STORED) -> bytes:
    """S3's 200."""
    given = [] if cache_control is None else [f"Cache-Control: {cache_control}"]
    return reply("200 OK", b"object", f"ETag: {ETAG}", *given, "Content-Type: text/x")


async def asked_three_times(serve: Serve, site: dict[str, Any], path: str) -> set[str | None]:
    """Cache-Control of the first answer, of one that is known, and of one that is compared."""
    async with (
        ScriptedS3(*[Say(whole())] * 3) as server,
        serve(behind(server, **site)) as served,
    ):
        client = await served.connect()
        answers = [await client.get(path, ASKED) for _ in range(3)]
    assert {answer.body for answer in answers} == {b"object"}
    return {answer.headers.get("cache-control") for answer in answers}


@pytest.mark.parametrize(("given", "expected"), MERGED)
async def test_what_others_are_redirected_for_is_private_and_clients_are_told_the_rest(
    serve: Serve, given: str | None, expected: str
) -> None:
    part = whole(given).replace(b"200 OK", b"206 Partial Content\r\nContent-Range: bytes 0-5/9")
    unchanged = whole(given).replace(b"200 OK", b"304 Not Modified").partition(b"object")[0]
    unchanged = unchanged.replace(b"Content-Length: 6\r\n", b"")
    head = whole(given).partition(b"object")[0]
    async with (
        ScriptedS3(*map(Say, [whole(given)] * 3 + [part, part, unchanged, head])) as server,
        serve(behind(server)) as served,
    ):
        client = await served.connect()
        answers = [await client.get("/a.tar.gz", ASKED) for _ in range(3)]
        answers += [
            await client.get("/a.tar.gz", ASKED, *fields, method=method)
            for method, *fields in (
                ("GET", "Range: bytes=0-5"),
                ("GET", "Range: bytes=0-5"),
                ("GET", f"If-None-Match: {ETAG}"),
                ("HEAD",),
            )
        ]
    assert [answer.status for answer in answers] == [200, 200, 200, 206, 206, 304, 200]
    assert {answer.headers["cache-control"] for answer in answers} == {expected}


@pytest.mark.parametrize(
    ("path", "site", "expected"),
    [
        pytest.param("/a.txt", {}, STORED, id="no pattern matches"),
        pytest.param("/a.tar.gz.asc", {}, STORED, id="excluded"),
        pytest.param("/a.tar.gz", {"redirect": {"mutable": ["a*"]}}, STORED, id="mutable"),
        pytest.param("/a.tar.gz", {"targets": {}}, STORED, id="no target"),
        pytest.param("/a.tar.gz", {"redirect": {"mode": "off"}}, STORED, id="off"),
        pytest.param("/a.tar.gz", {"redirect": {"percent": 0}}, STORED, id="percent 0"),
        pytest.param("/a.tar.gz", {"redirect": {"mode": "shadow"}}, KEPT_BY_CLIENTS, id="shadow"),
        pytest.param("/a.tar.gz", {"redirect": {"percent": 1}}, KEPT_BY_CLIENTS, id="percent 1"),
        pytest.param("/a.tar.gz", {"bypass": {"cache_control": "origin"}}, STORED, id="as S3"),
        pytest.param("/", {"index": "a.tar.gz"}, KEPT_BY_CLIENTS, id="index"),
    ],
)
async def test_only_what_the_policy_redirects_is_private(
    serve: Serve, path: str, site: dict[str, Any], expected: str
) -> None:
    assert await asked_three_times(serve, site, path) == {expected}


CDN = {"mode": "redirect", "to": "https://cdn.example"}


@pytest.mark.parametrize(
    ("path", "site", "expected"),
    [
        pytest.param("/a.txt", {}, KEPT_BY_CLIENTS, id="every key"),
        pytest.param("/a.txt", {"redirect": {"mutable": ["*.txt"]}}, STORED, id="mutable"),
        pytest.param("/a.txt", {"bypass": {**CDN, "cache_control": "origin"}}, STORED, id="as S3"),
    ],
)
async def test_what_others_are_redirected_to_the_cdn_for_is_private(
    serve: Serve, path: str, site: dict[str, Any], expected: str
) -> None:
    chosen = {"bypass": CDN, **site}
    assert await asked_three_times(serve, chosen, f"{path}?redirect=no") == {expected}


@pytest.mark.parametrize("path", ["/a.tar.gz", "/a.txt"])
@pytest.mark.parametrize(
    ("said", "status"),
    [
        (error("404 Not Found", "NoSuchKey"), 404),
        (error("412 Precondition Failed", "PreconditionFailed"), 412),
        (error("416 Not Satisfiable", "InvalidRange", "Content-Range: bytes */9"), 416),
        (error("403 Forbidden", "InvalidObjectState"), 403),
        (error("500 Oops", "InternalError"), 502),
        (error("503 Slow Down", "SlowDown"), 503),
    ],
)
async def test_no_cache_keeps_an_error(serve: Serve, path: str, said: bytes, status: int) -> None:
    async with ScriptedS3(Say(said), Say(said)) as server, serve(behind(server)) as served:
        answer = await served.get(path, ASKED, "Range: bytes=9-")
    assert (answer.status, answer.headers["cache-control"]) == (status, "no-store")


@pytest.mark.parametrize(
    ("bypass", "expected"), [({}, "private, no-cache"), ({"cache_control": "origin"}, None)]
)
async def test_a_304_without_asking_s3_ends_what_a_shared_cache_has_kept(
    serve: Serve, bypass: dict[str, Any], expected: str | None
) -> None:
    async with copies(serve, OBJECTS, site={"bypass": bypass}) as world:
        assert await world.ask() == "in-region"
        etag = world.origin.objects["a.tar.gz"][1]
        answer = await world.served.get("/a.tar.gz", FROM, f'If-None-Match: "{etag}"')
    assert (answer.status, reason(answer)) == (304, "not-modified")
    assert answer.headers.get("cache-control") == expected
