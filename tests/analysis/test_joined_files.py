"""Files that are reduced together count as each alone."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from threading import Thread
from typing import Any

import pyarrow as pa
import pytest

from nearbucket.analysis.counting import kept_aggregates
from nearbucket.analysis.reading.log_blocks import open_file
from nearbucket.analysis.reading.sources import ALWAYS, DamagedFile, local_sources
from nearbucket.analysis.reducing import joined_files
from nearbucket.analysis.reducing import reduce as reducing
from nearbucket.analysis.reducing.reduce import ReduceOptions, reduce_parts, reduce_table
from nearbucket.analysis.reducing.reduced_file import ReducedFile, merged
from nearbucket.analysis.reducing.request_columns import RequestColumns, request_columns
from tests.analysis.counting import BASE, counted, rules, written
from tests.analysis.made_logs import Mixed, mixed
from tests.build import WEST


def test_small_files_that_are_read_together_count_as_each_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = list(mixed(Mixed(300, 1), 0))
    for number in range(6):
        written(tmp_path / f"{number}.log.gz", *requests[number * 50 : number * 50 + 50])
    headers = (b"cs-uri-stem sc-status sc-bytes", b"sc-status cs-uri-stem sc-bytes")
    for number, header in enumerate(headers):
        row = b"2026-11-02\t03:00:00\t" + b"\t".join((b"1", b"2", b"3"))
        (tmp_path / f"other-{number}.log").write_bytes(
            b"#Fields: date time " + header + b"\n" + row + b"\n"
        )
    for number, name in enumerate(("c-ip", "cs(Referer)")):
        value = {"date": "2026-11-02", "time": "03:00:00", "sc-bytes": "1", "sc-status": "200"}
        value |= {"cs-uri-stem": "/x", name: WEST}
        (tmp_path / f"json-{number}.log").write_text(json.dumps(value) + "\n", encoding="ascii")
    (tmp_path / "cut.log.gz").write_bytes((tmp_path / "1.log.gz").read_bytes()[:-20])
    (tmp_path / "empty.log").touch()
    together = counted([tmp_path])
    for limit in ("_SMALL", "_WHOLE"):  # first only the requests are joined, then nothing
        monkeypatch.setattr(joined_files, limit, -1)
        alone = counted([tmp_path])
        assert together[0] == alone[0]
        assert together[1].counts == alone[1].counts
    assert {Path(each.name).name for each in alone[0].damaged} == {"cut.log.gz", "empty.log"}
    (tmp_path / "2.log").write_bytes(gzip.decompress((tmp_path / "2.log.gz").read_bytes()) + b"x\n")
    bad = counted([tmp_path])
    monkeypatch.setattr(joined_files, "_WHOLE", 1 << 20)
    assert counted([tmp_path])[0] == bad[0]
    monkeypatch.undo()
    assert counted([tmp_path])[0] == bad[0]


def test_the_formats_of_files_that_have_requests_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = "owner {} [02/Nov/2026:03:00:00 +0000] 192.0.2.3 - ID REST.GET.OBJECT k"
    row += ' "GET /k HTTP/1.1" 200 - 5 5 1 1 "-" "curl" -\n'
    for number in range(2):
        (tmp_path / f"0-{number}.log").write_text(row.format("a-bucket"), encoding="ascii")
        lines = written(tmp_path / f"c-{number}.log", BASE).read_text("ascii").splitlines()
        (tmp_path / f"a-{number}.log").write_text(f"{lines[-1]}\n", encoding="ascii")
        (tmp_path / f"f-{number}.log").write_text("\n".join(lines[1:]), encoding="ascii")
    (tmp_path / "d.log").write_text("no log\n", encoding="ascii")
    (tmp_path / "e.json").write_text("{}\n", encoding="ascii")
    for limit in ("", "_SMALL", "_WHOLE"):
        if limit:
            monkeypatch.setattr(joined_files, limit, -1)
        for keep in (None, tmp_path / "keep"):
            files = sorted(tmp_path.glob("*.*"))
            assert counted(files, kept=keep)[0].kinds == ("s3", "w3c", "w3c-v2")
            assert counted(files, rules(hosts=("a-bucket",)), keep)[0].kinds == ("s3",)
            assert counted(files, rules(hosts=(BASE.host,)), keep)[0].kinds == ("w3c", "w3c-v2")


def test_files_are_reduced_together_up_to_some_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [written(tmp_path / f"{number}.log", BASE) for number in range(7)]
    sources = local_sources(map(str, names), ALWAYS)
    monkeypatch.setattr(joined_files, "ROWS", 3)
    files = joined_files.JoinedFiles(ReduceOptions(), lambda _: None, open_file, None)
    parts = [[part.summary.lines for part in files.add([source])] for source in sources]
    parts.append([part.summary.lines for part in files.rest()])
    assert parts == [[], [], [], [3, 0, 0, 0], [], [], [3, 0, 0, 0], [1, 0]]
    assert list(files.rest()) == []


@pytest.mark.parametrize("options", [ReduceOptions(factor=2.5), ReduceOptions()])
def test_samples_and_requests_told_by_ids_are_reduced_file_by_file(
    tmp_path: Path, options: ReduceOptions
) -> None:
    (source,) = local_sources([str(written(tmp_path / "a.log", BASE))], ALWAYS)
    new = None if options.factor > 1 else lambda ids: pa.array([True] * len(ids))
    files = joined_files.JoinedFiles(options, lambda _: None, open_file, new)
    found = merged(list(files.add([source])))
    assert found == merged(list(reduce_parts(source, options, ids=new)))
    assert list(files.rest()) == []


def test_a_file_that_cannot_be_counted_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counting(table: pa.Table, options: ReduceOptions, name: str, ids: Any) -> ReducedFile:
        if b"/bad" in table["cs_uri_stem"].to_pylist():
            raise OverflowError("too much")
        return reduce_table(table, options, name, ids)

    for module in (joined_files, reducing):
        monkeypatch.setattr(module, "reduce_table", counting)
    bad = BASE._replace(object=BASE.object._replace(logged="/bad"))
    names = [written(tmp_path / "a.log", BASE), written(tmp_path / "b.log", bad)]
    for small in (-1, 1 << 19):
        monkeypatch.setattr(joined_files, "_SMALL", small)
        scope, _ = counted(names)
        assert scope.lines == 1
        assert scope.damaged == (DamagedFile(str(names[1]), "cannot be counted: too much", 0),)


def test_requests_are_given_back_once_their_columns_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = {}

    def columns_of(table: pa.Table, *rest: Any) -> RequestColumns:
        columns = request_columns(table, *rest)
        held["of table"] = table.nbytes
        held["with columns"] = pa.total_allocated_bytes()
        return columns

    def sums(*given: Any) -> list[pa.Array]:
        held["while adding up"] = pa.total_allocated_bytes()
        return added(*given)

    added = reducing._facts
    monkeypatch.setattr(reducing, "request_columns", columns_of)
    monkeypatch.setattr(reducing, "_facts", sums)
    monkeypatch.setattr(joined_files, "ROWS", 8000)
    files = joined_files.JoinedFiles(ReduceOptions(), lambda _: None, open_file, None)
    names = [written(tmp_path / f"{each}.log", *mixed(Mixed(4000, 1), 0)) for each in range(2)]
    for source in local_sources(map(str, names), ALWAYS):
        assert list(files.add([source])) == []
    assert len(list(files.rest())) == 3
    assert held["of table"] > 300_000
    assert held["while adding up"] < held["with columns"] - 0.9 * held["of table"]


def test_a_file_of_many_requests_is_reduced_in_parts_though_it_is_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks.BLOCK", 30_000)
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks._TEXT", 10_000)
    monkeypatch.setattr("nearbucket.analysis.reducing.reduce.ROWS", 300)
    monkeypatch.setattr(joined_files, "ROWS", 300)
    log = written(tmp_path / "a.log.gz", *mixed(Mixed(2000, 1), 0))
    (source,) = local_sources([str(log)], ALWAYS)
    told: list[int] = []
    files = joined_files.JoinedFiles(ReduceOptions(), told.append, open_file, None)
    parts = [part.summary.lines for part in (*files.add([source]), *files.rest())]
    assert sum(parts) == 2000
    assert max(parts) <= 300
    assert sum(told) == source.size


def test_texts_of_small_files_are_joined_up_to_some_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [written(tmp_path / f"{number}.log.gz", *[BASE] * 100) for number in range(4)]
    long = written(tmp_path / "long.log.gz", *[BASE] * 400)
    sources = local_sources(map(str, (*names, long)), ALWAYS)
    monkeypatch.setattr(joined_files, "_LONG", 100_000)
    monkeypatch.setattr(joined_files, "_MOST_TEXT", 80_000)
    monkeypatch.setattr(joined_files, "ROWS", 200)
    assert joined_files.groups(sources, ReduceOptions()) == [sources]
    told: list[int] = []
    files = joined_files.JoinedFiles(ReduceOptions(), told.append, open_file, None)
    parts = [part.summary.lines for part in (*files.add(sources), *files.rest())]
    assert sum(told) == sum(source.size for source in sources)
    assert [lines for lines in parts if lines] == [200, 400, 200]  # a line has 330 bytes


def test_what_is_compressed_twice_is_damage_of_its_file_alone(tmp_path: Path) -> None:
    line = (
        b"o b [02/Nov/2026:03:00:00 +0000] 192.0.2.1 - r REST.GET.OBJECT k "
        b'"GET /k HTTP/1.1" 200 - 5 5 1 1 "-" "curl" -\n'
    )
    (tmp_path / "a.log").write_bytes(gzip.compress(gzip.compress(line * 5)))
    for number in range(3):
        (tmp_path / f"b{number}.log").write_bytes(line * 100)
    scope, _ = counted([tmp_path])
    assert scope.lines == 300
    assert [Path(each.name).name for each in scope.damaged] == ["a.log"]


def test_a_small_file_without_a_request_is_named_beside_others(tmp_path: Path) -> None:
    names = [written(tmp_path / f"{number}.log", BASE) for number in range(2)]
    names[1].write_bytes(b"\n".join(names[1].read_bytes().split(b"\n")[:2]) + b"\n\n")
    scope, _ = counted(names)
    assert scope.damaged == (DamagedFile(str(names[1]), "has no request", 0),)


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    log = written(tmp_path / "a.log", *[BASE] * 20)
    pipes = [tmp_path / "one", tmp_path / "two"]
    for pipe in pipes:
        os.mkfifo(pipe)
        Thread(target=pipe.write_bytes, args=(log.read_bytes() + b"bad\n",), daemon=True).start()
    scope, _ = counted([*pipes, log])
    assert scope.lines == 60
    assert [each.lines for each in scope.damaged] == [20, 20]


def test_a_pipe_is_not_kept_and_its_parts_are_added_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, pipe = written(tmp_path / "a.log", *[BASE] * 20), tmp_path / "pipe"
    os.mkfifo(pipe)
    Thread(target=pipe.write_bytes, args=(log.read_bytes(),), daemon=True).start()
    monkeypatch.delattr(kept_aggregates, "merged")
    assert counted([pipe], kept=tmp_path / "keep")[0].lines == 20
    assert not [*(tmp_path / "keep").glob("*")]


def test_small_files_of_a_sample_are_reduced_file_by_file(tmp_path: Path) -> None:
    names = [written(tmp_path / f"{number}.log", BASE) for number in range(2)]
    sources = local_sources(map(str, names), ALWAYS)
    options = ReduceOptions(factor=1 / 0.6)
    assert joined_files.groups(sources, options) == [[source] for source in sources]
    kept = counted(names, options, tmp_path / "keep")[1]
    assert counted(names, options)[1].counts == kept.counts
