"""The objects that clients asked for most and that their target did not have.

Memory is bounded for any number of objects (Misra and Gries, "Finding repeated elements", 1982):
when the table is full, a new object takes one from the count of every other. So a count may be too
low, never too high, and an object with a large share of the requests is always there.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MOST = 256
"""Objects that are counted in one process."""
SHOWN = 20
FORGOTTEN_AFTER = 3600.0
"""Seconds without a request after which an object is left out: it may have been copied since."""


class MissingCopy(NamedTuple):
    """An object that a target lacks.

    Attributes:
        site: Name of the site.
        region: Region of the clients, and of the target.
        key: Object key.
        requests: Requests for it; at least so many.
        last: Unix time of the last one.
    """

    site: str
    region: str
    key: str
    requests: int
    last: float


class MissingCopies:
    """The table of one process."""

    __slots__ = ("_clock", "_found")

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._found: dict[tuple[str, str, str], tuple[int, float]] = {}

    def add(self, site: str, region: str, key: str) -> None:
        """Count a request for an object that the target in this region lacks."""
        found, name = self._found, (site, region, key)
        known = found.get(name)
        if known is None and len(found) >= MOST:
            self._found = {
                other: (count - 1, last) for other, (count, last) in found.items() if count > 1
            }
            return
        found[name] = (known[0] if known else 0) + 1, self._clock()

    def top(self) -> tuple[MissingCopy, ...]:
        """Those with the most requests that were asked for in the last hour."""
        oldest = self._clock() - FORGOTTEN_AFTER
        self._found = {name: each for name, each in self._found.items() if each[1] >= oldest}
        return _most(MissingCopy(*name, *each) for name, each in self._found.items())


def merged(parts: Iterable[MissingCopy]) -> tuple[MissingCopy, ...]:
    """Those of all processes with the most requests."""
    found: dict[tuple[str, str, str], MissingCopy] = {}
    for part in parts:
        known = found.get(part[:3])
        if known is not None:
            requests, last = known.requests + part.requests, max(known.last, part.last)
            found[part[:3]] = part._replace(requests=requests, last=last)
        else:
            found[part[:3]] = part
    return _most(found.values())


def _most(found: Iterable[MissingCopy]) -> tuple[MissingCopy, ...]:
    return tuple(sorted(found, key=lambda each: (-each.requests, each[:3]))[:SHOWN])
