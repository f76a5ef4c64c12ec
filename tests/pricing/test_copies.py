"""What copies cost, and what a redirected GB saves against that."""

from __future__ import annotations

import pytest

from nearbucket.config.prices import Prices
from nearbucket.pricing.bill import saved_per_gb
from nearbucket.pricing.copies import assumptions, copy_costs
from nearbucket.pricing.tariff import tariff

TB = 1024


@pytest.mark.parametrize(
    ("origin", "region", "transfer"),
    [
        ("us-east-1", "us-west-2", 20.48), ("us-west-2", "us-west-2", 0),
        ("us-east-1", "us-east-2", 10.24), ("ap-southeast-2", "us-west-2", 150.528),
    ],
)  # fmt: skip
def test_a_copy_costs_transfer_requests_and_storage(
    origin: str, region: str, transfer: float
) -> None:
    found = copy_costs(
        tariff(Prices()), origin, region, copied_gb=TB, requests=10_000, stored_gb=2 * TB
    )
    assert (found.transfer, found.requests, found.storage) == pytest.approx(
        (transfer, 0.05, 47.104)
    )
    assert found.total == pytest.approx(transfer + 0.05 + 47.104)


@pytest.mark.parametrize(
    ("region", "bucket", "setting", "saved"),
    [
        ("us-west-2", "us-west-2", {}, 0.085),
        ("us-west-2", "us-west-2", {"monthly_gb": 300 * TB}, 0.04),
        ("us-west-2", "us-east-1", {}, 0.065),
        ("us-west-2", "us-east-1", {"monthly_gb": 300 * TB}, 0.02),
        ("ap-northeast-1", "ap-northeast-1", {"monthly_gb": 300 * TB}, 0.084),
        ("ap-northeast-1", "ap-northeast-1", {"region_per_gb": {"ap-northeast-1": 0.05}}, 0.05),
        ("us-west-2", "ap-southeast-2", {}, 0.085 - 0.147),
        ("us-west-2", "us-west-2", {"plan": "flat:pro"}, 0),
    ],
)
def test_a_gigabyte_saves_the_cheapest_tier_in_use_less_its_transfer(
    region: str, bucket: str, setting: dict[str, object], saved: float
) -> None:
    by = tariff(Prices.model_validate(setting))
    assert saved_per_gb(by, region, bucket) == pytest.approx(saved)


def test_estimates_say_what_they_assume() -> None:
    text = assumptions(tariff(Prices()), ["us-east-1", "sa-east-1", "us-east-1"])
    assert text.startswith(
        "AWS list prices of 2026-11: 0.147 USD per GB from sa-east-1 to another region, 0.02 USD "
        "per GB from us-east-1 to another region, 0.005 USD per 1,000 requests, 0.023 USD per GB "
        "and month; the CDN: pay as you go, price class all; break-even is at least this"
    )
    assert "at least" not in assumptions(tariff(Prices(monthly_gb=5)), [])
