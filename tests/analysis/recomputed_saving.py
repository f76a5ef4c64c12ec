"""Recomputes the savings of a JSON report by hand-copied prices; imports nothing of the package.

``python -m tests.analysis.recomputed_saving report.json`` prints, for the what-if and for the
recommendation, what the report says and what comes out here.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TIERS = (10, 40, 100, 350, 524, 4096)  # TB; then without end
USD = {  # a GB in each tier; aws.amazon.com/cloudfront/pricing, 2026-11
    "north-america": (0.085, 0.080, 0.060, 0.040, 0.030, 0.025, 0.020),
    "europe": (0.085, 0.080, 0.060, 0.040, 0.030, 0.025, 0.020),
    "africa-middle-east": (0.110, 0.105, 0.090, 0.080, 0.060, 0.050, 0.040),
    "south-america": (0.110, 0.105, 0.090, 0.080, 0.060, 0.050, 0.040),
    "japan": (0.114, 0.089, 0.086, 0.084, 0.080, 0.070, 0.060),
    "oceania": (0.114, 0.098, 0.094, 0.092, 0.090, 0.085, 0.080),
    "asia": (0.120, 0.100, 0.095, 0.090, 0.080, 0.070, 0.060),
    "india": (0.109, 0.085, 0.082, 0.080, 0.078, 0.075, 0.072),
}
FREE_GB = 1024
PREMIUM = {50: 1000, 75: 1450, 125: 2250, 200: 3500, 350: 6000, 600: 10000}


def cdn_usd(gb: dict[str, float], plan: str) -> float:
    """The CDN's bill of a month for GB by geography, without requests."""
    total = sum(gb.values())
    if plan.startswith("flat-rate plan Premium"):
        own = int(plan.split()[-2])
        return min((usd for tb, usd in PREMIUM.items() if tb >= own or total <= tb * 1024))
    paid = max(0.0, total - FREE_GB) / total if total else 0.0
    return sum(in_tiers(amount * paid, USD[name]) for name, amount in gb.items())


def in_tiers(gb: float, prices: tuple[float, ...]) -> float:
    """The price of so many GB."""
    usd = 0.0
    for tb, price in zip((*TIERS, float("inf")), prices, strict=True):
        part = min(gb, tb * 1024)
        usd, gb = usd + part * price, gb - part
    return usd


def savings(report: dict[str, Any]) -> dict[str, tuple[float, float]]:
    """What the report says is saved in a month, and what it is by these prices."""
    bill = report["bill"]
    before = cdn_usd(bill["gb_month"], bill["plan"])
    found = {}
    for name in ("what_if", "recommendation"):
        if part := report[name]:
            removed = part["gb_month"]
            left = {each: gb - removed.get(each, 0) for each, gb in bill["gb_month"].items()}
            usd = before - cdn_usd(left, bill["plan"]) - part["costs_usd_month"]
            found[name] = (part["saving_usd_month"], usd)
    return found


if __name__ == "__main__":
    for _name, (_said, _computed) in savings(json.loads(Path(sys.argv[1]).read_text())).items():
        print(f"{_name}: the report says {_said:.2f} USD a month, recomputed {_computed:.2f}")  # noqa: T201
