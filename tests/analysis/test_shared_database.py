"""Connections to the shared database: one database, and nothing that one sees of another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from nearbucket.analysis import shared_database
from nearbucket.analysis.reducing.coded_columns import ids_of
from nearbucket.analysis.shared_database import new_connection


def test_one_connection_sees_no_table_of_another() -> None:
    with new_connection() as one, new_connection() as other:
        for connection, value in ((one, 1), (other, 2)):
            connection.register("given", pa.table({"value": [value]}))
            connection.execute("CREATE TEMP TABLE made AS FROM given")
        assert [each.sql("FROM made").fetchall() for each in (one, other)] == [[(1,)], [(2,)]]
    with new_connection() as third, pytest.raises(duckdb.CatalogException):
        third.sql("FROM made")


def test_threads_share_one_database_and_get_the_same_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def connect(config: Any) -> duckdb.DuckDBPyConnection:
        made.append(opened(config=config))
        return made[-1]

    opened = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", connect)
    monkeypatch.setattr(shared_database, "_database", None)
    texts = pa.array([f"key/{number}" for number in range(1000)])
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(ids_of, [texts] * 20)
        assert pool.submit(ids_of, texts.slice(500)).result() == first.slice(500)
    (database,) = made
    database.close()
    assert len(set(first.to_pylist())) == len(texts)
    assert all(ids == first for ids in others)
