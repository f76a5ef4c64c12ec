"""What a month saves and still costs, from the last 24 hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.pricing.bill import Usage, bill
from nearbucket.pricing.tariff import tariff
from nearbucket.telemetry.history.month_estimate import MONTH, MonthEstimate
from nearbucket.telemetry.savings import Savings
from tests.build import settings

if TYPE_CHECKING:
    from nearbucket.telemetry.history.month_estimate import MonthFigures
    from nearbucket.telemetry.metrics import Values

GB = 2**30
HOUR = 3600.0
START = 1_000_000 * HOUR


def counted(gb: float) -> Values:
    """So many GB redirected in us-west-2, twice as many in shadow, three times outside AWS."""
    return {
        "nearbucket_redirects_total": {("*", "us-west-2"): 0.0},
        "nearbucket_redirected_bytes_total": {("*", "us-west-2"): gb * GB},
        "nearbucket_shadow_bytes_total": {("*", "us-west-2"): 2 * gb * GB},
        "nearbucket_streamed_bytes_total": {("*", "outside"): 3 * gb * GB},
    }


def figures(
    gb: float, seconds: float, site: dict[str, Any] | None = None, **prices: Any
) -> MonthFigures:
    """The figures if so many GB were redirected evenly in so many seconds."""
    chosen = settings(prices=prices, site=site)
    estimate, savings = MonthEstimate(START), Savings(START)
    savings.apply(chosen)
    passed = 0.0
    while passed < seconds:
        passed = min(seconds, passed + HOUR)
        estimate.add(START + passed, counted(gb * passed / seconds))
    return estimate.figures(chosen, savings)


def test_a_day_counts_as_often_as_a_month_has_days() -> None:
    found = figures(100, 24 * HOUR, cdn_per_gb=0.02)
    assert found.redirected_gb == pytest.approx(3040)
    assert found.saved == pytest.approx(60.8)
    assert found.would_save == pytest.approx(121.6)
    assert found.still_paid == pytest.approx(182.4)
    assert not found.at_most


def test_only_the_last_24_hours_count() -> None:
    found = figures(100, 50 * HOUR, cdn_per_gb=0.02)
    assert found.seconds == 24 * HOUR
    assert found.saved == pytest.approx(100 / 50 * 24 * 30.4 * 0.02)


def test_a_burst_after_the_start_counts_as_that_of_an_hour() -> None:
    found = figures(1, 5, cdn_per_gb=0.02)
    assert found.seconds == 5
    assert found.saved == pytest.approx(MONTH / HOUR * 0.02)


@pytest.mark.parametrize("gb", [1, 100, 2000, 50_000])
def test_with_the_volume_of_a_month_no_more_is_saved_than_is_paid(gb: float) -> None:
    found = figures(gb, 24 * HOUR, monthly_gb=40_000)
    by = tariff(settings(prices={"monthly_gb": 40_000}).prices, origin_region="us-east-1")
    whole = bill(Usage({by.geography: 40_000}), by)
    assert found.whole_bill == pytest.approx(whole)
    left = max(0.0, 40_000 - 30.4 * gb)
    assert found.saved == pytest.approx(whole - bill(Usage({by.geography: left}), by))
    assert found.still_paid == pytest.approx(whole - found.saved)
    assert found.saved <= whole


def test_the_dollars_of_a_month_are_not_those_of_a_day_times_thirty() -> None:
    day, month = (
        figures(1000, 24 * HOUR, monthly_gb=40_000),
        figures(1, 24 * HOUR, monthly_gb=40_000),
    )
    assert day.saved > 1000 * month.saved  # what is taken first from the bill is cheapest


def test_a_flat_rate_plan_is_the_bill() -> None:
    found = figures(1, 24 * HOUR, plan="flat:pro")
    assert found.saved == 0
    assert found.still_paid == found.whole_bill
    assert found.still_paid


def test_without_the_volume_savings_are_upper_bounds_and_streamed_bytes_are_priced() -> None:
    found = figures(100, 24 * HOUR)
    assert found.at_most
    assert found.whole_bill is None
    by = tariff(settings().prices, origin_region="us-east-1")
    assert found.still_paid == pytest.approx(bill(Usage({by.geography: 9120}), by))


def test_what_a_cdn_serves_behind_redirects_to_it_is_not_known() -> None:
    site = {"bypass": {"mode": "redirect", "to": "https://cdn.example"}}
    assert figures(100, 24 * HOUR, site=site).still_paid is None
    assert figures(100, 24 * HOUR, site=site, monthly_gb=40_000).still_paid is not None


def test_transfer_to_another_region_is_subtracted() -> None:
    site = {"targets": {"us-west-2": {"bucket": "downloads", "region": "us-east-1"}}}
    assert figures(100, 24 * HOUR, site=site, cdn_per_gb=0.02).saved == pytest.approx(0)
    assert figures(100, 24 * HOUR, site=site, cdn_per_gb=0.01).saved == pytest.approx(-30.4)
