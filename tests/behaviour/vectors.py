"""The table of hostile requests: their bytes, the statuses, the closing, and the origin's requests.

``evil`` marks what a client tries to bring in: it may be part of an object's key, and
appears nowhere else. Paths ending in ``.tar.gz`` are redirected, others streamed.

Tests take the rows ``in_groups``: those of a group are sent to one worker, each over a connection
of its own. A worker for each of them would take most of the time.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EVIL = b"GET /evil.txt HTTP/1.1\r\nHost: dl.example\r\n\r\n"
BUCKET = "https://downloads.s3.us-east-1.amazonaws.com/"


class Vector(NamedTuple):
    """One row.

    Attributes:
        raw: What the client sends.
        statuses: What it gets, in order.
        closes: Whether the connection ends then; otherwise the next request is right.
        asked: What the origin sees.
    """

    raw: bytes
    statuses: tuple[int, ...]
    closes: bool
    asked: tuple[bytes, ...] = ()


def in_groups(rows: Sequence[Any]) -> list[Any]:
    """The rows, 25 to a value of a test's parameter."""
    groups = [rows[first : first + 25] for first in range(0, len(rows), 25)]
    return [pytest.param(group, id=f"{group[0].id} and {len(group) - 1} more") for group in groups]


@contextmanager
def naming(row: Any) -> Iterator[None]:
    """Add the row's name to what fails."""
    try:
        yield
    except Exception as error:
        error.add_note(f"row: {row.id}")
        raise


def fields(*lines: bytes, line: bytes = b"GET /a.txt HTTP/1.1", body: bytes = b"") -> bytes:
    """A request with its Host, these fields, and what follows the head."""
    return b"\r\n".join([line, b"Host: dl.example", *lines, b"", body])


def chunked(body: bytes, line: bytes = b"GET /a.txt HTTP/1.1") -> bytes:
    """A request whose chunked body is these bytes."""
    return fields(b"Transfer-Encoding: chunked", line=line, body=body)


def refused(name: str, raw: bytes, status: int = 400) -> Any:
    """Answered once, the connection closed, nothing after it read."""
    return pytest.param(Vector(raw, (status,), closes=True), id=name)


def declined(name: str, raw: bytes, status: int) -> Any:
    """Answered with an error; the message was clear, so the connection goes on."""
    return pytest.param(Vector(raw, (status,), closes=False), id=name)


def streamed(name: str, raw: bytes, *, closes: bool = False, asked: bytes = b"GET a.txt") -> Any:
    """One object from the origin."""
    method, _, key = asked.partition(b" ")
    line = method + b" /downloads/" + key
    return pytest.param(Vector(raw, (200,), closes, (line,)), id=name)


def redirected(name: str, raw: bytes, *, closes: bool = False) -> Any:
    """A redirect; the origin is not asked."""
    return pytest.param(Vector(raw, (301,), closes), id=name)


LENGTH, CHUNKED = b"Content-Length: 3", b"Transfer-Encoding: chunked"
OLD, TAR = b"GET /a.txt HTTP/1.0", b"GET /a.tar.gz HTTP/1.1"
UPGRADE = b"Connection: Upgrade"
CONNECT = b"CONNECT evil.example:443 HTTP/1.1"

