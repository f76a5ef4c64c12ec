"""Refusals of S3: whatever pieces they come in, and where they end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.storage.refusal import DOCUMENT, RefusalReader, refuses
from tests.scripteds3 import chunked, error, reply

MISSING = error("404 Not Found", "NoSuchKey", "x-amz-request-id: 1", "Vary: Origin")
SAID = [
    MISSING,
    chunked(MISSING),
    reply("416 Range Not Satisfiable", b"", "Content-Range: bytes */3"),
]


def read(*pieces: bytes) -> RefusalReader:
    """A reader that has got them, until it wants no more."""
    reader = RefusalReader()
    for piece in pieces:
        if reader.read(memoryview(piece)):
            break
    return reader


@given(st.sampled_from(SAID), st.lists(st.integers(0, 300), max_size=6))
def test_any_pieces_say_the_same(said: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(said), *(cut % len(said) for cut in cuts)})
    pieces = [said[start:stop] for start, stop in pairwise(places)]
    reader = RefusalReader()
    ends = [reader.read(piece) for piece in pieces]
    assert ends == [False] * (len(pieces) - 1) + [True]
    assert reader.reusable()
    assert reader.refusal() == read(said).refusal()


@pytest.mark.parametrize("said", [MISSING, chunked(MISSING)], ids=["length", "chunks"])
def test_status_fields_and_document_are_those_that_were_said(said: bytes) -> None:
    refusal = read(said).refusal()
    assert refusal is not None
    assert (refusal.status, refusal.headers.get("VARY")) == (404, "Origin")
    assert refusal.document == MISSING.partition(b"\r\n\r\n")[2]


def test_only_the_start_of_a_document_is_kept() -> None:
    reader = read(reply("404 Not Found", b"x" * 100_000))
    refusal = reader.refusal()
    assert refusal is not None
    assert refusal.document == b"x" * DOCUMENT
    assert reader.reusable()


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
    refusal = reader.refusal()
    assert refusal is not None
    assert refusal.status == 404
    assert b"junk" not in refusal.document
    assert reader.reusable() is reusable


def test_what_is_no_response_refuses_nothing() -> None:
    reader = read(b"HTTP/1.1 404 Not Found\r\nContent-Length: x\r\n\r\n")
    assert reader.refusal() is None
    assert not reader.reusable()


@pytest.mark.parametrize(
    ("status", "so"),
    [(200, False), (206, False), (100, False), (0, False), (301, True), (304, False), (400, True),
     (403, True), (404, True), (412, False), (416, True), (429, True), (500, False), (503, False)],
)  # fmt: skip
def test_asking_again_would_not_change(status: int, so: bool) -> None:  # noqa: FBT001  # a table
    assert refuses(status) is so
