"""Requests that several files have, told by their ids (``--dedupe``)."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from nearbucket.analysis.counting.aggregate_store import AggregateStore

_NEW = """
SELECT known.id IS NULL AND row_number() OVER (PARTITION BY asked.id ORDER BY place) = 1 AS new
FROM asked LEFT JOIN request_ids AS known USING (id) ORDER BY place
"""


class RequestIds:
    """The ids of all requests so far, in the database of a store; threads may ask at once."""

    def __init__(self, store: AggregateStore) -> None:
        """Make the table of ids."""
        self._connection, self._lock = store.connection.cursor(), Lock()
        self._connection.execute("CREATE TABLE request_ids (id UBIGINT)")

    def new(self, ids: pa.Array) -> pa.Array:
        """Which ids (uint64) are seen for the first time; they are remembered."""
        asked = pa.table({"id": ids, "place": pa.array(range(len(ids)), pa.int64())})
        with self._lock:
            self._connection.register("asked", asked)
            found = self._connection.sql(_NEW).to_arrow_table()["new"].combine_chunks()
            self._connection.register("asked", asked.filter(found))
            self._connection.execute("INSERT INTO request_ids SELECT id FROM asked")
            self._connection.unregister("asked")
        return found
