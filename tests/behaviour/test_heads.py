"""Every field of every kind of answer, with ``log.reason_header`` and without."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.build import EAST, FORWARDED, OUTSIDE, open_bucket, settings
from tests.scripteds3 import Say, ScriptedS3, error, reply
from tests.serving import client_at

if TYPE_CHECKING:
    from tests.serving import Serve

TEXT = {"content-type": "text/plain; charset=utf-8"}
NOT_KEPT = {"cache-control": "no-store"}
AGAIN = {"retry-after": "5"}
LOCATION = "https://downloads.s3.us-east-1.amazonaws.com/a.tar.gz"
MOVED = {**TEXT, "location": LOCATION, "cache-control": "private, no-store"}
REDIRECT = "redirect; region=us-east-1; reason=in-region"
STREAM = "stream; region=UNKNOWN; reason=outside-aws"
OBJECT = {"etag": '"e"', "last-modified": "Mon, 01 Jan 2001 00:00:00 GMT"}
S3 = ['ETag: "e"', "Last-Modified: Mon, 01 Jan 2001 00:00:00 GMT", "x-amz-request-id: 1"]

ANSWERS = [
    pytest.param("GET", "/a.tar.gz", [client_at(EAST)], b"", 301, REDIRECT, MOVED,
                 f"Moved to {LOCATION}\nTo follow redirects with curl, add -L.\n", id="redirect"),
    pytest.param("GET", "/a.tar.gz", [client_at(EAST), "Origin: https://o.example"], b"", 301,
                 REDIRECT, {**MOVED, "access-control-allow-origin": "*"},
                 f"Moved to {LOCATION}\nTo follow redirects with curl, add -L.\n",
                 id="redirect of a browser"),
    pytest.param("PUT", "/a.tar.gz", [client_at(EAST)], b"", 405,
                 "refuse; region=UNKNOWN; reason=method",
                 {**TEXT, **NOT_KEPT, "allow": "GET, HEAD, OPTIONS"},
                 "Only GET, HEAD, OPTIONS are answered here.\n", id="method"),
    pytest.param("OPTIONS", "/a.tar.gz", [client_at(EAST)], b"", 204,
                 "refuse; region=UNKNOWN; reason=method",
                 {**NOT_KEPT, "allow": "GET, HEAD, OPTIONS"}, "", id="OPTIONS"),
    pytest.param("GET", "/../a", [client_at(EAST)], b"", 400,
                 "refuse; region=UNKNOWN; reason=path-invalid", {**TEXT, **NOT_KEPT},
                 "This path or request is not one that an object could be served for.\n",
                 id="path"),
    pytest.param("GET", "/.well-known/nearbucket-hosts.json", [client_at(EAST)], b"", 200,
                 "refuse; region=UNKNOWN; reason=well-known",
                 {"content-type": "application/json; charset=utf-8",
                  "cache-control": "public, max-age=300", "access-control-allow-origin": "*"},
                 json.dumps({"hosts": ["downloads.s3.dualstack.us-east-1.amazonaws.com",
                                       "downloads.s3.us-east-1.amazonaws.com"]}), id="hosts"),
    pytest.param("GET", "/a.txt", [client_at(OUTSIDE)], reply("200 OK", b"it", *S3), 200, STREAM,
                 {**OBJECT, "content-type": "application/octet-stream"}, "it", id="object"),
    pytest.param("GET", "/a.txt", [client_at(OUTSIDE)], reply("200 OK", b"", *S3), 200, STREAM,
                 {**OBJECT, "content-type": "application/octet-stream"}, "", id="empty object"),
    pytest.param("HEAD", "/a.txt", [client_at(OUTSIDE)],
                 reply("200 OK", b"", *S3), 200, STREAM,
                 {**OBJECT, "content-type": "application/octet-stream"}, "", id="HEAD"),
    pytest.param("GET", "/a.txt", [client_at(OUTSIDE), "Range: bytes=0-1"],
                 reply("206 Partial Content", b"it", *S3, "Content-Range: bytes 0-1/9",
                       "Content-Type: text/x"), 206, STREAM,
                 {**OBJECT, "content-type": "text/x", "content-range": "bytes 0-1/9"}, "it",
                 id="range"),
    pytest.param("GET", "/a.txt", [client_at(OUTSIDE), 'If-None-Match: "e"'],
                 b'HTTP/1.1 304 Not Modified\r\nETag: "e"\r\n\r\n', 304, STREAM, {"etag": '"e"'},
                 "", id="not modified"),
    pytest.param("GET", "/a.txt", [client_at(OUTSIDE)], error("404 Not Found", "NoSuchKey"), 404,
                 STREAM, {**TEXT, **NOT_KEPT},
                 "There is no such object.\n", id="not there"),
    pytest.param("GET", "/a.txt", [client_at(OUTSIDE), 'If-Match: "x"'],
                 error("412 Precondition Failed", "PreconditionFailed"), 412, STREAM,
                 {**TEXT, **NOT_KEPT}, "The object does not meet the request's conditions.\n",
                 id="condition"),
    pytest.param("GET", "/a.txt", [client_at(OUTSIDE), "Range: bytes=9-"],
                 error("416 Not Satisfiable", "InvalidRange", "Content-Range: bytes */9"), 416,
                 STREAM, {**TEXT, **NOT_KEPT, "content-range": "bytes */9"},
                 "The object has no such range of bytes.\n", id="no such range"),
    pytest.param("GET", "/a.txt", [client_at(OUTSIDE)], error("500 Oops", "InternalError"), 502,
                 STREAM, {**TEXT, **NOT_KEPT, **AGAIN},
                 "The origin gave no usable answer; try again.\n", id="S3 fails"),
    pytest.param("GET", "/a.txt", [client_at(OUTSIDE)], error("503 Slow Down", "SlowDown"), 503,
                 STREAM, {**TEXT, **NOT_KEPT, **AGAIN},
                 "The origin is overloaded; try again.\n", id="S3 is overloaded"),
]  # fmt: skip


@pytest.mark.parametrize("shown", [True, False], ids=["reason shown", "reason hidden"])
@pytest.mark.parametrize(
    ("method", "target", "fields", "said", "status", "reason", "expected", "body"), ANSWERS
)
async def test_an_answer_has_these_fields_and_no_others(  # noqa: PLR0913, PLR0917  # a table's columns
    serve: Serve,
    method: str,
    target: str,
    fields: list[str],
    said: bytes,
    status: int,
    reason: str,
    expected: dict[str, str],
    body: str,
    shown: bool,  # noqa: FBT001
) -> None:
    async with ScriptedS3(Say(said), Say(said)) as server:
        chosen = settings(
            site={
                "origin": open_bucket(server.endpoint),
                "targets": {"us-east-1": {"bucket": "downloads"}},
            },
            client_address=FORWARDED,
            log={"reason_header": shown},
        )
        async with serve(chosen) as served:
            answer = await served.get(target, *fields, method=method)
    found: dict[str, Any] = dict(answer.headers)
    del found["date"]
    length = {} if status in {204, 304} else {"content-length": str(len(body))}
    why = {"x-nearbucket": reason} if shown else {}
    assert answer.status == status
    assert found == {"server": "nearbucket", **expected, **length, **why}
    assert answer.body.decode() == body


@pytest.mark.parametrize(
    ("status", "text", "fields", "target"),
    [
        (403, "This request did not come through the expected front.", ["X-Origin-Verify: x"], "/"),
        (414, "The address is longer than any object's can be.", [], "/" + "a" * 9000),
        (417, "No expectation but 100-continue is met here.", ["Expect: x"], "/a"),
        (
            421,
            "This server does not serve that host; a CDN has to forward the viewer's Host.",
            [],
            "http://other.example/a",
        ),
        (
            431,
            "The header fields are too large, or there are too many.",
            ["X: " + "a" * 9000],
            "/a",
        ),
    ],
)
async def test_a_refusal_says_in_a_line_what_is_wrong(
    serve: Serve, status: int, text: str, fields: list[str], target: str
) -> None:
    chosen = settings(
        site={"hosts": ["dl.example"]},
        client_address={"from": "x-forwarded-for", "origin_secret": {"values": ["right"]}},
    )
    async with serve(chosen) as served:
        answer = await served.get(target, *fields)
    assert (answer.status, answer.body.decode()) == (status, f"{text}\n")
