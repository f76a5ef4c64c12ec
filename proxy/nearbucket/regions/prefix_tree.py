"""A tree of tuples, indexed by a packed address byte by byte, that ends in regions.

Each leaf is the region of the longest prefix that holds the address. An index into a tuple is the
cheapest step in Python, and a comparison between two steps costs nearly as much as a step
(bench/redirect/lookup.py). So the type of a node is checked at *stops* only. Between two stops a
region is repeated by tuples of 256 times the same value, shared by all places that are alike.

The price is memory: 2 MiB for EC2's 4,000 prefixes. A prefix far from all others takes 3 to 5 KiB
in IPv4, and 9 to 13 in IPv6.
"""

from __future__ import annotations

from types import EllipsisType
from typing import TYPE_CHECKING, Any

from nearbucket.regions.prefixes import BITS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Prefixes = dict[tuple[int, int], str | None]
"""First address and length of each prefix of one family, to its region."""

_Four = tuple[tuple[str | None, ...], ...]
_Six = tuple[tuple[tuple[str | EllipsisType | None, ...], ...], ...]

Tree4 = tuple[tuple[_Four | str | None, ...], ...]
"""IPv4: bytes 1 and 2, a stop, bytes 3 and 4."""

Tree6 = tuple[tuple[tuple[tuple[tuple[_Six | str | None, ...], ...], ...] | None, ...], ...]
"""IPv6: bytes 1 and 2, a stop for None alone, bytes 3 to 5, a stop, bytes 6 to 8.

Most of AWS's IPv6 prefixes end at /40, and those of EC2 at /64 (list of 2026-07-29). A leaf that
longer prefixes divide is ``...``.
"""

_PLACES, _BYTE = 256, 8
_STOPS = {4: (2, 4), 6: (5, 8)}
_OUTSIDE = 2
"""At this level None is a leaf in both trees: most addresses outside AWS end here."""

_GROUP = 32
"""Tuples that are pickled together; they are read in a tenth of a millisecond."""

_Value = str | EllipsisType | None
_Listed = tuple[tuple[int, int], _Value]


def grow(family: int, prefixes: Prefixes) -> Any:
    """The tree of the prefixes of one family: a ``Tree4`` or a ``Tree6``."""
    return _Builder(family).tree(prefixes)


def groups(tree: tuple[Any, ...]) -> Iterator[list[tuple[Any, ...]]]:
    """Every tuple of a tree once, in groups, each after the tuples that it contains."""
    order: dict[int, tuple[Any, ...]] = {}
    _below(tree, order)
    nodes = list(order.values())
    for start in range(0, len(nodes), _GROUP):
        yield nodes[start : start + _GROUP]


def _below(node: tuple[Any, ...], order: dict[int, tuple[Any, ...]]) -> None:
    for each in node:
        if type(each) is tuple and id(each) not in order:
            _below(each, order)
    order[id(node)] = node


class _Builder:
    def __init__(self, family: int) -> None:
        self._bits, self._stops = BITS[family], _STOPS[family]
        self._deepest = self._stops[-1] * _BYTE
        self._spread: dict[tuple[_Value, int], object] = {}

    def tree(self, prefixes: Prefixes) -> object:
        values: dict[tuple[int, int], _Value] = {
            place: region for place, region in prefixes.items() if place[1] <= self._deepest
        }
        cut = self._bits - self._deepest
        for first, length in prefixes:
            if length > self._deepest:
                values[first >> cut << cut, self._deepest] = ...
        return self._node(0, None, sorted(values.items(), key=lambda each: each[0][1]))

    def _node(self, level: int, around: _Value, within: Sequence[_Listed]) -> tuple[object, ...]:
        """One tuple of 256.

        Args:
            level: Number of bytes before the one that indexes it.
            around: Value of the longest prefix that covers all of it.
            within: Prefixes that cover a part of it, shortest first, so that longer ones overwrite.
        """
        below = level + 1
        values = [around] * _PLACES
        longer: dict[int, list[_Listed]] = {}
        for each in within:
            (first, length), value = each
            place = first >> self._bits - below * _BYTE & _PLACES - 1
            if length > below * _BYTE:
                longer.setdefault(place, []).append(each)
            else:
                width = 1 << below * _BYTE - length
                values[place : place + width] = [value] * width
        node: list[object] = list(values)
        if below not in self._stops:
            spread = {value: self._reach(value, below) for value in set(values)}
            node = [spread[value] for value in values]
        for place, listed in longer.items():
            node[place] = self._node(below, values[place], listed)
        return tuple(node)

    def _reach(self, value: _Value, level: int) -> object:
        """A value at a stop, or tuples down to the next stop that all end in it."""
        if level in self._stops or (value is None and level == _OUTSIDE):
            return value
        key = value, level
        if key not in self._spread:
            self._spread[key] = (self._reach(value, level + 1),) * _PLACES
        return self._spread[key]
