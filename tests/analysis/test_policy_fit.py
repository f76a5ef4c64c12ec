"""The policy that is worth most, against all policies there are."""

from __future__ import annotations

import random
from itertools import chain, combinations
from typing import TYPE_CHECKING

import pytest

from nearbucket.analysis.recommending.policy_evidence import weakness
from nearbucket.analysis.recommending.policy_facts import Slot
from nearbucket.analysis.recommending.policy_fit import FittedPolicy, Worth

if TYPE_CHECKING:
    from collections.abc import Iterator

REGIONS = ("home", "near", "far")


def made(seed: int) -> Worth:
    """Five groups of objects in three size classes, for some of which copies do not pay."""
    chance = random.Random(seed)  # noqa: S311  # a seed repeats
    slots = tuple(Slot(group, size) for group in range(5) for size in (10, 18, 22))
    by_region = {
        region: [chance.choice((-30, -5, 0, 20, 60, 200)) * chance.random() for _ in slots]
        for region in REGIONS
    }
    coverage = {f"{group}*": frozenset({group}) for group in range(5)}
    coverage |= {"0-1*": frozenset({0, 1}), "1-3*": frozenset({1, 2, 3})}
    return Worth(slots, by_region, coverage, "home", 5.0, (12, 16, 20))


def every_policy(worth: Worth) -> Iterator[FittedPolicy]:
    single = [name for name, groups in worth.coverage.items() if len(groups) == 1]
    for patterns in chain.from_iterable(combinations(single, n) for n in range(len(single) + 1)):
        for floor in worth.floors:
            for more in ((), ("near",), ("far",), ("near", "far")):
                yield FittedPolicy(patterns, (), floor, ("home", *more))


def test_it_comes_close_to_the_best_of_all_policies() -> None:
    shares = []
    for seed in range(40):
        worth = made(seed)
        best = max(worth.of(policy) for policy in every_policy(worth))
        found = worth.of(worth.fit(REGIONS))
        assert found <= best + 1e-9
        shares.append(found / best if best > 0 else 1.0)
    assert min(shares) > 0.8
    assert sum(shares) / len(shares) > 0.97


def test_the_largest_floor_that_gives_up_next_to_nothing_is_chosen() -> None:
    slots = (Slot(0, 10), Slot(0, 14), Slot(0, 16), Slot(0, 20), Slot(0, -1))
    for small, floor in ((0.1, 20), (10.0, 16), (-10.0, 20)):
        worth = Worth(
            slots, {"home": [0.1, 0.1, small, 1000.0, 500.0]}, {"*": frozenset({0})}, "home", 5.0,
            (12, 16, 20),
        )  # fmt: skip
        assert worth.fit(["home"]).floor == floor


def test_of_patterns_with_equal_worth_the_first_is_chosen() -> None:
    slots = (Slot(0, 20),)
    coverage = {"*.tar.xz": frozenset({0}), "a/*": frozenset({0})}
    worth = Worth(slots, {"home": [100.0]}, coverage, "home", 5.0, (12,))
    assert worth.fit(["home"]).patterns == ("*.tar.xz",)
    assert worth.fit(["home"], without=["*.tar.xz"]).patterns == ("a/*",)


def test_a_region_below_the_least_worth_is_left_out() -> None:
    slots = (Slot(0, 20),)
    worths = {"home": [100.0], "near": [5.1], "far": [4.9]}
    worth = Worth(slots, worths, {"*": frozenset({0})}, "home", 5.0, (12,))
    assert worth.fit(REGIONS).regions == ("home", "near")


@pytest.mark.parametrize(
    ("daily", "whole", "networks", "why"),
    [
        ([1, 1, 1, 1], 4, {}, None),
        ([0, 0, 5, 5], 4, {}, "it is seen on 2 of 4 days only"),
        ([1, 1, 1, 4], 4, {}, "57 % of its bytes are those of one day, day 4 of 4"),
        ([1, 1, 1, 3], 4, {}, None),
        ([3, 3, 4], 3, {"a": 5.1, "b": 4.9}, "51 % of its bytes go to one network, a"),
        ([3, 3, 4], 3, {"a": 5.0, "b": 5.0}, None),
        ([5], 1, {}, None),
        ([5, 0], 2, {}, "it is seen on 1 of 2 days only"),
        ([2.4, 5.1, 2.5], 2, {}, None),
        ([0, 5.1, 2.5], 2, {}, None),
        ([0, 5.1, 0], 2, {}, "it is seen on 1 of 3 days only"),
        ([0.1, 5, 0.1], 1, {}, None),
        ([0.1, 5, 5, 0.1], 2, {}, None),
    ],
)
def test_traffic_is_evidence_if_it_is_steady_and_spread(
    daily: list[float], whole: int, networks: dict[str, float], why: str | None
) -> None:
    assert weakness(daily, networks, whole) == why
