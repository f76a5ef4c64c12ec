"""What a line of the access log says, in both forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nearbucket.telemetry.log_format import W3C_FIELDS
from tests.log_lines import BARE, FULL, json_line, w3c_line


def test_a_json_line_holds_every_field_by_its_name() -> None:
    assert json_line(FULL) == (
        b'{"time":"2026-07-29T08:27:05.456+00:00","seconds":0.012346,"client":"198.51.100.7",'
        b'"peer":"127.0.0.1","host":"dl.example","region":"us-west-2","site":"*",'
        b'"user_agent":"curl/8.5.0","referer":"https://example.org/","range":"bytes=0-99",'
        b'"protocol":"HTTP/1.1","method":"GET","path":"/releases/app-1.0.tar.gz",'
        b'"action":"stream","reason":"shadow","status":206,"bytes":100}\n'
    )


def test_a_line_says_that_an_answer_broke_off_and_otherwise_nothing() -> None:
    whole, broken = FULL, FULL._replace(complete=False)
    assert json_line(broken) == json_line(whole)[:-2] + b',"complete":false}\n'
    assert json.loads(json_line(broken))["complete"] is False
    column = W3C_FIELDS.split().index("x-edge-result-type")
    values, usual = (w3c_line(each).split(b"\t") for each in (broken, whole))
    assert (values.pop(column), usual.pop(column)) == (b"Error", b"-")
    assert values == usual


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, b"0.000000"), (0.000999, b"0.000999"), (0.001, b"0.001000"), (12.5, b"12.500000")],
)
def test_a_json_line_has_microseconds_however_long_it_took(seconds: float, text: bytes) -> None:
    assert b'"seconds":%b,' % text in json_line(FULL._replace(seconds=seconds))


def test_a_json_line_leaves_out_what_is_not_there() -> None:
    assert json_line(BARE) == (
        b'{"time":"2026-07-29T08:27:05.456+00:00","seconds":0.000000,"peer":"127.0.0.1",'
        b'"region":"UNKNOWN","protocol":"HTTP/1.1","method":"-","path":"-","action":"refuse",'
        b'"reason":"bad-request","status":400,"bytes":0}\n'
    )


def test_a_w3c_line_has_cloudfronts_columns_in_the_order_of_the_header() -> None:
    assert w3c_line(FULL) == (
        b"2026-07-29\t08:27:05\t-\t100\t198.51.100.7\tGET\tdl.example\t/releases/app-1.0.tar.gz\t"
        b"206\thttps://example.org/\tcurl/8.5.0\t-\t-\tdl.example\thttp\t0.012\t-\tHTTP/1.1\t0\t99"
        b"\tstream\tus-west-2\tshadow\t-\n"
    )
    assert w3c_line(FULL).count(b"\t") + 1 == len(W3C_FIELDS.split())


def test_a_w3c_line_writes_a_hyphen_for_what_is_not_there_or_empty() -> None:
    assert w3c_line(BARE._replace(user_agent="", host="")) == (
        b"2026-07-29\t08:27:05\t-\t0\t-\t-\t-\t-\t400\t-\t-\t-\t-\t-\thttp\t0.000\t-\tHTTP/1.1\t-"
        b"\t-\trefuse\t-\tbad-request\t-\n"
    )


@pytest.mark.parametrize(
    ("value", "start", "end"),
    [
        ("bytes=0-99", b"0", b"99"),
        ("bytes=500-", b"500", b"-"),
        ("bytes=-500", b"-", b"500"),
        ("Bytes=0-99", b"0", b"99"),
        ("bytes= 0-99 ", b"0", b"99"),
        (f"bytes=0000-{10**15}", b"0", b"9" * 15),
        ("bytes=\u0665-9", b"-", b"-"),
        ("bytes=0-0,-1", b"-", b"-"),
        ("bytes=0-99\n", b"-", b"-"),
        ("lines=0-9", b"-", b"-"),
        ("", b"-", b"-"),
        (None, b"-", b"-"),
    ],
)
def test_a_w3c_line_takes_one_range_apart_and_leaves_others_out(
    value: str | None, start: bytes, end: bytes
) -> None:
    columns = w3c_line(FULL._replace(range=value)).split(b"\t")
    assert columns[18:20] == [start, end]


ODD = [
    pytest.param("\x1b[31mred", rb"\u001b[31mred", b"%1B%5B31mred", id="terminal colour"),
    pytest.param("\x1b]0;own\x07", rb"\u001b]0;own\u0007", b"%1B%5D0;own%07", id="terminal title"),
    pytest.param("\x9b31m", rb"\u009b31m", b"%C2%9B31m", id="one-byte escape"),
    pytest.param("a\tb", rb"a\tb", b"a%09b", id="tab"),
    pytest.param("a\r\nb", rb"a\r\nb", b"a%0D%0Ab", id="line end"),
    pytest.param("a\x00\x7fb", rb"a\u0000\u007fb", b"a%00%7Fb", id="nul and delete"),
    pytest.param("\u2028\x85", rb"\u2028\u0085", b"%E2%80%A8%C2%85", id="unicode line ends"),
    pytest.param('say "hi"', rb"say \"hi\"", b"say%20%22hi%22", id="quotes"),
    pytest.param("it's \\", rb"it's \\", b"it%27s%20%5C", id="apostrophe and backslash"),
    pytest.param("100%", b"100%", b"100%25", id="percent"),
    pytest.param("%20", b"%20", b"%2520", id="encoded space"),
    pytest.param("<#{|}~[^]`>", b"<#{|}~[^]`>", b"%3C%23%7B%7C%7D%7E%5B%5E%5D%60%3E", id="unsafe"),
    pytest.param("é€", rb"\u00e9\u20ac", b"%C3%A9%E2%82%AC", id="not ASCII"),
    pytest.param("\U0001f600", rb"\ud83d\ude00", b"%F0%9F%98%80", id="beyond 16 bits"),
    pytest.param("\ufffd", rb"\ufffd", b"%EF%BF%BD", id="replaced"),
    pytest.param("a-b_c.d!$&()*+,/:;=?@", b"a-b_c.d!$&()*+,/:;=?@", b"a-b_c.d!$&()*+,/:;=?@",
                 id="safe"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "as_json", "as_w3c"), ODD)
@pytest.mark.parametrize("field", ["user_agent", "referer", "host", "path", "method"])
def test_text_of_a_client_is_escaped_in_any_field(
    field: str, text: str, as_json: bytes, as_w3c: bytes
) -> None:
    change: dict[str, Any] = {field: text}
    record = FULL._replace(**change)
    line, columns = json_line(record), w3c_line(record)
    assert b'"%s":"%s"' % (field.encode(), as_json) in line
    assert json.loads(line)[field] == text
    assert as_w3c in columns[:-1].split(b"\t")
    assert columns.count(b"\t") == w3c_line(FULL).count(b"\t")
    for whole in (line, columns):
        assert whole.isascii()
        assert whole.replace(b"\t", b" ")[:-1].decode().isprintable()
        assert whole.endswith(b"\n")
