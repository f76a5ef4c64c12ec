"""When each request of a log was: columns of date and time, or of Unix times, as Unix times."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from nearbucket.analysis.reducing.coded_columns import array_of, coded

if TYPE_CHECKING:
    from nearbucket.analysis.reading.sources import Period

_DAY = 86400
_FIRST, _END = 946684800, 4102444800  # 2000-01-01 and 2100-01-01


def in_period(table: pa.Table, period: Period) -> pa.Table:
    """The requests of a period; without those that have no time, unless it is open at both ends."""
    if period.since is None and period.until is None:
        return table
    return table.filter(within(pa.chunked_array([seconds_of(table)]), period))


def within(seconds: pa.ChunkedArray, period: Period) -> pa.Array:
    """Whether each of the Unix times is in a period; not those that are null."""
    kept = pc.is_valid(seconds)
    if period.since is not None:
        kept = pc.and_(kept, pc.greater_equal(seconds, int(period.since.timestamp())))
    if period.until is not None:
        kept = pc.and_(kept, pc.less(seconds, int(period.until.timestamp())))
    return array_of(kept)


def seconds_of(table: pa.Table) -> pa.Array:
    """Unix times (int64); null where a row has none that can be read, or one that no log has."""
    return _of_logs(_seconds(table))


def _seconds(table: pa.Table) -> pa.Array:
    names = table.column_names
    if "date" in names and "time" in names:
        day, clock = (array_of(table[name]).cast(pa.int32()) for name in ("date", "time"))
        return pc.add(pc.multiply(day.cast(pa.int64()), _DAY), clock.cast(pa.int64()))
    if "timestamp_ms" in names:
        return coded(table["timestamp_ms"]).picked(lambda raw: _epoch(raw, 1000), pa.int64())
    if "timestamp" in names:
        return coded(table["timestamp"]).picked(lambda raw: _epoch(raw, 1), pa.int64())
    return pa.nulls(len(table), pa.int64())


def _of_logs(seconds: pa.Array) -> pa.Array:
    """The times of this century: one damaged date would make a log of days one of centuries."""
    bounds = pc.min_max(seconds).as_py()
    if bounds["min"] is None or (bounds["min"] >= _FIRST and bounds["max"] < _END):
        return seconds
    fits = pc.and_(pc.greater_equal(seconds, _FIRST), pc.less(seconds, _END))
    return pc.if_else(fits, seconds, None)


def _epoch(raw: bytes, unit: int) -> int | None:
    try:
        seconds = float(raw) / unit
    except ValueError:
        return None
    return int(seconds) if 0 <= seconds < 1 << 33 else None
