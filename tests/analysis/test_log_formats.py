"""Every format of access logs, by the fast reader and line by line: the same rows of both."""

from __future__ import annotations

import gzip
import io
import json
from datetime import date, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.analysis.reading.arrow_reader import TableReader, table_of
from nearbucket.analysis.reading.formats import (
    COLUMNS,
    NUMBERS,
    STANDARD,
    agent_of,
    sent_key,
    shown_key,
)
from nearbucket.analysis.reading.line_reader import LineReader, LogLine
from nearbucket.analysis.reading.log_blocks import LogBlocks
from tests.build import WEST

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLES = Path(__file__).parent.parent / "data" / "logs"
REALTIME = (  # noqa: SIM905  # as in the documentation
    "timestamp,c-ip,time-to-first-byte,sc-status,sc-bytes,cs-method,cs-protocol,cs-host,"
    "cs-uri-stem,cs-bytes,x-edge-location,x-edge-request-id,x-host-header,time-taken,"
    "cs-protocol-version,c-ip-version,cs-user-agent,cs-referer,cs-cookie,cs-uri-query,"
    "x-edge-response-result-type,x-forwarded-for,ssl-protocol,ssl-cipher,x-edge-result-type,"
    "fle-encrypted-fields,fle-status,sc-content-type,sc-content-len,sc-range-start,sc-range-end,"
    "c-port,x-edge-detailed-result-type,c-country,cs-accept-encoding,cs-accept,"
    "cache-behavior-path-pattern"
).split(",")
ALL = frozenset(COLUMNS)
Rows = list[dict[str, Any]]


def fast(content: bytes, fields: tuple[str, ...] = ()) -> tuple[Rows, TableReader, LogBlocks]:
    """Rows by the fast reader."""
    reader, blocks = TableReader(ALL, fields), LogBlocks(io.BytesIO(content))
    return [row for table in reader.tables(blocks) for row in plain(table)], reader, blocks


def slow(content: bytes) -> Rows:
    """Rows line by line."""
    reader = LineReader()
    rows: list[LogLine] = []
    for raw in content.split(b"\n"):
        try:
            rows += reader.lines(raw)
        except ValueError:
            continue
    return plain(table_of(rows, ALL)) if rows else []


def plain(table: pa.Table) -> Rows:
    """Rows without columns in which nothing is, and without hosts that do not count."""
    rows = [
        {name: value for name, value in row.items() if value not in {None, b"-", b""}}
        for row in table.to_pylist()
    ]
    for row in rows:
        if "x_host_header" in row:
            row.pop("cs_host", None)
    return rows


def w3c(*rows: bytes, header: str = " ".join(STANDARD)) -> bytes:
    """A file of these lines."""
    return b"\n".join((b"#Version: 1.0", b"#Fields: " + header.encode(), *rows, b""))


LINE = (SAMPLES / "cloudfront-w3c-33.log").read_bytes().split(b"\n")[2]


@pytest.mark.parametrize(
    ("name", "kind", "lines", "size", "damage"),
    [
        ("cloudfront-plain-no-header.log", "w3c", 3, 4713510, ""),
        ("cloudfront-v2-no-client.log", "w3c-v2", 3, 4713510, ""),
        ("cloudfront-v2-selected.log", "w3c-v2", 4, 13102658, ""),
        ("cloudfront-v2.json", "json", 6, 21491806, ""),
        ("cloudfront-v2.parquet", "parquet", 6, 21491806, ""),
        ("cloudfront-w3c-12-fields.log", "w3c", 3, 4713510, ""),
        ("cloudfront-w3c-18-fields.log", "w3c", 3, 4713510, ""),
        ("cloudfront-w3c-26-fields.log", "w3c", 3, 4713510, ""),
        ("cloudfront-w3c-33.log", "w3c", 24, 40872813, ""),
        ("cloudfront-w3c-joined.log", "w3c", 48, 81745626, ""),
        ("concatenated-members.gz", "w3c", 24, 40872813, ""),
        ("empty.gz", "", 0, 0, ""),
        ("garbage-after.gz", "w3c", 24, 40872813, ""),  # zeros: padding, as gzip has it
        ("s3-access.log", "s3", 3, 1570799, ""),
        ("truncated.gz", "w3c", 641, 1092567761, "its gzip data ends too early"),
    ],
)
def test_samples_are_read_and_the_damaged_are_named(
    name: str, kind: str, lines: int, size: int, damage: str
) -> None:
    rows, reader, blocks = fast((SAMPLES / name).read_bytes())
    found = (reader.kind, len(rows), sum(row.get("sc_bytes", 0) for row in rows), blocks.damage)
    assert found == (kind, lines, size, damage)
    assert not reader.unreadable


