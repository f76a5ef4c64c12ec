"""Error responses of S3 are read in whatever pieces they come, to their end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.origin.error_response import DOCUMENT, ErrorResponseReader, means_no_object
from tests.scripteds3 import chunked, error, reply

MISSING = error("404 Not Found", "NoSuchKey", "x-amz-request-id: 1", "Vary: Origin")
SAID = [
    MISSING,
    chunked(MISSING),
    reply("416 Range Not Satisfiable", b"", "Content-Range: bytes */3"),
]


def read(*pieces: bytes) -> ErrorResponseReader:
    """A reader that was given the pieces, until it had enough."""
    reader = ErrorResponseReader()
    for piece in pieces:
        if reader.read(memoryview(piece)):
            break
    return reader


@given(st.sampled_from(SAID), st.lists(st.integers(0, 300), max_size=6))
def test_any_pieces_say_the_same(said: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(said), *(cut % len(said) for cut in cuts)})
    pieces = [said[start:stop] for start, stop in pairwise(places)]
    reader = ErrorResponseReader()
    ends = [reader.read(piece) for piece in pieces]
    assert ends == [False] * (len(pieces) - 1) + [True]
    assert reader.reusable()
    assert reader.response() == read(said).response()


@pytest.mark.parametrize("said", [MISSING, chunked(MISSING)], ids=["length", "chunks"])
def test_status_fields_and_document_are_those_that_were_said(said: bytes) -> None:
    refusal = read(said).response()
    assert refusal is not None
    assert (refusal.status, refusal.headers.get("VARY")) == (404, "Origin")
    assert refusal.document == MISSING.partition(b"\r\n\r\n")[2]


def test_only_the_start_of_a_document_is_waited_for() -> None:
    reader = read(reply("404 Not Found", b"x" * DOCUMENT, length=100_000))
    refusal = reader.response()
    assert refusal is not None
    assert refusal.document == b"x" * DOCUMENT
    assert not reader.reusable()


@pytest.mark.parametrize(
    ("said", "reusable"),
    [
        pytest.param(reply("404 Not Found", b"no", "Connection: close"), False, id="closing"),
        pytest.param(MISSING.replace(b"HTTP/1.1", b"HTTP/1.0"), False, id="HTTP/1.0"),
        pytest.param(MISSING + b"HTTP/1.1 200 OK", False, id="another behind it"),
        pytest.param(MISSING + b"junk", False, id="junk behind it"),
        pytest.param(MISSING, True, id="alone"),
    ],
)
def test_a_connection_is_used_again_where_nothing_speaks_against_it(
    said: bytes,
    reusable: bool,  # noqa: FBT001  # a table
) -> None:
    reader = read(said)
    refusal = reader.response()
    assert refusal is not None
    assert refusal.status == 404
    assert b"junk" not in refusal.document
    assert reader.reusable() is reusable


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"HTTP/1.1 404 Not Found\r\nContent-Length: x\r\n\r\n", id="head"),
        pytest.param(chunked(MISSING).replace(b"\r\n14\r\n", b"\r\nzz\r\n"), id="chunk"),
    ],
)
def test_what_is_no_response_refuses_nothing(said: bytes) -> None:
    reader = ErrorResponseReader()
    assert reader.read(said), "nothing more is waited for"
    assert reader.response() is None
    assert not reader.reusable()


def test_fields_behind_the_document_are_none_of_the_head() -> None:
    said = chunked(MISSING).removesuffix(b"\r\n") + b"Vary: Cookie\r\n\r\n"
    refusal = read(said).response()
    assert refusal is not None
    assert refusal.headers.get("vary") == "Origin"


@pytest.mark.parametrize(
    ("said", "final"),
    [
        (MISSING, True),
        (error("404 Not Found", "NoSuchBucket"), True),
        (error("301 Moved Permanently", "PermanentRedirect"), True),
        (error("416 Range Not Satisfiable", "InvalidRange"), True),
        (error("429 Too Many Requests", "SlowDown"), True),
        (error("403 Forbidden", "AccessDenied"), True),
        (error("403 Forbidden", "SignatureDoesNotMatch"), False),
        (error("403 Forbidden", "RequestTimeTooSkewed"), False),
        (error("400 Bad Request", "ExpiredToken"), False),
        (error("401 Unauthorized", "Odd"), False),
        (reply("403 Forbidden"), False),
    ],
)
def test_what_is_said_of_the_object_is_final_and_of_a_signature_it_is_not(
    said: bytes,
    final: bool,  # noqa: FBT001  # a table
) -> None:
    refusal = read(said).response()
    assert refusal is not None
    assert refusal.final is final


def test_a_status_says_whether_there_may_be_a_refusal_to_read() -> None:
    statuses = (0, 100, 200, 206, 301, 304, 400, 403, 404, 408, 412, 416, 421, 429, 500, 503)
    assert [each for each in statuses if means_no_object(each)] == [301, 400, 403, 404, 416, 429]
