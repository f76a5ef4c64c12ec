"""The cost of copies, and from how many GB on they save money."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nearbucket.config.prices import GB, Prices, cost_of_copies
from tests.build import settings


@pytest.mark.parametrize(
    ("size", "requests", "same_region", "cdn", "cost"),
    [
        pytest.param(1000 * GB, 10_000, False, 0.085, (20, 0.05, 23, 20.05 / 0.085), id="far"),
        pytest.param(1000 * GB, 10_000, True, 0.085, (0, 0.05, 23, 0.05 / 0.085), id="near"),
        pytest.param(GB, 0, False, 0, (0.02, 0, 0.023, None), id="a CDN that costs nothing"),
        pytest.param(0, 0, False, 0.085, (0, 0, 0, 0), id="nothing to copy"),
    ],
)
def test_a_copy_costs_transfer_requests_and_storage(
    size: int, requests: int, cdn: float, cost: tuple[float | None, ...], *, same_region: bool
) -> None:
    found = cost_of_copies(size, requests, same_region=same_region, cdn_per_gb=cdn)
    expected = [None if value is None else pytest.approx(value) for value in cost]
    assert [found.transfer, found.requests, found.storage, found.break_even_gb] == expected


def test_a_region_may_have_a_price_of_its_own() -> None:
    prices = Prices(cdn_per_gb=0.08, region_per_gb={"ap-northeast-1": 0.114})
    assert (prices.cdn("ap-northeast-1"), prices.cdn("us-west-2")) == (0.114, 0.08)


@pytest.mark.parametrize(
    ("region", "bucket", "saved"),
    [
        ("us-west-2", "us-west-2", 0.085),
        ("us-west-2", "us-east-1", 0.065),
        ("eu-west-1", "ca-central-1", 0.065),
        ("sa-east-1", "sa-east-1", 0.085),
        ("us-west-2", "ap-southeast-2", 0.0),
    ],
)
def test_a_bucket_in_another_region_saves_less_and_never_costs(
    region: str, bucket: str, saved: float
) -> None:
    assert Prices().saved(region, bucket) == pytest.approx(saved)


def test_prices_are_optional() -> None:
    assert (settings().prices.plan, settings().prices.monthly_gb) == ("payg", None)


@pytest.mark.parametrize(
    ("prices", "says"),
    [
        ({"cdn_per_gb": -1}, "greater than or equal to 0"),
        ({"region_per_gb": {"us-esat-1": 1}}, "did you mean .*us-east-1"),
        ({"s3_per_gb": 1}, "Extra inputs"),
    ],
)
def test_a_price_is_a_number_for_a_region_there_is(prices: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings(prices=prices)
