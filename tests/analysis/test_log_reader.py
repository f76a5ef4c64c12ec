"""Access logs that are read: nearbucket's own and CloudFront's."""

from __future__ import annotations

import gzip
import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pyarrow.parquet
import pytest

from nearbucket.analysis.reading.log_reader import (
    LogEntry,
    LogFiles,
    LoggedRequest,
    UnreadableInput,
)
from nearbucket.errors import ConfigError
from nearbucket.telemetry.log_format import JsonFormat, W3cFormat
from tests import log_lines
from tests.build import WEST
from tests.log_lines import line_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY = "/a.tar.gz"
FULL = log_lines.FULL._replace(
    client=WEST,
    path=KEY,
    status=200,
    bytes=1000,
    seconds=0.01,
    user_agent='curl/8.5.0 (a "b" 100%)',
    referer=None,
    range=None,
)
ASKED = LoggedRequest(WEST, "dl.example", "GET", KEY, FULL.user_agent, None, "shadow")
CLOUDFRONT = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status cs(Referer) "
    "cs(User-Agent) cs-uri-query cs(Cookie) x-edge-result-type x-edge-request-id x-host-header "
    "cs-protocol cs-bytes time-taken x-forwarded-for ssl-protocol ssl-cipher "
    "x-edge-response-result-type cs-protocol-version fle-status fle-encrypted-fields c-port "
    "time-to-first-byte x-edge-detailed-result-type sc-content-type sc-content-len "
    "sc-range-start sc-range-end"
)


def lines(folder: Path, *contents: bytes) -> list[LogEntry | UnreadableInput]:
    """The entries of files with these contents."""
    names = []
    for number, content in enumerate(contents):
        path = folder / f"{number}.log"
        path.write_bytes(content)
        names.append(str(path))
    return list(LogFiles(names).entries())


def w3c(names: str, **values: str) -> bytes:
    """A file of one line, with these columns."""
    known = {
        "sc-bytes": "1000",
        "c-ip": WEST,
        "cs-method": "GET",
        "cs-uri-stem": KEY,
        "sc-status": "200",
        **values,
    }
    row = "\t".join(known.get(name, "-") for name in names.split())
    return f"#Version: 1.0\n#Fields: {names}\n{row}\n".encode()


def only(found: list[LogEntry | UnreadableInput]) -> LogEntry:
    (line,) = found
    assert isinstance(line, LogEntry), line
    return line


