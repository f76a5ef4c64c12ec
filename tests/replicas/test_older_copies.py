"""When an object changed, and which of its copies are of the version before: all workers agree."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import pytest

from nearbucket.policy.model import Reason
from nearbucket.replicas import replica_status
from nearbucket.replicas.object_version import VersionReport
from tests.bucketserver import until
from tests.replicas.two_workers import KEY, NEW, OLD, World, opened_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession


@pytest.fixture
async def world(session: ClientSession) -> AsyncIterator[World]:
    async with opened_world(session) as made:
        yield made


async def test_all_workers_know_one_time_of_a_change(world: World) -> None:
    await world.settle()
    world.overwrite()
    world.see(NEW)
    first, same = world.change_times()
    assert first == same
    report = world.reports[-1]
    for changed, expected in ((first + 0.01, first), (first - 0.01, first - 0.01)):
        world.other.origin_versions.on_report(report._replace(changed=changed))  # it saw it, too
        assert world.change_times() == [first, expected]


async def test_a_later_change_replaces_one_that_a_worker_remembers(world: World) -> None:
    await world.settle()
    world.overwrite()
    world.see(NEW)
    report = world.reports[-1]
    third = report.version._replace(etag="third")
    later = report._replace(version=third, older=report.version, changed=report.changed + 1)
    for bucket in world.other.object_cache.buckets.values():
        bucket.forget(KEY)
    world.other.origin_versions.on_report(later)
    replaced = world.other.origin_versions.replaced(world.origin_url, KEY)
    assert replaced is not None
    assert (replaced.version.etag, replaced.changed) == (report.version.etag, later.changed)
    world.other.origin_versions.on_report(report)  # late
    assert world.other.origin_versions.replaced(world.origin_url, KEY) == replaced


async def test_a_worker_that_knew_nothing_of_an_object_learns_of_its_older_copy(
    world: World,
) -> None:
    await world.settle()
    world.overwrite()
    for bucket in world.other.object_cache.buckets.values():
        bucket.forget(KEY)
    world.see(NEW)
    await world.other.settle("*", "us-west-2", KEY)
    first, same = world.change_times()
    assert first == same
    assert world.other.older_copy("*", "us-west-2", KEY) is not None


async def test_a_change_that_is_in_doubt_has_one_time_in_all_workers(world: World) -> None:
    before = monotonic()
    await world.settle()
    world.overwrite()
    world.see(NEW, asked=before)
    first, same = world.change_times()
    assert first == same
    await until(lambda: world.against() == [Reason.NOT_REPLICATED] * 2)
    assert world.change_times() == [first, first]


async def test_a_doubt_after_a_change_does_not_move_the_change(world: World) -> None:
    before = monotonic()
    await world.settle()
    world.overwrite((b"third!", "third"))
    world.see(NEW)
    changed = world.one.origin_versions.replaced(world.origin_url, KEY)
    world.see((b"third!", "third"), asked=before)
    after = world.one.origin_versions.replaced(world.origin_url, KEY)
    assert changed is not None
    assert after is not None
    assert after[:2] == changed[:2]
    world.see(NEW, asked=before)  # it is not known which one is newer
    assert world.against()[0] is Reason.UNVERIFIED
    await until(lambda: world.against() == [Reason.NOT_REPLICATED] * 2)


async def test_the_older_copy_is_known_for_a_moment(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.settle()
    assert world.one.older_copy("*", "us-west-2", KEY) is None
    world.overwrite()
    world.see(NEW)
    for worker in (world.one, world.other):
        older = worker.older_copy("*", "us-west-2", KEY)
        assert older is not None
        assert older.size == len(OLD[0])
    monkeypatch.setattr(replica_status, "LATELY", 0.0)
    assert world.one.older_copy("*", "us-west-2", KEY) is None
    monkeypatch.undo()
    world.one.tick(monotonic() + 60.1)
    assert world.one.older_copy("*", "us-west-2", KEY) is None


async def test_a_copy_of_neither_version_is_no_older_copy(world: World) -> None:
    await world.settle()
    world.overwrite()
    world.target.objects[KEY] = (b"third", "third")
    world.see(NEW)
    await until(lambda: world.one.older_copy("*", "us-west-2", KEY) is None)


async def test_while_a_copy_is_checked_it_is_not_known_whether_it_is_the_older_one(
    world: World,
) -> None:
    world.target.objects[KEY] = (b"third", "third")
    for worker in (world.one, world.other):
        await worker.settle("*", "us-west-2", KEY)
    world.target.objects[KEY] = OLD  # nothing has shown it yet
    world.overwrite()
    world.see(NEW)
    older = world.one.older_copy("*", "us-west-2", KEY)
    assert older is not None
    assert older.size is None
    await until(lambda: (known := world.one.older_copy("*", "us-west-2", KEY)) is not None
                and known.size == len(OLD[0]))  # fmt: skip


async def test_what_one_worker_sees_of_a_copy_all_workers_know(world: World) -> None:
    await world.settle()
    world.overwrite()
    world.see(NEW)
    await until(lambda: world.target.asked == {("HEAD", KEY): 2})
    world.target.objects[KEY] = NEW
    (copy,) = (
        bucket
        for url, bucket in world.one.object_cache.buckets.items()
        if str(world.target.port) in url
    )
    world.changes = 0
    world.one.object_cache.check(copy, KEY, renews=True)
    await until(lambda: world.against() == [None, None])
    assert world.target.asked == {("HEAD", KEY): 3}  # the other worker did not ask
    assert world.changes == 2  # cached decisions are dropped in both


async def test_that_a_copy_was_archived_is_told_to_the_other_workers(world: World) -> None:
    await world.settle()
    world.target.headers[KEY] = {"x-amz-storage-class": "GLACIER"}
    (copy,) = (
        bucket
        for url, bucket in world.one.object_cache.buckets.items()
        if str(world.target.port) in url
    )
    world.one.object_cache.check(copy, KEY, renews=True)
    await until(lambda: world.against() == [Reason.UNREADABLE] * 2)
    assert world.target.asked == {("HEAD", KEY): 1}  # the other worker did not ask
    assert world.changes == 2  # cached decisions are dropped in both
    assert world.change_times() == []


async def test_that_an_object_was_archived_is_no_new_version_of_it(world: World) -> None:
    await world.settle()
    world.origin.headers[KEY] = {"x-amz-storage-class": "GLACIER"}
    bucket = world.one.object_cache.buckets[world.origin_url]
    flight = world.one.object_cache.check(bucket, KEY, renews=True)
    assert flight is not None
    await flight
    assert world.change_times() == []
    assert world.reports == []
    assert world.against() == [None, None]


async def test_of_a_copy_that_a_worker_does_not_know_it_learns_nothing(world: World) -> None:
    await world.settle()
    (copy,) = (
        bucket
        for url, bucket in world.other.object_cache.buckets.items()
        if str(world.target.port) in url
    )
    seen = copy.get(KEY)
    assert seen is not None
    copy.forget(KEY)
    url = copy.probe.base_url
    world.other.origin_versions.on_report(VersionReport(url, KEY, seen.version, seen.seen, 0.0))
    assert copy.get(KEY) is None
