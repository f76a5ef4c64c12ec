"""Each object is requested once, however many wait for it, and its version keeps its age."""

from __future__ import annotations

import asyncio

import pytest

from nearbucket.errors import OriginError
from nearbucket.replicas import bucket_cache as module
from nearbucket.replicas import object_cache
from nearbucket.replicas.bucket_cache import CachedObject
from nearbucket.replicas.object_cache import FAILURE_PAUSE
from nearbucket.replicas.object_version import ABSENT, ObjectVersion
from tests.bucketserver import until
from tests.replicas.slow_buckets import ONE, World

WALL = 1_790_000_000.0
"""The Unix time of tests that set the clock."""


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A monotonic clock that tests set."""
    clock = [1000.0]
    for each in (module, object_cache):
        monkeypatch.setattr(each, "monotonic", lambda: clock[0])
    monkeypatch.setattr(module, "time", lambda: WALL + clock[0] - 1000.0)
    return clock


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


async def test_what_is_known_is_as_old_as_its_question(now: list[float]) -> None:
    world = World()
    flight = world.begin()
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
    flight = world.begin()
    await world.object_cache.close()
    assert flight.cancelled()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_became_known_during_a_question_makes_it_be_asked_again() -> None:
    """Which of the two is the newer version, S3 alone can tell."""
    world = World()
    answers = [ONE, ObjectVersion(2, "two")]
    world.east.answer = lambda _: answers.pop(0)
    flight = world.begin()
    bucket_cache = world.object_cache.buckets["east"]
    await until(lambda: world.east.asked["a"] == 1)
    bucket_cache.put("a", CachedObject.of(ObjectVersion(2, "two"), 0.0))
    world.east.gate.set()
    await flight
    assert world.east.asked == {"a": 2}
    assert bucket_cache.has("a", 2, "two")
