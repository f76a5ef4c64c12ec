"""Verification by listings: when it is cheaper, what it renews, and that no old copy is kept."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter as Count
from contextlib import asynccontextmanager
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.cli.demo.seaweedfs import make_bucket
from nearbucket.policy.model import Reason
from nearbucket.replicas import (
    bucket_cache,
    catalog_source,
    object_cache,
    origin_versions,
    replica_status,
)
from nearbucket.replicas import list_verification as module
from nearbucket.replicas.list_verification import ListingDecision, ListVerification, Renewals
from nearbucket.replicas.replica_status import ReplicaStatuses
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.telemetry.metrics import Counters
from tests import build
from tests.replicas.two_workers import Shown
from tests.replication.watched import WatchedS3
from tests.storing import store
from tests.tuning import give_checks_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from aiohttp import ClientSession

    from nearbucket.replicas.object_version import CatalogBatch
    from tests.conftest import LocalS3

PER_PAGE = 12.5
_NUMBERS = itertools.count()


def decided(*turns: tuple[float, float, int | None], pages: int = 0) -> list[int]:
    """The budget of each turn.

    Args:
        turns: HEADs counted, HEADs spared, and how many pages the listing has, if there is one;
            None: it fails.
        pages: Known before.
    """
    decision, budgets = ListingDecision(PER_PAGE, pages), []
    for heads, spared, has in turns:
        budget = decision.budget(Renewals(heads, spared))
        budgets.append(budget)
        if budget and has is None:
            decision.give_up()
        elif budget and has is not None:
            (decision.listed if has <= budget else decision.too_long)(min(has, budget))
    return budgets


@pytest.mark.parametrize(
    ("turns", "budgets"),
    [
        ([(0, 0, 1)], [0]),
        ([(24, 0, 1)], [0]),
        ([(25, 0, 1)], [1]),
        ([(2000, 0, 2)], [80]),
        # a listing that is paid for goes on, down to what it costs
        ([(2000, 0, 2), (0, 2000, 2), (0, 25, 2), (0, 24, 2)], [80, 160, 2, 0]),
        # one that spares nothing ends, and each later attempt waits twice as long
        ([(2000, 0, 2), (2000, 0, 2)], [80, 0]),
        (
            [(2000, 0, 2)] * 12,
            [80, 0, 80, 0, 0, 80, 0, 0, 0, 0, 80, 0],
        ),
        # one that is too long is given up, and not tried again for as many HEADs
        ([(250, 0, 99), (250, 0, 99), (250, 0, 99), (300, 0, 11)], [10, 0, 0, 12]),
        ([(250, 0, None), (250, 0, 1), (250, 0, 1)], [10, 0, 10]),
    ],
)
def test_a_bucket_is_listed_if_that_costs_half_of_its_heads_and_as_long_as_it_costs_less(
    turns: list[tuple[float, float, int | None]], budgets: list[int]
) -> None:
    assert decided(*turns) == budgets


def test_a_listing_that_is_known_to_be_longer_is_not_begun() -> None:
    assert decided((250, 0, 1), pages=11) == [0]
    assert decided((275, 0, 1), pages=11) == [11]


def test_what_workers_that_ended_had_counted_is_not_taken_for_less_than_nothing() -> None:
    assert Renewals(3, 9).since(Renewals(5, 4)) == Renewals(0, 5)


class Clock:
    """The time of the product's modules, which tests advance by hours; S3's requests take none.

    Attributes:
        now: Seconds since the start.
        sleepers: When to wake the tasks that sleep.
        tasks: The most that have slept at a time.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []
        self.tasks = 1
        self._monotonic, self._time = monotonic(), time()

    def monotonic(self) -> float:
        return self._monotonic + self.now

    def time(self) -> float:
        return self._time + self.now

    async def sleep(self, seconds: float) -> None:
        waits = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.now + seconds, waits))
        await waits

    def wake(self) -> None:
        """Wake the tasks whose time has come."""
        self.tasks = max(self.tasks, len(self.sleepers))
        for due, waits in self.sleepers:
            if due <= self.now:
                waits.set_result(None)
        self.sleepers = [each for each in self.sleepers if not each[1].done()]


