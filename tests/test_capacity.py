"""The model of what tasks carry: its simulation of the decision between listings and HEADs."""

from __future__ import annotations

import pytest

from bench.capacity import HOT_KEYS, KEYS, load_of, simulated_day
from nearbucket.config.prices import Prices
from nearbucket.pricing.bill import s3_get_per_request, s3_list_per_request
from nearbucket.pricing.tariff import tariff

HEAD, PAGE = s3_get_per_request(tariff(Prices())), s3_list_per_request(tariff(Prices()))


def dollars(hot: int, keys: int) -> float:
    heads, lists = simulated_day(hot, keys)
    return heads * HEAD + lists * PAGE


@pytest.mark.parametrize("hot", HOT_KEYS)
@pytest.mark.parametrize("keys", [*KEYS, 10**9])
def test_a_day_as_decided_costs_hardly_more_than_by_heads_alone(hot: int, keys: int) -> None:
    heads, _ = simulated_day(hot, 10**12)  # of which no listing ever ends
    assert dollars(hot, keys) <= 1.1 * heads * HEAD


def test_2000_objects_of_2000_cost_a_fiftieth_by_listings() -> None:
    assert dollars(2000, 2000) * 50 < dollars(2000, 10**12)


def test_heads_of_a_task_are_two_for_each_hot_object_and_turn() -> None:
    turns = 8  # an hour, of three quarters of ten minutes
    assert load_of(1).heads == pytest.approx(100_000 * 2 * turns)
    assert load_of(3).heads == pytest.approx(3 * 100_000 * 2 * turns)


def test_all_that_tasks_carry_grows_with_their_number() -> None:
    assert load_of(10) == pytest.approx([10 * figure for figure in load_of(1)])
