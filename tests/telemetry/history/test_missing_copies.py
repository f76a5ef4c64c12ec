"""The objects that targets lack, counted in bounded memory."""

from __future__ import annotations

import random
from collections import Counter

from nearbucket.telemetry.history.missing_copies import (
    FORGOTTEN_AFTER,
    MOST,
    SHOWN,
    MissingCopies,
    MissingCopy,
    merged,
)
from tests.tuning import Clock


def test_the_objects_with_the_most_requests_come_first() -> None:
    copies = MissingCopies(clock := Clock(0.0))
    for key, number in (("a", 2), ("b", 3), ("<c>", 1)):
        for _ in range(number):
            clock.now += 1
            copies.add("dl", "us-west-2", key)
    copies.add("dl", "eu-west-1", "b")
    assert copies.top() == (
        MissingCopy("dl", "us-west-2", "b", 3, 5.0),
        MissingCopy("dl", "us-west-2", "a", 2, 2.0),
        MissingCopy("dl", "eu-west-1", "b", 1, 6.0),
        MissingCopy("dl", "us-west-2", "<c>", 1, 6.0),
    )


def test_an_object_that_is_often_asked_for_is_found_among_any_number_of_others() -> None:
    copies, exact = MissingCopies(), Counter[str]()
    rng = random.Random(18)  # noqa: S311  # not a secret
    for number in range(20_000):
        key = f"often-{number % 7}" if rng.random() < 0.3 else f"once-{number}"
        copies.add("dl", "us-west-2", key)
        exact[key] += 1
    top = copies.top()
    assert {each.key for each in top[:7]} == {f"often-{number}" for number in range(7)}
    assert len(top) <= SHOWN
    for each in top:
        assert exact[each.key] - 20_000 / MOST <= each.requests <= exact[each.key]


def test_an_object_that_nobody_asked_for_within_an_hour_is_left_out() -> None:
    copies = MissingCopies(clock := Clock(0.0))
    copies.add("dl", "us-west-2", "a")
    clock.now = FORGOTTEN_AFTER
    assert len(copies.top()) == 1
    clock.now += 1
    assert copies.top() == ()


def test_the_counts_of_processes_are_added_up() -> None:
    parts = [
        MissingCopy("dl", "us-west-2", "a", 2, 5.0),
        MissingCopy("dl", "us-west-2", "b", 3, 1.0),
        MissingCopy("dl", "us-west-2", "a", 4, 3.0),
    ]
    assert merged(parts) == (MissingCopy("dl", "us-west-2", "a", 6, 5.0), parts[1])


def test_a_full_table_makes_room_for_an_object_that_is_asked_for_more_often() -> None:
    copies = MissingCopies()
    for number in range(MOST):
        for _ in range(5):
            copies.add("dl", "us-west-2", f"earlier-{number}")
    for _ in range(20):
        copies.add("dl", "us-west-2", "later")
    first, *_ = copies.top()
    assert (first.key, first.requests) == ("later", 15)
