"""Ranges of one download, joined within a file and over several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from nearbucket.analysis.reducing import range_sessions
from nearbucket.analysis.reducing.range_sessions import sessions_of
from tests.analysis.counting import BASE, TABLE, counted, written
from tests.build import WEST

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "gap",
    [pytest.param(0, marks=pytest.mark.long), 599, 600, pytest.param(3000, marks=pytest.mark.long)],
)
@pytest.mark.parametrize("files", [1, 2])
def test_ranges_are_one_download_unless_ten_minutes_are_between_them(
    tmp_path: Path, gap: int, files: int
) -> None:
    first = BASE._replace(status=206, start=0, end=999)
    second = first._replace(time=first.time + gap, start=1000, end=1999)
    other = second._replace(agent="wget")
    broken = second._replace(agent="broken", result="Error")
    if files == 1:
        names = [written(tmp_path / "a.log", second, first, other, broken)]
    else:
        names = [
            written(tmp_path / "a.log", second, broken),
            written(tmp_path / "b.log", first, other),
        ]
    _, found = counted(names)
    (region,) = found.counts.regions
    assert (region.region, region.downloads) == (TABLE.region(WEST), 2 + (gap >= 600))
    assert (found.counts.downloads, found.counts.aborted) == (region.downloads, 1)
    assert found.counts.top_files[0].size == 2000


def test_joined_sessions_of_parts_are_those_of_the_whole() -> None:
    times = [0, 1199, 600, 599, 1800, 2400]
    columns = {name: [1] * len(times) for name in ("client", "agent", "object")}
    whole = sessions_of(pa.table({**columns, "time": times}))
    assert list(zip(whole["first"].to_pylist(), whole["last"].to_pylist(), strict=True)) == [
        (0, 1199), (1800, 1800), (2400, 2400),
    ]  # fmt: skip
    assert len(sessions_of(pa.table({**columns, "time": times}).slice(0, 0))) == 0


def test_sessions_of_groups_that_no_number_can_hold_are_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ranges = {
        "client": [2, 1, 1, 2, 1, 1], "agent": [0, 1, 1, 0, 0, 1], "object": [5, 5, 5, 5, 5, 4],
        "time": [100, 50, 0, 799, 20, 60],
    }  # fmt: skip
    few = sessions_of(pa.table(ranges)).to_pylist()
    assert sorted(tuple(each.values()) for each in few) == [
        (1, 0, 5, 20, 20), (1, 1, 4, 60, 60), (1, 1, 5, 0, 50), (2, 0, 5, 100, 100),
        (2, 0, 5, 799, 799),
    ]  # fmt: skip
    for most in (16_000, 30):  # for all groups with their times; for the groups
        monkeypatch.setattr(range_sessions, "_MOST", most)
        found = sessions_of(pa.table(ranges)).to_pylist()
        assert sorted(map(str, found)) == sorted(map(str, few))
