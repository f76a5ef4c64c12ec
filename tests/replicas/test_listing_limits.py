"""What listings must not do, such as count HEADs that are sent all the same."""

from __future__ import annotations

import asyncio
from time import monotonic, time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from nearbucket.event_loop import CpuShare
from nearbucket.policy.model import Reason
from nearbucket.replicas import (
    bucket_cache,
    list_verification,
    object_cache,
    origin_versions,
    replica_status,
)
from nearbucket.replicas.bucket_cache import BucketCache, CachedObject
from nearbucket.replicas.list_verification import ListVerification
from nearbucket.replicas.object_version import CatalogBatch, ObjectVersion
from nearbucket.replicas.replica_status import ReplicaStatuses
from nearbucket.s3.copy_mark import FIELD
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.telemetry.metrics import Counters
from tests import build
from tests.bucketserver import BucketServer
from tests.replicas.two_workers import Shown

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from aiohttp import ClientSession

KNOWN = ObjectVersion(7, "e", "", unreadable="")
WRITTEN, SEEN, LISTED = 1_000.0, 5_000.0, 6_000.0
VERIFY_TTL = 600.0
KEYS = ["a.tar.gz", "a.tar.gz.sha256", *[f"{number}.tar.gz" for number in range(8)]]
ARCHIVE, SUM, *_ = KEYS
LONG = time() - 1_577_836_800  # since the objects of ``BucketServer`` were uploaded


class Probe:
    """Sends nothing to a bucket, and finds the known version there."""

    base_url, barriers = "", frozenset[str]()

    async def head_object(self, key: str) -> ObjectVersion:
        return KNOWN if key else ObjectVersion(-1, "")


def confirmed_cache() -> BucketCache:
    """A cache with an object that a listing has renewed."""
    made = BucketCache(Probe(), lambda: None)
    made.longest = VERIFY_TTL
    made.put("a", CachedObject(KNOWN, SEEN, WRITTEN))
    made.confirm("a", 7, "e", WRITTEN, LISTED)
    return made


@pytest.mark.parametrize(("later", "spared"), [(440.0, 1), (460.0, 0)])
def test_a_head_that_is_due_in_spite_of_the_listing_is_not_spared(
    later: float, spared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_cache, "monotonic", lambda: LISTED + later)
    cache = confirmed_cache()
    assert cache.get("a") == CachedObject(KNOWN, LISTED, WRITTEN)
    assert cache.spared == spared


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda cache: cache.peek("a"), id="peek"),
        pytest.param(lambda cache: cache.make_younger("a", WRITTEN), id="make younger"),
        pytest.param(
            lambda cache: cache.put("a", CachedObject(KNOWN, LISTED - 1, WRITTEN)), id="put"
        ),
    ],
)
def test_only_look_ups_of_requests_count_as_spared_heads(
    use: Callable[[BucketCache], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_cache, "monotonic", lambda: LISTED)
    cache = confirmed_cache()
    use(cache)
    assert cache.spared == 0
    cache.get("a")
    assert cache.spared == 1


async def test_a_head_does_not_count_itself_as_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_cache, "monotonic", lambda: LISTED)
    cache = confirmed_cache()
    assert await cache.ask("a") == (KNOWN, LISTED)
    assert cache.spared == 0


class Source:
    """A bucket whose listing has pages without objects."""

    verify_ttl = VERIFY_TTL
    location = SimpleNamespace(entry=SimpleNamespace(inventory=None, object_base_url="url"))

    def __init__(self, pages: int) -> None:
        self.left, self.read = pages, 0

    async def listing(self) -> AsyncIterator[CatalogBatch]:
        while self.left:
            self.left, self.read = self.left - 1, self.read + 1
            yield CatalogBatch("url", (), 0.0, renews=True)


class Turns:
    """Wakes a task that sleeps for a number of turns, in each of which workers count HEADs."""

    def __init__(self, counted: int, *each_turn: int) -> None:
        self.heads, self._left, self.over = counted, [*each_turn], asyncio.Event()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if not self._left:
            self.over.set()
            await asyncio.Event().wait()
        self.heads += self._left.pop(0)

    async def renewals(self) -> dict[tuple[str, ...], float]:
        return {("url", "head"): self.heads, ("url", "list"): 0}


