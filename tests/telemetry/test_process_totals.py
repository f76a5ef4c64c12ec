"""The metrics of all processes: sums, what an ended one leaves, and savings that never fall."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from nearbucket.policy.model import Reason
from nearbucket.telemetry.metrics import MAY_FALL, Counters
from nearbucket.telemetry.process_totals import HighWater, retired, total
from tests.telemetry.counted import history, stream, text_of

if TYPE_CHECKING:
    from nearbucket.telemetry.metrics import Values


def test_the_total_of_several_workers_is_the_sum_of_each_series() -> None:
    first, second, third = history(), history(), Counters()
    second.decision_counters(stream("us-east-1", Reason.PATH, target=True)).add(0.5, 1)
    values = total(counters.snapshot() for counters in (first, second, third))
    assert values["nearbucket_redirects_total"] == {("dl", "us-west-2"): 4}
    assert values["nearbucket_bypasses_total"] == {
        ("dl", "outside", "outside-aws"): 2,
        ("dl", "other-aws", "no-target"): 2,
        ("dl", "us-west-2", "path"): 2,
        ("dl", "us-east-1", "path"): 1,
    }
    assert values["nearbucket_connections"] == {(): 6}
    text = text_of(values)
    assert 'nearbucket_request_seconds_count{action="stream"} 7.0\n' in text
    assert 'nearbucket_request_seconds_sum{action="stream"} 8005.5\n' in text
    assert 'nearbucket_request_seconds_bucket{action="stream",le="0.5"} 3.0\n' in text


def test_a_target_is_up_where_every_worker_says_so() -> None:
    first, second = Counters(), Counters()
    first.up = {("dl", "us-east-1"): True, ("dl", "us-west-2"): True}
    second.up = {("dl", "us-east-1"): True, ("dl", "us-west-2"): False}
    values = total(counters.snapshot() for counters in (first, second))
    assert values["nearbucket_target_up"] == {("dl", "us-east-1"): 1, ("dl", "us-west-2"): 0}


def test_a_total_leaves_its_parts_as_they_were() -> None:
    part = history().snapshot()
    before = pickle.dumps(part)
    total([part, part])
    assert pickle.dumps(part) == before
    assert total([]) == {}


def test_a_worker_that_ended_leaves_its_counts_but_not_its_gauges() -> None:
    values = history().snapshot()
    left = retired(values)
    assert set(values) - set(left) == {
        "nearbucket_streams_in_progress",
        "nearbucket_connections",
        "nearbucket_target_up",
    }
    assert left["nearbucket_redirects_total"] == {("dl", "us-west-2"): 2}
    assert left["nearbucket_request_seconds"] == values["nearbucket_request_seconds"]
    both = total([left, Counters().snapshot()])
    assert both["nearbucket_connections"] == {(): 0}
    assert both["nearbucket_redirects_total"] == {("dl", "us-west-2"): 2}


def test_what_is_taken_back_is_paid_by_later_savings_before_a_counter_rises() -> None:
    shown = HighWater()

    def scraped(*figures: float) -> list[float]:
        series: Values = {
            name: {("dl", "r"): figure} for name, figure in zip(MAY_FALL, figures, strict=True)
        }
        series["nearbucket_connections"] = {(): figures[0]}
        held = shown.hold(series)
        assert held["nearbucket_connections"] == {(): figures[0]}
        return [held[name]["dl", "r"] for name in MAY_FALL]

    assert scraped(-1, -0.5, -3) == [0, 0, 0]
    assert scraped(10, 5, 3) == [10, 5, 3]
    assert scraped(4, 2, 1) == [10, 5, 3]
    assert scraped(9, 4.5, 2) == [10, 5, 3]
    assert scraped(11, 5.5, 4) == [11, 5.5, 4]


def test_what_one_region_loses_is_not_claimed_in_the_sum_of_its_site() -> None:
    shown = HighWater()

    def scraped(west: float, east: float) -> dict[str, float]:
        (name, *_) = MAY_FALL
        held = shown.hold({name: {("dl", "west"): west, ("dl", "east"): east}})[name]
        return {labels[-1]: figure for labels, figure in held.items()}

    assert scraped(10, 0) == {"west": 10, "east": 0}
    assert scraped(4, 5) == {"west": 10, "east": 0}
    assert scraped(4, 8) == {"west": 10, "east": 2}
    assert scraped(4, -20) == {"west": 10, "east": 2}
    assert scraped(40, -20) == {"west": 18, "east": 2}


def test_what_one_site_loses_is_no_loss_of_another() -> None:
    shown, (name, *_) = HighWater(), MAY_FALL
    for one, other in ((10, 0), (4, 5)):
        held = shown.hold({name: {("one", "west"): one, ("other", "west"): other}})[name]
    assert held == {("one", "west"): 10, ("other", "west"): 5}


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(-9, 99)), max_size=12))
def test_a_sites_sum_shown_is_the_highest_true_sum_and_no_series_falls(
    history: list[dict[str, int]],
) -> None:
    shown = HighWater()
    for name in MAY_FALL:
        latest: dict[str, int] = {}
        before: dict[tuple[str, ...], float] = {}
        highest = 0
        for figures in history:
            latest |= figures
            highest = max(highest, sum(latest.values()))
            held = shown.hold({name: {("dl", each): figure for each, figure in figures.items()}})
            after = held.get(name, {})
            assert all(after[each] >= figure for each, figure in before.items())
            assert sum(after.values()) == highest
            before = after
