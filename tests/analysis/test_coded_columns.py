"""Grouping by combinations of columns, however many there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from nearbucket.analysis.reducing import coded_columns
from nearbucket.analysis.reducing.coded_columns import Coded, combined, grouped

if TYPE_CHECKING:
    import pytest

_COLUMNS = [
    Coded(pa.array(codes, pa.int64()), ["x", "y", "z"])
    for codes in ([0, 1, 0, 2], [1, 1, 1, 0], [2, 0, 2, 2])
]


def _results() -> tuple[Any, Any]:
    codes, sums = grouped(_COLUMNS, {"n": pa.array([1, 2, 3, 4])}, [("n", "sum")])
    pairs = combined(_COLUMNS)
    return (
        [each.to_pylist() for each in (*codes, *sums)],
        [pairs.values[code] for code in pairs.codes.to_pylist()],
    )


def test_combinations_that_no_number_can_hold_are_grouped_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few = _results()
    assert few[0] == [[0, 1, 2], [1, 1, 0], [2, 0, 2], [4, 2, 4]]
    assert few[1] == [("x", "y", "z"), ("y", "y", "x"), ("x", "y", "z"), ("z", "x", "z")]
    monkeypatch.setattr(coded_columns, "_MOST", 8)
    assert _results() == few
