"""When a bucket is listed: if that costs half of its HEADs, and while it costs less."""

from __future__ import annotations

import pytest

from nearbucket.replicas.list_verification import ListingDecision, Renewals

PER_PAGE = 12.5


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
