"""Columns as codes of few distinct values, so that values are looked at once and not a row.

Codes of several columns are combined into one number, by which Arrow groups fastest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Coded:
    """A column.

    Attributes:
        codes: Place of each row's value in ``values``, int64.
        values: The values; all different, unless ``coded`` was told otherwise.
    """

    codes: pa.Array
    values: list[Any]

    def picked(self, of_value: Callable[[Any], Any], kind: pa.DataType) -> pa.Array:
        """A column of what a function gives for each row's value; called once a value."""
        return pc.take(pa.array([of_value(value) for value in self.values], kind), self.codes)


def coded(column: pa.ChunkedArray, of_raw: Callable[[Any], Any] | None = None) -> Coded:
    """A column in codes.

    Args:
        column: Dictionaries, or values.
        of_raw: Makes the values of those in the dictionary; None leaves them.
    """
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = array.chunk(0) if array.num_chunks else pa.array([], column.type)
    codes, values = array.indices.cast(pa.int64()), array.dictionary.to_pylist()
    if of_raw is None:
        return Coded(codes, values)
    decoded = [of_raw(value) for value in values]
    place = {value: number for number, value in enumerate(dict.fromkeys(decoded))}
    if len(place) == len(decoded):
        return Coded(codes, decoded)
    codes = pc.take(pa.array([place[value] for value in decoded], pa.int64()), codes)
    return Coded(codes, list(place))


def constant(value: Any, rows: int) -> Coded:
    """A column with the same value in every row."""
    return Coded(pa.repeat(pa.scalar(0, pa.int64()), rows), [value])


def combined(columns: Sequence[Coded]) -> Coded:
    """Several columns as one, whose values are tuples."""
    whole = columns[0].codes
    for column in columns[1:]:
        whole = pc.add(pc.multiply(whole, len(column.values)), column.codes)
    found = coded(pa.chunked_array([whole]))
    sizes = [len(column.values) for column in columns]
    values = [
        tuple(
            column.values[place] for column, place in zip(columns, _split(code, sizes), strict=True)
        )
        for code in found.values
    ]
    return Coded(found.codes, values)


def _split(code: int, sizes: Sequence[int]) -> list[int]:
    places = []
    for size in reversed(sizes):
        code, place = divmod(code, size)
        places.append(place)
    return places[::-1]


def grouped(
    columns: Sequence[Coded], values: dict[str, pa.Array], how: Sequence[tuple[str, str]]
) -> tuple[list[pa.Array], list[pa.Array]]:
    """Aggregates by the combinations of some columns.

    Args:
        columns: The columns to group by.
        values: What is aggregated.
        how: Name in ``values`` and Arrow's function for each result.

    Returns:
        The codes of each column, and the results, a row a combination.
    """
    sizes = [max(len(column.values), 1) for column in columns]
    if prod(sizes) >= 1 << 62:
        raise OverflowError("too many combinations")  # not with blocks of 24 MiB
    whole = columns[0].codes
    for column, size in zip(columns[1:], sizes[1:], strict=True):
        whole = pc.add(pc.multiply(whole, size), column.codes)
    table = pa.table({"_": whole, **values}).group_by("_", use_threads=False).aggregate(list(how))
    results = [table[f"{name}_{function}"].combine_chunks() for name, function in how]
    rest, codes = table["_"].combine_chunks(), []
    for size in reversed(sizes[1:]):
        above = pc.divide(rest, size)
        codes.append(pc.subtract(rest, pc.multiply(above, size)))
        rest = above
    return [rest, *codes[::-1]], results


def ids_of(values: Iterable[bytes]) -> pa.Array:
    """The ids of values, uint64: the first half of their MD5."""
    digests = [hashlib.md5(value, usedforsecurity=False).digest()[:8] for value in values]
    joined = pa.py_buffer(b"".join(digests))
    return pa.Array.from_buffers(pa.uint64(), len(digests), [None, joined])
