"""The prediction of a replay in dollars."""

from __future__ import annotations

from collections import Counter

import pytest

from nearbucket.analysis.live_replay.replay_comparison import ReplayFigures, expected, lines
from nearbucket.analysis.live_replay.replay_counts import ReplayCounts
from nearbucket.pricing.tariff import tariff
from nearbucket.telemetry.savings import Savings
from tests.build import settings

GB = 1 << 30
FAR = {
    "us-east-1": {"bucket": "downloads"},
    "us-west-2": {"bucket": "east", "region": "us-east-1"},
    "ap-northeast-1": {"bucket": "tokyo", "region": "ap-northeast-1"},
}


@pytest.mark.parametrize(
    ("prices", "usd"),
    [
        ({}, 85 + 65 + 114),
        ({"region_per_gb": {"us-west-2": 0.5}}, 85 + 480 + 114),
        ({"cdn_per_gb": 0.1}, 100 + 80 + 100),
        ({"monthly_gb": 300 * 1024}, 40 + 20 + 84),
        ({"plan": "flat:pro"}, 0),
    ],
)
def test_dollars_are_those_that_a_proxy_counts_for_the_same_redirects(
    prices: dict[str, object], usd: float
) -> None:
    chosen = settings(site={"targets": FAR}, prices=prices)
    name = chosen.sites[0].name
    counts = ReplayCounts(
        redirects=Counter({(name, region): 1000 for region in FAR}),
        bytes=Counter({(name, region): 1000 * GB for region in FAR}),
    )
    found = expected(counts, chosen, tariff(chosen.prices))
    assert found.usd == pytest.approx(usd - 0.0012 if usd else 0)
    savings = Savings(0)
    savings.apply(chosen)
    values = {
        "nearbucket_redirected_bytes_total": dict(counts.bytes),
        "nearbucket_redirects_total": dict(counts.redirects),
    }
    priced = savings.priced(values, 0)["nearbucket_saved_usd_total"]  # type: ignore[arg-type]
    assert max(0, sum(priced.values())) == pytest.approx(found.usd)


def test_the_difference_is_shown_in_percent_of_the_prediction() -> None:
    rows = list(lines(ReplayCounts(), ReplayFigures(200, 0, 2), ReplayFigures(199, 5, 2)))
    assert [row[3] for row in rows[1:4]] == ["-0.50 %", "new", "+0.00 %"]