@pytest.mark.parametrize("form", [JsonFormat(), W3cFormat()], ids=["json", "w3c"])
@pytest.mark.parametrize("path", [KEY, "/a%20b%2Fc+d.tar.gz", "/%C3%BC.tar.gz", "/a'b~c.tar.gz"])
def test_what_the_access_log_writes_is_read_as_it_was_sent(
    tmp_path: Path, form: JsonFormat | W3cFormat, path: str
) -> None:
    written = form.header() + line_of(form, FULL._replace(path=path))
    asked = ASKED._replace(target=path)
    expected = LogEntry(asked, 200, 1000, None, served=True, day=int(FULL.time // 86400))
    assert lines(tmp_path, written) == [expected]
    assert lines(tmp_path, gzip.compress(written), written) == [expected, expected]


@pytest.mark.parametrize("form", [JsonFormat(), W3cFormat()], ids=["json", "w3c"])
@pytest.mark.parametrize(
    ("changes_", "span", "served"),
    [
        pytest.param({"range": "bytes=0-99", "status": 206}, 100, True, id="a range"),
        pytest.param({"range": "bytes=-7", "status": 206}, 7, True, id="the last bytes"),
        pytest.param({"range": "bytes=5-"}, 0, True, id="the rest of an object"),
        pytest.param({"range": "bytes=0-"}, None, True, id="an open range"),
        pytest.param({"range": "bytes=5-2"}, None, True, id="a range that is ignored"),
        pytest.param({"range": "bytes=0-1,5-6"}, None, True, id="two ranges"),
        pytest.param({"status": 301, "action": "redirect"}, None, False, id="a redirect"),
        pytest.param({"status": 421, "action": "refuse"}, None, False, id="a refusal"),
        pytest.param({"status": 304}, None, True, id="not modified"),
        pytest.param({"status": 0}, None, True, id="no answer"),
    ],
)
def test_ranges_and_what_is_no_object_are_told_apart(
    tmp_path: Path,
    form: JsonFormat | W3cFormat,
    changes_: Mapping[str, Any],
    span: int | None,
    served: bool,  # noqa: FBT001  # a column
) -> None:
    record = FULL._replace(**changes_)
    line = only(lines(tmp_path, form.header() + line_of(form, record)))
    assert (line.status, line.range_size, line.served) == (record.status, span, served)


@pytest.mark.parametrize("form", [JsonFormat(), W3cFormat()], ids=["json", "w3c"])
@pytest.mark.parametrize(
    ("range_", "size"),
    [
        (f"bytes=0-{10**15}", 10**15),
        (f"bytes=-{10**40}", 10**15 - 1),
        ("Bytes= 0000000000000000005-9", 5),
        ("bytes=\u0665-9", None),
    ],
)
def test_no_range_that_a_client_asks_for_makes_its_line_unreadable(
    tmp_path: Path, form: JsonFormat | W3cFormat, range_: str, size: int | None
) -> None:
    record = FULL._replace(status=301, action="redirect", range=range_)
    written = form.header() + line_of(form, record)
    assert only(lines(tmp_path, written)).range_size == size
    long = b"\t0\t" + b"9" * 16
    older = written.replace(b"\t0\t" + b"9" * 15, long).replace(b"\t-\t" + b"9" * 15, long)
    assert only(lines(tmp_path, older)).status == 301


@pytest.mark.parametrize("form", [JsonFormat(), W3cFormat()], ids=["json", "w3c"])
@pytest.mark.parametrize(("range_", "end"), [("5-99999", 105), ("5-", 105), ("-999", None)])
def test_the_end_of_a_range_is_that_of_the_bytes_that_were_sent(
    tmp_path: Path, form: JsonFormat | W3cFormat, range_: str, end: int | None
) -> None:
    record = FULL._replace(status=206, bytes=100, range=f"bytes={range_}")
    assert only(lines(tmp_path, form.header() + line_of(form, record))).range_end == end


def test_cloudfronts_files_are_read_by_their_column_names(tmp_path: Path) -> None:
    values = {"x-host-header": "dl.example", "cs(Host)": "d111.cloudfront.net",
              "cs(User-Agent)": "a%2520b", "cs-uri-query": "x=%2525", "cs(Cookie)": "a=b",
              "sc-range-start": "10", "sc-range-end": "19"}  # fmt: skip
    asked = LoggedRequest(WEST, "dl.example", "GET", f"{KEY}?x=%25", "a b", "a=b", None)
    for names in (CLOUDFRONT, " ".join(reversed(CLOUDFRONT.split()))):
        assert lines(tmp_path, w3c(names, **values)) == [
            LogEntry(asked, 200, 1000, 10, served=True, range_end=20)
        ]


def test_without_the_viewers_host_the_distributions_counts(tmp_path: Path) -> None:
    line = only(lines(tmp_path, w3c(CLOUDFRONT, **{"cs(Host)": "d111.cloudfront.net"})))
    assert line.request.host == "d111.cloudfront.net"


@pytest.mark.parametrize(
    ("written", "sent"),
    [("/a%2520b", "/a%20b"), ("/a%252Fb", "/a%2Fb"), ("/a%20b", "/a%20b"), ("/%C3%BC", "/%C3%BC")],
)
def test_a_path_that_was_encoded_once_only_stays(tmp_path: Path, written: str, sent: str) -> None:
    line = only(lines(tmp_path, w3c(CLOUDFRONT, **{"cs-uri-stem": written})))
    assert line.request.target == sent


def test_cloudfronts_own_redirect_to_https_is_no_redirect_elsewhere(tmp_path: Path) -> None:
    moved = {"sc-status": "301"}
    assert not only(lines(tmp_path, w3c(CLOUDFRONT, **moved))).served
    own = w3c(CLOUDFRONT, **moved, **{"x-edge-result-type": "Redirect"})
    assert only(lines(tmp_path, own)).served


def test_headers_of_several_workers_may_stand_between_the_lines(tmp_path: Path) -> None:
    form = W3cFormat()
    block = form.header() + line_of(form, FULL)
    other = w3c("sc-status cs-uri-stem cs-method c-ip sc-bytes")
    found = lines(tmp_path, block + block + other + block)
    reasons = [line.request.reason for line in found if isinstance(line, LogEntry)]
    assert reasons == ["shadow", "shadow", None, "shadow"]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        pytest.param(b'{"method":"GET"', "line 1: Expecting", id="half a line"),
        pytest.param(b'{"method":"GET"}', "line 1: the JSON has no sc-bytes", id="other JSON"),
        pytest.param(b'{"a":' * 100_000, "line 1: nested too deeply", id="deep"),
        pytest.param(b"{\xff}", "line 1: ", id="no text"),
        pytest.param(b"a\tb", "line 1: neither JSON, nor W3C below a #Fields", id="no header"),
        pytest.param(b"#Fields: date time", "line 1: #Fields has no sc-bytes, cs-uri", id="few"),
        pytest.param(w3c(CLOUDFRONT)[:-3], "line 3: ", id="a column short"),
        pytest.param(w3c(CLOUDFRONT, **{"sc-bytes": "x"}), "line 3: 'x' in sc-bytes", id="number"),
    ],
)
def test_what_is_no_request_is_named_and_the_next_line_is_read(
    tmp_path: Path, raw: bytes, problem: str
) -> None:
    problem_found, line = lines(tmp_path, raw.rstrip(b"\n") + b"\n\n" + line_of(JsonFormat(), FULL))
    assert isinstance(problem_found, UnreadableInput)
    assert problem_found.text.startswith(f"{tmp_path}/0.log: {problem}")
    assert isinstance(line, LogEntry)


