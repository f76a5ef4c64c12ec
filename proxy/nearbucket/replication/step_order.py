"""The order of steps that read and write objects, by the prefixes of these objects' names.

No step is compared with each other one: thousands of sites' regions are put in order at once.
"""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from itertools import chain
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence


class CircleError(Exception):
    """Steps write what others of them read, in a circle.

    The arguments are the numbers of two of them, of which the first writes what the second reads.
    """


def in_order(reads: Sequence[Sequence[str]], writes: Sequence[Sequence[str]]) -> list[int]:
    """The numbers of the steps in order: next is the lowest one whose writers all came before.

    Args:
        reads: For each step, the prefixes of the names that it reads.
        writes: For each step, the prefixes of the names that it writes.

    Raises:
        CircleError: There is no such order.
    """
    graph: TopologicalSorter[int | tuple[str, str]] = TopologicalSorter()
    for number, (read, written) in enumerate(zip(reads, writes, strict=True)):
        graph.add(number, *(("read", prefix) for prefix in read))
        for prefix in written:
            graph.add(("written", prefix), number)
    for one, other in overlapping(set(chain(*reads)), set(chain(*writes))):
        graph.add(("read", one), ("written", other))
    try:
        graph.prepare()
    except CycleError as error:
        circle = [each for each in error.args[1] if isinstance(each, int)]
        raise CircleError(circle[0], circle[1 % len(circle)]) from None
    return list(_lowest_first(graph))


def _lowest_first(graph: TopologicalSorter[int | tuple[str, str]]) -> Iterator[int]:
    ready: list[int] = []
    while graph.is_active():
        if not (free := graph.get_ready()):
            yield ready[0]
            graph.done(heappop(ready))
        for each in free:
            if isinstance(each, int):
                heappush(ready, each)
            else:
                graph.done(each)


def overlapping(ones: Collection[str], others: Collection[str]) -> list[tuple[str, str]]:
    """The pairs of prefixes that one name can have, sorted: one of them begins with the other."""
    return sorted({*_nested(ones, others), *((one, two) for two, one in _nested(others, ones))})


def _nested(names: Iterable[str], prefixes: Collection[str]) -> Iterator[tuple[str, str]]:
    """Each name with those of the prefixes that it begins with."""
    lengths = {len(each) for each in prefixes}
    for name in names:
        yield from ((name, name[:length]) for length in lengths if name[:length] in prefixes)
