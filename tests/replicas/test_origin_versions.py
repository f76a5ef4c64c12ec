"""What a response of the origin shows of an object counts at once, in every worker."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from nearbucket.policy.model import Reason
from tests.bucketserver import until
from tests.replicas.two_workers import KEY, NEW, OLD, Shown, World, opened_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession


@pytest.fixture
async def world(session: ClientSession) -> AsyncIterator[World]:
    async with opened_world(session) as made:
        yield made


async def test_a_new_version_ends_redirects_at_once_and_has_the_copies_checked(
    world: World,
) -> None:
    await world.settle()
    world.overwrite()
    world.see(NEW)
    assert world.against() == [Reason.NOT_REPLICATED, Reason.NOT_REPLICATED]
    assert world.changes == 2
    await until(lambda: world.target.asked["HEAD", KEY] == 2)  # one for each worker
    assert not world.origin.asked


async def test_a_copy_that_is_new_already_is_redirected_to_at_once(world: World) -> None:
    await world.settle()
    world.overwrite()
    world.target.objects[KEY] = NEW
    world.see(NEW)
    await until(lambda: world.against() == [None, None])
    assert world.target.asked == {("HEAD", KEY): 2}


async def test_the_known_version_changes_nothing_and_is_not_told(world: World) -> None:
    await world.settle()
    for _ in range(3):
        world.see(OLD)
    world.one.origin_versions.on_response("*", KEY, Shown('"etag-3"', None), monotonic())
    assert world.against() == [None, None]
    assert not world.reports
    assert world.changes == 0


async def test_the_first_sight_of_an_object_is_told_to_workers_that_know_another_version(
    world: World,
) -> None:
    await world.settle()
    world.overwrite()
    world.one.object_cache.buckets[world.origin_url].forget(KEY)
    world.see(NEW)
    assert world.against()[1] is Reason.NOT_REPLICATED


async def test_the_first_sight_of_an_object_is_not_kept_by_workers_that_do_not_know_it(
    world: World,
) -> None:
    world.see(OLD)
    assert [len(worker.object_cache) for worker in (world.one, world.other)] == [1, 0]


async def test_keys_that_the_origin_does_not_have_are_told_of_only_if_they_were_known(
    world: World,
) -> None:
    await world.one.settle("*", "us-west-2", "b.tar.gz")
    world.one.origin_versions.on_missing("*", "c.tar.gz", monotonic())
    assert not world.reports
    assert len(world.other.object_cache) == 0
    await world.settle()
    del world.origin.objects[KEY]
    flight = world.one.object_cache.check(world.one.object_cache.buckets[world.origin_url], KEY)
    assert flight is not None
    await flight
    assert world.against() == [Reason.ABSENT, Reason.ABSENT]


async def test_a_head_request_tells_the_other_worker(world: World) -> None:
    await world.settle()
    world.overwrite()
    bucket = world.one.object_cache.buckets[world.origin_url]
    flight = world.one.object_cache.check(bucket, KEY)
    assert flight is not None
    await flight
    assert world.against() == [Reason.NOT_REPLICATED, Reason.NOT_REPLICATED]
    assert len(world.reports) == 1


async def test_an_object_that_is_gone_is_absent_at_once(world: World) -> None:
    await world.settle()
    del world.origin.objects[KEY]
    world.one.origin_versions.on_missing("*", KEY, monotonic())
    assert world.against() == [Reason.ABSENT, Reason.ABSENT]


async def test_a_304_with_another_etag_has_the_origin_asked(world: World) -> None:
    await world.settle()
    world.overwrite()
    world.one.origin_versions.on_response("*", KEY, Shown('"etag-5"', None), monotonic())
    assert world.against()[0] is Reason.UNVERIFIED
    await until(lambda: world.against() == [Reason.NOT_REPLICATED] * 2)
    assert world.origin.asked == {("HEAD", KEY): 1}


@pytest.mark.parametrize("truth", [OLD, NEW])
async def test_of_requests_that_overlap_s3_says_which_version_is_the_newer_one(
    world: World, truth: tuple[bytes, str]
) -> None:
    before = monotonic()
    await world.settle()
    world.overwrite(truth)
    world.see(OLD if truth is NEW else NEW, asked=before)
    if truth is NEW:
        assert world.against() == [None, None]  # nothing new was seen
        world.see(NEW, asked=before)
    assert world.against() == [Reason.UNVERIFIED, Reason.UNVERIFIED]
    expected = None if truth is OLD else Reason.NOT_REPLICATED
    await until(lambda: world.against() == [expected, expected])


async def test_a_response_that_overlapped_with_the_one_of_the_known_version_is_not_believed(
    world: World,
) -> None:
    """It was sent later, but S3 read the object before the other one."""
    await world.settle()
    world.overwrite()
    asked = monotonic()
    await asyncio.sleep(0.001)
    later = monotonic()
    world.see(NEW, asked=asked)
    world.see(OLD, asked=later)
    assert world.against() == [Reason.NOT_REPLICATED] * 2
    await until(lambda: world.origin.asked == {("HEAD", KEY): 1})
    await until(lambda: not world.one.object_cache.buckets[world.origin_url].flights)
    assert world.against() == [Reason.NOT_REPLICATED] * 2
    assert len(world.reports) == 1


@pytest.mark.parametrize("total", [len(OLD[0]), None], ids=["200", "304"])
async def test_late_responses_of_the_replaced_version_undo_nothing(
    world: World, total: int | None
) -> None:
    before = monotonic()
    await world.settle()
    world.overwrite()
    world.see(NEW)
    known = world.one.origin_versions.replaced(world.origin_url, KEY)
    for _ in range(3):
        world.one.origin_versions.on_response("*", KEY, Shown('"etag-3"', total), before)
        assert world.against() == [Reason.NOT_REPLICATED] * 2
    assert world.one.origin_versions.replaced(world.origin_url, KEY) == known
    await until(lambda: world.origin.asked == {("HEAD", KEY): 1})
    assert len(world.reports) == 1


async def test_that_the_object_is_as_before_again_is_believed_of_a_later_request(
    world: World,
) -> None:
    await world.settle()
    world.see(NEW)
    world.see(OLD)
    await until(lambda: world.against() == [None, None])


async def test_in_doubt_no_older_response_counts_until_s3_has_answered(world: World) -> None:
    before = monotonic()
    await world.settle()
    world.overwrite()
    world.see(NEW, asked=before)
    assert world.against() == [Reason.UNVERIFIED] * 2
    world.see(OLD, asked=before)
    assert world.against() == [Reason.UNVERIFIED] * 2
    await until(lambda: world.against() == [Reason.NOT_REPLICATED] * 2)


async def test_objects_that_no_redirect_depends_on_are_not_kept(world: World) -> None:
    world.see(OLD, key="a.txt")
    world.one.origin_versions.on_missing("*", "b.txt", monotonic())
    assert len(world.one.object_cache) == 0
    assert not world.reports
    for verify in ("exists", "none"):
        world.use(verify=verify)
        world.see(OLD)
        assert len(world.one.object_cache) == 0


async def test_any_number_of_workers_that_tell_each_other_come_to_an_end(world: World) -> None:
    await world.settle()
    world.overwrite()
    world.see(NEW)
    await asyncio.sleep(0)
    await until(lambda: world.target.asked["HEAD", KEY] == 2)
    assert len(world.reports) == 1
