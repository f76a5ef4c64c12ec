"""Which answers are right."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.story.behind_cdn.designs import DESIGNS, Design
from tests.story.behind_cdn.visitors import CDN, OUTSIDE, Got

if TYPE_CHECKING:
    from collections.abc import Iterable

BODY = bytes(range(256)) * 512
_numbers = count()

designs = pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)


def new_key() -> str:
    """A key that no cache knows."""
    return f"releases/{next(_numbers)}.tar.xz"


def right_place(design: Design, region: str) -> str:
    """Where a client has to get its bytes from."""
    if region != OUTSIDE:
        return region
    return "second" if design.bypass else CDN


def wrong(
    design: Design, answers: Iterable[Got], body: bytes = BODY, status: int = 200
) -> list[Got]:
    """The answers from another place, or with other bytes, than they should be."""
    return [
        got
        for got in answers
        if (got.place, got.status) != (right_place(design, got.region), status) or got.body != body
    ]
