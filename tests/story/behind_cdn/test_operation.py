"""What operators do behind a CDN: restart, rotate the secret, roll out, overwrite objects."""

from __future__ import annotations

import asyncio

import pytest

from tests.story.behind_cdn.answers import BODY, new_key, right_place, wrong
from tests.story.behind_cdn.designs import DESIGNS
from tests.story.behind_cdn.stand import (
    ORIGIN,
    SECRET,
    TARGETS,
    Product,
    Stand,
    behind,
    behind_all,
    bucket_url,
)
from tests.story.behind_cdn.visitors import CDN, EAST, OUTSIDE, REGIONS, Got
from tests.story.stage import GRACE

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


async def test_no_answer_is_wrong_while_the_origin_secret_is_rotated(operated: Product) -> None:
    key = new_key()
    over = asyncio.Event()
    answers: list[Got] = []

    def send(stand: Stand, secret: str) -> None:
        url = f"http://127.0.0.1:{operated.running.port}"
        made = stand.design.distribution(url, bucket_url(operated.s3), secret)
        stand.edge.distribution = made

    async def go_on_asking(stand: Stand) -> None:
        while not over.is_set():
            answers.extend(wrong(stand.design, await ask_all(stand, key)))
            await asyncio.sleep(0.01)

    async with behind_all(operated) as stands:
        await stands[0].put(key, BODY)
        async with asyncio.TaskGroup() as group:
            for stand in stands:
                group.create_task(go_on_asking(stand))
            await operated.change((NEXT, SECRET))
            for stand in stands:
                send(stand, NEXT)
            await operated.change((NEXT,))
            over.set()
        assert answers == []
        for stand in stands:
            send(stand, SECRET)
            assert {got.first_status for got in await ask_all(stand, key)} == {403}


async def test_roll_out_of_the_same_objects_behind_the_same_caches(operated: Product) -> None:
    keys = [new_key() for _ in range(4)]

    async def places(stand: Stand, region: str) -> set[str]:
        """Where clients of a region get the objects from."""
        answers = [await stand.visitors.get(region, f"/{key}") for key in keys]
        assert all((got.status, got.body) == (200, BODY) for got in answers)
        return {got.place for got in answers}

    async with behind_all(operated) as stands:
        await asyncio.gather(*(stands[0].put(key, BODY) for key in keys))
        asked = [(stand, region) for stand in stands for region in REGIONS]
        for mode in ("off", "shadow"):
            await operated.change(mode=mode)
            assert [await places(*each) for each in asked] == [{CDN}] * len(asked)
            if mode == "off":  # what a cache has from before the roll-out hides it
                for stand in stands:
                    stand.edge.invalidate()
        await operated.change(percent=50)
        inside = [
            (region, await places(stand, region)) for stand, region in asked if region != OUTSIDE
        ]
        assert all(found <= {region, CDN} for region, found in inside)
        assert {*REGIONS[:2], CDN} == set().union(*(found for _, found in inside))
        await operated.change()
        right = [{right_place(stand.design, region)} for stand, region in asked]
        assert [await places(*each) for each in asked] == right
        await operated.change(mode="off")
        assert [await places(*each) for each in asked] == [{CDN}] * len(asked)


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


@pytest.mark.long
async def test_a_download_that_goes_on_at_a_copy_that_came_late_is_of_one_version(
    product: Product,
) -> None:
    """A part from a CDN that has the old version would be mixed with the rest from the copy."""
    key = new_key()

    async def until(stand: Stand, place: str) -> None:
        async with asyncio.timeout(15):
            while True:
                got = await stand.visitors.get(EAST, f"/{key}")
                if (got.place, got.body) == (place, NEW):
                    return
                await asyncio.sleep(0.2)

    async def part(stand: Stand, number: int, address: str) -> bytes:
        span = {"Range": f"bytes={number * PART}-{(number + 1) * PART - 1}"}
        return (await stand.visitors.get(EAST, f"/{key}", span, address=address)).body

    async with behind_all(product) as stands:
        at = [stand.visitors.address(EAST) for stand in stands]
        await stands[0].put(key, OLD)
        for stand in stands:
            await ask_all(stand, key)
        await stands[0].put_into(key, NEW, ORIGIN)
        await asyncio.gather(*(until(stand, CDN) for stand in stands))
        await asyncio.sleep(GRACE)  # until the other worker knows it as well
        begun = [await part(stand, 0, each) for stand, each in zip(stands, at, strict=True)]
        await stands[0].put_into(key, NEW, *TARGETS.values())
        await asyncio.gather(*(until(stand, EAST) for stand in stands))
        went_on = [await part(stand, 1, each) for stand, each in zip(stands, at, strict=True)]
    assert [*zip(begun, went_on, strict=True)] == [(NEW[:PART], NEW[PART : 2 * PART])] * len(stands)


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
