"""Steps that read what others write come after them; otherwise their order stays."""

from __future__ import annotations

from itertools import chain, product
from random import Random
from typing import TYPE_CHECKING

import pytest

from nearbucket.replication.step_order import CircleError, in_order, overlapping

if TYPE_CHECKING:
    from collections.abc import Sequence

    Prefixes = Sequence[Sequence[str]]

NAMES = ["", *map("".join, chain(*(product("abcd", repeat=length) for length in (1, 2, 3))))]


def overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


def fills(writes: Sequence[str], reads: Sequence[str]) -> bool:
    return any(overlap(one, other) for one in writes for other in reads)


def order_by_comparing_all(reads: Prefixes, writes: Prefixes) -> list[int] | None:
    """The order by its definition; None if there is a circle."""
    found: list[int] = []
    left = list(range(len(reads)))
    while left:
        ready = (one for one in left if not any(fills(writes[two], reads[one]) for two in left))
        if (one := next(ready, None)) is None:
            return None
        found.append(one)
        left.remove(one)
    return found


def some_steps(random: Random) -> tuple[Prefixes, Prefixes]:
    """Up to twelve steps, of which most have few prefixes: many of those would be circles."""
    names = random.sample(NAMES, random.randint(6, 40))

    def prefixes(most: int) -> list[str]:
        return random.sample(names, random.randint(1, min(most, len(names))))

    count = random.randint(1, 12)
    most = random.choice((1, 1, 2, 3))
    return [prefixes(most) for _ in range(count)], [prefixes(1) for _ in range(count)]


def test_the_order_is_the_one_that_comparing_all_steps_gives() -> None:
    random, circles, moved = Random(1), 0, 0  # noqa: S311  # no secret
    for _ in range(1700):
        reads, writes = some_steps(random)
        if (expected := order_by_comparing_all(reads, writes)) is None:
            circles += 1
            with pytest.raises(CircleError) as error:
                in_order(reads, writes)
            filler, filled = error.value.args
            assert fills(writes[filler], reads[filled])
        else:
            moved += expected != sorted(expected)
            assert in_order(reads, writes) == expected
    assert min(circles, moved) > 250


def test_prefixes_overlap_if_one_begins_with_the_other() -> None:
    assert overlapping(NAMES, NAMES[8:]) == sorted(
        (one, other) for one in NAMES for other in NAMES[8:] if overlap(one, other)
    )
