"""The setting ``prices``."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tests.build import settings


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
