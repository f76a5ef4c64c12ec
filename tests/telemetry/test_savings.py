"""The dollars of the savings: tiers within a month, costs, what is taken back, reloads."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.telemetry.process_totals import HighWater
from nearbucket.telemetry.savings import Savings
from tests.build import settings

if TYPE_CHECKING:
    from nearbucket.telemetry.metrics import Labels, Values

GB = 1 << 30
TB = 1024.0
DL = "*"
WEST: Labels = (DL, "us-west-2")
EAST: Labels = (DL, "us-east-1")
TOKYO: Labels = (DL, "ap-northeast-1")
GET = 0.0004 / 1000
SAVED, SHADOW = "nearbucket_saved_usd_total", "nearbucket_shadow_usd_total"
TARGETS = {region: {"bucket": region, "region": region} for _, region in (WEST, EAST, TOKYO)}


def at(year: int, month: int, day: int, hour: int = 0) -> float:
    return datetime(year, month, day, hour, tzinfo=UTC).timestamp()


START = at(2026, 3, 10)


def counted(gb: dict[Labels, float], requests: float = 0) -> Values:
    return {
        "nearbucket_redirected_bytes_total": {labels: gb_ * GB for labels, gb_ in gb.items()},
        "nearbucket_redirects_total": dict.fromkeys(gb, requests),
        "nearbucket_shadow_bytes_total": dict.fromkeys(gb, 0),
    }


class Supervised:
    """Savings by one setting; values are given as a scrape finds them."""

    def __init__(self, targets: dict[str, Any] | None = None, **prices: Any) -> None:
        self.savings = Savings(START)
        self.targets = TARGETS if targets is None else targets
        self.reload(**prices)

    def reload(self, **prices: Any) -> None:
        self.savings.apply(settings(site={"targets": self.targets}, prices=prices))

    def scrape(
        self, gb: dict[Labels, float], requests: float = 0, now: float = START
    ) -> dict[Labels, float]:
        return self.savings.priced(counted(gb, requests), now)[SAVED]


def test_without_the_volume_of_a_month_a_gigabyte_has_the_price_of_the_first_tier() -> None:
    found = Supervised().scrape({WEST: 1000, TOKYO: 1000})
    assert found == pytest.approx({WEST: 85, TOKYO: 114})


def test_the_whole_of_a_month_saves_the_difference_of_two_bills_however_often_it_is_scraped() -> (
    None
):
    for scrapes in (1, 7, 138):
        supervised = Supervised(monthly_gb=300 * TB)
        for number in range(1, scrapes + 1):
            found = supervised.scrape({WEST: 138 * TB * number / scrapes})
        assert found == pytest.approx({WEST: 5652.48})


def test_regions_share_the_volume_of_the_month_each_at_the_prices_of_its_geography() -> None:
    both = Supervised(monthly_gb=65 * TB).scrape({WEST: 15 * TB, EAST: 15 * TB})
    assert sum(both.values()) == pytest.approx(2170.88)
    apart = Supervised(monthly_gb=65 * TB).scrape({WEST: 15 * TB, TOKYO: 15 * TB})
    assert apart == pytest.approx({WEST: (14 * 0.06 + 0.08) * TB, TOKYO: 15 * 0.089 * TB})


def test_tiers_start_anew_each_month() -> None:
    supervised = Supervised(monthly_gb=65 * TB)
    march = supervised.scrape({WEST: 30 * TB}, now=at(2026, 3, 31))[WEST]
    april = supervised.scrape({WEST: 60 * TB}, now=at(2026, 4, 30))[WEST]
    assert april - march == pytest.approx(march, rel=0.02)  # a day of it was in March


def test_bytes_of_a_long_time_without_a_scrape_are_spread_over_its_months() -> None:
    supervised = Supervised(monthly_gb=65 * TB)
    supervised.savings = Savings(at(2026, 1, 1))
    supervised.reload(monthly_gb=65 * TB)
    quarter = supervised.scrape({WEST: 90 * TB}, now=at(2026, 4, 1))[WEST]
    month = Supervised(monthly_gb=65 * TB).scrape({WEST: 30 * TB})[WEST]
    assert quarter == pytest.approx(3 * month, rel=0.01)


def test_bytes_between_two_scrapes_of_a_month_are_all_of_that_month() -> None:
    supervised = Supervised(monthly_gb=65 * TB)
    supervised.scrape({WEST: 0}, now=at(2026, 4, 10))
    found = supervised.scrape({WEST: 30 * TB}, now=at(2026, 4, 20))
    assert found == pytest.approx({WEST: 2170.88})


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    supervised = Supervised(cdn_per_gb=1)
    assert supervised.scrape({WEST: 1}, now=START - 90 * 86_400) == {WEST: 1}
    assert supervised.scrape({WEST: 2}, now=START - 80 * 86_400) == {WEST: 2}


def test_no_month_saves_more_than_its_bill() -> None:
    supervised = Supervised(monthly_gb=10 * TB)
    assert supervised.scrape({WEST: 50 * TB}) == pytest.approx({WEST: 9 * TB * 0.085})
    assert supervised.scrape({WEST: 90 * TB, TOKYO: 90 * TB}) == pytest.approx(
        {WEST: 9 * TB * 0.085, TOKYO: 0}
    )


def test_a_flat_rate_plan_saves_at_its_steps_alone() -> None:
    supervised = Supervised(plan="flat:premium-75", monthly_gb=65 * TB)
    saved = [supervised.scrape({WEST: tb * TB})[WEST] for tb in (5, 14.9, 15, 40, 65)]
    assert saved == [0, 0, 450, 450, 450]


def test_a_redirect_costs_a_request_to_s3_and_transfer_from_another_region() -> None:
    far = {"us-west-2": {"bucket": "east", "region": "us-east-1"}}
    found = Supervised(far).scrape({WEST: 1000}, requests=100_000)
    assert found == pytest.approx({WEST: 85 - 20 - 100_000 * GET})


def test_a_region_may_have_a_price_of_its_own() -> None:
    supervised = Supervised(region_per_gb={"us-west-2": 0.5}, monthly_gb=300 * TB)
    assert supervised.scrape({WEST: 10, EAST: 10}) == pytest.approx({WEST: 5, EAST: 0.4})


def test_what_is_taken_back_is_taken_back_at_the_price_it_was_counted_at() -> None:
    supervised = Supervised(monthly_gb=65 * TB)
    supervised.scrape({WEST: 14 * TB})
    assert supervised.scrape({WEST: 30 * TB})[WEST] > 1500
    assert supervised.scrape({WEST: 14 * TB})[WEST] == pytest.approx(0.06 * 14 * TB)
    assert supervised.scrape({WEST: 0})[WEST] == pytest.approx(0, abs=1e-9)


def test_a_reload_prices_what_comes_after_it() -> None:
    supervised = Supervised(cdn_per_gb=1)
    supervised.scrape({WEST: 10})
    supervised.reload(cdn_per_gb=2)
    assert supervised.scrape({WEST: 11}) == {WEST: 12}


def test_a_target_that_was_removed_keeps_what_it_saved() -> None:
    supervised = Supervised(cdn_per_gb=1)
    supervised.scrape({WEST: 10})
    supervised.targets = {}
    supervised.reload(cdn_per_gb=1)
    assert supervised.scrape({WEST: 11}) == {WEST: 11}


def test_shadow_is_priced_apart_by_its_own_requests() -> None:
    savings = Savings(START)
    savings.apply(settings(prices={"cdn_per_gb": 1}))
    values = savings.priced(
        {
            "nearbucket_shadow_bytes_total": {WEST: 3 * GB},
            "nearbucket_bypasses_total": {(*WEST, "shadow"): 1e6, (*WEST, "path"): 9e6},
        },
        START,
    )
    assert values[SHADOW] == pytest.approx({WEST: 3 - 0.4})
    assert values[SAVED] == {}


steps = st.lists(
    st.tuples(st.sampled_from([WEST, EAST, TOKYO]), st.floats(0, 90 * TB), st.integers(0, 40 * 24)),
    max_size=12,
)


@given(
    steps,
    st.sampled_from(["payg", "flat:pro", "flat:business", "flat:premium-75", "flat:premium-600"]),
    st.floats(0, 2_000 * TB),
    st.floats(0, 100),
)
def test_no_history_of_scrapes_shows_more_than_the_bills_of_its_months(
    history: list[tuple[Labels, float, int]], plan: str, monthly_gb: float, discount: float
) -> None:
    setting: dict[str, Any] = {"plan": plan, "monthly_gb": monthly_gb, "discount": discount}
    supervised, high_water = Supervised(**setting), HighWater()
    whole = Supervised(**setting).scrape({TOKYO: monthly_gb})  # dearer than WEST in each tier
    gb = dict.fromkeys((WEST, EAST, TOKYO), 0.0)
    now = START
    shown: dict[Labels, float] = {}
    for labels, more, hours in history:
        now += hours * 3600
        gb[labels] += more
        values = supervised.savings.priced(counted(gb, requests=sum(gb.values())), now)
        before, shown = shown, high_water.hold(values)[SAVED]
        assert all(shown[each] >= usd for each, usd in before.items())
    months = 1 + (now - START) // (28 * 86_400) + 1
    assert sum(shown.values()) <= months * sum(whole.values()) * (1 + 1e-9) + 1e-6
