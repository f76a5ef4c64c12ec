"""Traffic over time: rings of the counters' values."""

from __future__ import annotations

import random
from bisect import bisect_left
from typing import TYPE_CHECKING

import pytest

from nearbucket.telemetry.history.traffic_history import WINDOWS, TrafficHistory, quantile
from nearbucket.telemetry.metrics import OTHER_AWS_BYTES, OTHER_AWS_REQUESTS, SECONDS

if TYPE_CHECKING:
    from nearbucket.telemetry.metrics import Values

START = 1_000_000.0


def values(requests: float, size: float = 0.0, **more: float) -> Values:
    """Redirects in us-west-2, streams outside, and further metrics by name."""
    return {
        "nearbucket_redirects_total": {("dl", "us-west-2"): requests, ("b", "us-west-2"): 1.0},
        "nearbucket_bypasses_total": {
            ("dl", "outside", "outside-aws"): 2 * requests,
            ("dl", "us-west-2", "path"): 3 * requests,
        },
        "nearbucket_streamed_bytes_total": {("dl", "outside"): size, ("dl", "us-west-2"): 2 * size},
        **{name: {("dl", "us-west-2"): value} for name, value in more.items()},
    }


def test_what_was_counted_between_two_steps_is_in_one_interval() -> None:
    history = TrafficHistory(START)
    for step, requests in ((10, 5.0), (20, 7.0), (30, 20.0)):
        history.add(START + step, values(requests, 100 * requests))
    found = [
        (each.begin - START, each.end - START, *(each.shares[name] for name in each.shares))
        for each in history.intervals("hour")
    ]
    assert found == [
        (0, 10, (6, 0), (15, 1000), (10, 500)),
        (10, 20, (2, 0), (6, 400), (4, 200)),
        (20, 30, (13, 0), (39, 2600), (26, 1300)),
    ]
    whole = history.whole("hour")
    assert (whole.seconds, whole.shares["redirected"]) == (30, (21, 0))
    assert whole.of("redirects") == {"us-west-2": 21}


@pytest.mark.parametrize(
    ("back", "counted"), [pytest.param(25, 36, id="a-little"), pytest.param(500, 4, id="far")]
)
def test_a_clock_that_is_set_back_hides_nothing_that_comes_later(back: int, counted: int) -> None:
    history = TrafficHistory(START)
    for step in (10, 20, 30):
        history.add(START + step, values(step))
    now = START + 30 - back
    assert history.is_due(now)
    history.add(now, values(31))
    history.add(now + 10, values(35))
    assert all(each.seconds > 0 for each in history.intervals("hour"))
    whole = history.whole("hour")
    assert whole.of("redirects") == {"us-west-2": counted}
    assert whole.begin == history.began == min(START, now)


def test_bypasses_of_a_region_are_added_up_over_their_reasons_and_sites() -> None:
    history = TrafficHistory(START)
    counted: Values = {
        "nearbucket_bypasses_total": {
            ("a", "us-west-2", "path"): 2.0,
            ("b", "us-west-2", "size"): 3.0,
        }
    }
    history.add(START + 10, counted)
    (found,) = history.intervals("hour")
    assert found.counted["bypasses"] == {("us-west-2",): 5}


def test_values_between_two_steps_change_only_the_last_interval() -> None:
    history = TrafficHistory(START)
    for second in range(1, 26):
        history.add(START + second, values(float(second)))
    ends = [each.end - START for each in history.intervals("hour")]
    assert ends == [10, 20, 25]
    assert [each.end - START for each in history.intervals("day")] == [25]
    assert not history.is_due(START + 29)
    assert history.is_due(START + 30)


@pytest.mark.parametrize("name", WINDOWS)
def test_a_window_is_bounded_and_forgets_what_is_older(name: str) -> None:
    step, steps = WINDOWS[name]
    history = TrafficHistory(START)
    for number in range(1, 2 * steps):
        history.add(START + number * step, values(float(number)))
    intervals = list(history.intervals(name))
    assert len(intervals) == steps
    whole = history.whole(name)
    assert (whole.seconds, whole.shares["redirected"]) == (step * steps, (steps, 0))


def test_a_pause_longer_than_the_window_leaves_nothing_of_before() -> None:
    history = TrafficHistory(START)
    history.add(START + 10, values(5.0))
    history.add(START + 9000, values(6.0))
    history.add(START + 9010, values(8.0))
    assert [each.shares["redirected"][0] for each in history.intervals("hour")] == [2]
    assert history.whole("day").shares["redirected"] == (9, 0)


def test_a_series_that_comes_later_counts_from_zero() -> None:
    history = TrafficHistory(START)
    history.add(START + 10, values(5.0))
    history.add(START + 20, values(5.0, nearbucket_shadow_bytes_total=7.0))
    found = [each.of("shadow_bytes") for each in history.intervals("hour")]
    assert found == [{}, {"us-west-2": 7.0}]


def test_savings_that_are_taken_back_lower_the_sum() -> None:
    history = TrafficHistory(START)
    history.add(START + 10, values(1.0, nearbucket_saved_usd_total=5.0))
    history.add(START + 20, values(1.0, nearbucket_saved_usd_total=3.0))
    assert history.whole("hour").sum("saved_usd") == 3.0


def test_a_quantile_lies_in_the_bucket_of_the_answer_that_it_is() -> None:
    rng = random.Random(18)  # noqa: S311  # not a secret
    for _ in range(200):
        times = sorted(rng.choice([1e-5, 3e-4, 0.02, 0.7, 40.0]) * rng.random() for _ in range(50))
        counts = [0.0] * (len(SECONDS) + 1)
        for seconds in times:
            counts[bisect_left(SECONDS, seconds)] += 1
        for share in (0.5, 0.99):
            found = quantile(counts, share)
            exact = times[-(-int(share * 1000) * 50 // 1000) - 1]
            at = bisect_left(SECONDS, exact)
            assert found is not None
            assert (SECONDS[at - 1] if at else 0.0) <= found <= SECONDS[at]


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ([0.0] * (len(SECONDS) + 1), None),
        ([0.0] * len(SECONDS) + [3.0], SECONDS[-1]),
        ([4.0] + [0.0] * len(SECONDS), SECONDS[0] / 2),
    ],
    ids=["nothing", "beyond the last bound", "the first bucket"],
)
def test_a_quantile_of_one_bucket(counts: list[float], expected: float | None) -> None:
    assert quantile(counts, 0.5) == expected


@pytest.mark.parametrize(
    ("metric", "name"),
    [
        ("nearbucket_redirects_total", "redirects"),
        ("nearbucket_redirected_bytes_total", "redirected_bytes"),
        ("nearbucket_saved_usd_total", "saved_usd"),
        ("nearbucket_bypasses_total", "bypasses"),
        ("nearbucket_streamed_bytes_total", "streamed_bytes"),
        ("nearbucket_shadow_bytes_total", "shadow_bytes"),
        ("nearbucket_shadow_usd_total", "shadow_usd"),
        (OTHER_AWS_REQUESTS, "other_aws_requests"),
        (OTHER_AWS_BYTES, "other_aws_bytes"),
        ("nearbucket_responses_total", "responses"),
        ("nearbucket_request_seconds", "seconds"),
        ("nearbucket_verification_usd_total", "verification_usd"),
    ],
)
def test_each_metric_is_found_by_its_short_name(metric: str, name: str) -> None:
    history = TrafficHistory(START)
    history.add(START + 10, {metric: {("dl", "us-west-2"): 7.0}})
    assert history.whole("hour").sum(name) == 7.0
