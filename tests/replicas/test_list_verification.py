"""Verification by listings: what it renews, what it costs, and that no old copy is kept."""

from __future__ import annotations

from collections import Counter as Count
from typing import TYPE_CHECKING

import pytest

from nearbucket.policy.model import Reason
from nearbucket.replicas import (
    bucket_cache,
    catalog_source,
    object_cache,
    origin_versions,
    replica_status,
)
from nearbucket.replicas import list_verification as module
from tests.replicas.listed_buckets import TTL, Clock, World, opened_world
from tests.replicas.two_workers import Shown
from tests.tuning import give_checks_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

    from tests.conftest import LocalS3

HOURS = 3600.0
HOT = [f"hot/{number:04}.gz" for number in range(15)]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for each in (
        bucket_cache,
        object_cache,
        replica_status,
        origin_versions,
        catalog_source,
        module,
    ):
        monkeypatch.setattr(each, "monotonic", made.monotonic)
    monkeypatch.setattr(bucket_cache, "time", made.time)
    give_checks_time(monkeypatch)
    return made


@pytest.fixture
async def world(s3: LocalS3, session: ClientSession, clock: Clock) -> AsyncIterator[World]:
    async with opened_world(s3, session, clock) as made:
        yield made


async def listed_world(world: World, keys: list[str] = HOT) -> None:
    """Have the workers know hot objects that are hours old, and the supervisor list for them."""
    cold = [f"cold/{number}.gz" for number in range(20)]
    await world.put("origin", [*keys, *cold], b"v1")
    await world.put("target", keys, b"v1")
    world.clock.now += 3 * HOURS
    await world.settle(keys)
    assert world.asked("HEAD") == 4 * len(keys)  # two workers, two buckets
    await world.start()
    await world.live(2 * TTL, keys)
    assert world.lists >= 2


async def hot_objects_cost_pages(world: World, keys: list[str], pages: int, turns: int) -> None:
    await listed_world(world, keys)
    world.watched.forget()
    seconds = turns * 450  # of which 12 are for the listing itself
    assert await world.live(seconds, keys) == {None: 2 * len(keys) * seconds // 30}
    assert world.asked("HEAD") == 0
    assert (turns - 1) * pages <= world.asked("GET List") <= (turns + 1) * pages
    assert {key for each in world.sent for key, *_ in each.objects} == set(keys)


async def test_hot_objects_cost_a_page_of_each_bucket_instead_of_heads(world: World) -> None:
    await hot_objects_cost_pages(world, HOT, 2, 8)


@pytest.mark.long
async def test_2000_hot_objects_cost_two_pages_of_each_bucket_instead_of_8000_heads(
    world: World,
) -> None:
    await hot_objects_cost_pages(world, [f"hot/{number:05}.gz" for number in range(2000)], 4, 2)


async def test_without_many_requests_nothing_is_listed(world: World) -> None:
    few = HOT[:5]
    await world.put("origin", few, b"v1")
    await world.put("target", few, b"v1")
    world.clock.now += 3 * HOURS
    await world.settle(few)
    await world.start()
    await world.live(HOURS, few)
    assert world.lists == 0
    assert world.asked("HEAD") >= 6 * 4 * len(few)


async def test_when_clients_are_gone_the_listings_end(world: World) -> None:
    await listed_world(world)
    await world.live(TTL)
    lists = world.lists
    await world.live(2 * HOURS)
    assert world.lists == lists


async def test_a_bucket_that_cannot_be_listed_is_left_to_heads(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.watched.refuse = lambda asked: "AccessDenied" if asked.name == "GET List" else None
    await world.put("origin", HOT, b"v1")
    await world.put("target", HOT, b"v1")
    world.clock.now += 3 * HOURS
    await world.settle(HOT)
    await world.start()
    assert set(await world.live(HOURS, HOT)) == {None}
    assert world.asked("GET List") <= 10  # each time after twice as long
    assert "is left to HEAD requests: sites.*.origin: bucket" in caplog.text.replace("'", "")


async def test_no_listing_has_a_copy_redirected_to_later_than_verify_ttl_after_an_overwrite(
    world: World,
) -> None:
    """What a listing shows that began before the overwrite comes after it, at any time."""
    await listed_world(world)
    for number, late in enumerate((0, 210, 700)):
        key = HOT[number]
        assert world.against(key) == [None, None]
        world.hold = True
        await world.live(TTL, HOT)
        assert world.sent
        await world.put("origin", [key], b"v2")
        overwritten = world.clock.now
        for step in range(0, int(1.5 * TTL) + late, 30):
            if world.hold and step >= late:
                world.release()
            found = await world.live(30, HOT)
            assert world.clock.now - overwritten <= TTL or None not in world.against(key)
            assert found[None] > 0
        assert not world.hold


async def test_a_listing_that_began_before_a_response_showed_a_new_version_changes_nothing(
    world: World,
) -> None:
    await listed_world(world)
    world.hold = True
    await world.live(TTL, HOT)
    assert world.sent
    key = HOT[0]
    await world.put("origin", [key], b"v2")
    for worker in world.workers:
        worker.origin_versions.on_response("*", key, Shown('"v2"', 2), world.clock.monotonic())
    assert None not in world.against(key)
    world.release()
    assert None not in world.against(key)


async def test_a_listing_that_began_before_it_was_unclear_which_version_is_newer_confirms_none(
    world: World,
) -> None:
    await listed_world(world)
    world.hold = True
    await world.live(TTL, HOT)
    key = HOT[0]
    for worker in world.workers:  # a 304 with another ETag: which is newer, S3 has to say
        worker.origin_versions.on_response("*", key, Shown('"x"', None), world.clock.monotonic())
    assert world.against(key) == [Reason.UNVERIFIED] * 2
    world.release()
    assert world.against(key) == [Reason.UNVERIFIED] * 2


async def test_a_listing_shows_a_new_version_to_all_workers(world: World) -> None:
    await listed_world(world)
    await world.put("origin", HOT[:1], b"v2")
    await world.live(TTL, HOT[1:])  # no client asks for it
    assert None not in world.against(HOT[0])
    await world.put("target", HOT[:1], b"v2")
    await world.live(TTL, HOT)
    await world.settle(HOT[:1])
    assert world.against(HOT[0]) == [None, None]


async def test_objects_that_may_be_archived_are_left_to_heads(world: World) -> None:
    await listed_world(world)
    async with world.s3.server.client() as client:
        await client.put_object(
            Bucket=world.bucket, Key=f"target/{HOT[0]}", Body=b"v1", StorageClass="GLACIER"
        )
    await world.live(2 * TTL, HOT)  # by then no clock can be that wrong
    assert world.against(HOT[1]) == [None, None]
    world.watched.forget()
    lists, turns = world.lists, 8
    for _ in range(turns):
        await world.live(60, HOT[1:])
        await world.settle(HOT[:1])
        assert world.against(HOT[0]) == [Reason.UNREADABLE] * 2
    assert world.lists >= lists + 2
    heads = Count(each.key for each in world.watched.asked if each.name == "HEAD")
    assert heads[f"target/{HOT[0]}"] == turns * len(world.workers)
