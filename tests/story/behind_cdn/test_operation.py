"""What operators do behind a CDN: restart, rotate the secret, roll out, overwrite objects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.story.behind_cdn.answers import BODY, new_key, right_place, wrong
from tests.story.behind_cdn.designs import DESIGNS
from tests.story.behind_cdn.stand import SECRET, Product, Stand, behind, behind_all, bucket_url
from tests.story.behind_cdn.visitors import CDN, EAST, OUTSIDE, REGIONS, WEST, Got

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NEXT = "the next secret"
OLD, NEW = BODY, BODY[::-1]
PART = 32_768


async def ask_all(stand: Stand, key: str) -> list[Got]:
    """The answers of the three clients."""
    return [await stand.visitors.get(region, f"/{key}") for region in REGIONS]


async def test_after_a_restart_all_answers_are_right_at_once(own_product: Product) -> None:
    key = new_key()
    async with behind_all(own_product) as stands:
        await stands[0].put(key, BODY)
        for stand in stands:
            assert wrong(stand.design, await ask_all(stand, key)) == []
        own_product.running.__exit__(None)
        for stand in stands:
            assert {got.first_status for got in await ask_all(stand, key)} == {502}
        with own_product.running as started:
            await asyncio.to_thread(started.ready)
            for stand in stands:
                assert wrong(stand.design, await ask_all(stand, key)) == []


async def test_no_answer_is_wrong_while_the_origin_secret_is_rotated(own_product: Product) -> None:
    key = new_key()
    over = asyncio.Event()
    answers: list[Got] = []

    def send(stand: Stand, secret: str) -> None:
        url = f"http://127.0.0.1:{own_product.running.port}"
        made = stand.design.distribution(url, bucket_url(own_product.s3), secret)
        stand.edge.distribution = made

    async def go_on_asking(stand: Stand) -> None:
        while not over.is_set():
            answers.extend(wrong(stand.design, await ask_all(stand, key)))
            await asyncio.sleep(0.01)

    async with behind_all(own_product) as stands:
        await stands[0].put(key, BODY)
        async with asyncio.TaskGroup() as group:
            for stand in stands:
                group.create_task(go_on_asking(stand))
            await own_product.change((NEXT, SECRET))
            for stand in stands:
                send(stand, NEXT)
            await own_product.change((NEXT,))
            over.set()
        assert answers == []
        for stand in stands:
            send(stand, SECRET)
            assert {got.first_status for got in await ask_all(stand, key)} == {403}


async def places(stand: Stand, keys: Iterable[str], region: str) -> set[str]:
    """Where clients of a region get objects from."""
    answers = await asyncio.gather(*(stand.visitors.get(region, f"/{key}") for key in keys))
    assert all((got.status, got.body) == (200, BODY) for got in answers)
    return {got.place for got in answers}


async def test_roll_out_of_the_same_objects_behind_the_same_caches(own_product: Product) -> None:
    keys = [new_key() for _ in range(12)]

    async def are(expected: Callable[[Stand, str], set[str]], *, of: Iterable[str]) -> None:
        for stand in stands:
            for region in of:
                assert await places(stand, keys, region) == expected(stand, region), stand.design

    async with behind_all(own_product) as stands:
        await asyncio.gather(*(stands[0].put(key, BODY) for key in keys))
        for mode in ("off", "shadow"):
            await own_product.change(mode=mode)
            await are(lambda _stand, _region: {CDN}, of=REGIONS)
            if mode == "off":  # what a cache has from before the roll-out hides it
                for stand in stands:
                    stand.edge.invalidate()
        await own_product.change(percent=50)
        await are(lambda _stand, region: {region, CDN}, of=(EAST, WEST))
        await own_product.change(percent=100)
        await are(lambda stand, region: {right_place(stand.design, region)}, of=REGIONS)
        await own_product.change(mode="off")
        await are(lambda _stand, _region: {CDN}, of=REGIONS)


async def test_a_download_in_parts_is_of_one_version_after_an_overwrite(product: Product) -> None:
    """Also where a cache has the old version, and the client sends nothing but Range."""
    spans = [f"bytes={first}-{first + PART - 1}" for first in range(0, len(OLD), PART)]
    key = new_key()
    async with behind_all(product) as stands:
        await stands[0].put(key, OLD)
        for stand in stands:
            for region in REGIONS:
                assert (await stand.visitors.get(region, f"/{key}")).body == OLD
        await stands[0].put(key, NEW)
        for stand in stands:
            for region in REGIONS:
                at = stand.visitors.address(region)
                parts = [
                    await stand.visitors.get(region, f"/{key}", {"Range": span}, address=at)
                    for span in spans
                ]
                assert {each.status for each in parts} == {206}
                whole = b"".join(each.body for each in parts)
                assert whole in {OLD, NEW}, (stand.design, region)


async def test_a_client_that_does_not_follow_to_the_second_distribution_gets_it_at_the_third_try(
    product: Product,
) -> None:
    async with behind(DESIGNS["bypass"], product) as stand:
        key = new_key()
        await stand.put(key, BODY)

        async def try_thrice(fields: dict[str, str]) -> list[Got]:
            at, tries = stand.visitors.address(OUTSIDE), []
            for pause in (0, 1, 1):  # one that does not wait looks like many clients
                await asyncio.sleep(pause)
                got = await stand.visitors.get(OUTSIDE, f"/{key}", fields, address=at, follow=False)
                tries.append(got)
            return tries

        whole, part = await asyncio.gather(try_thrice({}), try_thrice({"Range": "bytes=0-9"}))
    assert [each.status for each in whole] == [301, 301, 200]
    assert [each.status for each in part] == [301, 301, 206]
    assert (whole[2].body, part[2].body) == (BODY, BODY[:10])
