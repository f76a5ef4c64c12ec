"""What ``--keep`` keeps of log files is found by the next run, whole or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from nearbucket.analysis.counting.aggregate_store import AggregateStore
from nearbucket.analysis.counting.kept_aggregates import KeptAggregates
from nearbucket.analysis.counting.local_engine import LocalEngine
from nearbucket.analysis.reading.sources import ALWAYS, local_sources
from nearbucket.analysis.reducing.reduce import ReduceOptions, reduce_parts
from nearbucket.analysis.reducing.reduced_file import ReducedFile, merged
from nearbucket.cli.analyze.analyze_run import _rules
from nearbucket.errors import ConfigError
from tests.analysis.counting import BASE, counted, written
from tests.analysis.log_writers import parquet
from tests.analysis.made_logs import Mixed, mixed

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_kept_aggregates_are_used_while_the_file_is_the_same(tmp_path: Path) -> None:
    log, keep = written(tmp_path / "a.log", *mixed(Mixed(500, 1), 0)), tmp_path / "keep"
    first = counted([log], kept=keep)
    (aggregates,) = keep.iterdir()
    log_text = log.read_bytes()
    changed = log.stat().st_mtime_ns
    log.write_bytes(b"\0" * len(log_text))
    os.utime(log, ns=(changed, changed))
    assert counted([log], kept=keep)[1].counts == first[1].counts
    os.utime(log, ns=(changed, changed + 1))
    assert counted([log], kept=keep)[1].counts != first[1].counts
    log.write_bytes(log_text)
    os.utime(log, ns=(changed, changed))
    aggregates.write_bytes(aggregates.read_bytes()[:-9])
    assert counted([log], kept=keep)[1].counts == first[1].counts


@pytest.mark.parametrize(("at_once", "least"), [(0, 3), (1 << 30, 1)])
def test_a_large_file_is_kept_in_parts_of_which_all_or_none_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, least: int
) -> None:
    monkeypatch.setattr("nearbucket.analysis.counting.kept_aggregates._AT_ONCE", at_once)
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks.BLOCK", 1 << 14)
    monkeypatch.setattr("nearbucket.analysis.reading.log_blocks._READ", 1 << 12)
    monkeypatch.setattr("nearbucket.analysis.reducing.reduce.ROWS", 100)
    log, keep = written(tmp_path / "a.log", *mixed(Mixed(600, 1), 0)), tmp_path / "keep"
    first = counted([log], kept=keep)
    assert first[0].lines == 600
    (aggregates,) = keep.iterdir()
    options = ReduceOptions()
    (source,) = local_sources([str(log)], ALWAYS)
    kept = KeptAggregates(keep, options)
    parts = list(kept.get(source) or ())
    assert sum(part.summary.lines for part in parts) == 600
    assert len(parts) >= least
    assert kept.kind(source) == "w3c"
    assert counted([log], kept=keep)[1].counts == first[1].counts
    whole = bytearray(aggregates.read_bytes())
    middle = len(whole) // 2
    whole[middle : middle + 2000] = bytes(2000)
    aggregates.write_bytes(whole)
    assert kept.get(source) is None
    assert counted([log], kept=keep)[1].counts == first[1].counts


def test_a_kept_file_with_other_bytes_in_its_middle_does_not_count(tmp_path: Path) -> None:
    log, keep = written(tmp_path / "a.log", *mixed(Mixed(500, 1), 0)), tmp_path / "keep"
    counted([log], kept=keep)
    (aggregates,) = keep.iterdir()
    (source,) = local_sources([str(log)], ALWAYS)
    kept = KeptAggregates(keep, ReduceOptions())
    (first,) = kept.get(source) or ()
    whole = aggregates.read_bytes()
    for place in range(4, len(whole), len(whole) // 150):
        changed = bytearray(whole)
        changed[place] ^= 0x10
        aggregates.write_bytes(changed)
        assert all(each.tables == first.tables for each in kept.get(source) or ())


def test_a_table_of_more_than_a_million_rows_is_kept(tmp_path: Path) -> None:
    log, keep, options = written(tmp_path / "a.log", BASE), tmp_path / "keep", ReduceOptions()
    (source,) = local_sources([str(log)], ALWAYS)
    whole = merged(list(reduce_parts(source, options)))
    rows = 1_100_000
    sizes = pa.table(
        {
            "object": pa.array(range(rows), pa.uint64()),
            "length": pa.repeat(1, rows).cast(pa.int64()),
            "range_end": pa.nulls(rows, pa.int64()),
        }
    )
    many = ReducedFile(whole.summary, {**whole.tables, "sizes": sizes})
    kept = KeptAggregates(keep, options)
    assert len(list(kept.keep(source, [many]))) == 1
    (found,) = kept.get(source) or ()
    assert found.tables == many.tables


def test_parts_are_kept_before_all_came(tmp_path: Path) -> None:
    log, keep, options = written(tmp_path / "a.log", BASE), tmp_path / "keep", ReduceOptions()
    (source,) = local_sources([str(log)], ALWAYS)
    read: list[ReducedFile] = []

    def parts() -> Iterator[ReducedFile]:
        for _ in range(9):
            read.extend(reduce_parts(source, options))
            yield read[0]
        yield read[-1]

    kept = KeptAggregates(keep, options).keep(source, parts())
    next(kept)
    assert len(read) < 9
    kept.close()
    assert list(keep.iterdir()) == []


def test_a_kept_file_that_cannot_be_replaced_leaves_no_other_behind(tmp_path: Path) -> None:
    log, keep = written(tmp_path / "a.log", BASE), tmp_path / "keep"
    counted([log], kept=keep)
    (aggregates,) = keep.iterdir()
    aggregates.unlink()
    aggregates.mkdir()
    with pytest.raises(ConfigError, match="Is a directory"):
        counted([log], kept=keep)
    assert list(keep.iterdir()) == [aggregates]


def test_a_file_that_could_not_be_read_is_read_by_the_next_run(tmp_path: Path) -> None:
    log, keep, away = written(tmp_path / "a.log", BASE), tmp_path / "keep", tmp_path / "away"
    options = ReduceOptions()
    sources = local_sources([str(log)], ALWAYS)
    log.rename(away)
    with AggregateStore(128 << 20, 1) as store:
        LocalEngine(options, 1, KeptAggregates(keep, options)).run(sources, store)
        (failed,) = store.summaries
        assert failed.damage == "cannot be read: No such file or directory"
    away.rename(log)
    assert counted([log], kept=keep)[0].lines == 1


_ENDED = """
import signal, sys
from pathlib import Path
from nearbucket.analysis.counting.kept_aggregates import KeptAggregates
from nearbucket.analysis.reading.sources import ALWAYS, local_sources
from nearbucket.analysis.reducing.reduce import ReduceOptions, reduce_parts
from nearbucket.cli.analyze.analyze_run import _removed_at_sigterm
log, keep = sys.argv[1:]
kept = KeptAggregates(Path(keep), ReduceOptions())
(source,) = local_sources([log], ALWAYS)
parts = kept.keep(source, reduce_parts(source, ReduceOptions()))
next(parts)
print(*(each.suffix for each in Path(keep).iterdir()), flush=True)
with _removed_at_sigterm(Path(keep, "none"), kept):
    signal.raise_signal(signal.SIGTERM)
