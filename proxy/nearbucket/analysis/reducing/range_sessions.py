"""Ranges of one client, User-Agent and object, joined while less than ten minutes are between them.

The ranges of one file make sessions; sessions of several files are joined by the same rule, and so
the result does not depend on how the requests are spread over files.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from nearbucket.analysis.reducing.coded_columns import array_of

GAP = 600
"""Seconds between two ranges from which on they are two downloads."""
_GROUP = ("client", "agent", "object")
_MOST = 1 << 62


def sessions_of(ranges: pa.Table) -> pa.Table:
    """The sessions of some ranges.

    Group and time are one number, in which groups are further apart than ``GAP``: sorting it is
    all that is to do.

    Args:
        ranges: Columns ``client``, ``agent``, ``object`` (numbers from 0) and ``time`` (seconds).

    Returns:
        The same numbers, and the times ``first`` and ``last``.
    """
    columns = {name: array_of(ranges[name]) for name in (*_GROUP, "time")}
    times = columns.pop("time")
    if not len(times):
        return pa.table({**columns, "first": times, "last": times})
    bounds = pc.min_max(times).as_py()
    span = bounds["max"] - bounds["min"] + 1 + GAP
    groups = _groups(list(columns.values()), _MOST // span)
    moments = pc.add(pc.multiply(groups, span), pc.subtract(times, bounds["min"]))
    order = pc.sort_indices(moments)
    moments = pc.take(moments, order)
    apart = pc.greater_equal(pc.subtract(moments.slice(1), moments.slice(0, len(order) - 1)), GAP)
    edge = pa.array([True])
    starts = order.filter(pa.concat_arrays([edge, apart]))
    ends = order.filter(pa.concat_arrays([apart, edge]))
    found = {name: pc.take(column, starts) for name, column in columns.items()}
    return pa.table({**found, "first": pc.take(times, starts), "last": pc.take(times, ends)})


def _groups(columns: list[pa.Array], most: int) -> pa.Array:
    """One number below ``most`` for each combination of numbers."""
    whole, size = columns[0], pc.max(columns[0]).as_py() + 1
    for column in columns[1:]:
        more = pc.max(column).as_py() + 1
        if size * more >= _MOST:
            (whole, size), (column, more) = _dense(whole), _dense(column)  # noqa: PLW2901
        whole, size = pc.add(pc.multiply(whole, more), column), size * more
    return whole if size < most else _dense(whole)[0]


def _dense(numbers: pa.Array) -> tuple[pa.Array, int]:
    """Numbers below the count of distinct ones, which is not more than the rows."""
    found = numbers.dictionary_encode()
    return found.indices.cast(pa.int64()), len(found.dictionary)
