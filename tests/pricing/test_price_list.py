"""The price list, and a file of the user's own over it."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest

from nearbucket.config.prices import Geography, Prices
from nearbucket.errors import ConfigError
from nearbucket.pricing.bill import Usage, bill
from nearbucket.pricing.geographies import GEOGRAPHIES
from nearbucket.pricing.price_list import price_list
from nearbucket.pricing.tariff import tariff

if TYPE_CHECKING:
    from pathlib import Path


def test_the_prices_are_dated() -> None:
    assert price_list().date == "2026-11"


def test_the_setting_has_the_geographies_and_plans_of_the_price_list() -> None:
    assert get_args(Geography) == GEOGRAPHIES
    plans = price_list().cloudfront.plans
    names = ["flat:pro", "flat:business", *(f"flat:premium-{tb}" for tb in plans["premium"])]
    assert [Prices(plan=name).plan for name in names] == names
    assert set(plans) == {"pro", "business", "premium"}


def test_the_setting_has_no_size_of_a_plan_that_the_price_list_lacks() -> None:
    def is_allowed(size: int) -> bool:
        try:
            Prices(plan=f"flat:premium-{size}")
        except ValueError:
            return False
        return True

    allowed = [size for size in range(1, 1001) if is_allowed(size)]
    assert allowed == list(price_list().cloudfront.plans["premium"])


def test_north_america_has_the_lowest_price_in_each_tier() -> None:
    tiers = price_list().cloudfront.per_gb
    assert all(
        least <= price
        for prices in tiers.values()
        for least, price in zip(tiers["north-america"], prices, strict=True)
    )


def test_prices_fall_from_tier_to_tier() -> None:
    for prices in price_list().cloudfront.per_gb.values():
        assert list(prices) == sorted(prices, reverse=True)


def test_a_file_replaces_only_what_it_names(tmp_path: Path) -> None:
    own = tmp_path / "prices.yaml"
    own.write_text(
        "date: mine\ncloudfront: {free_gb: 0, per_gb: {europe: [1, 1, 1, 1, 1, 1, 1]}}\n"
    )
    by = tariff(Prices(), own)
    assert by.prices.date == "mine"
    assert bill(Usage({"europe": 10}), by) == 10
    assert bill(Usage({"japan": 10}), by) == pytest.approx(1.14)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cloudfront: {per_gb: {europe: [1]}}", "per_gb.europe needs 7 prices"),
        ("cloudfront: {per_gb: {mars: [1]}}", "per_gb needs exactly these keys: north-america"),
        ("cloudfront: {free_gb: -1}", "cloudfront.free_gb: .*greater than or equal to 0"),
        (
            "s3: {per_1000_get: 1}",
            "s3.per_1000_get: is not a key here; there are per_1000_puts, per_1000_gets",
        ),
        ("cdn: {}", "cdn: is not a key here; there are date, cloudfront, s3"),
        ("s3: {per_1000_gets: true}", "s3.per_1000_gets: .*a valid number"),
        ("s3: {transfer_between: {us-west-2: 1}}", "'us-west-2' is not two regions, such as"),
        (
            "s3: {transfer_between: {us-east-1 us-wset-2: 1}}",
            "s3.transfer_between: 'us-wset-2' is not an AWS region; did you mean us-west-2",
        ),
        (
            "s3: {transfer_between: {garage minio: 1}}",
            "s3.transfer_between: 'garage' is not an AWS region; write one such as",
        ),
        ("s3: {transfer_per_gb: {us_: 1}}", "s3.transfer_per_gb: no AWS region begins with 'us_'"),
        ("- 1", "Input should be"),
        ("a: [", "is not closed"),
        (
            "s3:\n  per_1000_gets: 1\n  per_1000_gets: 2",
            "s3.per_1000_gets.*the key is already in line 2; remove one of them",
        ),
        ("cloudfront: {plans: {pro: {50: 15, 50: 16}}}", "the key is already in line 1"),
    ],
)
def test_a_file_of_another_form_is_refused_with_its_name(
    tmp_path: Path, text: str, says: str
) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(text)
    with pytest.raises(ConfigError, match=rf"own\.yaml(:\d)?: .*{says}"):
        price_list(own)


def test_a_file_may_price_one_size_of_a_plan_and_add_another(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("cloudfront: {plans: {premium: {75: 1400, 900: 14000}}}")
    sizes = price_list(own).cloudfront.plans["premium"]
    assert sizes == {**price_list().cloudfront.plans["premium"], 75: 1400, 900: 14000}


def test_a_file_may_price_the_transfer_between_any_two_regions(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("s3: {transfer_between: {eu-west-1 us-west-2: 0.5}, transfer_per_gb: {eu-: 1}}")
    by = tariff(Prices(), own)
    assert by.transfer_per_gb("us-west-2", "eu-west-1") == 0.5
    assert by.transfer_per_gb("eu-central-1", "us-west-2") == 1


def test_a_file_may_price_the_transfer_to_a_server_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("s3: {transfer_between: {us-east-1 garage: 0.09}}")
    assert tariff(Prices()).transfer_per_gb("us-east-1", "garage") == 0.02
    assert tariff(Prices(), own).transfer_per_gb("us-east-1", "garage") == 0.09


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        price_list(tmp_path / "none.yaml")
