"""What the object cache tells of changes, what it forgets, and what it keeps over a reload."""

from __future__ import annotations

from time import monotonic

import pytest

from nearbucket.replicas.object_version import ABSENT, ObjectVersion
from tests.bucketserver import until
from tests.replicas.slow_buckets import ONE, Bucket, World

# what is told


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
    flight = world.begin()
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
    flight = world.begin()
    await until(lambda: world.east.asked["a"] == 1)
    world.object_cache.use(world.object_cache.prepare([Bucket("east"), Bucket("west")]), 1000)
    world.east.gate.set()
    await flight
    assert world.get("a") is not None


async def test_a_bucket_that_nobody_needs_any_more_is_forgotten_even_while_it_is_asked() -> None:
    world = World()
    flight = world.begin()
    world.object_cache.use(world.object_cache.prepare([world.west]), 1000)
    world.east.gate.set()
    await flight
    assert len(world.object_cache) == 0


async def test_a_smaller_bound_holds_at_once() -> None:
    world = World(5000)
    world.object_cache.learn("east", [(str(number), 1, "e", 0.0) for number in range(4000)], 1.0)
    world.object_cache.use(world.object_cache.prepare([world.east, world.west]), 1000)
    assert len(world.object_cache) <= 1000
