"""Bills and savings: the tiers, the plans, and that no saving is higher than the bill.

``REFERENCE`` and ``reference_bill`` repeat CloudFront's price table and rules on their own.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.config.prices import Prices
from nearbucket.pricing.bill import (
    Usage,
    bill,
    marginal_per_gb,
    removal_usd,
    s3_get_per_request,
    saving,
)
from nearbucket.pricing.geographies import GEOGRAPHIES, UNKNOWN_GEOGRAPHY
from nearbucket.pricing.tariff import Tariff, tariff

TB = 1024.0
NA = "north-america"

# tier's size in TB; United States, Europe, Africa, South America, Japan, Oceania, Asia, India
REFERENCE = """
10    .085 .085 .110 .110 .114 .114 .120 .109
40    .080 .080 .105 .105 .089 .098 .100 .085
100   .060 .060 .090 .090 .086 .094 .095 .082
350   .040 .040 .080 .080 .084 .092 .090 .080
524   .030 .030 .060 .060 .080 .090 .080 .078
4096  .025 .025 .050 .050 .070 .085 .070 .075
9e9   .020 .020 .040 .040 .060 .080 .060 .072
"""
PREMIUM = {50: 1000, 75: 1450, 125: 2250, 200: 3500, 350: 6000, 600: 10000}


def reference_bill(tb_by_geography: dict[str, float]) -> float:
    """CloudFront's bill in USD, TB by TB down the table; the free TB shared by usage."""
    total = sum(tb_by_geography.values())
    share = max(0.0, total - 1) / total if total else 0.0
    usd = 0.0
    for geography, tb in tb_by_geography.items():
        left, column = tb * share, 1 + GEOGRAPHIES.index(geography)
        for row in REFERENCE.split("\n")[1:-1]:
            cells = [float(cell) for cell in row.split()]
            in_tier = min(left, cells[0])
            usd += in_tier * 1024 * cells[column]
            left -= in_tier
    return usd


def terms(**setting: object) -> Tariff:
    return tariff(Prices.model_validate(setting))


def cut(tb: float, share: float, by: Tariff) -> tuple[float, float]:
    """Bill of so many TB in North America, and the saving if a share of them is redirected."""
    before, after = Usage({NA: tb * TB}), Usage({NA: tb * TB * (1 - share)})
    return bill(before, by), saving(before, after, 0, by)


# TB a month, bill, saving at 46 % of the bytes, how often 0.085 USD per GB would claim it
MONTHS = [
    (10, 783, 400, 1.0), (30, 2_427, 1_130, 1.06), (65, 5_007, 2_163, 1.2),
    (100, 7_158, 2_826, 1.4), (150, 10_230, 4_239, 1.4), (200, 12_298, 4_649, 1.7),
    (300, 16_394, 5_652, 2.1), (500, 24_586, 9_421, 2.1), (1_000, 39_956, 14_131, 2.8),
]  # fmt: skip


@pytest.mark.parametrize(("tb", "usd", "saved", "overclaimed"), MONTHS)
def test_a_redirect_takes_the_cheapest_gigabytes_from_the_bill(
    tb: float, usd: float, saved: float, overclaimed: float
) -> None:
    found, less = cut(tb, 0.46, terms())
    assert (round(found), round(less)) == (usd, saved)
    assert tb * TB * 0.46 * 0.085 / less == pytest.approx(overclaimed, abs=0.06)


def test_a_flat_rate_plan_saves_the_difference_of_its_steps() -> None:
    premium = terms(plan="flat:premium-75")
    assert cut(65, 0.46, premium) == (1_450, 450)
    assert cut(120, 0.46, premium) == (1_450, 0)  # 64.8 TB are left
    assert cut(200, 0.8, premium) == (1_450, 450)
    assert cut(200, 0.46, terms(plan="flat:premium-200")) == (3_500, 1_250)
    assert cut(45, 0.46, premium) == (1_000, 0)


@pytest.mark.parametrize(("plan", "usd"), [("flat:pro", 15), ("flat:business", 200)])
def test_a_plan_with_one_step_saves_nothing(plan: str, usd: float) -> None:
    assert cut(40, 0.9, terms(plan=plan)) == (usd, 0)
    assert cut(90, 0.9, terms(plan=plan)) == (usd, 0)


def test_more_than_the_size_of_a_plan_costs_no_more() -> None:
    assert cut(65, 0.1, terms(plan="flat:premium-50")) == (1_000, 0)
    assert cut(700, 0.1, terms(plan="flat:premium-600")) == (10_000, 0)


