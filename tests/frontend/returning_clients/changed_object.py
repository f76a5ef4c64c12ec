"""An object in eight ranges that has changed, and the table that counts who asked for which."""

from __future__ import annotations

from mmap import mmap

from nearbucket.frontend.returning_clients.sibling_ranges import (
    RANGES_SIZE,
    SiblingRanges,
    mark_of_bytes,
)
from nearbucket.replicas.replica_status import OlderCopy

PARTS = [mark_of_bytes(f"bytes={number * 100}-{number * 100 + 99}") for number in range(8)]
LENGTH, SIZE = 100, 800
MARK, CHANGED = 12345, 100.0
OLDER_COPY = OlderCopy(CHANGED, SIZE)


def table() -> SiblingRanges:
    return SiblingRanges(memoryview(mmap(-1, RANGES_SIZE)))
