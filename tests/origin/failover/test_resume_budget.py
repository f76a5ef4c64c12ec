"""The rest of a body is requested as often as its progress pays for, and for a minute at most."""

from __future__ import annotations

import pytest

from nearbucket.origin.failover.resume_budget import ATTEMPTS, SECONDS, SHARE, ResumeBudget

MEBIBYTE = 1 << 20


def attempts(budget: ResumeBudget, left: int, progress: int) -> int:
    """How many attempts there are if each brings so many bytes."""
    made = 0
    while budget.next_attempt(left) and left > 0:
        made, left = made + 1, left - progress
    return made


@pytest.mark.parametrize("progress", [0, 1, 400, SHARE // ATTEMPTS - 1])
def test_attempts_that_bring_less_than_a_share_together_are_the_last(progress: int) -> None:
    assert attempts(ResumeBudget(MEBIBYTE), MEBIBYTE, progress) == ATTEMPTS


@pytest.mark.parametrize("progress", [SHARE // ATTEMPTS, SHARE, 2 * SHARE])
def test_attempts_that_bring_a_share_go_on_until_the_body_is_whole(progress: int) -> None:
    assert attempts(ResumeBudget(MEBIBYTE), MEBIBYTE, progress) == -(-MEBIBYTE // progress)


def test_the_share_of_a_small_body_is_an_eighth_of_it() -> None:
    assert attempts(ResumeBudget(800), 800, 100 // ATTEMPTS + 1) > ATTEMPTS
    assert attempts(ResumeBudget(800), 800, 100 // ATTEMPTS) == ATTEMPTS
    assert attempts(ResumeBudget(1), 1, 1) == 1


def test_attempts_are_numbered_anew_after_each_share() -> None:
    budget = ResumeBudget(MEBIBYTE)
    numbers = [budget.next_attempt(MEBIBYTE - done) for done in (0, 1, 2, SHARE, SHARE + 1)]
    assert numbers == [1, 2, 3, 1, 2]


def test_a_minute_of_waiting_for_less_than_a_share_is_the_end() -> None:
    budget = ResumeBudget(MEBIBYTE)
    assert budget.next_attempt(MEBIBYTE) == 1
    budget.waited(SECONDS)
    assert budget.next_attempt(MEBIBYTE - 1) == 0
    assert budget.next_attempt(MEBIBYTE - SHARE) == 1, "the share pays for another minute"
