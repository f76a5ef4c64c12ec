"""Each object is requested once, however many wait for it, and its version keeps its age."""

from __future__ import annotations

import asyncio
from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from nearbucket.errors import OriginError
from nearbucket.replicas import bucket_cache as module
from nearbucket.replicas import object_cache
from nearbucket.replicas.bucket_cache import CachedObject
from nearbucket.replicas.object_cache import FAILURE_PAUSE, ObjectCache
from nearbucket.replicas.object_version import ABSENT, ObjectVersion
from tests.bucketserver import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from nearbucket.replicas.bucket_cache import BucketCache

ONE = ObjectVersion(1, "one")
WALL = 1_790_000_000.0
"""The Unix time of tests that set the clock."""


class Bucket:
    """A bucket whose responses come when a test releases them."""

    def __init__(self, place: str, answer: Callable[[str], ObjectVersion] = lambda _: ONE) -> None:
        self.base_url, self.answer = place, answer
        self.barriers: frozenset[str] = frozenset()
        self.asked: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()

    async def head_object(self, key: str) -> ObjectVersion:
        self.asked[key] += 1
        await self.gate.wait()
        return self.answer(key)


class World:
    """A cache of two buckets, and what it reports."""

    def __init__(self, entries: int = 1000) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.said: list[tuple[str, str]] = []
        self.changes = 0
        self.news: list[tuple[str, str, ObjectVersion | None]] = []
        self.object_cache = ObjectCache(self.count, self, self.changed, self.on_head)
        self.east, self.west = Bucket("east"), Bucket("west")
        self.object_cache.use(self.object_cache.prepare([self.east, self.west]), entries)

    def count(self, name: str, *labels: str) -> None:
        self.counts[name, *labels] += 1

    def changed(self) -> None:
        self.changes += 1

    def on_head(self, bucket_cache: BucketCache, key: str, known: CachedObject | None) -> None:
        self.news.append((bucket_cache.probe.base_url, key, known and known.version))

    def answered(self, place: str, key: str, version: ObjectVersion | None) -> None:
        self.said.append((place, key if version else f"listed: {key}"))

    def failed(self, place: str, why: str) -> None:
        self.said.append((place, f"failed: {why}"))

    def get(self, key: str, place: str = "east") -> CachedObject | None:
        return self.object_cache.buckets[place].get(key)

    async def ask(self, key: str, place: str = "east") -> CachedObject | None:
        flight = self.object_cache.check(self.object_cache.buckets[place], key)
        if flight is not None:
            await flight
        return self.get(key, place)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A monotonic clock that tests set."""
    clock = [1000.0]
    for each in (module, object_cache):
        monkeypatch.setattr(each, "monotonic", lambda: clock[0])
    monkeypatch.setattr(module, "time", lambda: WALL + clock[0] - 1000.0)
    return clock


# what is asked


async def test_any_number_of_askers_cause_one_question_a_bucket() -> None:
    world = World()
    world.east.gate.clear()
    bucket_cache = world.object_cache.buckets["east"]
    flights = {world.object_cache.check(bucket_cache, "a") for _ in range(500)}
    west = world.object_cache.check(world.object_cache.buckets["west"], "a")
    (flight,) = flights
    assert flight is not None
    assert west not in {None, flight}
    world.east.gate.set()
    await flight
    assert world.east.asked == {"a": 1}
    entry = world.get("a")
    assert entry is not None
    assert entry.version == ONE
    await world.object_cache.close()


async def test_one_asker_that_goes_away_does_not_end_the_question_of_the_others() -> None:
    world = World()
    world.east.gate.clear()
    bucket_cache = world.object_cache.buckets["east"]

    async def waits() -> None:
        flight = world.object_cache.check(bucket_cache, "a")
        assert flight is not None
        await asyncio.wait({flight}, timeout=5)

    leaves, stays = asyncio.create_task(waits()), asyncio.create_task(waits())
    await until(lambda: world.east.asked["a"] == 1)
    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    assert leaves.cancelled()
    world.east.gate.set()
    await stays
    assert world.get("a") is not None
    assert world.east.asked == {"a": 1}


async def test_what_was_found_is_counted_and_told() -> None:
    world = World()
    world.west.answer = lambda _: ABSENT
    await world.ask("a")
    entry = await world.ask("a", "west")
    assert entry is not None
    assert entry.version == ABSENT
    assert world.said == [("east", "a")]
    name = "nearbucket_checks_total"
    assert world.counts == {(name, "present"): 1, (name, "absent"): 1}


@pytest.mark.parametrize(
    ("now_held", "changes"),
    [
        pytest.param(ONE, 0, id="the same"),
        pytest.param(ObjectVersion(1, "one", "crc32=x"), 0, id="the same, with its checksum"),
        pytest.param(ObjectVersion(1, "two"), 1, id="another ETag"),
        pytest.param(ObjectVersion(2, "one"), 1, id="another size"),
        pytest.param(ABSENT, 1, id="deleted"),
        pytest.param(ONE._replace(unreadable="archived"), 1, id="archived"),
        pytest.param(ONE._replace(unreadable="kms"), 0, id="encrypted, but for signed URLs"),
    ],
)
async def test_others_are_told_when_an_object_changed_and_only_then(
    now_held: ObjectVersion, changes: int
) -> None:
    world = World()
    world.east.barriers = frozenset({"archived"})
    await world.ask("a")
    assert world.changes == 0
    assert world.news == [("east", "a", None)]
    world.east.answer = lambda _: now_held
    await world.ask("a")
    assert world.changes == changes
    assert world.news[1:] == [("east", "a", ONE)] * changes


async def test_what_is_known_is_as_old_as_its_question(now: list[float]) -> None:
    world = World()
    world.east.gate.clear()
    flight = world.object_cache.check(world.object_cache.buckets["east"], "a")
    assert flight is not None
    await until(lambda: world.east.asked["a"] == 1)
    now[0] += 5  # S3 took its time, and may have looked at the beginning of it
    world.east.gate.set()
    await flight
    assert world.get("a") == CachedObject(ONE, 1000.0, 1000.0)


@pytest.mark.parametrize(
    ("modified", "age"),
    [
        pytest.param(0.0, 0.0, id="unknown"),
        pytest.param(WALL - 60, 60.0, id="a minute ago"),
        pytest.param(WALL + 60, 0.0, id="by a clock that is fast"),
    ],
)
async def test_an_object_is_as_old_as_its_last_modified(
    now: list[float], modified: float, age: float
) -> None:
    world = World()
    world.east.answer = lambda _: ObjectVersion(1, "one", "", modified)
    entry = await world.ask("a")
    assert entry is not None
    assert entry.age == age
    now[0] += 10
    entry = await world.ask("a")
    assert entry is not None
    assert entry.age == age + 10


async def test_an_absence_is_as_old_as_the_first_answer_of_an_unbroken_run(
    now: list[float],
) -> None:
    world = World()
    ages = []
    answers = iter((ABSENT, ABSENT, ONE, ABSENT, ABSENT))
    world.east.answer = lambda _: next(answers)
    for _ in range(5):
        entry = await world.ask("a")
        assert entry is not None
        ages.append(entry.age)
        now[0] += 5
    assert ages == [0, 5, 0, 0, 5]


async def test_a_question_that_fails_is_held_back_and_its_key_soon_forgotten(
    now: list[float],
) -> None:
    world = World()

    def fails(key: str) -> ObjectVersion:
        raise OriginError(502, f"no {key}")

    world.east.answer = fails
    assert await world.ask("a") is None
    assert world.said == [("east", "failed: no a")]
    assert world.counts == {("nearbucket_checks_total", "failed"): 1}
    bucket_cache = world.object_cache.buckets["east"]
    assert world.object_cache.check(bucket_cache, "a") is None
    assert world.object_cache.check(bucket_cache, "b") is not None
    world.object_cache.tick(now[0])
    assert ("east", "a") in world.object_cache._paused
    now[0] += FAILURE_PAUSE
    world.object_cache.tick(now[0])
    assert ("east", "a") not in world.object_cache._paused
    world.east.answer = lambda _: ONE
    assert await world.ask("a") is not None
    await world.object_cache.close()


@pytest.mark.parametrize(
    ("fault", "traces"), [(ValueError("a host"), 1), (OriginError(502, "S3 answered 500"), 0)]
)
async def test_a_fault_of_ours_is_held_back_like_one_of_s3_and_only_it_is_traced(
    caplog: pytest.LogCaptureFixture, fault: Exception, traces: int
) -> None:
    world = World()

    def fails(_key: str) -> ObjectVersion:
        raise fault

    world.east.answer = fails
    bucket_cache = world.object_cache.buckets["east"]
    flight = world.object_cache.check(bucket_cache, "a")
    assert flight is not None
    await asyncio.wait({flight})
    assert flight.exception() is None
    assert world.object_cache.check(bucket_cache, "a") is None
    assert sum(record.exc_info is not None for record in caplog.records) == traces


async def test_questions_under_way_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 70 - module._AT_ONCE)
    world = World()
    world.east.gate.clear()
    bucket_cache = world.object_cache.buckets["east"]
    flights = [world.object_cache.check(bucket_cache, str(number)) for number in range(100)]
    assert [flight is not None for flight in flights] == [True] * 70 + [False] * 30
    await until(lambda: world.east.asked.total() == module._AT_ONCE)
    world.east.gate.set()
    await until(lambda: world.east.asked.total() == 70)
    assert await world.ask("99") is not None


async def test_a_bucket_that_hangs_keeps_nobody_from_asking_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MOST_WAITING", 70 - module._AT_ONCE)
    world = World()
    world.east.gate.clear()
    bucket_cache = world.object_cache.buckets["east"]
    for number in range(100):
        world.object_cache.check(bucket_cache, str(number))
    try:
        async with asyncio.timeout(1):
            assert await world.ask("a", "west") is not None
    finally:
        await world.object_cache.close()


async def test_closing_ends_what_is_under_way() -> None:
    world = World()
    world.east.gate.clear()
    flight = world.object_cache.check(world.object_cache.buckets["east"], "a")
    assert flight is not None
    await world.object_cache.close()
    assert flight.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_became_known_during_a_question_makes_it_be_asked_again() -> None:
    """Which of the two is the newer version, S3 alone can tell."""
    world = World()
    answers = [ONE, ObjectVersion(2, "two")]
    world.east.answer = lambda _: answers.pop(0)
    world.east.gate.clear()
    bucket_cache = world.object_cache.buckets["east"]
    flight = world.object_cache.check(bucket_cache, "a")
    assert flight is not None
    await until(lambda: world.east.asked["a"] == 1)
    bucket_cache.put("a", CachedObject.of(ObjectVersion(2, "two"), 0.0))
    world.east.gate.set()
    await flight
    assert world.east.asked == {"a": 2}
    assert bucket_cache.has("a", 2, "two")


async def test_no_decision_outlasts_the_entries_that_are_dropped() -> None:
    world = World(10)
    for number in range(4):
        await world.ask(str(number))
    assert world.changes == 0
    await world.ask("4")
    assert world.changes == 1


async def test_a_listing_that_shows_another_version_is_a_change_and_no_other_listing() -> None:
    world = World()
    world.object_cache.learn("east", [("a", 1, "e", 0.0), ("b", 1, "e", 0.0)], 2.0)
    world.object_cache.learn("east", [("a", 1, "e", 0.0), ("c", 1, "e", 0.0)], 3.0)
    world.object_cache.learn("east", [("a", 1, "older", 0.0)], 1.0)
    assert world.changes == 0
    world.object_cache.learn("east", [("a", 2, "new", 0.0), ("b", 2, "new", 0.0)], 4.0)
    assert world.changes == 1


# forgetting


async def test_a_forgotten_bucket_is_empty_and_no_other() -> None:
    world = World()
    world.object_cache.learn("east", [("a", 1, "e", 0.0), ("b", 1, "e", 0.0)], monotonic())
    await world.ask("a", "west")
    world.object_cache.forget("east", None)
    world.object_cache.forget("nowhere", None)
    assert world.get("a") is world.get("b") is None
    assert world.get("a", "west") is not None
    assert await world.ask("a") is not None


async def test_single_objects_are_forgotten_in_both_halves() -> None:
    world = World()
    world.object_cache.learn("east", [("a", 1, "e", 0.0), ("b", 1, "e", 0.0)], 1.0)
    world.object_cache.buckets["east"].age()
    world.object_cache.learn("east", [("c", 1, "e", 0.0)], 1.0)
    world.object_cache.forget("east", ("a", "c", "d"))
    assert [world.get(key) is None for key in "abc"] == [True, False, True]


async def test_an_answer_to_what_was_asked_before_forgetting_is_not_taken() -> None:
    world = World()
    world.east.gate.clear()
    flight = world.object_cache.check(world.object_cache.buckets["east"], "a")
    assert flight is not None
    await until(lambda: world.east.asked["a"] == 1)
    listed = monotonic()
    world.object_cache.forget("east", None)
    world.east.gate.set()
    await flight
    world.object_cache.learn("east", [("b", 1, "e", 0.0)], listed)
    assert world.get("a") is world.get("b") is None
    assert await world.ask("a") is not None


async def test_of_a_listing_one_object_of_each_batch_is_told() -> None:
    world = World()
    world.object_cache.learn("east", [("a", 1, "e", 0.0), ("b", 1, "e", 0.0)], 1.0)
    world.object_cache.learn("east", [], 1.0)
    assert world.said == [("east", "listed: a")]


# reloads


async def test_a_reload_keeps_what_is_known_and_asks_by_the_new_entry() -> None:
    world = World()
    await world.ask("a")
    east, north = Bucket("east", lambda _: ObjectVersion(2, "two")), Bucket("north")
    world.object_cache.use(world.object_cache.prepare([east, north]), 1000)
    assert world.get("a") is not None
    assert set(world.object_cache.buckets) == {"east", "north"}
    assert await world.ask("b") is not None
    assert east.asked == {"b": 1}
    assert world.east.asked == {"a": 1}


async def test_the_answer_to_a_question_asked_before_a_reload_is_taken() -> None:
    world = World()
    world.east.gate.clear()
    flight = world.object_cache.check(world.object_cache.buckets["east"], "a")
    assert flight is not None
    await until(lambda: world.east.asked["a"] == 1)
    world.object_cache.use(world.object_cache.prepare([Bucket("east"), Bucket("west")]), 1000)
    world.east.gate.set()
    await flight
    assert world.get("a") is not None


async def test_a_bucket_that_nobody_needs_any_more_is_forgotten_even_while_it_is_asked() -> None:
    world = World()
    world.east.gate.clear()
    flight = world.object_cache.check(world.object_cache.buckets["east"], "a")
    assert flight is not None
    world.object_cache.use(world.object_cache.prepare([world.west]), 1000)
    world.east.gate.set()
    await flight
    assert len(world.object_cache) == 0


async def test_a_smaller_bound_holds_at_once() -> None:
    world = World(5000)
    world.object_cache.learn("east", [(str(number), 1, "e", 0.0) for number in range(4000)], 1.0)
    world.object_cache.use(world.object_cache.prepare([world.east, world.west]), 1000)
    assert len(world.object_cache) <= 1000
