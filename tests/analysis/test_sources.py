"""Log files are found by path, folder, pattern and period; copies and second deliveries are not."""

from __future__ import annotations

import errno
import gzip
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from nearbucket.analysis.counting.kept_aggregates import KeptAggregates
from nearbucket.analysis.reading.duplicate_files import DuplicateFinder, each_once
from nearbucket.analysis.reading.log_blocks import open_file
from nearbucket.analysis.reading.sources import (
    ALWAYS,
    LogSource,
    Period,
    hour_of,
    local_sources,
    moment,
)
from nearbucket.analysis.reducing.reduce import ReduceOptions, reduce_parts
from nearbucket.errors import ConfigError

SAMPLES = Path(__file__).parent.parent / "data" / "logs"
GONE = LogSource("gone.log", 1, "")
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


def made(folder: Path, *names: str, content: bytes = b"x") -> list[str]:
    """Files of these names; returns their paths."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in names]


def test_folders_are_read_with_all_below_and_without_hidden_files(tmp_path: Path) -> None:
    b, a, *_ = made(tmp_path, "2026/b.gz", "2026/a.gz", ".git/x", "2026/.b.gz.part")
    names = [source.name for source in local_sources([str(tmp_path)], ALWAYS)]
    assert names == [a, b]
    again = [str(tmp_path / "2*/b.*"), b, str(tmp_path / "*"), "-"]
    assert [source.name for source in local_sources(again, ALWAYS)] == [b, a, "-"]


def test_a_folder_that_cannot_be_listed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (path,) = made(tmp_path, "a.gz")
    made(tmp_path, "closed/b.gz")
    closed, list_it = str(tmp_path / "closed"), os.scandir

    def refuse(folder: str) -> Any:
        if folder == closed:
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return list_it(folder)

    monkeypatch.setattr("os.scandir", refuse)  # the tests may run as root
    names = [source.name for source in local_sources([str(tmp_path)], ALWAYS)]
    assert names == [path, closed]


def test_a_device_is_no_log() -> None:
    with pytest.raises(ConfigError, match="/dev/zero: is a device"):
        local_sources(["/dev/zero"], ALWAYS)


def test_an_empty_name_is_an_error_and_not_the_working_folder() -> None:
    with pytest.raises(ConfigError, match="names of logs is empty"):
        local_sources([""], ALWAYS)


def test_a_name_of_nothing_is_an_error(tmp_path: Path) -> None:
    for name in ("none.log", "*.none"):
        with pytest.raises(ConfigError, match="no such file, folder or pattern"):
            local_sources([str(tmp_path / name)], ALWAYS)


@pytest.mark.parametrize(
    ("name", "hour"),
    [
        ("logs/E2EXAMPLE.2026-11-02-12.0000abcd.gz", NOON),
        (
            "AWSLogs/1/DistributionId=E2EXAMPLE/year=2026/month=11/day=2/hour=12/x.gz",
            NOON,
        ),
        ("DistributionId=E2EXAMPLE/year=2026/month=11/day=02/x.parquet", NOON.replace(hour=0)),
        ("E2EXAMPLE.2026-13-02-12.0000abcd.gz", None),
        ("2026-11-02-12-00-00-ABCDEF", None),  # S3's own: the time of delivery, not of requests
        ("access.log", None),
    ],
)
def test_the_hour_of_a_file_is_in_its_name_or_folders(name: str, hour: datetime | None) -> None:
    found = hour_of(name)
    assert (found.hour if found else None) == hour
    assert found is None or found.distribution == "E2EXAMPLE"


def test_files_of_other_hours_are_not_opened(tmp_path: Path) -> None:
    names = made(tmp_path, *(f"E2EXAMPLE.2026-11-02-{hour:02}.0000abcd.gz" for hour in range(24)))
    period = Period(NOON, NOON.replace(hour=14))
    found = [source.name for source in local_sources([str(tmp_path)], period)]
    assert found == names[11:15]  # and one hour around it: lines may be late
    assert local_sources(made(tmp_path, "access.log"), period)


def test_times_are_utc() -> None:
    assert moment("2026-11-02", "--since") == NOON.replace(hour=0)
    assert moment("2026-11-02T13:00+01:00", "--since") == NOON
    with pytest.raises(ConfigError, match=r"--since: 'noon' is no date such as"):
        moment("noon", "--since")


def test_a_time_that_is_none_is_told_and_a_name_with_one_is_a_name() -> None:
    with pytest.raises(ConfigError, match="is no date"):
        moment("0001-01-01T00:00+05:00", "--since")
    assert Period(None, NOON).may_hold("E2EXAMPLE.0001-01-01-00.x.log")


def test_a_copy_of_a_file_is_left_out_and_named(tmp_path: Path) -> None:
    first, copy, other = made(tmp_path, "a/x.log", "b/x.log", "c/x.log")
    Path(other).write_bytes(b"y")
    kept, left_out = DuplicateFinder(open_file).split(local_sources([str(tmp_path)], ALWAYS))
    assert [source.name for source in kept] == [first, other]
    assert [(each.name, each.why) for each in left_out] == [
        (copy, f"left out: the same file as {first}")
    ]


def test_a_copy_by_another_name_is_left_out_too(tmp_path: Path) -> None:
    first, copy, other = made(tmp_path, "x.gz", "y.gz", "z.gz", content=gzip.compress(b"a\n"))
    Path(other).write_bytes(gzip.compress(b"b\n"))
    plain, packed = made(tmp_path, "p.log", "p.log.gz", content=b"more\n")
    Path(packed).write_bytes(gzip.compress(b"more\n"))
    unlike, _ = made(tmp_path, "q.log", "q.log.gz", content=b"q\n")
    Path(f"{unlike}.gz").write_bytes(gzip.compress(b"p\n"))
    made(tmp_path, "r.log", "r.log.gz", content=b"short")
    Path(tmp_path / "r.log.gz").write_bytes(b"r")
    _, left_out = DuplicateFinder(open_file).split(local_sources([str(tmp_path)], ALWAYS))
    assert [(each.name, each.why) for each in left_out] == [
        (copy, f"left out: the same file as {first}"),
        (packed, f"left out: the same as {plain}"),
    ]


def test_a_file_that_was_appended_to_a_packed_one_does_not_hide_what_was_there_before(
    tmp_path: Path,
) -> None:
    today, all_days = made(tmp_path, "x.log", "x.log.gz", content=b"today\n")
    Path(all_days).write_bytes(gzip.compress(b"before\n") + gzip.compress(b"today\n"))
    kept, left_out = DuplicateFinder(open_file).split(local_sources([str(tmp_path)], ALWAYS))
    assert ([each.name for each in kept], left_out) == ([today, all_days], ())
    Path(all_days).write_bytes(gzip.compress(b"before\n")[:-9] + gzip.compress(b"today\n")[-8:])
    kept, left_out = DuplicateFinder(open_file).split(local_sources([str(tmp_path)], ALWAYS))
    assert ([each.name for each in kept], left_out) == ([today, all_days], ())


def test_a_file_with_several_names_is_one(tmp_path: Path) -> None:
    one, other = made(tmp_path, "a.log", "b.log")
    (tmp_path / "c.log").symlink_to(one)
    (tmp_path / "d.log").hardlink_to(one)
    (tmp_path / "gone.log").symlink_to(tmp_path / "none")
    sources = [
        *local_sources([str(tmp_path)], ALWAYS),
        LogSource("-", 0, ""),
        GONE,
        LogSource(*GONE),
    ]
    kept, again = each_once(sources)
    assert [each.name for each in kept] == [one, other, "-", GONE.name]
    assert [Path(each.name).name for each in again] == ["c.log", "d.log", GONE.name]


def test_a_file_that_is_standard_input_too_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = made(tmp_path, "a.log", "b.log")
    with Path(one).open("rb") as standard_input:
        number = standard_input.fileno()
        monkeypatch.setattr("nearbucket.analysis.reading.duplicate_files._STDIN", number)
        kept, again = each_once(local_sources(["-", other, one], ALWAYS))
    assert ([each.name for each in kept], [each.name for each in again]) == (["-", other], [one])


def test_a_copy_in_s3_of_a_file_is_left_out_too(tmp_path: Path) -> None:
    here, other, copy = map(Path, made(tmp_path, "a/x.log", "b/x.log", "s3/c/x.log"))
    other.write_bytes(b"y" * other.stat().st_size)
    sources = local_sources([str(here), str(other)], ALWAYS)
    sources.append(LogSource("s3://logs/c/x.log", copy.stat().st_size, "etag-of-parts-2"))

    def opened(source: LogSource) -> Any:
        return (copy if source.name.startswith("s3:") else Path(source.name)).open("rb")

    kept, left_out = DuplicateFinder(opened).split(sources)
    assert kept == sources[:2]
    assert [each.why for each in left_out] == [f"left out: the same file as {here}"]


def test_of_files_that_are_kept_reduced_none_is_opened(tmp_path: Path) -> None:
    w3c = (SAMPLES / "cloudfront-w3c-33.log").read_bytes()
    junk, one, two = made(tmp_path, *(f"E2EXAMPLE.2026-11-02-12.{n}.log" for n in range(3)))
    Path(junk).write_bytes(b"junk\n")
    Path(one).write_bytes(w3c)
    Path(two).write_bytes(w3c + b"\n")
    (again,) = made(
        tmp_path,
        "E2EXAMPLE.2026-11-02-12.3.json",
        content=(SAMPLES / "cloudfront-v2.json").read_bytes(),
    )
    sources = local_sources([str(tmp_path)], ALWAYS)
    options = ReduceOptions()
    aggregates = KeptAggregates(tmp_path / "kept", options)
    assert {aggregates.kind(each) for each in sources} == {None}
    for each in sources:
        assert list(aggregates.keep(each, reduce_parts(each, options)))
    expected = DuplicateFinder(open_file).split(sources)
    assert [each.name for each in expected[1]] == [again]
    never = Mock(side_effect=AssertionError)
    assert DuplicateFinder(never, kind=aggregates.kind).split(sources) == expected


def test_a_second_delivery_of_an_hour_is_left_out_and_named(tmp_path: Path) -> None:
    (standard,) = made(
        tmp_path,
        "standard/E2EXAMPLE.2026-11-02-12.0000abcd.log",
        content=(SAMPLES / "cloudfront-w3c-33.log").read_bytes(),
    )
    json = (SAMPLES / "cloudfront-v2.json").read_bytes()
    (again,) = made(tmp_path, "v2/E2EXAMPLE.2026-11-02-12.1111abcd.json", content=json)
    (later,) = made(tmp_path, "v2/E2EXAMPLE.2026-11-02-13.1111abcd.json", content=json + b"\n")
    kept, left_out = DuplicateFinder(open_file).split(local_sources([str(tmp_path)], ALWAYS))
    assert [source.name for source in kept] == [standard, later]
    assert [each.name for each in left_out] == [again]
    assert "requests of 2026-11-02 12h are also in files of another format (w3c)" in left_out[0].why


@pytest.mark.parametrize("distribution", ["E2ABCDEFGHIJKL", "E1ABC"])
def test_a_second_delivery_into_the_same_folder_is_left_out(
    tmp_path: Path, distribution: str
) -> None:
    w3c = (SAMPLES / "cloudfront-w3c-33.log").read_bytes()
    hour = f"{distribution}.2026-11-12-00"
    (one,) = made(tmp_path, f"{hour}.abcdef12.gz", content=gzip.compress(w3c))
    (two,) = made(tmp_path, f"{hour}.fedcba21.gz", content=gzip.compress(w3c + b"\n"))
    json = gzip.compress((SAMPLES / "cloudfront-v2.json").read_bytes())
    (again,) = made(tmp_path, f"{hour}.d0badcaf.gz", content=json)
    kept, left_out = DuplicateFinder(open_file).split(local_sources([str(tmp_path)], ALWAYS))
    assert [source.name for source in kept] == [one, two]
    assert [each.name for each in left_out] == [again]


@pytest.mark.parametrize("empty", [b"", b"\n", b"#Version: 1.0\n", b"junk\n"])
def test_a_file_without_requests_leaves_out_no_other(tmp_path: Path, empty: bytes) -> None:
    content = (SAMPLES / "cloudfront-w3c-33.log").read_bytes()
    made(tmp_path, "a/E2EXAMPLE.2026-11-02-12.0000abcd.log", content=empty)
    made(tmp_path, "b/E2EXAMPLE.2026-11-02-12.1111abcd.log", content=content)
    kept, left_out = DuplicateFinder(open_file).split(local_sources([str(tmp_path)], ALWAYS))
    assert (len(kept), left_out) == (2, ())


def test_one_delivery_in_several_folders_is_read_whole(tmp_path: Path) -> None:
    content = (SAMPLES / "cloudfront-w3c-33.log").read_bytes()
    made(tmp_path, "one/E2EXAMPLE.2026-11-02-12.0000abcd.log", content=content)
    made(tmp_path, "two/E2EXAMPLE.2026-11-02-12.1111abcd.log", content=content + b"\n")
    kept, left_out = DuplicateFinder(open_file).split(local_sources([str(tmp_path)], ALWAYS))
    assert (len(kept), left_out) == (2, ())
