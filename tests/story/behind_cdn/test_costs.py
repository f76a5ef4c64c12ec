"""The shares of bytes in ``docs/money.md`` are those that the designs carry."""

from __future__ import annotations

import asyncio
import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.story.behind_cdn.answers import BODY, new_key
from tests.story.behind_cdn.designs import DESIGNS
from tests.story.behind_cdn.stand import behind
from tests.story.behind_cdn.visitors import EAST, OUTSIDE, WEST

if TYPE_CHECKING:
    from tests.story.behind_cdn.stand import Product, Stand

COSTS: dict[str, Any] = runpy.run_path(str(Path(__file__).resolve().parents[3] / "docs/costs.py"))
REQUESTS = 100
ROWS = dict(zip(DESIGNS, COSTS["DESIGNS"][1:], strict=True))
"""Those of the page, by the names of the designs here."""


async def _carried(stand: Stand) -> tuple[float, float, float]:
    """Shares of the bytes that the product streams, CloudFront gives, and S3 gives to clients."""
    key, other = new_key(), new_key() + ".asc"
    for each in (key, other):
        await stand.put(each, BODY)
    before = await asyncio.to_thread(_streamed, stand.product)
    near, far = round(COSTS["NEAR"] * REQUESTS), round(COSTS["FAR"] * REQUESTS)
    asked = [(key, (EAST, WEST)[number % 2]) for number in range(near)]
    asked += [(key, OUTSIDE)] * far + [(other, OUTSIDE)] * (REQUESTS - near - far)
    got = [await stand.visitors.get(region, f"/{each}") for each, region in asked]
    streamed = await asyncio.to_thread(_streamed, stand.product) - before
    s3 = sum(len(each.body) for each in got if each.place in {EAST, WEST})
    total = sum(len(each.body) for each in got)
    assert total == REQUESTS * len(BODY)
    return streamed / total, 1 - s3 / total, s3 / total


def _streamed(product: Product) -> float:
    figures = product.running.figures()
    name = "nearbucket_streamed_bytes_total"
    return sum(value for each, value in figures.items() if each.startswith(name))


@pytest.mark.long
async def test_the_shares_of_bytes_are_those_that_the_page_reckons_with(product: Product) -> None:
    for name, row in ROWS.items():
        async with behind(DESIGNS[name], product) as stand:
            streamed, cdn, near = await _carried(stand)
        # what a cache keeps is streamed once, which of so few requests is one in a hundred
        assert abs(streamed - row.streamed) < 0.015, name
        assert (round(cdn, 3), round(near, 3)) == (row.cdn, COSTS["NEAR"]), name