@pytest.mark.parametrize(
    "name",
    [
        path.name
        for path in sorted(SAMPLES.iterdir())
        if path.suffix not in {".gz", ".parquet"} and "realtime" not in path.name
    ],
)
def test_samples_give_the_same_rows_line_by_line(name: str) -> None:
    content = (SAMPLES / name).read_bytes()
    assert fast(content)[0] == slow(content) != []


def test_json_and_parquet_of_the_same_requests_give_the_same_rows() -> None:
    json_rows, *_ = fast((SAMPLES / "cloudfront-v2.json").read_bytes())
    parquet_rows, *_ = fast((SAMPLES / "cloudfront-v2.parquet").read_bytes())
    extra = {"asn", "timestamp_ms"}  # this Parquet file has the 33 fields only
    assert parquet_rows == [
        {name: value for name, value in row.items() if name not in extra} for row in json_rows
    ]


@pytest.mark.parametrize("lost", ["c-ip", "sc-bytes", "time", "cs(User-Agent)"])
@pytest.mark.parametrize("place", [0, 1])
def test_json_lines_with_other_fields_than_the_first_are_read_whole(lost: str, place: int) -> None:
    objects = [
        json.loads(line) for line in (SAMPLES / "cloudfront-v2.json").read_bytes().splitlines()
    ]
    del objects[place][lost]
    content = b"".join(json.dumps(each).encode() + b"\n" for each in objects)
    rows, reader, _ = fast(content)
    assert reader.unreadable == (lost == "sc-bytes")
    assert rows == slow(content)


