"""Objects whose every byte tells the version that it belongs to, and what was at the origin when.

The high half of a byte is the version, the low half follows from key and offset. So any part of a
download shows which versions it was made of, and whether the bytes are those that were asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from math import inf
from typing import NamedTuple
from zlib import crc32

BLOCK = 512
"""Bytes in a row that are equal."""

FOREIGN = 15
"""The version of an object that another owner of a bucket put there."""


@cache
def body(key: str, version: int, size: int) -> bytes:
    """The bytes of one version of an object."""
    blocks = range(-(-size // BLOCK))
    low = [crc32(f"{key} {block}".encode()) & 15 for block in blocks]
    return b"".join(bytes([version << 4 | each]) * BLOCK for each in low)[:size]


class Content(NamedTuple):
    """What a part of an object was found to be.

    Attributes:
        versions: The versions whose bytes occur.
        whole: Whether each byte is where it belongs in one of them.
    """

    versions: frozenset[int]
    whole: bool


def content(data: bytes, key: str, history: History, first: int = 0) -> Content:
    """Which versions of an object these bytes are of, from this offset on."""
    for version in (history.current, *history.began, FOREIGN):
        if data == memoryview(body(key, version, history.size))[first : first + len(data)]:
            return Content(frozenset({version}), whole=True)
    wanted = body(key, 0, history.size)[first : first + len(data)]
    found = frozenset(each >> 4 for each in set(data))
    return Content(found, whole=data.translate(_LOW) == wanted.translate(_LOW))


_LOW = bytes(each & 15 for each in range(256))


@dataclass
class History:
    """The versions of one object at the origin.

    Attributes:
        size: Bytes of each version.
        began: Version to the time at which its upload began.
        done: Version to the time at which its upload had ended.
    """

    size: int
    began: dict[int, float] = field(default_factory=dict)
    done: dict[int, float] = field(default_factory=dict)

    @property
    def current(self) -> int:
        """The version that was uploaded last; 0 if there is none."""
        return max(self.done, default=0)

    def old_for(self, version: int, when: float) -> float:
        """Seconds for which a version was surely replaced at this time; 0 if it was not.

        A version that was never at the origin was replaced for ever.
        """
        if version not in self.began:
            return inf
        later = [done for other, done in self.done.items() if other > version]
        return max(0.0, when - min(later, default=inf))