def test_a_line_that_is_longer_than_any_request_cannot_be_read(tmp_path: Path) -> None:
    problem, line = lines(tmp_path, b"{" + b"x" * 3_000_000 + b"\n" + line_of(JsonFormat(), FULL))
    assert isinstance(problem, UnreadableInput)
    assert isinstance(line, LogEntry)


def test_a_cut_gzip_file_is_read_as_far_as_it_goes_and_named(tmp_path: Path) -> None:
    many = b"".join(line_of(JsonFormat(), FULL._replace(bytes=number)) for number in range(5000))
    found = lines(tmp_path, gzip.compress(many)[:-2000], line_of(JsonFormat(), FULL))
    assert isinstance(found[0], LogEntry)
    assert isinstance(found[-1], LogEntry)
    (broken,) = (each for each in found if isinstance(each, UnreadableInput) and each.rest)
    assert "0.log: its gzip data ends too early" in broken.text


def test_the_position_ends_at_the_size(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(gzip.compress(line_of(JsonFormat(), FULL) * 1000))
    logs = LogFiles([str(path)])
    assert logs.position == 0
    assert len(list(logs.entries())) == 1000
    assert logs.position == logs.size == path.stat().st_size


def test_folders_and_patterns_stand_for_their_files_and_each_is_read_once(tmp_path: Path) -> None:
    for name in ("a.log", "b.log"):
        (tmp_path / name).write_bytes(line_of(JsonFormat(), FULL))
    names = [str(tmp_path), str(tmp_path / "*.log"), str(tmp_path / "a.log")]
    assert len(list(LogFiles(names).entries())) == 2


DAY = 20_759
"""2026-11-02."""

FORMATS = {
    "CloudFront's JSON": json.dumps(
        {
            "date": "2026-11-02", "time": "00:00:01", "c-ip": WEST, "cs-method": "GET",
            "x-host-header": "dl.example", "cs-uri-stem": KEY, "sc-status": "206",
            "sc-bytes": "1300", "sc-content-len": "1000", "cs(User-Agent)": "curl/8.5.0",
        }
    ).encode(),
    "S3's": (
        f'owner dl.example [02/Nov/2026:00:00:01 +0000] {WEST} - ID REST.GET.OBJECT {KEY[1:]} '
        f'"GET {KEY} HTTP/1.1" 206 - 1300 1000 5 4 "-" "curl/8.5.0" - host SigV4\n'
    ).encode(),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_text_format_of_analyze_is_read(tmp_path: Path, name: str) -> None:
    asked = LoggedRequest(WEST, "dl.example", "GET", KEY, "curl/8.5.0", None, None)
    assert only(lines(tmp_path, FORMATS[name])) == LogEntry(
        asked, 206, 1300, None, served=True, length=None if name == "S3's" else 1000, day=DAY
    )


def test_parquet_is_read_too(tmp_path: Path) -> None:
    row = {"c_ip": WEST, "cs_method": "GET", "x_host_header": "dl.example", "cs_uri_stem": KEY,
           "sc_status": "206", "sc_bytes": "1300", "sc_content_len": "1000", "c_country": "US",
           "cs_user_agent": "curl/8.5.0", "cs_cookie": None}  # fmt: skip
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / "parquet")
    assert only(lines(tmp_path, (tmp_path / "parquet").read_bytes())) == LogEntry(
        LoggedRequest(WEST, "dl.example", "GET", KEY, "curl/8.5.0", None, None),
        206, 1300, None, served=True, length=1000,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("column", "value", "day"),
    [
        ("date", "2026-11-02", DAY),
        ("timestamp", "1793577600.123", DAY),
        ("timestamp(ms)", "1793663999999", DAY),
        ("timestamp", "-", None),
        ("timestamp", "inf", None),
        ("date", "2026-11-00", None),
        ("date", "1926-11-02", None),
    ],
)
def test_the_day_of_a_request_is_read_where_the_line_shows_it(
    tmp_path: Path, column: str, value: str, day: int | None
) -> None:
    names = f"{column} sc-bytes c-ip cs-method cs-uri-stem sc-status"
    assert only(lines(tmp_path, w3c(names, **{column: value}))).day == day


def test_copies_and_second_deliveries_of_a_log_count_once(tmp_path: Path) -> None:
    hour = tmp_path / "E2EXAMPLE.2026-11-02-00"
    w3c_file = w3c("date time sc-bytes c-ip cs-method cs-uri-stem sc-status")
    files = {
        f"{hour}.a.log": w3c_file,
        f"{hour}.a.log.gz": gzip.compress(w3c_file),
        f"{hour}.b.log": FORMATS["CloudFront's JSON"],
        str(tmp_path / "copy.log"): w3c_file,
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    link = tmp_path / "link.log"
    link.symlink_to(f"{hour}.a.log")
    line, *left_out = LogFiles([str(tmp_path), str(link)]).entries()
    assert isinstance(line, LogEntry)
    told = [each.text for each in left_out if isinstance(each, UnreadableInput) and each.rest]
    assert [each.partition(": left out: ")[2][:13] for each in told] == [
        "the same file", "the same as /", "E2EXAMPLE's r",
    ]  # fmt: skip


def test_without_the_extra_two_formats_are_read_and_copies_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nearbucket.analysis.reading.arrow_reader", None)
    for name in ("a", "b"):
        (tmp_path / f"E2EXAMPLE.2026-11-02-00.{name}.log").write_bytes(FORMATS["S3's"])
    names = "date time sc-bytes c-ip cs-method cs-uri-stem sc-status"
    (tmp_path / "E2EXAMPLE.2026-11-02-00.c.log").write_bytes(w3c(names))
    found = [type(each) for each in LogFiles([str(tmp_path)]).entries()]
    assert found == [LogEntry, LogEntry, UnreadableInput]


def test_damaged_parquet_is_named_and_the_next_file_is_read(tmp_path: Path) -> None:
    problem, line = lines(tmp_path, b"PAR1" + bytes(100) + b"PAR1", line_of(JsonFormat(), FULL))
    assert isinstance(problem, UnreadableInput)
    assert problem.text.startswith(f"{tmp_path}/0.log: row 0: ")
    assert isinstance(line, LogEntry)


def test_a_file_that_is_not_there_is_found_before_the_first_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.log: no such file"):
        LogFiles(["-", str(tmp_path / "none.log")])


def test_standard_input_is_a_log_too(monkeypatch: pytest.MonkeyPatch) -> None:
    written = gzip.compress(line_of(JsonFormat(), FULL))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(written)))
    logs = LogFiles(["-"])
    assert (logs.size, only(list(logs.entries())).request) == (None, ASKED)


def test_a_value_that_is_no_number_is_told_as_text(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    path.write_bytes(
        b"#Version: 1.0\n#Fields: date time sc-bytes c-ip cs-uri-stem sc-status\n"
        b"2026-11-02\t00:00:00\tN\xffN\t192.0.2.1\t/a\t200\n"
    )
    (found,) = LogFiles([str(path)]).entries()
    assert isinstance(found, UnreadableInput)
    assert found.text == f"{path}: line 3: 'N\\\\xffN' in sc-bytes is no number"
