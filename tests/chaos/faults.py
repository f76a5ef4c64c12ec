"""What happens to a response of S3, and plans that say to which; drawn by seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20


class Act(Enum):
    """What a fault does; a response's bytes are those of its head and its body."""

    NONE = "none"
    LATENCY = "latency"
    """Nothing for some seconds, then the response."""
    RST = "RST at byte N"
    FIN = "FIN at byte N"
    TRUNCATED = "truncated"
    """FIN when N bytes are missing."""
    STALL = "stall"
    """Nothing for some seconds after N bytes, then the rest."""
    DRIP = "drip"
    """N bytes at a time, with a pause after each."""
    HALF_OPEN = "half-open"
    """The whole response; later requests on that connection are not answered, nor is it closed."""
    SLOW_DOWN = "SlowDown"
    """503, as S3 writes it."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        act: What it does.
        at: Its number of bytes.
        seconds: Its time.
    """

    act: Act
    at: int = 0
    seconds: float = 0.0


NONE = Fault(Act.NONE)
Plan: TypeAlias = "Callable[[], Fault]"
"""Gives the fault of each response in turn."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Faults of one kind, whose numbers are drawn between bounds.

    Attributes:
        act: What they do.
        at: Fewest and most bytes.
        seconds: Shortest and longest time.
    """

    act: Act
    at: tuple[int, int] = (0, 0)
    seconds: tuple[float, float] = (0.0, 0.0)

    def draw(self, chance: random.Random) -> Fault:
        """One fault."""
        return Fault(self.act, chance.randint(*self.at), chance.uniform(*self.seconds))


def drawn(seed: object, *kinds: Kind, share: float = 1.0) -> Plan:
    """A fault of one of these kinds, for this share of each ten responses; the seed repeats it."""
    chance = random.Random(str(seed))  # noqa: S311  # a seed repeats
    spoilt: list[bool] = []

    def plan() -> Fault:
        if not spoilt:
            many = round(share * 10)
            spoilt.extend(chance.sample([True] * many + [False] * (10 - many), 10))
        return chance.choice(kinds).draw(chance) if spoilt.pop() else NONE

    return plan


def bursts(fault: Fault, length: int, pause: int) -> Plan:
    """The same fault for ``length`` responses in a row, then none for ``pause`` responses."""
    numbers: Iterator[int] = count()
    return lambda: fault if next(numbers) % (length + pause) < length else NONE


def always(fault: Fault) -> Plan:
    """The same fault for each response."""
    return lambda: fault
