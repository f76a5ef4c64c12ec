"""The figures in the text of ``docs/money.md`` are those of the price list and ``docs/costs.py``.

Its large tables are generated; these sentences and rows are written by hand.
"""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from nearbucket.config.prices import MONTH_DAYS, Prices
from nearbucket.pricing.bill import Usage, saving
from nearbucket.pricing.price_list import GB_PER_TB
from nearbucket.pricing.tariff import tariff

DOCS = Path(__file__).resolve().parents[2] / "docs"
COSTS: dict[str, Any] = runpy.run_path(str(DOCS / "costs.py"))
PAGE = " ".join((DOCS / "money.md").read_text(encoding="utf-8").split())
PAYG, PREMIUM = tariff(Prices()), tariff(Prices(plan="flat:premium-600"))
FIRST_TIER = 0.085
NONE, _, SUFFIXES, CACHED, _ = COSTS["DESIGNS"]
FUNCTION = COSTS["FUNCTION"]
LIST = PAYG.prices


def usd(design: Any, plan: Any = PAYG) -> float:
    """USD of a month with 300 TB."""
    return float(COSTS["usd"](design, 300, plan))


def saved_per_gb(tb: int) -> float:
    """USD for each GB of the 46 % that are redirected."""
    gb = float(tb * GB_PER_TB)
    before, after = Usage({COSTS["GEOGRAPHY"]: gb}), Usage({COSTS["GEOGRAPHY"]: gb * 0.54})
    return saving(before, after, 0.0, PAYG) / (gb * 0.46)


def fell(design: Any) -> str:
    return f"{100 * (1 - usd(design) / usd(NONE)):.0f} %"


TASK = COSTS["HOURS"] * (COSTS["VCPU_HOUR"] + 2 * COSTS["MEMORY_GB_HOUR"])
STREAMED = COSTS["FAR"] * 300 * 2**40 / (MONTH_DAYS * 86_400) / 1e6  # MB/s
PLANS = LIST.cloudfront.plans
MILLIONS = {
    name: f"{count / 1e6:.0f} million" for name, count in LIST.cloudfront.plan_requests.items()
}
COPIES = 2 * GB_PER_TB  # GB


@pytest.mark.parametrize(
    "text",
    [
        f"46 % of 10 TB a month are worth {saved_per_gb(10):.3f} USD per GB",
        f"46 % of 1,000 TB are worth {saved_per_gb(1000):.2f}.",
        f"up to {LIST.s3.transfer_per_gb['']} elsewhere",
        f"| a load balancer | its clients, in addition | {COSTS['ALB_GB']} |",
        f"0.09 for the first 10 TB, down to {COSTS['INTERNET_GB'][-1]}",
        f"{MILLIONS['pro']} requests the plan Pro, at {PLANS['pro'][50]:.0f} USD,",
        f"Business, at {PLANS['business'][50]:.0f} USD, includes {MILLIONS['business']} requests",
        f"Premium {MILLIONS['premium']}.",
        f"(1 vCPU, 2 GB, ARM) | {2 * TASK:.0f} |",
        f"A task more is {TASK:.0f} USD a month",
        f"| {COSTS['ALB_HOUR'] * COSTS['HOURS']:.0f}, and {COSTS['ALB_GB']} per GB",
        f"{2 * LIST.s3.per_1000_gets} per 1,000 checks",
        f"| storage of copies | {LIST.s3.storage_per_gb} per GB",
        f"with the CloudFront Function | about {round(usd(FUNCTION, PREMIUM), -2):,.0f} |",
        f"flat-rate plan with (a) | about {round(usd(SUFFIXES, PREMIUM), -2):,.0f} |",
        f"flat-rate plan alone | {usd(NONE, PREMIUM):,.0f} |",
        f"CloudFront Function, pay as you go | {usd(FUNCTION):,.0f} |",
        f"| (b) | {usd(CACHED):,.0f} |",
        f"| (a) | {usd(SUFFIXES):,.0f} |",
        f"CloudFront alone, pay as you go | {usd(NONE):,.0f} |",
        f"47 %, the bill pay as you go by {fell(SUFFIXES)} with (a) and {fell(CACHED)} with (b)",
        f"with (a), 300 TB a month are {STREAMED // 10 * 10:.0f} MB/s",
        f"in a second region cost {COPIES * LIST.s3.transfer_per_gb['us-']:.0f} USD once",
        f"and {COPIES * LIST.s3.storage_per_gb:.0f} a month for storage",
    ],
)
def test_a_figure_of_the_page_on_money_is_computed(text: str) -> None:
    assert text in PAGE


def test_one_constant_price_claims_about_twice_what_is_saved_at_300_tb() -> None:
    assert "claims about twice what is saved at 300 TB" in PAGE
    assert FIRST_TIER / saved_per_gb(300) == pytest.approx(2, abs=0.2)