def test_the_free_terabyte_saves_nothing() -> None:
    assert cut(1, 1, terms()) == (0, 0)
    assert cut(2, 0.5, terms()) == pytest.approx((1024 * 0.085, 1024 * 0.085))


def test_requests_over_the_free_ones_are_charged() -> None:
    ten = Usage({}, cdn_requests=20_000_000)
    assert bill(ten, terms()) == pytest.approx(10)
    assert bill(ten, terms(geography="south-america")) == pytest.approx(22)
    assert bill(Usage({}, cdn_requests=9_000_000), terms()) == 0
    assert bill(Usage({}, s3_get_requests=1_000_000), terms()) == pytest.approx(0.4)
    assert s3_get_per_request(terms()) == pytest.approx(4e-7)


def test_a_discount_lowers_bill_and_saving_alike() -> None:
    assert cut(65, 0.46, terms(discount=30)) == pytest.approx(
        tuple(0.7 * usd for usd in cut(65, 0.46, terms()))
    )


def test_a_price_of_ones_own_replaces_tiers_plan_and_discount() -> None:
    own = terms(cdn_per_gb=0.02, plan="flat:pro", discount=50)
    assert cut(100, 0.5, own) == pytest.approx((2_048, 1_024))


def test_tiers_are_counted_for_each_geography() -> None:
    both = Usage({NA: 100 * TB, "europe": 100 * TB})
    one = Usage({NA: 200 * TB})
    assert bill(both, terms()) > bill(one, terms()) * 1.15


@pytest.mark.parametrize(
    ("price_class", "geography", "like"),
    [
        ("all", "oceania", "oceania"), ("200", "oceania", NA), ("200", "south-america", NA),
        ("200", "japan", "japan"), ("100", "japan", NA), ("100", "europe", "europe"),
        (100, "india", NA),
    ],
)  # fmt: skip
def test_an_edge_outside_the_price_class_is_charged_like_the_cheapest(
    price_class: str, geography: str, like: str
) -> None:
    by = terms(price_class=price_class)
    assert bill(Usage({geography: 99 * TB}), by) == bill(Usage({like: 99 * TB}), terms())
    assert marginal_per_gb(by, geography, 9 * TB) == marginal_per_gb(by, like, 9 * TB)


def test_an_unknown_edge_is_priced_like_the_stated_geography_or_the_origins() -> None:
    usage = Usage({UNKNOWN_GEOGRAPHY: 5 * TB})
    japan = bill(Usage({"japan": 5 * TB}), terms())
    assert bill(usage, terms(geography="japan")) == japan
    assert bill(usage, tariff(Prices(), origin_region="ap-northeast-1")) == japan
    assert bill(usage, tariff(Prices(), origin_region="cn-north-1")) == bill(
        Usage({NA: 5 * TB}), terms()
    )


@pytest.mark.parametrize(
    ("tb", "price"),
    [
        (None, 0.085), (0.5, 0), (1, 0), (1.1, 0.085), (11, 0.085), (12, 0.08), (100, 0.06),
        (300, 0.04), (2_000, 0.025), (9_000, 0.02),
    ],
)  # fmt: skip
def test_the_next_gigabyte_costs_what_its_tier_does(tb: float | None, price: float) -> None:
    volume = None if tb is None else tb * TB
    assert marginal_per_gb(terms(), NA, volume) == price
    assert marginal_per_gb(terms(discount=50), NA, volume) == price / 2
    assert marginal_per_gb(terms(cdn_per_gb=0.5), NA, volume) == 0.5
    assert marginal_per_gb(terms(plan="flat:premium-50"), NA, volume) == 0


@pytest.mark.parametrize(
    ("setting", "removed_tb", "usd"),
    [
        ({}, 100, 100 * TB * 0.085),
        ({"monthly_gb": 300 * TB}, 138, 5_652),
        ({"monthly_gb": 300 * TB}, 300, 16_394),
        ({"monthly_gb": 300 * TB}, 900, 16_394),
        ({"monthly_gb": 300 * TB, "discount": 50}, 138, 2_826),
        ({"plan": "flat:premium-75"}, 24.9, 0),
        ({"plan": "flat:premium-75"}, 25, 450),
        ({"plan": "flat:premium-75", "monthly_gb": 65 * TB}, 15, 450),
        ({"plan": "flat:pro"}, 40, 0),
        ({"cdn_per_gb": 0.02}, 10, 10 * TB * 0.02),
    ],
)
def test_the_bill_falls_by_what_redirects_take_from_the_volume_of_a_month(
    setting: dict[str, object], removed_tb: float, usd: float
) -> None:
    assert removal_usd(terms(**setting), NA, removed_tb * TB) == pytest.approx(usd, abs=0.5)