async def read_in(turns: Turns, sources: list[Source], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nearbucket.replicas.catalog_source.sources_of", lambda *_: sources)
    told = lambda _: None, lambda: None, turns.renewals, turns.sleep
    running = asyncio.create_task(ListVerification(build.settings(), *told).run())
    async with asyncio.timeout(10):
        await turns.over.wait()
    running.cancel()


@pytest.mark.parametrize("before", [0, 1_000_000])
async def test_heads_that_workers_have_counted_before_a_reload_pay_for_no_listing(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(pages=50)
    await read_in(Turns(1 + before, 250), [source], monkeypatch)
    assert source.read == 11  # ten pages cost half of these HEADs; the next one is too many


@pytest.mark.parametrize(("took", "pause"), [(0.0, 449.0), (20.0, 399.0), (240.0, -90.0)])
async def test_a_listing_begins_early_enough_to_take_half_as_long_again_as_the_last_one(
    took: float, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns, times = Turns(1, 250), iter([0.0, took])  # before and after the listing
    monkeypatch.setattr(list_verification, "monotonic", lambda: next(times))
    await read_in(turns, [Source(pages=1)], monkeypatch)
    assert turns.slept == [449.0, pause]


async def test_the_log_tells_when_a_bucket_begins_to_be_listed_and_when_that_ends(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", list_verification.__name__)
    source = Source(pages=1)
    await read_in(Turns(1, 0, 250, 0, 0), [source], monkeypatch)
    assert caplog.messages == [
        f"verification: {source} is now verified by listings of 1 page",
        f"verification: {source} is left to HEAD requests, which cost less now",
    ]


async def test_listings_of_several_buckets_rest_in_turn_also_after_pages_without_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resting, together, rests = 0, 0, 0

    async def rest(_: CpuShare) -> None:
        nonlocal resting, together, rests
        resting, rests = resting + 1, rests + 1
        together = max(together, resting)
        await asyncio.sleep(0)
        resting -= 1

    monkeypatch.setattr(CpuShare, "rest", rest)
    await read_in(Turns(1, 0, 10_000, 0), sources := [Source(5), Source(5)], monkeypatch)
    assert [each.read for each in sources] == [5, 5]
    assert (rests, together) == (10, 1)


class World:
    """A worker that knows the objects of an origin and a target, and gets listings of both.

    Attributes:
        later: Seconds by which the worker's clock is advanced.
        changes: How often the worker has dropped its decisions.
    """

    def __init__(self, session: ClientSession, origin: BucketServer, target: BucketServer) -> None:
        self.origin, self.target = origin, target
        self.later, self.changes = 0.0, 0
        self.worker = ReplicaStatuses(session, SdkCredentials(), Counters(), self.changed)
        site = {
            "origin": origin.entry(),
            "targets": {"us-west-2": target.entry()},
            "redirect": {"verify": "match", "scheme": "http", "verify_ttl": VERIFY_TTL},
        }
        self.worker.prepare(build.settings(site=site, catalog={"wait": "5s"}))()

    def changed(self) -> None:
        self.changes += 1

    def monotonic(self) -> float:
        return monotonic() + self.later

    def listing(
        self, of: BucketServer, *only: str, age: float = LONG, first_began: float | None = None
    ) -> None:
        """The worker gets a listing of a bucket, whose objects are that old.

        One that renews, and began now; or the first one, which began at a monotonic time.
        """
        modified = time() + self.later - age
        held = {key: each for key, each in of.objects.items() if not only or key in only}
        found = tuple((key, len(data), etag, modified) for key, (data, etag) in held.items())
        renews = first_began is None
        began = self.monotonic() if first_began is None else first_began
        batch = CatalogBatch(self.url(of), found, began, renews=renews)
        self.worker.origin_versions.on_listing(batch)

    def url(self, of: BucketServer) -> str:
        return next(url for url in self.worker.object_cache.buckets if str(of.port) in url)

    async def settle(self, *keys: str) -> list[tuple[str, str]]:
        """Clients request keys; the requests to the buckets that this takes."""
        self.origin.asked.clear()
        self.target.asked.clear()
        for key in keys:
            await self.worker.settle("*", "us-west-2", key)
        return [
            (name, key)
            for name, server in (("origin", self.origin), ("target", self.target))
            for method, key in server.asked
            if method == "HEAD"
        ]

    def against(self, *keys: str) -> list[Reason | None]:
        return [self.worker.status("*", "us-west-2", key).against for key in keys]


@pytest.fixture
async def world(session: ClientSession, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    held = dict.fromkeys(KEYS, b"old")
    async with BucketServer(**held) as origin, BucketServer(**held) as target:
        made = World(session, origin, target)
        for module in (bucket_cache, object_cache, origin_versions, replica_status):
            monkeypatch.setattr(module, "monotonic", made.monotonic)
        monkeypatch.setattr(bucket_cache, "time", lambda: time() + made.later)
        await made.settle(*KEYS)
        assert set(made.against(*KEYS)) == {None}
        made.changes = 0
        yield made
        await made.worker.close()


async def test_changes_that_a_listing_shows_start_no_heads_but_those_of_later_requests(
    world: World,
) -> None:
    world.origin.objects |= dict.fromkeys(KEYS, (b"newer", "etag-5"))
    world.origin.asked.clear()
    world.listing(world.origin, age=0)
    assert world.changes == 1
    assert not any(bucket.flights for bucket in world.worker.object_cache.buckets.values())
    assert set(world.against(*KEYS)) == {Reason.UNVERIFIED}
    assert await world.settle(KEYS[0]) == [("origin", KEYS[0]), ("target", KEYS[0])]
    assert world.against(*KEYS[:2]) == [Reason.NOT_REPLICATED, Reason.UNVERIFIED]


async def test_a_response_to_a_request_before_the_listing_does_not_bring_an_old_version_back(
    world: World,
) -> None:
    asked = world.monotonic()
    world.origin.objects |= {ARCHIVE: (b"newer", "etag-5")}
    world.listing(world.origin, age=0)
    world.worker.origin_versions.on_response("*", ARCHIVE, Shown('"etag-3"', 3), asked)
    assert await world.settle(ARCHIVE) == [("origin", ARCHIVE), ("target", ARCHIVE)]
    assert world.against(ARCHIVE) == [Reason.NOT_REPLICATED]


@pytest.mark.parametrize(("changed", "beside"), [(ARCHIVE, SUM), (SUM, ARCHIVE)])
async def test_a_change_in_a_listing_has_archive_and_side_file_checked(
    world: World, changed: str, beside: str
) -> None:
    world.origin.objects[changed] = b"newer", "etag-5"
    world.listing(world.origin, changed, age=0)
    assert world.against(changed, beside) == [Reason.UNVERIFIED] * 2
    assert ("origin", beside) in await world.settle(beside)
    assert world.against(beside, *KEYS[2:]) == [None] * (len(KEYS) - 1)


async def test_a_listing_that_lags_behind_does_not_replace_what_a_head_has_shown(
    world: World,
) -> None:
    world.origin.objects[ARCHIVE] = b"older", "etag-5"
    world.listing(world.origin, ARCHIVE, age=2 * LONG)
    world.origin.objects[ARCHIVE] = b"old", "etag-3"
    assert world.against(ARCHIVE) == [Reason.UNVERIFIED]
    assert ("origin", ARCHIVE) in await world.settle(ARCHIVE)
    assert world.against(ARCHIVE) == [None]


async def test_a_copy_that_differs_is_not_renewed_by_listings_so_that_a_head_finds_its_mark(
    world: World,
) -> None:
    key = ARCHIVE
    world.target.objects[key] = b"old", "other-parts"
    world.worker.object_cache.forget(world.url(world.target), [key])
    await world.settle(key)
    assert world.against(key) == [Reason.NOT_REPLICATED]
    world.target.headers[key] = {FIELD: "etag-3"}
    for _ in range(2):
        world.later += 20
        world.listing(world.origin)
        world.listing(world.target)
    assert await world.settle(key) == [("target", key)]
    assert world.against(*KEYS) == [None] * len(KEYS)


async def test_a_first_listing_brings_no_version_back_that_is_in_doubt_since_it_began(
    world: World,
) -> None:
    before = world.monotonic()
    shown = Shown('"etag-5"', None)  # a 304 with another ETag: S3 is asked which is newer
    world.worker.origin_versions.on_response("*", ARCHIVE, shown, world.monotonic())
    world.listing(world.origin, first_began=before)
    assert world.against(ARCHIVE) == [Reason.UNVERIFIED]
    world.origin.objects[ARCHIVE] = (b"newer", "etag-5")
    world.listing(world.origin, first_began=world.monotonic())
    assert world.against(ARCHIVE) == [Reason.NOT_REPLICATED]


@pytest.mark.parametrize("renews", [True, False])
async def test_a_listing_of_a_bucket_that_a_reload_has_removed_changes_nothing(
    world: World, *, renews: bool
) -> None:
    objects = ((ARCHIVE, 9, "etag-5", time()),)
    batch = CatalogBatch("http://removed.example/", objects, world.monotonic(), renews=renews)
    world.worker.origin_versions.on_listing(batch)
    assert world.changes == 0
    assert set(world.against(*KEYS)) == {None}


async def test_an_outage_of_the_origin_ends_with_a_listing(world: World) -> None:
    """An object that the listing does not show may have been deleted."""
    world.later += VERIFY_TTL + 1
    world.origin.mode = "failing"
    await world.settle(*KEYS)
    assert world.against(*KEYS) == [None] * len(KEYS)
    world.listing(world.origin, *KEYS[1:])
    assert world.against(*KEYS) == [Reason.UNVERIFIED] + [None] * (len(KEYS) - 1)