FRAMING_REFUSED = [
    refused("length and chunked", fields(LENGTH, CHUNKED, body=b"0\r\n\r\n")),
    refused("chunked and length", fields(CHUNKED, LENGTH, body=b"0\r\n\r\n")),
    refused("empty coding and length", fields(b"Transfer-Encoding:", LENGTH, body=b"abc")),
    refused("length and empty coding", fields(LENGTH, b"Transfer-Encoding:", body=b"abc")),
    refused("two lengths", fields(LENGTH, b"Content-Length: 4", body=b"abcd")),
    refused("the same length twice", fields(LENGTH, LENGTH, body=b"abc")),
    refused("a list of lengths", fields(b"Content-Length: 3, 3", body=b"abc")),
    refused("length +3", fields(b"Content-Length: +3", body=b"abc")),
    refused("length -1", fields(b"Content-Length: -1")),
    refused("length 0x3", fields(b"Content-Length: 0x3", body=b"abc")),
    refused("length 3 3", fields(b"Content-Length: 3 3", body=b"abc")),
    refused("length 1_0", fields(b"Content-Length: 1_0", body=b"0123456789")),
    refused("length empty", fields(b"Content-Length:")),
    refused("length past 64 bits", fields(b"Content-Length: 18446744073709551616")),
    refused("length and a vertical tab", fields(b"Content-Length: 3\x0b", body=b"abc")),
    refused("length and NUL", fields(b"Content-Length: 3\x00", body=b"abc")),
    refused("space before length's colon", fields(b"Content-Length : 3", body=b"abc")),
    refused("coding gzip", fields(b"Transfer-Encoding: gzip")),
    refused("coding identity", fields(b"Transfer-Encoding: identity")),
    refused("coding chunked, gzip", fields(b"Transfer-Encoding: chunked, gzip")),
    refused("coding chunked twice in a list", fields(b"Transfer-Encoding: chunked, chunked")),
    refused("coding chunked twice", fields(CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    refused("coding chunked and identity", fields(CHUNKED, b"Transfer-Encoding: identity")),
    refused("coding identity and chunked", fields(b"Transfer-Encoding: identity", CHUNKED)),
    refused("coding xchunked", fields(b"Transfer-Encoding: xchunked")),
    refused("coding in quotes", fields(b'Transfer-Encoding: "chunked"')),
    refused("coding with a parameter", fields(b"Transfer-Encoding: chunked;q=1")),
    refused("coding after a vertical tab", fields(b"Transfer-Encoding: \x0bchunked")),
    refused("space before coding's colon", fields(b"Transfer-Encoding : chunked")),
    refused("coding on a folded line", fields(b"Transfer-Encoding:", b" chunked")),
    refused("coding in HTTP/1.0", fields(CHUNKED, line=OLD, body=b"0\r\n\r\n")),
    refused("coding in HTTP/1.0, kept alive",
            fields(CHUNKED, b"Connection: keep-alive", line=OLD, body=b"0\r\n\r\n")),
    refused("chunk size not a number", chunked(b"zz\r\nabc\r\n0\r\n\r\n")),
    refused("chunk size -1", chunked(b"-1\r\n\r\n")),
    refused("chunk size 0x3", chunked(b"0x3\r\nabc\r\n0\r\n\r\n")),
    refused("space after a chunk size", chunked(b"3 \r\nabc\r\n0\r\n\r\n")),
    refused("space before a chunk size", chunked(b" 3\r\nabc\r\n0\r\n\r\n")),
    refused("chunk size past 64 bits", chunked(b"fffffffffffffffff\r\nabc\r\n")),
    refused("no line end after a chunk", chunked(b"3\r\nabcX\r\n0\r\n\r\n")),
    refused("bare LF after a chunk size", chunked(b"3\nabc\r\n0\r\n\r\n")),
    refused("bare CR after a chunk size", chunked(b"3\rabc\r\n0\r\n\r\n")),
    refused("bare LF after a chunk", chunked(b"3\r\nabc\n0\r\n\r\n")),
    refused("bare LF in a chunk extension", chunked(b"3;a\nabc\r\n0\r\n\r\n")),
    refused("NUL in a chunk extension", chunked(b"3;a=\x00\r\nabc\r\n0\r\n\r\n")),
    refused("bare LF in a trailer", chunked(b"0\r\nX: y\nEvil: 1\r\n\r\n")),
    refused("bare LF after the trailers", chunked(b"0\r\n\n")),
    refused("a folded trailer", chunked(b"0\r\nX: y\r\n evil\r\n\r\n")),
    refused("a length among the trailers", chunked(b"0\r\nContent-Length: 5\r\n\r\n")),
    refused("a bad chunk to another method", chunked(b"zz\r\n", b"POST /a.txt HTTP/1.1")),
    refused("a bad chunk to a redirect", chunked(b"zz\r\n", TAR)),
    refused("CONNECT with a length", fields(b"Content-Length: 44", line=CONNECT), 405),
    refused("CONNECT with a coding", fields(CHUNKED, line=CONNECT), 405),
    refused("POST in chunks", chunked(b"2c\r\n" + EVIL + b"\r\n0\r\n\r\n",
                                      b"POST /a.txt HTTP/1.1"), 405),
]  # fmt: skip

FIELDS_REFUSED = [
    refused("a folded field", fields(b"X: a", b" Evil: 1")),
    refused("a field folded by a tab", fields(b"X: a", b"\tevil")),
    refused("a folded Host", fields(b" evil.example")),
    refused("a first line that is folded", b"GET /a.txt HTTP/1.1\r\n Host: dl.example\r\n\r\n"),
    refused("bare LF between fields", fields(b"X: a\nEvil: 1")),
    refused("bare CR in a field", fields(b"X: a\rEvil: 1")),
    refused("CR CR LF", fields(b"X: a\r")),
    refused("bare LF everywhere", b"GET /a.txt HTTP/1.1\nHost: dl.example\n\n"),
    refused("bare LF after the request line", b"GET /a.txt HTTP/1.1\nHost: dl.example\r\n\r\n"),
    refused("bare CR after the request line", b"GET /a.txt HTTP/1.1\rHost: dl.example\r\n\r\n"),
    refused("bare LF at the end", b"GET /a.txt HTTP/1.1\r\nHost: dl.example\r\n\n"),
    refused("space before the colon", fields(b"X : y")),
    refused("tab before the colon", fields(b"X\t: y")),
    refused("space in a name", fields(b"X Y: z")),
    refused("bracket in a name", fields(b"X(Y: z")),
    refused("no name", fields(b": x")),
    refused("no colon", fields(b"Xevil")),
    refused("NUL in a value", fields(b"X: a\x00b")),
    refused("NUL in a name", fields(b"X\x00Y: z")),
    refused("control character in a value", fields(b"X: a\x01b")),
    refused("DEL in a value", fields(b"X: a\x7fb")),
    refused("a name that is not ASCII", fields(b"X\xe9: z")),
    refused("no Host", b"GET /a.txt HTTP/1.1\r\n\r\n"),
    refused("no Host beside an absolute form",
            b"GET http://dl.example/a.txt HTTP/1.1\r\n\r\n"),
    refused("two Hosts", fields(b"Host: evil.example")),
    refused("the same Host twice", fields(b"Host: dl.example")),
    refused("a field of 9 KiB", fields(b"X: " + b"v" * 9216), 431),
    refused("a name of 9 KiB", fields(b"X" * 9216 + b": v"), 431),
    refused("a field of 9 KiB without an end", b"GET /a.txt HTTP/1.1\r\nX: " + b"v" * 9216, 431),
    refused("200 fields", fields(*(b"X-%d: v" % n for n in range(200))), 431),
    refused("200 fields without an end",
            b"GET /a.txt HTTP/1.1\r\n" + b"".join(b"X-%d: v\r\n" % n for n in range(200)), 431),
]  # fmt: skip

LINE_REFUSED = [
    refused(name, fields(line=line), status)
    for name, line, status in [
        ("lower-case method", b"get /a.txt HTTP/1.1", 405),
        ("mixed-case method", b"Get /a.txt HTTP/1.1", 405),
        ("lower-case head", b"head /a.txt HTTP/1.1", 405),
        ("unknown method", b"EVIL /a.txt HTTP/1.1", 405),
        ("unknown method of odd characters", b"!#$%&'*+-.^_`|~9 /a.txt HTTP/1.1", 405),
        ("unknown method to a redirect", b"EVIL /a.tar.gz HTTP/1.1", 405),
        ("unknown method in HTTP/1.2", b"EVIL /a.txt HTTP/1.2", 400),
        ("unknown method without a target", b"EVIL HTTP/1.1", 400),
        ("method that is no token", b"G(T /a.txt HTTP/1.1", 400),
        ("space in the method", b"G T /a.txt HTTP/1.1", 400),
        ("space before the method", b" GET /a.txt HTTP/1.1", 400),
        ("tabs for spaces", b"GET\t/a.txt\tHTTP/1.1", 400),
        ("space after the version", b"GET /a.txt HTTP/1.1 ", 400),
        ("no target", b"GET  HTTP/1.1", 400),
        ("no version", b"GET /a.txt", 400),
        ("HTTP/0.9", b"GET /a.txt HTTP/0.9", 400),
        ("HTTP/1.2", b"GET /a.txt HTTP/1.2", 400),
        ("HTTP/2.0", b"GET /a.txt HTTP/2.0", 400),
        ("HTTP/2.0 to a redirect", b"GET /a.tar.gz HTTP/2.0", 400),
        ("HTTP/11.1", b"GET /a.txt HTTP/11.1", 400),
        ("lower-case version", b"GET /a.txt http/1.1", 400),
        ("space in the target", b"GET /a b.txt HTTP/1.1", 400),
        ("NUL in the target", b"GET /a\x00b.txt HTTP/1.1", 400),
        ("bare CR in the target", b"GET /a\rEvil: 1 HTTP/1.1", 400),
        ("bare LF in the target", b"GET /a\nEvil: 1 HTTP/1.1", 400),
        ("a target that is not ASCII", b"GET /\xc3\xa9.txt HTTP/1.1", 400),
        ("a relative target", b"GET a.txt HTTP/1.1", 400),
        ("a target that is a query", b"GET ?evil HTTP/1.1", 400),
        ("a target that is an authority", b"GET evil.example:80 HTTP/1.1", 400),
        ("GET *", b"GET * HTTP/1.1", 400),
        ("an absolute form without a host", b"GET http:///a.txt HTTP/1.1", 400),
        ("an absolute form with a port of letters", b"GET http://dl.example:x/ HTTP/1.1", 400),
        ("a backslash in the authority", b"GET http://dl.example\\@evil.example/ HTTP/1.1", 400),
        ("two backslashes first", b"GET \\\\evil.example/a.txt HTTP/1.1", 400),
        ("encoded slashes first", b"GET %2f%2fevil.example/a.txt HTTP/1.1", 400),
        ("a URL of 9 KiB", b"GET /" + b"a" * 9216 + b" HTTP/1.1", 414),
        ("a query of 9 KiB", b"GET /a.txt?" + b"a" * 9216 + b" HTTP/1.1", 414),
        ("a method of 9 KiB", b"G" * 9216 + b" /a.txt HTTP/1.1", 400),
        ("CONNECT", CONNECT, 405),
        ("CONNECT to a path", b"CONNECT /a.txt HTTP/1.1", 405),
        ("PROXY protocol", b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\nGET / HTTP/1.1", 400),
    ]
] + [
    refused("a URL of 9 KiB without an end", b"GET /" + b"a" * 9216, 414),
    refused("HTTP/2's preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    refused("a TLS hello", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + b"\0" * 40),
    refused("an answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    refused("NULs", b"\0" * 20),
]

DECLINED = [
    declined("unknown host", b"GET /a.txt HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    declined("empty Host", b"GET /a.txt HTTP/1.1\r\nHost:\r\n\r\n", 421),
    declined("a list of hosts",
             b"GET /a.txt HTTP/1.1\r\nHost: dl.example, evil.example\r\n\r\n", 421),
    declined("a user in Host", b"GET /a.txt HTTP/1.1\r\nHost: evil@dl.example\r\n\r\n", 421),
    declined("a port of letters", b"GET /a.txt HTTP/1.1\r\nHost: dl.example:evil\r\n\r\n", 421),
    declined("a path in Host", b"GET /a.txt HTTP/1.1\r\nHost: dl.example/evil\r\n\r\n", 421),
    declined("a backslash in Host", b"GET /a.txt HTTP/1.1\r\nHost: dl.example\\evil\r\n\r\n", 421),
    declined("an encoded Host", b"GET /a.txt HTTP/1.1\r\nHost: dl%2eexample\r\n\r\n", 421),
    declined("absolute form for another host",
             fields(line=b"GET http://evil.example/a.tar.gz HTTP/1.1"), 421),
    declined("absolute form with a user",
             fields(line=b"GET http://evil@dl.example/a.tar.gz HTTP/1.1"), 421),
    declined("absolute form of another scheme",
             fields(line=b"GET ftp://dl.example/a.txt HTTP/1.1"), 400),
    declined("a fragment", fields(line=b"GET /a.txt#evil HTTP/1.1"), 400),
    declined("an expectation nobody knows", fields(b"Expect: evil"), 417),
    declined("100-continue and another", fields(b"Expect: 100-continue, evil"), 417),
    declined("an expectation nobody knows, and a body",
             fields(b"Expect: evil", b"Content-Length: 44", body=EVIL), 417),
    declined("POST", fields(line=b"POST /a.tar.gz HTTP/1.1"), 405),
    declined("POST with a body of a request",
             fields(b"Content-Length: 44", line=b"POST /a.txt HTTP/1.1", body=EVIL), 405),
    declined("TRACE", fields(b"Cookie: evil", line=b"TRACE /a.tar.gz HTTP/1.1"), 405),
    declined("PROPFIND", fields(line=b"PROPFIND /a.tar.gz HTTP/1.1"), 405),
    declined("OPTIONS", fields(line=b"OPTIONS /a.tar.gz HTTP/1.1"), 204),
    declined("OPTIONS *", fields(line=b"OPTIONS * HTTP/1.1"), 204),
    declined("OPTIONS * with a body",
             fields(b"Content-Length: 44", line=b"OPTIONS * HTTP/1.1", body=EVIL), 204),
    refused("HTTP/1.0 without a Host", b"GET /a.txt HTTP/1.0\r\n\r\n", 421),
]  # fmt: skip

SERVED = [
    streamed("a body with a length", fields(b"Content-Length: 44", body=EVIL)),
    streamed("a body with leading zeros in its length",
             fields(b"Content-Length: 0044", body=EVIL)),
    redirected("a body to a redirect", fields(b"Content-Length: 44", line=TAR, body=EVIL)),
    streamed("a body to HEAD", fields(b"Content-Length: 44", line=b"HEAD /a.txt HTTP/1.1",
                                      body=EVIL), asked=b"HEAD a.txt"),
    streamed("a body in chunks", chunked(b"2c\r\n" + EVIL + b"\r\n0\r\n\r\n"), closes=True),
    redirected("a body in chunks to a redirect",
               chunked(b"2c\r\n" + EVIL + b"\r\n0\r\n\r\n", TAR), closes=True),
    streamed("chunk extensions", chunked(b"2c;evil=1\r\n" + EVIL + b"\r\n0\r\n\r\n"),
             closes=True),
    streamed("20 KB of chunk extension",
             chunked(b"3;" + b"a" * 20_000 + b"\r\nabc\r\n0\r\n\r\n"), closes=True),
    streamed("trailers", chunked(b"0\r\nEvil: 1\r\nHost: evil.example\r\n\r\n"), closes=True),
    streamed("an empty element before chunked",
             fields(b"Transfer-Encoding: ,chunked", body=b"0\r\n\r\n"), closes=True),
    streamed("length 0", fields(b"Content-Length: 0")),
    streamed("coding empty", fields(b"Transfer-Encoding:"), closes=True),
    streamed("coding with an underscore", fields(b"Transfer_Encoding: chunked")),
    streamed("an empty line first", b"\r\n" + fields()),
    streamed("two spaces in the request line", fields(line=b"GET  /a.txt  HTTP/1.1")),
    streamed("tabs around Host", b"GET /a.txt HTTP/1.1\r\nHost:\tdl.example\t\r\n\r\n"),
    streamed("Host with a port", b"GET /a.txt HTTP/1.1\r\nHost: dl.example:80\r\n\r\n"),
    streamed("Host in capitals, with a dot",
             b"GET /a.txt HTTP/1.1\r\nHost: DL.EXAMPLE.\r\n\r\n"),
    streamed("a value that is not ASCII", fields(b"X: \xff\xe9evil")),
    streamed("100 fields", fields(*(b"X-%d: evil" % n for n in range(100)))),
    streamed("60 KB of fields", fields(*(b"X-%d: " % n + b"v" * 1000 for n in range(60)))),
    streamed("Connection names Host", fields(b"Connection: host")),
    streamed("forged forwarding",
             fields(b"X-Forwarded-Host: evil.example", b"Forwarded: host=evil.example",
                    b"X-Forwarded-For: evil", b"X-Original-URL: /evil", b"Via: 1.1 evil")),
    redirected("forged forwarding to a redirect",
               fields(b"X-Forwarded-Host: evil.example", b"X-Forwarded-Proto: evil",
                      b"X-Host: evil.example", b"X-Rewrite-URL: /evil", line=TAR)),
    streamed("fields for S3 and other hops",
             fields(b"Authorization: evil", b"X-Amz-Date: evil", b"X-Amz-Security-Token: evil",
                    b"Cookie: evil", b"User-Agent: evil", b"Accept-Encoding: evil", b"TE: evil",
                    b"Keep-Alive: evil", b"X-HTTP-Method-Override: DELETE")),
    streamed("a query for S3", fields(line=b"GET /a.txt?acl&uploads&versionId=evil HTTP/1.1")),
    streamed("100-continue", fields(b"Expect: 100-continue")),
    redirected("100-continue to a redirect", fields(b"Expect: 100-continue", line=TAR)),
    streamed("absolute form",
             b"GET http://dl.example/a.txt HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    redirected("absolute form to a redirect",
               b"GET HTTPS://DL.example:443/a.tar.gz HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
    streamed("HTTP/1.0", fields(line=OLD), closes=True),
    streamed("HTTP/1.0 with a body", fields(b"Content-Length: 44", line=OLD, body=EVIL),
             closes=True),
    redirected("HTTP/1.0 to a redirect", fields(line=b"GET /a.tar.gz HTTP/1.0"), closes=True),
    streamed("HTTP/1.0, kept alive", fields(b"Connection: keep-alive", line=OLD)),
    redirected("HTTP/1.0, kept alive, to a redirect",
               fields(b"Connection: keep-alive", line=b"GET /a.tar.gz HTTP/1.0")),
    streamed("close and keep-alive", fields(b"Connection: close, keep-alive"), closes=True),
    redirected("keep-alive, then close",
               fields(b"Connection: keep-alive", b"Connection: close", line=TAR), closes=True),
    streamed("an upgrade", fields(UPGRADE, b"Upgrade: websocket"), closes=True),
    streamed("an upgrade to h2c", fields(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
                                         b"HTTP2-Settings: AAMAAABk"), closes=True),
    redirected("an upgrade to a redirect", fields(UPGRADE, b"Upgrade: h2c", line=TAR),
               closes=True),
]  # fmt: skip

REFUSED = FRAMING_REFUSED + FIELDS_REFUSED + LINE_REFUSED


TARGETS = [
    pytest.param(b"//evil.example/a", "/evil.example/a", id="//host"),
    pytest.param(b"/%2fevil.example/a", "/evil.example/a", id="encoded //host"),
    pytest.param(b"///evil.example/a", "//evil.example/a", id="///host"),
    pytest.param(b"/@evil.example/a", "%40evil.example/a", id="@host"),
    pytest.param(b"/.evil.example/a", ".evil.example/a", id=".host"),
    pytest.param(b"/:80@evil.example/a", "%3A80%40evil.example/a", id="port and user"),
    pytest.param(b"/https://evil.example/a", "https%3A//evil.example/a", id="a URL as a key"),
    pytest.param(b"http://dl.example//evil.example/a", "/evil.example/a", id="absolute //host"),
    pytest.param(b"/%252e%252e/a", "%252e%252e/a", id="dots encoded twice"),
    pytest.param(b"/..;/a", "..%3B/a", id="dots and a parameter"),
    pytest.param(b"/%250d%250aEvil:%201/a", "%250d%250aEvil%3A%201/a", id="CRLF encoded twice"),
    pytest.param(b"/%E5%98%8A%E5%98%8DEvil/a", "%E5%98%8A%E5%98%8DEvil/a", id="CRLF of UTF-16"),
    pytest.param(b"/%E2%80%A8%C2%85/a", "%E2%80%A8%C2%85/a", id="line ends of Unicode"),
    pytest.param(b"/%3Cscript%3E%22'/a", "%3Cscript%3E%22%27/a", id="markup"),
    pytest.param(b"/[a]{b}|^`<>\"'", "%5Ba%5D%7Bb%7D%7C%5E%60%3C%3E%22%27", id="brackets"),
    pytest.param(b"/%3Fx=1%23f/a", "%3Fx%3D1%23f/a", id="encoded ? and #"),
    pytest.param(b"/%7euser/+%2B%20/a", "~user/%2B%2B%20/a", id="tilde, plus, space"),
]

BAD_TARGETS = [
    pytest.param(b"/\\evil.example/a", id="backslash"),
    pytest.param(b"/%5cevil.example/a", id="encoded backslash"),
    pytest.param(b"/./a", id="dot"),
    pytest.param(b"/../a", id="dots"),
    pytest.param(b"/b/../../a", id="dots in the middle"),
    pytest.param(b"//evil.example/../a", id="//host and dots"),
    pytest.param(b"/%2e%2e/a", id="encoded dots"),
    pytest.param(b"/%2e%2E%2fa", id="encoded dots and slash"),
    pytest.param(b"/.%2e/a", id="half-encoded dots"),
    pytest.param(b"/..%5ca", id="dots and encoded backslash"),
    pytest.param(b"/%c0%ae%c0%ae/a", id="overlong dots"),
    pytest.param(b"/%0d%0aEvil:%201/a", id="encoded CRLF"),
    pytest.param(b"/%0aEvil:%201/a", id="encoded LF"),
    pytest.param(b"/%0dEvil:%201/a", id="encoded CR"),
    pytest.param(b"/%00/a", id="encoded NUL"),
    pytest.param(b"/%09/a", id="encoded tab"),
    pytest.param(b"/%7f/a", id="encoded DEL"),
    pytest.param(b"/%E9/a", id="not UTF-8"),
    pytest.param(b"/%ed%a0%80/a", id="a surrogate"),
    pytest.param(b"/%/a", id="percent alone"),
    pytest.param(b"/%zz/a", id="percent and no number"),
    pytest.param(b"/%u002e%u002e/a", id="percent and u"),
    pytest.param(b"/" + b"a" * 1024, id="a key of over 1,024 bytes"),
    pytest.param(b"/" + b"%C3%A9" * 512, id="an encoded key of over 1,024 bytes"),
]
