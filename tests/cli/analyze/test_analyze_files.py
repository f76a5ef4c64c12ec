"""The files that ``nearbucket analyze`` reads, and the one that it writes."""

from __future__ import annotations

import bz2
import errno
import json
import lzma
from pathlib import Path
from typing import Any

import pytest

from tests.cli.analyze.conftest import LOG, report


def test_a_file_that_is_given_twice_counts_once(analyze: Any, log: str) -> None:
    link = Path(log).with_name("link.gz")
    link.symlink_to(log)
    for again in (log, str(Path(log).parent / "*.gz")):
        done = analyze(log, again, str(link), "--format", "json")
        assert done.code == 0
        assert json.loads(done.out)["totals"]["requests"] == len(LOG)
        told = f"names, such as {log}, are of files given before; each counts once\n"
        assert done.err.endswith(told)
    told = f"nearbucket: {link} is a file that was given before; it counts once\n"
    assert analyze(log, str(link), "--format", "json").err.endswith(told)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (bz2.compress(b"a\n"), "is packed with bzip2, and only gzip is unpacked; unpack it first"),
        (lzma.compress(b"a\n"), "is packed with xz, and only gzip is unpacked; unpack it first"),
        (b"\x28\xb5\x2f\xfd...", "is packed with Zstandard, and only gzip is unpacked; unpack"),
        ("#Fields: date".encode("utf-16"), "is UTF-16; convert it to UTF-8 first"),
    ],
)
def test_files_that_are_packed_otherwise_are_named(
    analyze: Any, log: str, content: bytes, why: str
) -> None:
    other = Path(log).with_name("other")
    other.write_bytes(content)
    code, out, err = analyze(str(other))
    assert (code, out) == (2, "")
    assert f"there is no request in the logs: {other}: {why}" in err
    assert f"nearbucket: {other}: {why}" in analyze(log, str(other), "--format", "json").err


def test_a_report_that_cannot_be_written_leaves_the_one_before(
    analyze: Any, log: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tmp_path / "out" / "report.html"
    before.parent.mkdir()
    before.write_text("before")
    before.chmod(0o640)

    def full(path: Path, text: str, encoding: str) -> None:
        path.write_bytes(text.encode(encoding)[:9])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        done = analyze(log, "--format", "html", "--output", str(before))
    assert (done.code, done.err) == (2, f"nearbucket: --output {before}: No space left on device\n")
    assert before.read_text() == "before"
    assert analyze(log, "--format", "html", "--output", str(before)).code == 0
    assert before.read_text().startswith("<!doctype html>")
    assert before.stat().st_mode & 0o777 == 0o640
    assert list(before.parent.iterdir()) == [before]


@pytest.mark.parametrize(
    ("name", "options", "begins"),
    [
        ("r.html", [], "<!doctype html>"),
        ("r.JSON", [], "{"),
        ("r.txt", [], "scope.files\t1"),
        ("r", [], "scope.files\t1"),
        ("r.html", ["--format", "text"], "scope.files\t1"),
    ],
)
def test_without_a_format_the_name_of_the_file_says_it(
    analyze: Any, log: str, name: str, options: list[str], begins: str
) -> None:
    assert analyze(log, "--output", name, *options).code == 0
    assert Path(name).read_text().startswith(begins)


def test_damaged_files_are_named_and_need_attention(analyze: Any, log: str) -> None:
    cut = Path(log).with_name("cut.gz")
    cut.write_bytes(Path(log).read_bytes()[:-50])
    done = analyze(log, str(cut), "--format", "json")
    document = report(done, 1)
    (damaged,) = document["scope"]["damaged"]
    assert (damaged["name"], damaged["why"]) == (str(cut), "its gzip data ends too early")
    assert f"nearbucket: {cut}: its gzip data ends too early\n" in done.err
    assert document["scope"]["lines"] > len(LOG)
