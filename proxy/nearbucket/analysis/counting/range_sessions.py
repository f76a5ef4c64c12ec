"""Ranges of one client, User-Agent and object, joined while less than ten minutes are between them.

The ranges of one file make sessions; sessions of several files are joined by the same rule, and so
the result does not depend on how the requests are spread over files.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

GAP = 600
"""Seconds between two ranges from which on they are two downloads."""
_GROUP = ("client", "agent", "object")


def sessions_of(ranges: pa.Table) -> pa.Table:
    """The sessions of some ranges.

    Args:
        ranges: Columns ``client``, ``agent``, ``object`` (numbers) and ``time`` (seconds).

    Returns:
        The same numbers, and the times ``first`` and ``last``.
    """
    order = [(name, "ascending") for name in (*_GROUP, "time")]
    rows = ranges.sort_by(order).combine_chunks()
    if not len(rows):
        empty = [*(rows[name] for name in _GROUP), rows["time"], rows["time"]]
        return pa.table(empty, [*_GROUP, "first", "last"])
    columns = {name: rows[name].combine_chunks() for name in (*_GROUP, "time")}
    new = pc.greater_equal(_step(columns["time"]), GAP)
    for name in _GROUP:
        new = pc.or_(
            new, pc.not_equal(columns[name].slice(1), columns[name].slice(0, len(rows) - 1))
        )
    number = pc.cumulative_sum(pa.concat_arrays([pa.array([False]), new]).cast(pa.int64()))
    table = pa.table({"session": number, **columns}).group_by("session", use_threads=False)
    found = table.aggregate([*((name, "min") for name in _GROUP), ("time", "min"), ("time", "max")])
    return found.select(
        [*(f"{name}_min" for name in _GROUP), "time_min", "time_max"]
    ).rename_columns([*_GROUP, "first", "last"])


def _step(times: pa.Array) -> pa.Array:
    return pc.subtract(times.slice(1), times.slice(0, len(times) - 1))
