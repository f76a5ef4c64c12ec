"""What a response of the origin shows of an object counts at once, in every worker."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from nearbucket.policy.model import Reason
from nearbucket.replicas import origin_versions as module
from nearbucket.replicas import replica_status
from nearbucket.replicas.object_version import VersionReport
from nearbucket.replicas.replica_status import ReplicaStatuses
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.telemetry.metrics import Counters
from tests import build
from tests.bucketserver import BucketServer, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

KEY, OLD, NEW = "a.tar.gz", (b"old", "etag-3"), (b"newer", "etag-5")


class Shown(NamedTuple):
    """What a response shows."""

    etag: str
    total: int | None
    modified: str = ""


class World:
    """Two workers with what they know of an origin and a target that hold the same."""

    def __init__(self, session: ClientSession, origin: BucketServer, target: BucketServer) -> None:
        self.origin, self.target = origin, target
        self.changes = 0
        self.reports: list[VersionReport] = []
        self.one, self.other = (
            ReplicaStatuses(session, SdkCredentials(), Counters(), self.changed, report)
            for report in (self.tell, lambda _: None)
        )

    @property
    def origin_url(self) -> str:
        return next(url for url in self.one.object_cache.buckets if str(self.origin.port) in url)

    def changed(self) -> None:
        self.changes += 1

    def tell(self, report: VersionReport) -> None:
        self.reports.append(report)
        self.other.origin_versions.on_report(report)

    def use(self, **redirect: Any) -> None:
        site = {
            "origin": self.origin.entry(),
            "targets": {"us-west-2": self.target.entry()},
            "redirect": {"verify": "match", "scheme": "http", **redirect},
        }
        for worker in (self.one, self.other):
            worker.prepare(build.settings(site=site, catalog={"wait": "5s"}))()

    async def settle(self) -> None:
        """Both workers know the object, and redirect to its copy."""
        for worker in (self.one, self.other):
            await worker.settle("*", "us-west-2", KEY)
        assert self.against() == [None, None]
        self.origin.asked.clear()
        self.target.asked.clear()
        self.reports.clear()
        self.changes = 0

    def against(self) -> list[Reason | None]:
        return [worker.status("*", "us-west-2", KEY).against for worker in (self.one, self.other)]

    def change_times(self) -> list[float]:
        """When the object changed, as each worker knows it."""
        found = [
            worker.origin_versions.replaced(self.origin_url, KEY)
            for worker in (self.one, self.other)
        ]
        return [replaced.changed for replaced in found if replaced is not None]

    def see(self, held: tuple[bytes, str], *, asked: float | None = None, key: str = KEY) -> None:
        """One worker sees a response with this object."""
        data, etag = held
        when = monotonic() if asked is None else asked
        shown = Shown(f'"{etag}"', len(data))
        self.one.origin_versions.on_response("*", key, shown, when)

    def overwrite(self, held: tuple[bytes, str] = NEW) -> None:
        self.origin.objects[KEY] = held


@pytest.fixture
async def world(session: ClientSession) -> AsyncIterator[World]:
    async with BucketServer() as origin, BucketServer() as target:
        for server in (origin, target):
            server.objects[KEY] = OLD
        made = World(session, origin, target)
        made.use()
        yield made
        await made.one.close()
        await made.other.close()


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


SIDE_FILE = f"{KEY}.sha256"
OLD_SUM, NEW_SUM = (b"1", "old"), (b"2", "new")


async def test_a_new_side_file_has_its_archive_checked_in_every_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    await world.settle()
    world.see(OLD_SUM, key=SIDE_FILE)
    await until(lambda: world.origin.asked["HEAD", KEY] == 2)  # it may be new at first sight
    world.see(OLD_SUM, key=SIDE_FILE)
    assert world.origin.asked["HEAD", KEY] == 2
    world.overwrite()
    world.see(NEW_SUM, key=SIDE_FILE)
    await until(lambda: world.against() == [Reason.NOT_REPLICATED] * 2)


async def test_an_archive_is_as_young_as_its_side_file(world: World) -> None:
    """The archive may be uploaded after it, and nothing but a check would show that."""
    await world.settle()
    status = world.one.status("*", "us-west-2", KEY)
    assert status.until - monotonic() > 400
    world.see(NEW_SUM, key=SIDE_FILE)
    for worker in (world.one, world.other):
        assert worker.status("*", "us-west-2", KEY).until - monotonic() <= 2
    assert world.changes == 2


async def test_an_old_side_file_makes_no_archive_younger(world: World) -> None:
    await world.settle()
    shown = Shown('"old"', 1, "Thu, 02 Jan 2020 00:00:00 GMT")
    world.one.origin_versions.on_response("*", SIDE_FILE, shown, monotonic())
    assert world.one.status("*", "us-west-2", KEY).until - monotonic() > 400
    assert world.changes == 0


async def test_the_side_file_of_an_archive_that_is_not_known_is_not_kept(world: World) -> None:
    world.see(OLD_SUM, key=SIDE_FILE)
    assert len(world.one.object_cache) == 0


async def test_a_new_archive_has_the_side_files_checked_that_are_redirected(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    world.use(exclude=[], paths=["*"])
    for server in (world.origin, world.target):
        server.objects[SIDE_FILE] = OLD_SUM
    await world.settle()
    await world.one.settle("*", "us-west-2", SIDE_FILE)
    assert world.one.status("*", "us-west-2", SIDE_FILE).against is None
    world.overwrite()
    world.origin.objects[SIDE_FILE] = NEW_SUM
    world.see(NEW)
    await until(
        lambda: world.one.status("*", "us-west-2", SIDE_FILE).against is Reason.NOT_REPLICATED
    )


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
