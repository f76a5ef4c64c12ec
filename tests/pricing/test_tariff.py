"""What prices depend on beside the volume: transfer between regions, the plan's name, geography."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nearbucket.config.prices import Prices
from nearbucket.pricing.tariff import tariff


@pytest.mark.parametrize(
    ("bucket", "region", "price"),
    [
        ("us-west-2", "us-west-2", 0), ("us-east-1", "us-west-2", 0.02),
        ("us-east-1", "us-east-2", 0.01), ("us-east-2", "us-east-1", 0.01),
        ("eu-west-1", "ap-south-1", 0.02), ("ca-central-1", "sa-east-1", 0.02),
        ("ap-southeast-2", "us-west-2", 0.147), ("sa-east-1", "us-east-1", 0.147),
    ],
)  # fmt: skip
def test_transfer_is_free_within_a_region_and_priced_by_the_buckets_region(
    bucket: str, region: str, price: float
) -> None:
    assert tariff(Prices()).transfer_per_gb(bucket, region) == price


@pytest.mark.parametrize(
    ("region", "geography"),
    [("ap-northeast-1", "japan"), ("eu-west-1", "europe"), ("other-aws", "oceania")],
)
def test_clients_are_priced_by_the_edges_of_their_region(region: str, geography: str) -> None:
    by = tariff(Prices(), origin_region="ap-southeast-2")
    assert by.geography_of_clients(region) == geography


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({}, "pay as you go, price class all"),
        ({"price_class": 100, "discount": 15}, "pay as you go, price class 100, 15 % off"),
        ({"plan": "flat:PREMIUM-75TB"}, "flat-rate plan Premium 75 TB"),
        ({"plan": "flat:pro"}, "flat-rate plan Pro"),
        ({"plan": "flat:pro", "cdn_per_gb": 0.03}, "0.03 USD per GB"),
    ],
)
def test_a_tariff_says_its_plan_in_words(setting: dict[str, object], words: str) -> None:
    assert tariff(Prices.model_validate(setting)).words == words


@pytest.mark.parametrize(
    ("setting", "at_most"),
    [
        ({}, True), ({"monthly_gb": 5}, False), ({"cdn_per_gb": 0.03}, False),
        ({"plan": "flat:pro"}, False),
    ],
)  # fmt: skip
def test_savings_are_upper_bounds_where_the_volume_is_not_known(
    setting: dict[str, object], *, at_most: bool
) -> None:
    assert tariff(Prices.model_validate(setting)).at_most is at_most


@pytest.mark.parametrize(
    "setting",
    [
        {"plan": "flat:premium"}, {"plan": "flat:premium-60"}, {"plan": "free"},
        {"price_class": 300}, {"price_class": True}, {"discount": 101}, {"monthly_gb": -1},
        {"geography": "mars"}, {"cdn_per_gb": -1}, {"cdn_per_gb": True},
    ],
)  # fmt: skip
def test_a_plan_class_or_price_that_does_not_exist_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Prices.model_validate(setting)


@pytest.mark.parametrize(
    ("plan", "tb", "words"),
    [
        ("flat:premium-600", 55, "flat-rate plan Premium 75 TB"),
        ("flat:premium-600", 50, "flat-rate plan Premium 50 TB"),
        ("flat:premium-50", 55, "flat-rate plan Premium 50 TB"),
        ("flat:pro", 40, "flat-rate plan Pro"),
        ("payg", 40, "pay as you go, price class all"),
    ],
)
def test_the_size_of_a_plan_that_is_paid_is_named(plan: str, tb: float, words: str) -> None:
    assert tariff(Prices(plan=plan)).words_for(tb * 1024) == words
