"""Request targets, object keys, and the bytes of a redirect."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.errors import RequestError
from nearbucket.frontend.response_heads import RedirectText
from nearbucket.policy.model import REPLICA_OK, Reason, RedirectTo
from nearbucket.policy.object_keys import encode_key, object_key, split_target


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


REDIRECT = RedirectTo(
    "*",
    "a.tar.gz",
    "192.0.2.1",
    "us-east-1",
    target=True,
    base="https://b.example/",
    path="a.tar.gz",
    status=301,
    browser=False,
    reason=Reason.IN_REGION,
    replica=REPLICA_OK,
)
BODY = b"Moved to https://b.example/a.tar.gz\nTo follow redirects with curl, add -L.\n"
HEAD = (
    b"HTTP/1.1 301 Moved Permanently\r\n"
    b"Server: nearbucket\r\n"
    b"Location: https://b.example/a.tar.gz\r\n"
    b"Cache-Control: private, no-store\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
    b"X-Nearbucket: redirect; region=us-east-1; reason=in-region\r\n"
    b"Content-Length: %d\r\n"
    b"Date: D\r\n" % len(BODY)
)
TEXT = RedirectText.of(REDIRECT, reason_header=True)


def test_a_redirect_is_these_bytes() -> None:
    assert TEXT.fill(b"a.tar.gz", b"D") == HEAD + b"\r\n" + BODY
    assert TEXT.size + len(b"a.tar.gz") == len(BODY)


@pytest.mark.parametrize(
    ("head", "keep_alive", "rest"),
    [
        pytest.param(False, True, b"\r\n" + BODY, id="get"),
        pytest.param(True, True, b"\r\n", id="head has the fields of get and no body"),
        pytest.param(False, False, b"Connection: close\r\n\r\n" + BODY, id="get, then closed"),
        pytest.param(True, False, b"Connection: close\r\n\r\n", id="head, then closed"),
    ],
)
def test_a_redirect_to_any_method_and_connection(
    head: bool,  # noqa: FBT001 - a column of the table
    keep_alive: bool,  # noqa: FBT001 - a column of the table
    rest: bytes,
) -> None:
    text = RedirectText.of(REDIRECT, reason_header=True, keep_alive=keep_alive)
    assert (text.fill_head if head else text.fill)(b"a.tar.gz", b"D") == HEAD + rest


def test_the_text_of_one_redirect_serves_every_path_to_its_target() -> None:
    other = RedirectText.of(replace(REDIRECT, path="b%20c"), reason_header=True)
    assert other.fill(b"a.tar.gz", b"D") == TEXT.fill(b"a.tar.gz", b"D")


def test_the_reason_header_can_be_left_out() -> None:
    text = RedirectText.of(REDIRECT, reason_header=False)
    assert b"X-Nearbucket" not in text.fill(b"a", b"D")


def test_a_browser_is_permitted_to_follow() -> None:
    text = RedirectText.of(replace(REDIRECT, browser=True), reason_header=True)
    assert b"\r\nAccess-Control-Allow-Origin: *\r\n" in text.fill(b"a", b"D")
