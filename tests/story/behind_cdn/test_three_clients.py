"""Three clients, of two regions and of none, get three right answers for one URL in all designs."""

from __future__ import annotations

import asyncio
from itertools import permutations

from tests.story.behind_cdn.answers import BODY, designs, new_key, right_place, wrong
from tests.story.behind_cdn.designs import UNSAFE, Design
from tests.story.behind_cdn.stand import Product, Stand, behind
from tests.story.behind_cdn.visitors import CDN, EAST, OUTSIDE, REGIONS, WEST, Got

FIRSTS = [REGIONS[first:] + REGIONS[:first] for first in range(3)]
"""Orders in which each region is the first one once."""
EARLY = {(404, False), (200, True)}
"""Status, and whether it is the object, of answers before the product knows of an upload."""


async def in_all_orders(stand: Stand) -> list[Got]:
    """The answers of the three clients, and of three others after them, in all six orders."""
    answers = []
    for order in permutations(REGIONS):
        key = new_key()
        await stand.put(key, BODY)
        answers += [await stand.visitors.get(region, f"/{key}") for region in order * 2]
    return answers


@designs
async def test_in_all_six_orders(design: Design, product: Product) -> None:
    async with behind(design, product) as stand:
        answers = await in_all_orders(stand)
    assert len(answers) == 36
    assert wrong(design, answers) == []


@designs
async def test_at_the_same_time(design: Design, product: Product) -> None:
    async with behind(design, product) as stand:
        for order in FIRSTS:
            key = new_key()
            await stand.put(key, BODY)
            asked = [stand.visitors.get(region, f"/{key}") for region in order * 3]
            assert wrong(design, await asyncio.gather(*asked)) == []


async def test_a_cache_with_a_minimum_ttl_of_a_second_gives_them_each_others_answers(
    product: Product,
) -> None:
    async with behind(UNSAFE, product) as stand:
        failed = wrong(UNSAFE, await in_all_orders(stand))
    crossed = {(got.region, got.place) for got in failed}
    assert len(failed) >= 18
    assert {(OUTSIDE, EAST), (OUTSIDE, WEST), (EAST, WEST), (EAST, CDN)} <= crossed


@designs
async def test_ranges(design: Design, product: Product) -> None:
    async with behind(design, product) as stand:
        for order in FIRSTS:
            key = new_key()
            await stand.put(key, BODY)
            for span in (slice(1000, 2000), slice(70_000, 131_072)):
                asked = {"Range": f"bytes={span.start}-{span.stop - 1}"}
                parts = [await stand.visitors.get(region, f"/{key}", asked) for region in order]
                assert wrong(design, parts, BODY[span], 206) == []
            whole = [await stand.visitors.get(region, f"/{key}") for region in order]
            assert wrong(design, whole) == []


@designs
async def test_a_head_has_the_size_and_hides_no_redirect(design: Design, product: Product) -> None:
    async with behind(design, product) as stand:
        key = new_key()
        await stand.put(key, BODY)
        for region in REGIONS:
            got = await stand.visitors.get(region, f"/{key}", method="HEAD")
            assert (got.status, got.size, got.place) == (200, str(len(BODY)), CDN)
        asked = [await stand.visitors.get(region, f"/{key}") for region in REGIONS]
        assert wrong(design, asked) == []


@designs
async def test_conditions(design: Design, product: Product) -> None:
    async with behind(design, product) as stand:
        key = new_key()
        await stand.put(key, BODY)
        etag = (await stand.visitors.get(OUTSIDE, f"/{key}")).etag
        for region in REGIONS:
            same = await stand.visitors.get(region, f"/{key}", {"If-None-Match": etag})
            assert (same.status, same.body) == (304, b"")
            other = await stand.visitors.get(region, f"/{key}", {"If-None-Match": '"other"'})
            assert wrong(design, [other]) == []
            part = {"Range": "bytes=5-9", "If-Range": etag}
            assert (
                wrong(design, [await stand.visitors.get(region, f"/{key}", part)], BODY[5:10], 206)
                == []
            )


@designs
async def test_an_object_that_was_missing_shows_when_it_is_uploaded(
    design: Design, product: Product
) -> None:
    async with behind(design, product) as stand:
        key = new_key()

        async def ask(region: str) -> Got:
            return await stand.visitors.get(region, f"/{key}")

        missing = [await ask(region) for region in REGIONS]
        assert {got.status for got in missing} == {404}
        await stand.put(key, BODY)
        async with asyncio.timeout(5):
            while failed := wrong(design, await asyncio.gather(*map(ask, REGIONS))):
                assert {(got.status, got.body == BODY) for got in failed} <= EARLY
                await asyncio.sleep(0.1)


@designs
async def test_what_matches_no_pattern_is_the_same_for_all(
    design: Design, product: Product
) -> None:
    async with behind(design, product) as stand:
        key = new_key() + ".sha256"
        await stand.put(key, BODY)
        asked = [await stand.visitors.get(region, f"/{key}") for region in REGIONS]
    assert {(got.status, got.body, got.place) for got in asked} == {
        (200, BODY, right_place(design, OUTSIDE))
    }
