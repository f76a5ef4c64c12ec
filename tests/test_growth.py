"""The soak's verdict: what counts as growth."""

from __future__ import annotations

import random

import pytest

from bench.lib.growth import ALLOWED, MIB, growth

INTERVAL = 5.0
NOISE = random.Random(5)  # noqa: S311  # noise
MINUTES_20 = range(240)


def noisy(base: float) -> float:
    return base + NOISE.uniform(-MIB, MIB)


@pytest.mark.parametrize(
    ("series", "grows"),
    [
        ([noisy(80 * MIB) for _ in MINUTES_20], False),
        ([noisy(80 * MIB - 30 * MIB / (1 + n)) for n in MINUTES_20], False),
        ([noisy(80 * MIB + (20 * MIB if n in {60, 200} else 0)) for n in MINUTES_20], False),
        ([noisy(80 * MIB + n * MIB / 24) for n in MINUTES_20], True),
        ([noisy(80 * MIB + (5 * MIB if n > 180 else 0)) for n in MINUTES_20], True),
    ],
    ids=["noise", "warm-up", "peaks", "10 MiB in 20 minutes", "a late step"],
)
def test_memory_grows_if_its_last_third_is_above_the_first(
    series: list[float], *, grows: bool
) -> None:
    assert growth(series, INTERVAL, ALLOWED["rss"]).grows is grows


def test_the_slope_is_told_by_the_hour() -> None:
    found = growth([100.0 + n for n in MINUTES_20], INTERVAL, ALLOWED["descriptors"])
    assert found.an_hour == 3600 / INTERVAL
    assert found.grows