"""


def test_sigterm_leaves_no_file_that_is_not_whole(tmp_path: Path) -> None:
    log, keep = written(tmp_path / "a.log", BASE), tmp_path / "keep"
    done = subprocess.run(
        [sys.executable, "-c", _ENDED, log, keep], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, ".part\n"), done.stderr
    assert list(keep.iterdir()) == []


def test_a_log_that_is_named_like_a_kept_file_is_none(tmp_path: Path) -> None:
    log, keep = written(tmp_path / "a.log", BASE), tmp_path / "keep"
    counted([log], kept=keep)
    (aggregates,) = keep.iterdir()
    kept = KeptAggregates(keep, ReduceOptions())
    other = keep / f"{'0' * 32}.parquet"
    parquet(other, mixed(Mixed(10, 1), 0))
    assert not kept.wrote(other)
    assert kept.wrote(aggregates)
    aggregates.write_bytes(aggregates.read_bytes()[:-9])
    assert kept.wrote(aggregates)


def test_what_a_killed_process_left_is_removed_a_day_later(tmp_path: Path) -> None:
    left, written_now, others = (
        tmp_path / name for name in (f"{'0' * 32}.17.part", f"{'1' * 32}.18.part", "log.part")
    )
    for each in (left, written_now, others):
        each.touch()
    for each in (left, others):
        os.utime(each, (time.time() - 86500,) * 2)
    KeptAggregates(tmp_path, ReduceOptions())
    assert sorted(tmp_path.iterdir()) == [written_now, others]


def test_what_is_kept_is_found_by_the_next_run_with_the_same_options() -> None:
    hosts = tuple(f"{name}.example" for name in "bAcdefghijklmnop")
    script = (
        "from nearbucket.analysis.reducing.reduce import ReduceOptions\n"
        "from nearbucket.cli.analyze.analyze_run import _rules\n"
        "from nearbucket.analysis.reading.sources import ALWAYS\n"
        f"print(ReduceOptions(_rules(None, ALWAYS, {hosts})))"
    )
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    other = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert other.rstrip("\n") == str(ReduceOptions(_rules(None, ALWAYS, hosts)))


def test_a_file_whose_name_is_no_utf_8_is_kept(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.log"))
    assert counted([written(path, BASE)], kept=tmp_path / "keep")[0].lines == 1
