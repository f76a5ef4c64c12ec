"""What processes hold over time, and whether it grows."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from bench.lib.processes import memory

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1024
"""KiB of a MiB."""

WARM_UP = 0.25, 60.0
"""Share of the time, and seconds, that count at least as warm-up: caches and pools fill."""


class Held(NamedTuple):
    """What one process holds: memory in KiB, descriptors, threads."""

    rss: int
    pss: int
    descriptors: int
    threads: int


def held(pid: int) -> Held:
    """What a process holds now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    threads = re.search(r"^Threads:\s+(\d+)$", status, re.MULTILINE)
    descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Held(*memory(pid), descriptors, int(threads[1]) if threads else 0)


class Allowed(NamedTuple):
    """By how much the last third of a series may be above its first: the larger of the two."""

    share: float
    least: float


ALLOWED = {
    "rss": Allowed(0.02, 2 * MIB),
    "pss": Allowed(0.02, 2 * MIB),
    "descriptors": Allowed(0.1, 10),
    "threads": Allowed(0, 1),
}
"""The load comes in waves; a leak passes these bounds in some time, noise does not."""


class Growth(NamedTuple):
    """A series after its warm-up.

    Attributes:
        first: Middle value of its first third.
        last: Middle value of its last third.
        an_hour: Growth an hour: the middle slope between pairs of samples.
        grows: Whether that is more than allowed.
    """

    first: float
    last: float
    an_hour: float
    grows: bool


def growth(series: Sequence[float], interval: float, allowed: Allowed) -> Growth:
    """Judge a series.

    Args:
        series: Samples, of which there are some dozen.
        interval: Seconds between two.
        allowed: By how much it may grow.
    """
    share, seconds = WARM_UP
    warm = series[int(max(share * len(series), seconds / interval)) :]
    third = max(1, len(warm) // 3)
    first, last = median(warm[:third]), median(warm[-third:])
    apart = max(1, len(warm) // 2)
    pairs = zip(warm, warm[apart:], strict=False)
    slopes = [(later - earlier) / (apart * interval) for earlier, later in pairs]
    an_hour = 3600 * median(slopes) if slopes else 0.0
    return Growth(first, last, an_hour, last - first > max(allowed.least, allowed.share * first))