geographies = st.sampled_from([*GEOGRAPHIES, UNKNOWN_GEOGRAPHY])
volumes = st.dictionaries(geographies, st.floats(0, 9_000 * TB), max_size=6)
plans = st.sampled_from(
    ["payg", "flat:pro", "flat:business", *(f"flat:premium-{tb}" for tb in PREMIUM)]
)
tariffs = st.builds(
    terms,
    plan=plans,
    monthly_gb=st.none() | st.floats(0, 9_000 * TB),
    geography=st.none() | st.sampled_from(GEOGRAPHIES),
    price_class=st.sampled_from(["100", "200", "all"]),
    discount=st.floats(0, 100),
    cdn_per_gb=st.none() | st.floats(0, 1),
)
requests = st.floats(0, 1e10)
NEAR = 1e-6
"""Rounding of sums of floats, as a share."""


@given(volumes, st.dictionaries(geographies, st.floats(0, 1)), requests, st.floats(0, 1e6), tariffs)
def test_no_saving_is_higher_than_the_bill_and_no_less_traffic_costs_more(
    gb: dict[str, float], shares: dict[str, float], count: float, costs: float, by: Tariff
) -> None:
    before = Usage(gb, cdn_requests=count)
    left = {name: amount * shares.get(name, 1) for name, amount in gb.items()}
    after = Usage(left, cdn_requests=count * min(shares.values(), default=1))
    whole = bill(before, by)
    slack = NEAR * (1 + whole)
    assert 0 <= bill(after, by) <= whole + slack
    assert saving(before, after, costs, by) <= whole + slack
    assert saving(before, after, costs, by) == pytest.approx(whole - bill(after, by) - costs)
    assert saving(before, Usage({}), 0, by) == whole - bill(Usage({}), by)


@given(tariffs, geographies, st.floats(0, 9_000 * TB), st.floats(0, 9_000 * TB))
def test_what_redirects_are_said_to_save_never_exceeds_the_bill_of_the_month(
    by: Tariff, geography: str, volume: float, removed: float
) -> None:
    by = tariff_with_volume(by, volume)
    whole = bill(Usage({geography: volume}), by)
    found = removal_usd(by, geography, removed)
    assert -NEAR <= found <= whole * (1 + NEAR) + NEAR
    assert removal_usd(by, geography, removed / 2) <= found + NEAR * (1 + whole)


@given(tariffs, geographies, st.floats(0, 9_000 * TB), st.floats(0, 9_000 * TB))
def test_without_a_volume_the_figure_is_the_most_that_it_can_be(
    by: Tariff, geography: str, volume: float, removed: float
) -> None:
    known = tariff_with_volume(by, volume)
    unknown = tariff_with_volume(by, None)
    if unknown.at_most:
        least = removal_usd(known, geography, min(removed, volume))
        most = removal_usd(unknown, geography, min(removed, volume))
        assert least <= most * (1 + NEAR) + NEAR


@given(st.dictionaries(st.sampled_from(GEOGRAPHIES), st.floats(0, 9_000), max_size=8))
def test_bills_equal_those_of_the_table_in_this_file(tb: dict[str, float]) -> None:
    found = bill(Usage({name: amount * TB for name, amount in tb.items()}), terms())
    assert found == pytest.approx(reference_bill(tb))


@given(st.floats(0, 600), plans)
def test_flat_rate_bills_equal_those_of_the_table_in_this_file(tb: float, plan: str) -> None:
    own = int(plan.partition("premium-")[2] or 0)
    premium = {size: usd for size, usd in PREMIUM.items() if size <= own}
    steps = {"flat:pro": {50: 15}, "flat:business": {50: 200}}.get(plan, premium)
    fits = [usd for size, usd in sorted(steps.items()) if tb <= size]
    if plan != "payg":
        usd = fits[0] if fits else max(steps.values())
        assert bill(Usage({"asia": tb * TB}), terms(plan=plan)) == usd


def tariff_with_volume(by: Tariff, volume: float | None) -> Tariff:
    return Tariff(
        by.prices, by.plan, by.price_class, by.factor, by.cdn_per_gb, by.region_per_gb,
        by.geography, volume,
    )  # fmt: skip
