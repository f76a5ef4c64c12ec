"""A target is down after failures, alone, and up again after good probes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from itertools import chain, repeat
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from nearbucket.replicas.bucket_probe import BucketHealth, ProbeResult
from nearbucket.replicas.health import health_check as module
from nearbucket.replicas.health.health_check import RISE, SLOW_RISE, HealthChecker
from nearbucket.replicas.object_version import ObjectVersion
from tests.bucketserver import until
from tests.serving import PATIENCE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from nearbucket.replicas.health.canaries import Canaries

TEXT = "site dl in us-west-2, bucket west"
ONE = ObjectVersion(1, "one")
GOOD = ProbeResult(BucketHealth.GOOD)
FAILED, WRONG, FORBIDDEN = (
    ProbeResult(health, f"it is {health.value}")
    for health in (BucketHealth.FAILED, BucketHealth.WRONG, BucketHealth.FORBIDDEN)
)


class Bucket:
    """Gives the results of a script, and at its end the last one again and again."""

    def __init__(self, place: str, script: Iterable[ProbeResult | Exception]) -> None:
        self.base_url = place
        self.asked = 0
        self.knew: list[tuple[str, ...]] = []
        self._script = list(script)

    async def probe(self, canaries: Canaries) -> ProbeResult:
        found = self._script[min(self.asked, len(self._script) - 1)]
        self.asked += 1
        self.knew.append((*canaries.keys, *canaries.latest))
        if isinstance(found, Exception):
            raise found
        return found


class World:
    """A checker, and the numbers of the probes after which it called ``changed`` and ``forget``."""

    def __init__(self, *buckets: Bucket) -> None:
        self.buckets = buckets
        self.turns: list[tuple[int, ...]] = []
        self.forgotten: list[tuple[int, Iterable[str] | None]] = []
        self.checker = HealthChecker(self.changed, self.forget)

    def forget(self, place: str, keys: Iterable[str] | None) -> None:
        asked = next(bucket.asked for bucket in self.buckets if bucket.base_url == place)
        self.forgotten.append((asked, keys))

    def changed(self) -> None:
        self.turns.append(tuple(bucket.asked for bucket in self.buckets))


@asynccontextmanager
async def watching(*script: ProbeResult | Exception) -> AsyncIterator[World]:
    """One bucket, checked until its script has ended."""
    bucket = Bucket("east", script)
    world = World(bucket)
    world.checker.use([(bucket, TEXT)])
    try:
        await until(lambda: bucket.asked > len(script))
        yield world
    finally:
        await world.checker.close()


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("INTERVAL", 0.006), ("RETRY_INTERVAL", 0.002), ("RISE_INTERVAL", 0.004)):
        monkeypatch.setattr(module, name, seconds)


# judging


@pytest.mark.parametrize(
    ("script", "turns"),
    [
        pytest.param([GOOD] * 5, [], id="good"),
        pytest.param([WRONG], [1], id="wrong: at once"),
        pytest.param([GOOD, WRONG, WRONG], [2], id="once only"),
        pytest.param([GOOD, FAILED, GOOD, FAILED, GOOD], [], id="a failure may be of the moment"),
        pytest.param([GOOD, FAILED, FAILED], [3], id="two in a row are not"),
        pytest.param([FAILED, WRONG], [2], id="wrong behind a failure"),
        pytest.param([WRONG, GOOD, GOOD, GOOD], [1, 4], id="back after three"),
        pytest.param([WRONG, GOOD, GOOD, FAILED, GOOD, GOOD, GOOD], [1, 7], id="in a row"),
        pytest.param([WRONG, GOOD, GOOD, WRONG, GOOD, GOOD, GOOD], [1, 7], id="wrong between"),
        pytest.param([FORBIDDEN] * 4, [], id="what never could be read may just not be listed"),
        pytest.param([GOOD, FORBIDDEN], [2], id="what could be read is closed now"),
        pytest.param([GOOD, FORBIDDEN, GOOD, GOOD, GOOD], [2, 5], id="and opened again"),
    ],
)
async def test_a_target_is_judged(script: list[ProbeResult], turns: list[int]) -> None:
    async with watching(*script) as world:
        assert world.turns == [(turn,) for turn in turns]
        assert bool(world.checker.down) is bool(len(turns) % 2)
        if world.checker.down:
            assert world.checker.down == {"east": script[turns[-1] - 1].text}


async def test_the_log_says_which_target_fell_and_why_and_that_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with watching(GOOD, WRONG, *[GOOD] * RISE):
        assert caplog.messages == [
            f"target down, clients are no longer redirected to it: {TEXT}: it is wrong",
            f"target up again: {TEXT}",
        ]


async def test_one_that_falls_again_soon_is_good_for_longer_before_it_is_taken() -> None:
    script = [WRONG, *[GOOD] * RISE, WRONG, *[GOOD] * SLOW_RISE]
    async with watching(*script) as world:
        assert world.turns == [(1,), (1 + RISE,), (2 + RISE,), (2 + RISE + SLOW_RISE,)]


async def test_one_that_falls_after_a_quiet_time_is_taken_as_usual(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "SLOW_RISE_WINDOW", 0.0)
    async with watching(WRONG, *[GOOD] * RISE, WRONG, *[GOOD] * RISE) as world:
        assert world.turns == [(1,), (1 + RISE,), (2 + RISE,), (2 + 2 * RISE,)]


async def test_one_that_flaps_changes_only_now_and_then() -> None:
    script = list(chain.from_iterable(repeat((FAILED, FAILED, GOOD, GOOD, GOOD), 12)))
    async with watching(*script) as world:
        assert len(world.turns) == 3  # down, up once, down


@pytest.mark.parametrize("fault", [ValueError("a host"), RuntimeError("closed"), KeyError("x")])
async def test_a_fault_of_ours_counts_as_a_failure_and_ends_nothing(fault: Exception) -> None:
    async with watching(GOOD, fault, GOOD, fault, fault, GOOD, GOOD, GOOD) as world:
        assert world.turns == [(5,), (8,)]


async def test_each_target_is_judged_by_itself() -> None:
    east, west = Bucket("east", [WRONG, *[GOOD] * 20]), Bucket("west", [GOOD])
    world = World(east, west)
    world.checker.use([(east, TEXT), (west, TEXT)])
    await until(lambda: east.asked > 5)
    assert len(world.turns) == 2
    assert not world.checker.down
    await world.checker.close()


# what the catalogue's questions tell


async def test_a_failed_question_causes_one_about_the_bucket_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 60.0)
    bucket = Bucket("east", [GOOD, FAILED, FAILED, GOOD])
    world = World(bucket)
    world.checker.use([(bucket, TEXT)])
    await until(lambda: bucket.asked == 1)
    for _ in range(100):
        world.checker.failed("east", "no answer")
    await until(lambda: len(world.turns) == 2)
    assert world.turns == [(3,), (3 + RISE,)]
    world.checker.failed("nowhere", "no answer")
    await world.checker.close()


async def test_questions_that_fail_one_after_the_other_cause_few_about_the_bucket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 60.0)
    monkeypatch.setattr(module, "RETRY_INTERVAL", 0.05)
    bucket = Bucket("east", [GOOD])
    world = World(bucket)
    began = monotonic()
    world.checker.use([(bucket, TEXT)])
    async with asyncio.timeout(PATIENCE):
        while bucket.asked < 5:
            world.checker.failed("east", "no answer")
            await asyncio.sleep(0.001)
    assert monotonic() - began >= 4 * 0.05  # a slow machine makes it only longer
    await world.checker.close()


async def test_a_failure_long_after_the_last_probe_is_followed_by_a_probe_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(module, "INTERVAL", 600.0)
    monkeypatch.setattr(module, "RETRY_INTERVAL", 60.0)
    monkeypatch.setattr(module, "monotonic", lambda: now[0])
    bucket = Bucket("east", [GOOD])
    world = World(bucket)
    world.checker.use([(bucket, TEXT)])
    await until(lambda: bucket.asked == 1)
    now[0] += 60.0
    world.checker.failed("east", "no answer")
    await until(lambda: bucket.asked == 2)
    await world.checker.close()


async def test_a_key_that_was_there_tells_a_closed_bucket_from_one_we_may_not_list() -> None:
    bucket = Bucket("east", [FORBIDDEN])
    world = World(bucket)
    world.checker.use([(bucket, TEXT)])
    await until(lambda: bucket.asked > 2)
    world.checker.answered("nowhere", "a", ONE)
    assert not world.checker.down
    world.checker.answered("east", "a", ONE)
    await until(lambda: bool(world.checker.down))
    await world.checker.close()


async def test_a_probe_is_given_four_objects_and_the_last_four_other_keys() -> None:
    bucket = Bucket("east", [WRONG])
    world = World(bucket)
    world.checker.use([(bucket, TEXT)])
    for number in range(6):
        world.checker.answered("east", f"there {number}", ONE)
    world.checker.requested("east", "wanted while it is up")
    await until(lambda: bool(world.checker.down))
    for number in range(3):
        world.checker.requested("east", f"wanted {number}")
    await until(lambda: bucket.knew[-1][-1] == "there 5")
    there, wanted = [f"there {number}" for number in range(4)], ["wanted 2", "wanted 1", "wanted 0"]
    assert bucket.knew[-1] == (*there, *wanted, "there 5")
    await world.checker.close()


# what is forgotten


async def test_a_target_that_is_wrong_forgets_its_objects_at_once_and_when_it_is_back() -> None:
    async with watching(GOOD, WRONG, *[GOOD] * RISE) as world:
        assert world.forgotten == [(2, None), (2 + RISE, None)]


async def test_a_target_that_does_not_answer_forgets_its_objects_when_it_is_back() -> None:
    async with watching(FAILED, FAILED, *[GOOD] * RISE) as world:
        assert world.forgotten == [(2 + RISE, None)]


async def test_a_target_that_may_be_another_bucket_forgets_its_objects_and_stays_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with watching(GOOD, GOOD._replace(replaced=True), GOOD) as world:
        assert world.forgotten == [(2, None)]
        assert world.turns == [(2,)]
        assert not world.checker.down
        assert "every copy is checked again" in caplog.text


async def test_an_object_that_a_probe_found_changed_is_forgotten_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with watching(GOOD, GOOD._replace(changed=("a",)), GOOD) as world:
        assert world.forgotten == [(2, ("a",))]
        assert not caplog.messages


# reloads


async def test_a_reload_keeps_what_is_known_and_asks_by_the_new_entry() -> None:
    old, new = Bucket("east", [WRONG]), Bucket("east", [GOOD])
    world = World(old, new)
    world.checker.use([(old, TEXT)])
    await until(lambda: bool(world.checker.down))
    world.checker.use([(new, TEXT)])
    assert world.checker.down
    await until(lambda: not world.checker.down)
    assert world.turns[1][1] == RISE
    await world.checker.close()


async def test_who_is_not_watched_any_more_is_neither_down_nor_asked() -> None:
    east, west = Bucket("east", [WRONG]), Bucket("west", [GOOD])
    world = World(east, west)
    world.checker.use([(east, TEXT), (west, TEXT)])
    await until(lambda: bool(world.checker.down))
    world.checker.use([(west, TEXT)])
    assert not world.checker.down
    asked, more = east.asked, west.asked
    await until(lambda: west.asked > more + 3)
    assert east.asked <= asked + 1
    world.checker.use([(east, TEXT), (west, TEXT)])
    await until(lambda: bool(world.checker.down))
    await world.checker.close()


async def test_a_target_that_a_reload_puts_in_the_place_of_one_that_was_down_is_logged_as_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    wrong, right = Bucket("esat", [WRONG]), Bucket("east", [GOOD])
    world = World(wrong, right)
    world.checker.use([(wrong, "bucket esat")])
    await until(lambda: bool(world.checker.down))
    world.checker.use([(right, "bucket east")])
    await until(lambda: right.asked > RISE)
    assert caplog.messages[1:] == ["target up: bucket east"]
    await world.checker.close()


async def test_a_target_that_takes_the_place_of_one_that_was_up_is_not_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    old, new = Bucket("old", [GOOD]), Bucket("new", [GOOD])
    world = World(old, new)
    world.checker.use([(old, TEXT)])
    await until(lambda: old.asked > 1)
    world.checker.use([(new, TEXT)])
    await until(lambda: new.asked > 1)
    assert caplog.messages == []
    await world.checker.close()


async def test_closing_leaves_nothing_that_asks() -> None:
    before = asyncio.all_tasks()
    async with watching(GOOD):
        assert asyncio.all_tasks() != before
    assert asyncio.all_tasks() == before
