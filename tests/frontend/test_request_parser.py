"""Plain requests: what is parsed, what is left to aiohttp, which lines are remembered."""

from __future__ import annotations

import pytest

from nearbucket.frontend import request_parser
from nearbucket.frontend.request_parser import PlainRequest, PlainRequestParser
from nearbucket.telemetry.metrics import HandoffReason

PLAIN = b"GET /a.tar.gz HTTP/1.1\r\nHost: dl.example\r\n\r\n"


def read(
    parser: PlainRequestParser, chunk: bytes, peer: str | None = None
) -> PlainRequest | HandoffReason:
    head = parser.split(chunk)
    return head if isinstance(head, HandoffReason) else parser.parse(head, peer)


def test_a_plain_get_is_read_as_sent() -> None:
    chunk = b"GET /a%20b?x=1 HTTP/1.1\r\nHost: H\r\nX-A: \t1 \r\nX-B: 2\r\n\r\n"
    found = read(PlainRequestParser(frozenset({b"x-a"})), chunk, "192.0.2.1")
    assert isinstance(found, PlainRequest)
    assert found.keep_alive
    assert found.request.method == "GET"
    assert found.request.target == "/a%20b?x=1"
    assert found.request.headers == {b"host": b"H", b"x-a": b"1"}
    assert found.request.peer == "192.0.2.1"


