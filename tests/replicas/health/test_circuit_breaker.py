"""A breaker opens when many of the last attempts failed, and tries again after a minute."""

from __future__ import annotations

from nearbucket.replicas.health.circuit_breaker import (
    LEAST,
    LEAST_HALF_OPEN,
    OPEN_TIME,
    WINDOW,
    CircuitBreaker,
)

NOW = 100_000.0


FAILED = [True]


class World:
    """A breaker of which every attempt is known, unless a test says otherwise."""

    def __init__(self) -> None:
        self.breaker = CircuitBreaker()
        self.now, self.attempts = NOW, 1000.0
        self.breaker.advance(self.attempts, self.now)

    def note(self, *results: bool, unknown: int = 0) -> list[str]:
        """What each result (True: it failed) led to, after so many attempts without a result."""
        said = []
        for failed in results:
            self.attempts += 1 + unknown
            said.append(self.breaker.note(failed=failed, attempts=self.attempts, now=self.now))
        return said

    def is_open(self) -> bool:
        return self.breaker.is_open(self.now)


def test_it_opens_by_the_twentieth_failure_and_not_before() -> None:
    world = World()
    assert not any(world.note(*FAILED * (LEAST - 1)))
    assert not world.is_open()
    assert world.note(*FAILED) == ["20 of 20"]
    assert world.is_open()


def test_half_of_the_results_is_not_enough_and_one_more_is() -> None:
    world = World()
    assert not any(world.note(*[False, True] * LEAST))
    assert any(world.note(*FAILED))


def test_failures_among_many_attempts_without_a_result_are_not_enough() -> None:
    world = World()
    assert not any(world.note(*FAILED * (3 * LEAST), unknown=4))
    assert any(world.note(*FAILED * LEAST))


def test_failures_long_ago_do_not_count() -> None:
    world = World()
    world.note(*FAILED * (LEAST - 1))
    world.now += WINDOW
    assert not any(world.note(*FAILED * (LEAST - 1)))
    assert any(world.note(*FAILED))


def test_attempts_long_ago_do_not_count() -> None:
    world = World()
    world.attempts += 100_000
    for _ in range(6):
        world.now += WINDOW / 5
        world.breaker.advance(world.attempts, world.now)
    assert any(world.note(*FAILED * LEAST))


def test_while_it_is_open_nothing_is_noted_and_after_a_minute_few_failures_open_it_again() -> None:
    world = World()
    world.note(*FAILED * LEAST)
    assert not any(world.note(*FAILED * LEAST))
    world.now += OPEN_TIME - 1
    assert world.is_open()
    world.now += 1
    assert not world.is_open()
    assert not any(world.note(*FAILED * (LEAST_HALF_OPEN - 1)))
    assert world.note(*FAILED) == ["5 of 5"]
    assert world.is_open()


def test_after_as_many_good_results_as_closed_it_takes_as_many_failures_again() -> None:
    world = World()
    world.note(*FAILED * LEAST)
    world.now += OPEN_TIME
    world.note(*[False] * LEAST)
    world.now += WINDOW
    assert not any(world.note(*FAILED * (LEAST - 1)))
    assert any(world.note(*FAILED))