class World:
    """Two workers and the supervisor's listings, before two folders on a real server.

    Attributes:
        sent: Batches that were sent to the workers.
        hold: Whether batches wait until ``release``.
        lists: LIST requests.
    """

    def __init__(
        self, s3: LocalS3, watched: WatchedS3, session: ClientSession, clock: Clock, **redirect: Any
    ) -> None:
        self.s3, self.watched, self.bucket = s3, watched, f"listed-{next(_NUMBERS)}"
        self.clock = clock
        self.workers = [
            ReplicaStatuses(session, SdkCredentials(), Counters(), lambda: None) for _ in range(2)
        ]
        rules = {"scheme": "http", "verify": "match", "verify_ttl": TTL, "paths": ["hot/*"]}
        self.settings = build.settings(
            site={
                "origin": self.entry("origin"),
                "targets": {"us-west-2": self.entry("target")},
                "redirect": rules | redirect,
            },
            catalog={"wait": "60s"},
        )
        for worker in self.workers:
            worker.prepare(self.settings)()
        self.lists = 0
        self.sent: list[CatalogBatch] = []
        self.hold = False
        self._listing: asyncio.Task[None] | None = None

    def entry(self, folder: str) -> dict[str, Any]:
        entry = self.s3.entry(self.bucket, prefix=folder).model_dump(exclude_unset=True)
        return {**entry, "endpoint": self.watched.endpoint, "credentials": self.s3.files}

    async def put(self, folder: str, keys: Iterable[str], body: bytes) -> None:
        await store(self.s3.server, self.bucket, {f"{folder}/{key}": body for key in keys})

    async def start(self) -> None:
        told = self.send, self.count, self.renewals, self.clock.sleep
        self._listing = asyncio.create_task(ListVerification(self.settings, *told).run())
        await self.idle()

    def send(self, batch: CatalogBatch) -> None:
        self.sent.append(batch)
        if not self.hold:
            for worker in self.workers:
                worker.origin_versions.on_listing(batch)

    def release(self) -> None:
        self.hold, sent, self.sent = False, self.sent, []
        for batch in sent:
            self.send(batch)

    def count(self) -> None:
        self.lists += 1

    async def renewals(self) -> dict[tuple[str, ...], float]:
        found: Count[tuple[str, ...]] = Count()
        for worker in self.workers:
            found.update({name: int(n) for name, n in worker.object_cache.renewals().items()})
        return dict(found)

    def against(self, key: str) -> list[Reason | None]:
        """The reasons against a redirect, in each worker."""
        return [worker.status("*", "us-west-2", key).against for worker in self.workers]

    async def settle(self, keys: Iterable[str]) -> None:
        asked = [worker.settle("*", "us-west-2", key) for key in keys for worker in self.workers]
        await asyncio.gather(*asked)

    async def idle(self) -> None:
        """Wait until no HEAD is under way, and each bucket waits for its next turn."""
        async with asyncio.timeout(60):
            while (  # noqa: ASYNC110  # plain state of other tasks
                self._listing is not None and len(self.clock.sleepers) < self.clock.tasks
            ) or any(
                bucket.flights
                for worker in self.workers
                for bucket in worker.object_cache.buckets.values()
            ):
                await asyncio.sleep(0.002)

    async def live(self, seconds: float, keys: Iterable[str] = ()) -> Count[Reason | None]:
        """Let the time pass, while clients ask for keys each 30 s; the reasons that they get."""
        found: Count[Reason | None] = Count()
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.now += 30
            self.clock.wake()
            await self.idle()
            for key in keys:
                found.update(self.against(key))
            await self.idle()
        return found

    def asked(self, name: str) -> int:
        return sum(each.name == name for each in self.watched.asked)

    async def close(self) -> None:
        if self._listing is not None:
            self._listing.cancel()
        for worker in self.workers:
            await worker.close()


TTL = 600.0
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


@asynccontextmanager
async def opened_world(
    s3: LocalS3, session: ClientSession, clock: Clock, **redirect: Any
) -> AsyncIterator[World]:
    async with WatchedS3(s3.server.endpoint) as watched:
        world = World(s3, watched, session, clock, **redirect)
        async with s3.server.client() as client:
            await make_bucket(client, world.bucket)
        try:
            yield world
        finally:
            await world.close()


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
