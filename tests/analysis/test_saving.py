"""Savings of real reports: recomputed by hand-copied prices, and held against what came later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.analysis.log_writers import write
from tests.analysis.made_story import Story
from tests.analysis.made_traffic import GOOD_REGIONS
from tests.analysis.recomputed_saving import FREE_GB, cdn_usd, savings
from tests.analysis.test_truth import analyzed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("commands")

CENT = 0.005


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two days of the story: at this pace, about 70 TB a month."""
    folder = tmp_path_factory.mktemp("logs")
    write(folder, Story(days=2))
    return folder


@pytest.fixture(scope="module")
def plain(logs: Path) -> dict[str, Any]:
    """The report without options."""
    return analyzed(logs)


@pytest.mark.parametrize(
    ("tb", "percent"),
    [
        *[(10, 51), (30, 47), (65, 43), (100, 39), (150, 41), (200, 38), (300, 34), (500, 38)],
        (1000, 35),
    ],
)
def test_46_percent_of_the_bytes_are_another_part_of_the_bill(tb: int, percent: int) -> None:
    before = cdn_usd({"north-america": tb * 1024}, "pay as you go")
    after = cdn_usd({"north-america": tb * 1024 * 0.54}, "pay as you go")
    assert round(100 * (before - after) / before) == percent


def test_the_first_terabyte_is_free() -> None:
    assert cdn_usd({"europe": FREE_GB / 2, "japan": FREE_GB / 2}, "pay as you go") == 0


def test_savings_are_the_bill_before_less_the_bill_after_and_the_costs(
    plain: dict[str, Any],
) -> None:
    found = savings(plain)
    assert set(found) == {"what_if", "recommendation"}
    for said, recomputed in found.values():
        assert 0 < said < plain["bill"]["usd_month"]
        assert said == pytest.approx(recomputed, abs=CENT)


def test_a_flat_rate_plan_saves_the_step_between_two_plans(logs: Path) -> None:
    report = analyzed(logs, "--plan", "flat:premium-75")
    assert report["bill"]["usd_month"] == 1450
    for name, (said, recomputed) in savings(report).items():
        assert said == pytest.approx(recomputed, abs=CENT)
        assert said == pytest.approx(450 - report[name]["costs_usd_month"], abs=CENT)
    assert "flat-rate" in report["notes"][1]  # behind how short the log is


def test_what_the_logs_do_not_have_of_the_volume_of_a_month_takes_the_dear_tiers(
    logs: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(
        "sites: [{origin: {bucket: ours, region: us-east-1}, targets: {us-east-1: {bucket: ours}}}]"
        f"\nprices: {{monthly_gb: {300 * 1024}}}\n"
    )
    report = analyzed(logs, "--config", policy)
    assert sum(report["bill"]["gb_month"].values()) == pytest.approx(300 * 1024)
    for name, (said, recomputed) in savings(report).items():
        assert said == pytest.approx(recomputed, abs=CENT)
        gb = report[name]["gb_month"]["north-america"]
        assert 0 < said <= 0.041 * gb + 0.085 * (sum(report[name]["gb_month"].values()) - gb)
    assert any("of the 300 TB that prices.monthly_gb says" in note for note in report["notes"])


def test_the_real_bill_scales_the_saving(logs: Path, plain: dict[str, Any]) -> None:
    double = 2 * plain["bill"]["usd_month"]
    scaled = analyzed(logs, "--no-recommend", "--bill", str(double))
    assert scaled["bill"]["usd_month"] == pytest.approx(double)
    gained, costs = (plain["what_if"][name] for name in ("saving_usd_month", "costs_usd_month"))
    assert scaled["what_if"]["saving_usd_month"] == pytest.approx(2 * gained + costs, abs=1)


@pytest.mark.long
def test_what_is_recommended_on_14_days_saves_as_much_on_the_next_14(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    write(first, Story(), processes=2)
    write(second, Story(first=14), processes=2)
    report = analyzed(first)
    recommended: dict[str, Any] = report["recommendation"]
    assert recommended["regions"] == list(GOOD_REGIONS)
    assert recommended["saving_usd_month"] >= 1.8 * report["what_if"]["saving_usd_month"]
    policy = tmp_path / "policy.yaml"
    policy.write_text(recommended["yaml"])
    realised = analyzed(second, "--config", policy)["what_if"]["saving_usd_month"]
    assert realised == pytest.approx(recommended["saving_usd_month"], rel=0.05)
    assert recommended["low"] <= realised <= recommended["high"]
