"""Heads of S3's responses: which are plain, and which fields a client sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.origin.pool.response_head import HeadTemplate, read_response, status_of
from nearbucket.origin.response_headers import ResponseHead

WHOLE = (
    b"HTTP/1.1 200 OK\r\nx-amz-id-2: a\r\nx-amz-request-id: b\r\n"
    b'Date: Mon, 23 Nov 2026 09:31:42 GMT\r\nETag: "e"\r\ncontent-type: text/plain\r\n'
    b"Accept-Ranges: bytes\r\nServer: AmazonS3\r\nContent-Length: 12\r\n\r\n"
)
PART = (
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 3-5/12\r\nContent-Length: 3\r\n"
    b'Content-Type: text/plain\r\nETag: W/"e"\r\nConnection: close\r\n\r\n'
)


def test_a_whole_object_is_plain_and_nothing_of_s3s_own_is_shown() -> None:
    assert read_response(WHOLE) == ResponseHead(
        status=200,
        fields=b'Content-Type: text/plain\r\nContent-Length: 12\r\nETag: "e"\r\n'
        b"Accept-Ranges: bytes\r\n",
        length=12,
        end=12,
        total=12,
        etag='"e"',
        modified="",
        reusable=True,
    )


def test_a_part_says_where_it_ends_and_whether_the_connection_goes_on() -> None:
    found = read_response(PART)
    assert found is not None
    assert (found.status, found.length, found.end, found.total) == (206, 3, 6, 12)
    assert (found.etag, found.reusable) == ('W/"e"', False)


def test_an_object_without_a_type_is_plain() -> None:
    found = read_response(WHOLE.replace(b"content-type: text/plain\r\n", b""))
    assert found is not None
    assert found.fields.startswith(b"Content-Type: application/octet-stream\r\n")


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(WHOLE.replace(b"200 OK", b"304 Not Modified"), id="another status"),
        pytest.param(WHOLE.replace(b"200 OK", b"404 Not Found"), id="an error"),
        pytest.param(WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(WHOLE.replace(b"Content-Length: 12\r\n", b""), id="no length"),
        pytest.param(WHOLE.replace(b"12\r\n\r\n", b"-1\r\n\r\n"), id="a negative length"),
        pytest.param(WHOLE.replace(b"12\r\n\r\n", b"1, 2\r\n\r\n"), id="two lengths in one"),
        pytest.param(WHOLE.replace(b"\r\n\r\n", b"\r\nContent-Length: 12\r\n\r\n"), id="two"),
        pytest.param(WHOLE.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
                     id="chunked"),
        pytest.param(WHOLE.replace(b"\r\n\r\n", b'\r\nETag: "f"\r\n\r\n'), id="two tags"),
        pytest.param(WHOLE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: aws-chunked\r\n\r\n"),
                     id="a framing of uploads"),
        pytest.param(WHOLE.replace(b"text/plain", b"t\xe9xt"), id="not ASCII"),
        pytest.param(WHOLE.replace(b"text/plain", b""), id="an empty field"),
        pytest.param(WHOLE.replace(b"Server: ", b"Server : "), id="not HTTP"),
        pytest.param(b"\x15\x03\x01\x00\x02\x01\x00\r\n\r\n", id="not even text"),
        pytest.param(PART.replace(b"Content-Range: bytes 3-5/12\r\n", b""), id="no range"),
        pytest.param(PART.replace(b"3-5", b"3-6"), id="a range of another length"),
        pytest.param(PART.replace(b"/12", b"/*"), id="a range of unknown size"),
    ],
)  # fmt: skip
def test_everything_else_is_for_the_other_lane(head: bytes) -> None:
    assert read_response(head) is None


@pytest.mark.parametrize(
    "value",
    [
        b"a\nContent-Type: text/html",
        b"a\rContent-Type: text/html",
        b"a\r\n Content-Type: text/html",
        b"a\r\n\tContent-Type: text/html",
    ],
)
def test_a_line_end_that_is_none_is_not_overlooked_in_a_field_that_does_not_count(
    value: bytes,
) -> None:
    assert read_response(WHOLE.replace(b"AmazonS3", value)) is None


def test_a_status_is_read_where_there_is_one() -> None:
    assert status_of(b"HTTP/1.1 503 Slow Down\r\n\r\n") == 503
    assert status_of(b"\r\n\r\n") == 0


def likeness() -> HeadTemplate:
    found = read_response(WHOLE)
    assert found is not None
    return HeadTemplate(WHOLE, found)


def test_a_head_that_differs_in_date_and_ids_alone_says_the_same() -> None:
    later = WHOLE.replace(b"09:31:42", b"10:00:01").replace(b"id-2: a", b"id-2: z")
    assert likeness().match(memoryview(later + b"body")) == read_response(WHOLE)
    assert likeness().length == len(WHOLE)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(WHOLE.replace(b'"e"', b'"f"'), id="another version"),
        pytest.param(WHOLE.replace(b": 12\r", b": 13\r"), id="another length"),
        pytest.param(WHOLE.replace(b"200 OK", b"404 OK"), id="another status"),
        pytest.param(WHOLE.replace(b"id-2: a", b"id-2: ab"), id="longer"),
        pytest.param(WHOLE.replace(b"x-amz-id-2", b"x-amz-id-3"), id="another field"),
        pytest.param(WHOLE.replace(b"23 Nov 2026 09:31:42 GMT", b"\r\nContent-Length: 99999"),
                     id="another field within a date"),
        pytest.param(WHOLE.replace(b"Mon, 23", b"Mon\n 23"), id="a line break within a date"),
        pytest.param(WHOLE.replace(b"Mon, 23", b"Mon\r 23"), id="a carriage return"),
        pytest.param(WHOLE[:-1], id="not all of it"),
        pytest.param(b"", id="nothing"),
    ],
)  # fmt: skip
def test_any_other_head_has_to_be_read(head: bytes) -> None:
    assert likeness().match(memoryview(head)) is None


@pytest.mark.parametrize("own", [b"", b"Date: Mon, 23 Nov 2026 09:31:42 GMT\r\n"])
def test_a_head_may_have_no_date_and_ids(own: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + own + b"Content-Length: 12\r\n\r\n"
    found = read_response(head)
    assert found is not None
    assert HeadTemplate(head, found).match(memoryview(head)) == found
    assert HeadTemplate(head, found).match(memoryview(head.replace(b"12", b"13"))) is None


_CHANGES = st.lists(
    st.tuples(st.integers(0, len(WHOLE) - 1), st.sampled_from(b"\r\n:a1 ")), max_size=4
)


@given(changes=_CHANGES)
def test_what_is_read_by_likeness_is_what_is_read(changes: list[tuple[int, int]]) -> None:
    head = bytearray(WHOLE)
    for place, byte in changes:
        head[place] = byte
    found = likeness().match(memoryview(head))
    assert found is None or found == read_response(bytes(head))