@pytest.mark.parametrize(
    ("chunk", "why"),
    [
        pytest.param(PLAIN[:-2], HandoffReason.PARTIAL, id="partial head"),
        pytest.param(b"", HandoffReason.PARTIAL, id="nothing"),
        pytest.param(PLAIN + PLAIN, HandoffReason.PIPELINED, id="two requests"),
        pytest.param(PLAIN + b"G", HandoffReason.PIPELINED, id="one and a bit"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
                     HandoffReason.BODY, id="content-length"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
                     HandoffReason.BODY, id="chunked"),
        pytest.param(b"POST / HTTP/1.1\r\nHost: a\r\n\r\n", HandoffReason.UNUSUAL, id="post"),
        pytest.param(b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", HandoffReason.UNUSUAL,
                     id="absolute-form"),
        pytest.param(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", HandoffReason.UNUSUAL, id="HTTP/1.0"),
        pytest.param(b"GET / HTTP/1.1\r\nX: a\r\n\r\n", HandoffReason.UNUSUAL, id="no host"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", HandoffReason.UNUSUAL,
                     id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
                     HandoffReason.UNUSUAL, id="expect"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
                     HandoffReason.UNUSUAL, id="upgrade"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\n\r\n", HandoffReason.UNUSUAL,
                     id="connection names a field"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", HandoffReason.UNPARSABLE,
                     id="folded field"),
        pytest.param(b"GET / HTTP/1.1\nHost: a\r\n\r\n", HandoffReason.UNUSUAL, id="bare LF"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", HandoffReason.UNPARSABLE,
                     id="bare CR"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n", HandoffReason.UNPARSABLE,
                     id="space before colon"),
        pytest.param(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", HandoffReason.UNUSUAL,
                     id="not ASCII"),
        pytest.param(b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
                     HandoffReason.UNUSUAL, id="long"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", HandoffReason.UNPARSABLE,
                     id="NUL in a field"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", HandoffReason.UNPARSABLE,
                     id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 128 + b"\r\n",
                     HandoffReason.UNUSUAL, id="too many fields"),
        pytest.param(b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n", HandoffReason.UNUSUAL, id="fragment"),
    ],
)  # fmt: skip
def test_a_request_that_is_not_plain_has_its_reason(chunk: bytes, why: HandoffReason) -> None:
    parser = PlainRequestParser(frozenset())
    for _ in range(2):  # what it remembers of the first changes nothing
        assert read(parser, chunk) is why
        assert isinstance(read(parser, PLAIN), PlainRequest)


def test_connection_close_is_seen_and_the_parser_goes_on() -> None:
    parser = PlainRequestParser(frozenset())
    closing = PLAIN[:-2] + b"Connection: close\r\n\r\n"
    for _ in range(3):
        found = read(parser, closing)
        assert isinstance(found, PlainRequest)
        assert not found.keep_alive
        assert isinstance(read(parser, PLAIN), PlainRequest)


def test_fields_that_nothing_depends_on_may_repeat_and_differ() -> None:
    parser = PlainRequestParser(frozenset({b"x-a"}))
    chunk = PLAIN[:-2] + b"X-A: 1\r\nVia: %d\r\nVia: b\r\n\r\n"
    for number in range(3):
        head = parser.split(chunk % number)
        assert isinstance(head, request_parser.RequestHead)
        assert head.line == b"GET /a.tar.gz HTTP/1.1"
        assert head.fields == (b"Host: dl.example", b"X-A: 1")


def test_a_head_is_a_repetition_when_each_of_its_fields_came_twice_before() -> None:
    parser = PlainRequestParser(frozenset({b"x-a"}))
    heads = [parser.split(PLAIN[:-2] + b"X-A: 1\r\nVia: b\r\n\r\n") for _ in range(3)]
    heads.append(parser.split(PLAIN[:-2] + b"X-A: 1\r\nVia: c\r\n\r\n"))
    repeated = [isinstance(head, request_parser.RequestHead) and head.repeated for head in heads]
    assert repeated == [False, False, True, False]


def test_a_request_with_a_field_that_matters_twice_is_not_plain() -> None:
    parser = PlainRequestParser(frozenset({b"x-a"}))
    assert read(parser, PLAIN[:-2] + b"X-A: 1\r\nx-a: 1\r\n\r\n") is HandoffReason.UNUSUAL


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_parser, "_MAX_KNOWN", 3)
    parser = PlainRequestParser(frozenset({b"x-a"}))
    for number in range(20):
        fields = b"X-A: %d\r\nX-B: %d\r\nX-C: %b\r\n\r\n" % (number, number, b"c" * 300)
        for _ in range(3):  # what comes a second time is remembered
            head = parser.split(PLAIN[:-2] + fields)
            assert isinstance(head, request_parser.RequestHead)
            assert head.fields == (b"Host: dl.example", b"X-A: %d" % number)
            assert len(parser._kept) + len(parser._dropped) <= 3
        assert parser._kept or parser._dropped


def with_id(value: bytes, name: bytes = b"X-Amz-Cf-Id") -> bytes:
    return b"GET /a HTTP/1.1\r\nHost: h\r\n%b: %b\r\n\r\n" % (name, value)


def restless(monkeypatch: pytest.MonkeyPatch, names: frozenset[bytes]) -> PlainRequestParser:
    """A parser that has seen more values of a field than it remembers."""
    monkeypatch.setattr(request_parser, "_MANY", 3)
    parser = PlainRequestParser(names)
    for number in range(10):
        assert isinstance(read(parser, with_id(b"%d" % number)), PlainRequest)
    return parser


def test_a_field_with_a_new_value_each_time_is_not_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parser = restless(monkeypatch, frozenset())
    before = len(parser._seen_once)
    for number in range(10, 20):
        assert isinstance(read(parser, with_id(b"%d" % number)), PlainRequest)
    assert len(parser._seen_once) == before
    assert isinstance(read(parser, with_id(b"a\tb")), PlainRequest)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        pytest.param(b"a\x00b", b"X-Amz-Cf-Id", id="a NUL"),
        pytest.param(b"a\rb", b"X-Amz-Cf-Id", id="a carriage return"),
        pytest.param(b"a\nb: c", b"X-Amz-Cf-Id", id="a line feed"),
        pytest.param(b"a\x7fb", b"X-Amz-Cf-Id", id="DEL"),
        pytest.param(b"caf\xc3\xa9", b"X-Amz-Cf-Id", id="more than ASCII"),
        pytest.param(b"1", b"X-Amz-Cf-Id ", id="a space before the colon"),
        pytest.param(b"1", b" X-Amz-Cf-Id", id="a folded line"),
    ],
)
def test_what_is_not_remembered_is_checked_all_the_same(
    monkeypatch: pytest.MonkeyPatch, value: bytes, name: bytes
) -> None:
    parser = restless(monkeypatch, frozenset())
    assert read(parser, with_id(value, name)) is HandoffReason.UNPARSABLE


def test_a_field_that_decides_is_read_whatever_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    parser = restless(monkeypatch, frozenset({b"x-amz-cf-id"}))
    found = read(parser, with_id(b"77"))
    assert isinstance(found, PlainRequest)
    assert found.request.headers[b"x-amz-cf-id"] == b"77"
    assert read(parser, with_id(b"1", b"Content-Length")) is HandoffReason.BODY


def test_names_that_are_counted_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_parser, "_MANY", 0)
    monkeypatch.setattr(request_parser, "_MAX_NAMES", 3)
    parser = PlainRequestParser(frozenset())
    for number in range(10):
        read(parser, with_id(b"1", b"X-%d" % number))
        assert 0 < len(parser._counts) <= 3
        assert 0 < len(parser._unique_fields) <= 3


def test_many_other_names_do_not_keep_a_restless_field_from_being_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_parser, "_MANY", 3)
    monkeypatch.setattr(request_parser, "_MAX_NAMES", 3)
    parser = PlainRequestParser(frozenset())
    for number in range(10):
        read(parser, with_id(b"1", b"X-%d" % number))
    for number in range(10):
        read(parser, with_id(b"%d" % number))
    assert parser._unique_fields == {b"X-Amz-Cf-Id:"}