@pytest.mark.parametrize("name", ["cloudfront-v2.json", "cloudfront-v2.parquet"])
def test_json_and_parquet_are_not_read_line_by_line(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fast((SAMPLES / name).read_bytes())[0]
    monkeypatch.setattr(TableReader, "_of_lines", lambda *_: iter(()))
    assert fast((SAMPLES / name).read_bytes())[0] == whole != []


def test_broken_lines_cost_no_other() -> None:
    bad = (
        b"2026-11-02\t03:04:05\tIAD89", b"not a log line", b"\xff\xfe\0bad utf8\t\t\t",
        LINE + b"\textra\tcolumns", b"x" * (1 << 20 | 1),
    )  # fmt: skip
    content = w3c(LINE, *bad, LINE + b"\r", LINE.replace(b"1571170", b"-"), LINE).rstrip(b"\n")
    rows, reader, _ = fast(content)
    assert [row.get("sc_bytes") for row in rows] == [1571170, 1571170, None, 1571170]
    assert (reader.unreadable, reader.first_problem) == (
        5,
        "line 4: 3 columns, and #Fields names 33",
    )
    assert rows == slow(content)


@pytest.mark.parametrize("member", ["one", "two"])
def test_a_damaged_gzip_file_counts_as_far_as_it_can_be_read(
    member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks.BLOCK", 1 << 19)  # several are read
    text = w3c(*[b"%b%d" % (LINE[:-1], number) for number in range(5000)])
    stored = gzip.compress(text)
    if member == "two":
        stored = gzip.compress(w3c(LINE)) + stored
    broken = bytearray(stored)
    broken[len(broken) * 3 // 4 : len(broken) * 3 // 4 + 9] = b"\xff" * 9
    rows, _, blocks = fast(bytes(broken))
    assert blocks.damage.startswith("damaged gzip, the rest is lost: ")
    assert len(rows) < 5001
    whole, _, cut = fast(stored[: len(stored) * 3 // 4])
    assert cut.damage == "its gzip data ends too early"
    assert 2500 < len(whole) < 5000
    rest, _, after = fast(gzip.compress(w3c(LINE)) + b"bytes behind")
    assert after.damage == "bytes after the end of its gzip data are left out"
    assert len(rest) == 1


def test_blocks_end_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks.BLOCK", 1000)
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks._READ", 300)
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks._TEXT", 500)
    content = w3c(*[LINE] * 50)
    for stored in (content, gzip.compress(content), gzip.compress(content) * 2):
        blocks = list(LogBlocks(io.BytesIO(stored)))
        assert len(blocks) > 5
        assert all(block.endswith(b"\n") for block in blocks)
        assert b"".join(blocks) == content * (1 + (stored.count(b"\x1f\x8b\x08") == 2))
        assert len(fast(stored)[0]) in {50, 100}


def test_a_line_without_end_is_not_held_in_memory() -> None:
    text = w3c(LINE, b"x" * (40 << 20), LINE)
    blocks = list(LogBlocks(io.BytesIO(text)))
    assert max(map(len, blocks)) < 8 << 20
    rows, reader, _ = fast(text)
    assert (len(rows), reader.unreadable) == (2, 1)
    assert reader.first_problem == "line 4: longer than 1048576 bytes"


@pytest.mark.parametrize("packed", [False, True])
def test_a_large_file_of_json_objects_without_line_ends_is_read_whole(*, packed: bool) -> None:
    objects = (SAMPLES / "cloudfront-v2.json").read_bytes().splitlines()
    content = b"".join(objects * 1000)
    rows, reader, _ = fast(gzip.compress(content, 1) if packed else content)
    assert (len(rows), reader.unreadable) == (len(objects) * 1000, 0)


def test_fields_come_in_any_order_and_again_in_mid_file() -> None:
    names = "sc-status cs-uri-stem sc-bytes c-ip"
    content = w3c(b"200\t/a\t7\t" + WEST.encode(), header=names) + b"#Comment\n\n"
    content += w3c(
        b"9\t/b\t404", header="sc-bytes\tcs-uri-stem\tsc-status"
    )  # TABs, as some have it
    rows, *_ = fast(content)
    assert [(row["cs_uri_stem"], row["sc_bytes"], row["sc_status"]) for row in rows] == [
        (b"/a", 7, 200),
        (b"/b", 9, 404),
    ]
    assert rows == slow(content)


@pytest.mark.parametrize("piece", [1, 7, 300, 450, 1000, 1500])
def test_lines_and_headers_may_be_cut_anywhere(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    other = w3c(b"9\t/b\t404", header="sc-bytes\tcs-uri-stem\tsc-status")
    content = w3c(*[LINE] * 20) + other + w3c(*[LINE] * 3, LINE.replace(b"Hit", b"#Hit"), b"odd")
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks._READ", piece)
    for size in (1 << 22, 2000):
        monkeypatch.setattr("nearbucket.analysis.reading.log_blocks.BLOCK", size)
        rows, reader, _ = fast(content)
        assert rows == slow(content)
        assert (len(rows), reader.unreadable) == (25, 1)
        assert reader.first_problem.startswith(f"line {content.count(bytes([10]))}: ")


def test_a_header_without_a_needed_field_is_named() -> None:
    rows, reader, _ = fast(w3c(b"1\t2", header="date time"))
    assert rows == []
    assert reader.first_problem == "#Fields has no sc-bytes, cs-uri-stem, sc-status"


def test_a_file_without_a_header_is_read_by_the_given_fields() -> None:
    content = (SAMPLES / "cloudfront-realtime.tsv").read_bytes()
    (row,), *_ = fast(content, tuple(REALTIME))
    assert row["timestamp"] == b"1793590000.123"
    assert sent_key(row["cs_uri_stem"], own=False) == "dcos/releases/v1.2/dcos-1.tar.xz"
    assert (row["c_ip"], row["sc_bytes"], row["sc_status"]) == (b"192.0.2.10", 1571170, 200)


def test_s3s_lines_are_read_with_quotes_in_agents_and_keys() -> None:
    rows, *_ = fast((SAMPLES / "s3-access.log").read_bytes())
    shown = [
        (
            row["cs_method"],
            shown_key(sent_key(row["cs_uri_stem"], own=False)),
            agent_of(row["cs_user_agent"], own=False),
            row.get("sc_bytes"),
        )
        for row in rows
    ]
    assert shown == [
        (b"GET", "dcos/dcos-1.tar.xz", "curl/8.5.0", 1570556),
        (b"HEAD", "preseed/ubuntu.seed", "MSP360/6.2.2", None),
        (b"GET", '"', 'Mozilla/5.0 Safari/604.1"', 243),
    ]
    assert (rows[0]["date"], rows[0]["time"]) == (date(2026, 2, 6), time(0, 0, 38))


def test_json_objects_without_a_line_end_between_them_are_read() -> None:
    lines = (SAMPLES / "cloudfront-v2.json").read_bytes().splitlines()
    assert fast(b"".join(lines))[0] == fast(b"\n".join(lines))[0]
    numbers = json.loads(lines[0]) | {"sc-bytes": 5}
    rows, reader, _ = fast(json.dumps(numbers).encode() + b"\n[]\n{}\n" + lines[0])
    assert [row["sc_bytes"] for row in rows] == [5, 1571170]
    assert reader.unreadable == 2


_TEXT = st.binary(max_size=12).map(lambda raw: raw.translate(None, b"\t\n\r\0"))
_VALUE = {
    **dict.fromkeys(NUMBERS, st.integers(0, 10**17).map(lambda n: b"%d" % n) | st.just(b"-")),
}


@given(st.data())
def test_both_readers_give_the_same_rows(data: st.DataObject) -> None:
    names = ["sc-bytes", "cs-uri-stem", "sc-status", *data.draw(st.permutations(STANDARD))]
    names = list(dict.fromkeys(names))[: data.draw(st.integers(3, 33))]
    rows = [
        b"\t".join(
            data.draw(_VALUE.get(name.replace("-", "_"), _TEXT.map(lambda raw: b"v" + raw)))
            for name in names
        )
        for _ in range(data.draw(st.integers(1, 4)))
    ]
    if data.draw(st.booleans()):
        rows.insert(0, data.draw(_TEXT) or b"x")
    content = w3c(*rows, header=" ".join(names))
    assert fast(content)[0] == slow(content)
