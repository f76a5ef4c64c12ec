"""Columns as codes of few distinct values, so that values are looked at once and not a row.

Codes of several columns are combined into one number, by which Arrow groups fastest.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from nearbucket.analysis.shared_database import new_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_MOST = 1 << 62
"""Combinations that one number can tell apart."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A column.

    Attributes:
        codes: Place of each row's value in ``values``, int32 or int64.
        values: The values; all different, unless ``coded`` was told otherwise.
    """

    codes: pa.Array
    values: Sequence[Any]

    def picked(self, of_value: Callable[[Any], Any], kind: pa.DataType) -> pa.Array:
        """A column of what a function gives for each row's value; called once a value."""
        picked = pa.array([of_value(value) for value in self.values], kind)
        if len(picked) == 1 and not self.codes.null_count:
            return pa.repeat(picked[0], len(self.codes))
        return pc.take(picked, self.codes)

    def mapped(self, of_value: Callable[[Any], Any]) -> Coded:
        """A column of what a function gives for each value; it may give the same for several."""
        made = [of_value(value) for value in self.values]
        place = {value: number for number, value in enumerate(dict.fromkeys(made))}
        if len(place) == len(made):
            return Coded(self.codes, made)
        places = pa.array([place[value] for value in made], pa.int64())
        return Coded(pc.take(places, self.codes), list(place))


def coded(column: pa.ChunkedArray, of_raw: Callable[[Any], Any] | None = None) -> Coded:
    """A column in codes.

    Args:
        column: Dictionaries, or values.
        of_raw: Makes the values of those in the dictionary; None leaves them.
    """
    codes, values = dictionary_of(column)
    found = Coded(codes, values.to_pylist())
    return found if of_raw is None else found.mapped(of_raw)


def dictionary_of(column: pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """Codes of a column, int32, and the distinct values."""
    if pa.types.is_dictionary(column.type):
        array = array_of(column.unify_dictionaries())
    else:
        array = array_of(column).dictionary_encode()
    return array.indices, array.dictionary


def constant(value: Any, rows: int) -> Coded:
    """A column with the same value in every row."""
    return Coded(pa.repeat(pa.scalar(0, pa.int64()), rows), [value])


def named_column(
    table: pa.Table, name: str, of_raw: Callable[[bytes], Any] | None, missing: Any
) -> Coded:
    """A column of a table in codes; ``missing`` in every row if the table does not have it."""
    if name in table.column_names:
        return coded(table[name], of_raw)
    return constant(missing, len(table))


def combined(columns: Sequence[Coded]) -> Coded:
    """Several columns as one, whose values are tuples."""
    sizes = [len(column.values) for column in columns]
    if prod(sizes) >= _MOST and len(columns) > 2:  # noqa: PLR2004  # fewer values than rows each
        pair = combined([combined(columns[:-1]), columns[-1]])
        return Coded(pair.codes, [(*front, last) for front, last in pair.values])
    whole = columns[0].codes
    for column in columns[1:]:
        if len(column.values) > 1:
            whole = pc.add(pc.multiply(whole, len(column.values)), column.codes)
    found = whole.dictionary_encode()
    values = [
        [column.values[place] for place in places.to_pylist()]
        for column, places in zip(columns, _split(found.dictionary, sizes), strict=True)
    ]
    return Coded(found.indices, list(zip(*values, strict=True)))


def _split(codes: pa.Array, sizes: Sequence[int]) -> list[pa.Array]:
    """The codes of each column, of codes that combine them."""
    places = []
    for size in reversed(sizes[1:]):
        above = pc.divide(codes, size)
        places.append(pc.subtract(codes, pc.multiply(above, size)))
        codes = above
    return [codes, *places[::-1]]


def grouped(
    columns: Sequence[Coded | Texts],
    values: dict[str, pa.Array],
    how: Sequence[tuple[str, str]],
) -> tuple[list[pa.Array], list[pa.Array]]:
    """Aggregates by the combinations of some columns.

    Args:
        columns: The columns to group by.
        values: What is aggregated.
        how: Name in ``values`` and Arrow's function for each result.

    Returns:
        The codes of each column, and the results, a row a combination.
    """
    sizes = [max(_size(column), 1) for column in columns]
    if prod(sizes) >= _MOST:
        return _grouped_by_each(columns, values, how)
    whole = columns[0].codes
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        whole = pc.add(pc.multiply(whole, size), column.codes)
    table = pa.table({"_": whole, **values}).group_by("_", use_threads=False).aggregate(list(how))
    results = [array_of(table[f"{name}_{function}"]) for name, function in how]
    return _split(array_of(table["_"]), sizes), results


def _grouped_by_each(
    columns: Sequence[Coded | Texts],
    values: dict[str, pa.Array],
    how: Sequence[tuple[str, str]],
) -> tuple[list[pa.Array], list[pa.Array]]:
    """As ``grouped``, where one number cannot hold the combinations."""
    names = [f"_{number}" for number in range(len(columns))]
    keys = {name: column.codes for name, column in zip(names, columns, strict=True)}
    table = pa.table({**keys, **values}).group_by(names, use_threads=False).aggregate(list(how))
    return (
        [array_of(table[name]) for name in names],
        [array_of(table[f"{name}_{function}"]) for name, function in how],
    )


def _size(column: Coded | Texts) -> int:
    return len(column.values if isinstance(column, Coded) else column.texts)


@dataclass(frozen=True, slots=True)
class Texts:
    """A column of text with many distinct values: as codes, with their ids and text.

    Attributes:
        codes: Place of each row's value in ``ids`` and ``texts``, int32 or int64.
        texts: The values; the same may come twice.
        ids: Id of each value, uint64.
    """

    codes: pa.Array
    texts: pa.Array
    ids: pa.Array


def texts_of(columns: Sequence[tuple[pa.Array, pa.Array]]) -> list[Texts]:
    """Several columns of codes and texts with their ids, which are made at once."""
    ids, start, found = ids_of(pa.concat_arrays([texts for _, texts in columns])), 0, []
    for codes, texts in columns:
        found.append(Texts(codes, texts, ids.slice(start, len(texts))))
        start += len(texts)
    return found


def ids_of(texts: pa.Array) -> pa.Array:
    """The ids of texts, uint64: DuckDB's hash, which is the same in all processes."""
    with new_connection() as connection:
        connection.register("texts", pa.table({"text": texts}))
        found = connection.sql("SELECT hash(text) AS id FROM texts").to_arrow_table()
    return array_of(found["id"])


def pair_ids(first: pa.Array, second: pa.Array) -> pa.Array:
    """The ids of pairs of texts, by the ids of both."""
    return pc.add(pc.multiply(first, pa.scalar(_ODD, pa.uint64())), second)


_ODD = 0x9E3779B97F4A7C15  # the golden ratio's digits spread ids over all 64 bits


def array_of(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    found = column.combine_chunks()
    if isinstance(found, pa.ChunkedArray):
        found = found.chunk(0) if found.num_chunks else pa.array([], column.type)
    return found
