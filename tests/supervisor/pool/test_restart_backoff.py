"""The pauses between the processes on one socket."""

from __future__ import annotations

from nearbucket.supervisor.pool.restart_backoff import FAILURES, YOUNG, RestartBackoff


def test_the_first_is_replaced_at_once_and_then_the_pauses_double_up_to_half_a_minute() -> None:
    backoff, pauses = RestartBackoff(), []
    for _ in range(9):
        backoff.ended(0.5)
        pauses.append(backoff.pause)
    assert pauses == [0, 1, 2, 4, 8, 16, 30, 30, 30]
    assert sum(pauses[: FAILURES - 1]) == 31  # until the server ends, if no worker answers


def test_one_that_lived_longer_is_replaced_at_once_and_ends_the_row() -> None:
    backoff = RestartBackoff()
    for _ in range(5):
        backoff.ended(0.5)
    backoff.ended(YOUNG)
    assert (backoff.failures, backoff.pause) == (0, 0)
    backoff.ended(0.5)
    assert (backoff.failures, backoff.pause) == (1, 0)
