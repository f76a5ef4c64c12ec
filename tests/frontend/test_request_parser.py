"""Plain requests: what is parsed, what is left to aiohttp, which layouts are compiled."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    assert isinstance(found, tuple)
    assert found[1]
    assert found[0].method == "GET"
    assert found[0].target == "/a%20b?x=1"
    assert found[0].headers == {b"host": b"H", b"x-a": b"1"}
    assert found[0].peer == "192.0.2.1"


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
        assert isinstance(read(parser, PLAIN), tuple)


def test_connection_close_is_seen_and_the_parser_goes_on() -> None:
    parser = PlainRequestParser(frozenset())
    closing = PLAIN[:-2] + b"Connection: close\r\n\r\n"
    for _ in range(3):
        found = read(parser, closing)
        assert isinstance(found, tuple)
        assert not found[1]
        assert isinstance(read(parser, PLAIN), tuple)


def test_fields_that_nothing_depends_on_may_repeat_and_differ() -> None:
    parser = PlainRequestParser(frozenset({b"x-a"}))
    chunk = PLAIN[:-2] + b"X-A: 1\r\nVia: %d\r\nVia: b\r\n\r\n"
    for number in range(3):
        head = parser.split(chunk % number)
        assert head == (b"GET /a.tar.gz HTTP/1.1", (b"Host: dl.example", b"X-A: 1"))


def test_a_request_with_a_field_that_matters_twice_is_not_plain() -> None:
    parser = PlainRequestParser(frozenset({b"x-a"}))
    assert read(parser, PLAIN[:-2] + b"X-A: 1\r\nx-a: 1\r\n\r\n") is HandoffReason.UNUSUAL


def with_id(value: bytes, name: bytes = b"X-Amz-Cf-Id") -> bytes:
    return b"GET /a HTTP/1.1\r\nHost: h\r\nVia: 1\r\n%b: %b\r\n\r\n" % (name, value)


@pytest.fixture
def learned(monkeypatch: pytest.MonkeyPatch) -> PlainRequestParser:
    """A parser that has compiled the layout of ``with_id``."""
    monkeypatch.setattr(request_parser, "_LEARNED_AFTER", 3)
    return learn(PlainRequestParser(frozenset()))


def learn(parser: PlainRequestParser) -> PlainRequestParser:
    for number in range(3):
        assert not parser._layouts
        assert isinstance(read(parser, with_id(b"%d" % number)), tuple)
    assert len(parser._layouts) == 1
    return parser


def test_heads_of_a_layout_that_comes_often_are_not_cut_into_lines(
    learned: PlainRequestParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PlainRequestParser, "_split_lines", None)
    for value in (b"10", b"", b" a b ", b"Content-Length: 1"):
        head = learned.split(with_id(value))
        assert head == (b"GET /a HTTP/1.1", (b"Host: h",))


def test_a_tab_in_a_skipped_value_changes_nothing(learned: PlainRequestParser) -> None:
    assert learned.split(with_id(b" a\tb ")) == (b"GET /a HTTP/1.1", (b"Host: h",))


@pytest.mark.parametrize(
    ("value", "name", "why"),
    [
        pytest.param(b"a\x00b", b"X-Amz-Cf-Id", HandoffReason.UNPARSABLE, id="a NUL"),
        pytest.param(b"a\rb", b"X-Amz-Cf-Id", HandoffReason.UNPARSABLE, id="a carriage return"),
        pytest.param(b"a\nb: c", b"X-Amz-Cf-Id", HandoffReason.UNPARSABLE, id="a line feed"),
        pytest.param(b"a\x7fb", b"X-Amz-Cf-Id", HandoffReason.UNPARSABLE, id="DEL"),
        pytest.param(b"caf\xc3\xa9", b"X-Amz-Cf-Id", HandoffReason.UNPARSABLE, id="not ASCII"),
        pytest.param(b"1", b"X-Amz-Cf-Id ", HandoffReason.UNPARSABLE, id="a space before a colon"),
        pytest.param(b"1", b" X-Amz-Cf-Id", HandoffReason.UNPARSABLE, id="a folded line"),
        pytest.param(b"1\r\n 2", b"X-Amz-Cf-Id", HandoffReason.UNPARSABLE, id="a folded value"),
        pytest.param(b"1\r\nX", b"X-Amz-Cf-Id", HandoffReason.UNPARSABLE, id="no colon"),
        pytest.param(b"1", b"Content-Length", HandoffReason.BODY, id="a body"),
        pytest.param(b"1\r\ntransfer-encoding: chunked", b"X-Amz-Cf-Id", HandoffReason.BODY,
                     id="a body behind it"),
        pytest.param(b"1\r\nTE: x", b"X-Amz-Cf-Id", HandoffReason.UNUSUAL, id="a coding"),
        pytest.param(b"1\r\nHost: i", b"X-Amz-Cf-Id", HandoffReason.UNUSUAL, id="another host"),
        pytest.param(b"1\r\n\r\nGET / HTTP/1.1\r\nHost: h", b"X-Amz-Cf-Id",
                     HandoffReason.PIPELINED, id="two requests"),
        pytest.param(b"a" * 8190, b"X-Amz-Cf-Id", HandoffReason.UNUSUAL, id="a long one"),
    ],
)  # fmt: skip
def test_what_is_skipped_is_checked_all_the_same(
    learned: PlainRequestParser, value: bytes, name: bytes, why: HandoffReason
) -> None:
    assert read(learned, with_id(value, name)) is why


_HEADS = st.lists(
    st.sampled_from([b"Host: h", b"Via: 1", b"X-Amz-Cf-Id: ", b"X-Amz-Cf-Id: 1", b"TE: 1", b"7",
                     b":", b"\r", b"\n", b"\r\n", b"\t", b"\0", b" ", b"GET /a HTTP/1.1"]),
    max_size=4,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(_HEADS, _HEADS, st.integers(0, 60))
def test_a_layout_changes_no_answer(pieces: list[bytes], more: list[bytes], cut: int) -> None:
    known = with_id(b"1\r\n" + b"\r\n".join(pieces))
    broken = known[:cut] + b"".join(more) + known[cut:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_parser, "_LEARNED_AFTER", 3)
        parser = learn(PlainRequestParser(frozenset({b"via"})))
    for chunk in (known, broken, with_id(b"".join(pieces))):
        assert read(parser, chunk) == read(PlainRequestParser(frozenset({b"via"})), chunk)


def test_a_field_that_decides_is_read_whatever_its_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_parser, "_LEARNED_AFTER", 3)
    parser = learn(PlainRequestParser(frozenset({b"x-amz-cf-id"})))
    for name in (b"X-Amz-Cf-Id", b"x-amz-CF-id"):
        found = read(parser, with_id(b"77", name))
        assert isinstance(found, tuple)
        assert found[0].headers[b"x-amz-cf-id"] == b"77"


def test_what_is_remembered_of_heads_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("_LEARNED_AFTER", "_MAX_LAYOUTS", "_MAX_COUNTED", "_MAX_NAMES"):
        monkeypatch.setattr(request_parser, bound, 3)
    parser = PlainRequestParser(frozenset())
    for number in range(10):
        for _ in range(3):
            assert isinstance(read(parser, with_id(b"1", b"X-%d" % number)), tuple)
        read(parser, with_id(b"1", b"Y-%d" % number))
        assert len(parser._layouts) == min(number + 1, 3)
        assert len(parser._counts) <= 3
        assert len(parser._kinds) <= 3
    for _ in range(6):
        read(parser, with_id(b"1", b"X" * 1024))
    assert all(len(name) < 1024 for name in (*parser._counts, *parser._kinds))


def test_a_layout_that_comes_more_often_than_another_is_tried_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_parser, "_LEARNED_AFTER", 1)
    parser = PlainRequestParser(frozenset())
    for name in (b"A", b"B", b"C"):
        read(parser, with_id(b"1", name))
    often = parser._layouts[2]
    for place in (1, 0, 0):
        read(parser, with_id(b"1", b"C"))
        assert parser._layouts.index(often) == place
