"""Bytes to requests, paths to keys and back."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.decide.model import Redirect, RequestError
from proxy.decide.wire import (
    Handover,
    Simple,
    SimpleReader,
    encode_key,
    object_key,
    redirect_bytes,
    split_target,
)

PLAIN = b"GET /a.tar.gz HTTP/1.1\r\nHost: dl.example\r\n\r\n"


def test_a_plain_get_is_read_as_sent() -> None:
    found = SimpleReader().read(
        b"GET /a%20b?x=1 HTTP/1.1\r\nHost: H\r\nX-A: 1\r\n\r\n", "192.0.2.1"
    )
    assert isinstance(found, Simple)
    assert found.keep_alive
    assert found.request.method == "GET"
    assert found.request.target == "/a%20b?x=1"
    assert found.request.headers == {b"host": b"H", b"x-a": b"1"}
    assert found.request.peer == "192.0.2.1"


@pytest.mark.parametrize(
    ("chunk", "why"),
    [
        pytest.param(PLAIN[:-2], Handover.PARTIAL, id="partial head"),
        pytest.param(b"", Handover.PARTIAL, id="nothing"),
        pytest.param(PLAIN + PLAIN, Handover.PIPELINED, id="two requests"),
        pytest.param(PLAIN + b"G", Handover.PIPELINED, id="one and a bit"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
                     Handover.BODY, id="content-length"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                     Handover.BODY, id="chunked"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", Handover.UNUSUAL, id="post"),
        pytest.param(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Handover.UNUSUAL,
                     id="absolute-form"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", Handover.UNUSUAL, id="HTTP/1.0"),
        pytest.param(b"GET / HTTP/1.1\r\nX: a\r\n\r\n", Handover.UNUSUAL, id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", Handover.UNUSUAL,
                     id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
                     Handover.UNUSUAL, id="expect"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                     Handover.UNPARSABLE, id="upgrade"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\n\r\n", Handover.UNUSUAL,
                     id="connection names a field"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", Handover.UNUSUAL,
                     id="folded field"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\r\n\r\n", Handover.UNUSUAL, id="bare LF"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", Handover.UNUSUAL, id="bare CR"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", Handover.UNPARSABLE,
                     id="space before colon"),
        pytest.param(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", Handover.UNUSUAL,
                     id="not ASCII"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", Handover.UNUSUAL,
                     id="long"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", Handover.UNPARSABLE,
                     id="NUL in a field"),
    ],
)  # fmt: skip
def test_what_is_not_simple_is_named(chunk: bytes, why: Handover) -> None:
    reader = SimpleReader()
    assert reader.read(chunk, None) is why
    assert isinstance(reader.read(PLAIN, None), Simple), "the reader is as new afterwards"


def test_connection_close_is_seen_and_the_reader_goes_on() -> None:
    reader = SimpleReader()
    closing = PLAIN[:-2] + b"Connection: close\r\n\r\n"
    for _ in range(3):
        found = reader.read(closing, None)
        assert isinstance(found, Simple)
        assert not found.keep_alive
        assert isinstance(reader.read(PLAIN, None), Simple)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/a.tar.gz", "a.tar.gz"),
        ("/a%20b", "a b"),
        ("/a+b", "a+b"),
        ("/a%2Bb", "a+b"),
        ("/100%25", "100%"),
        ("/a%2520b", "a%20b"),
        ("/(a)!*'[b]:c", "(a)!*'[b]:c"),
        ("/a%23b%3Fc", "a#b?c"),
        ("/e%CC%81", "e\u0301"),
        ("/%C3%A9", "\u00e9"),
        ("/%F0%9F%93%A6.tar.gz", "\U0001f4e6.tar.gz"),
        ("/", ""),
        ("//a", "/a"),
        ("/a//b", "a//b"),
        ("/a/", "a/"),
        ("/a%2Fb", "a/b"),
        ("/..a/b..", "..a/b.."),
        ("/.well-known", ".well-known"),
        ("/" + "k" * 1024, "k" * 1024),
    ],
)
def test_a_path_names_one_key(path: str, key: str) -> None:
    assert object_key(path) == key


@pytest.mark.parametrize(
    "path",
    [
        "/.", "/..", "/./a", "/../a", "/a/../b", "/a/..", "/a/.", "/%2e%2e/a", "/%2E/a",
        "/a/%2e%2e%2fb", "/%00", "/a%0d%0aLocation:%20x", "/a%09", "/%7f", "/a\\b", "/a%5cb",
        "/%", "/%zz", "/%e", "/%E9", "/a b", "/a#b", "/\u00e9", "/" + "k" * 1025,
        "/" + "%C3%A9" * 513, "", "a", "*",
    ],
)  # fmt: skip
def test_a_path_that_is_no_one_encoding_of_a_legal_key_is_refused(path: str) -> None:
    with pytest.raises(RequestError):
        object_key(path)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_every_accepted_key_survives_encoding_and_decoding(key: str) -> None:
    path = "/" + encode_key(key)
    assert unquote_to_bytes(path[1:]).decode() == key
    try:
        assert object_key(path) == key
    except RequestError:
        segments = key.split("/")
        odd = {".", ".."} & set(segments) or any(ord(c) < 32 or c in "\x7f\\" for c in key)
        assert odd or len(key.encode()) > 1024


@pytest.mark.parametrize(
    ("target", "authority", "path", "query"),
    [
        ("/a", None, "/a", ""),
        ("/a?b=c?d", None, "/a", "b=c?d"),
        ("//evil.example/a", None, "//evil.example/a", ""),
        ("http://h:81/a?q", "h:81", "/a", "q"),
        ("HTTPS://h", "h", "/", ""),
        ("http://h?q", "h", "/", "q"),
    ],
)
def test_a_target_is_taken_apart(target: str, authority: str, path: str, query: str) -> None:
    assert split_target(target) == (authority, path, query)


@pytest.mark.parametrize("target", ["*", "a", "h:443", "ftp://h/a", ""])
def test_other_targets_are_refused(target: str) -> None:
    with pytest.raises(RequestError):
        split_target(target)


REDIRECT = Redirect("*", "a.tar.gz", "192.0.2.1", "us-east-1", "https://b.example/a.tar.gz", 301)
HEAD = (
    b"HTTP/1.1 301 Moved Permanently\r\n"
    b"Server: nearbucket\r\n"
    b"Location: https://b.example/a.tar.gz\r\n"
    b"Cache-Control: private, no-store\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"X-Nearbucket: redirect; region=us-east-1; reason=in-region\r\n"
    b"Content-Length: 77\r\n"
    b"Date: D\r\n"
)
BODY = b"Moved to https://b.example/a.tar.gz\nTo follow redirects with curl, add -L.\n"


def test_a_redirect_is_these_bytes() -> None:
    answer, body = redirect_bytes(
        REDIRECT, date="D", head=False, keep_alive=True, reason_header=True
    )
    assert answer == HEAD.replace(b"77", str(len(BODY)).encode()) + b"\r\n" + BODY
    assert body == len(BODY)


def test_a_redirect_to_head_has_the_fields_of_get_and_no_body() -> None:
    answer, body = redirect_bytes(
        REDIRECT, date="D", head=True, keep_alive=False, reason_header=True
    )
    fields = HEAD.replace(b"77", str(len(BODY)).encode())
    assert answer == fields + b"Connection: close\r\n\r\n"
    assert body == 0


def test_the_reason_header_can_be_left_out() -> None:
    answer, _ = redirect_bytes(REDIRECT, date="D", head=False, keep_alive=True, reason_header=False)
    assert b"X-Nearbucket" not in answer
