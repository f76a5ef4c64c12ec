"""The data of the charts."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from nearbucket.analysis.answers import DayTraffic, SizeTraffic
from nearbucket.analysis.report.chart_data import OTHERS, chart_data
from tests.analysis.made_report import made_report
from tests.analysis.report.test_findings import without_requests


def test_days_without_requests_have_their_place() -> None:
    report = made_report()
    days = report.counts.days[:2] + report.counts.days[4:]
    found = chart_data(replace(report, counts=replace(report.counts, days=days)))["days"]
    assert found["days"][:5] == [f"2026-11-0{day}" for day in range(1, 6)]
    assert [area["bytes"][2] for area in found["areas"]] == [0] * len(found["areas"])
    far = (DayTraffic(date(2020, 1, 1), 1, 1, {"UNKNOWN": 1}), *report.counts.days)
    found = chart_data(replace(report, counts=replace(report.counts, days=far)))["days"]
    assert len(found["days"]) == 15


def test_regions_have_colours_of_their_own_and_what_is_none_is_grey_and_last() -> None:
    areas = chart_data(made_report())["days"]["areas"]
    assert [(area["name"], area["colour"]) for area in areas] == [
        ("us-east-1", "r0"), ("us-west-2", "r1"), ("eu-west-1", "r2"), ("ap-southeast-1", "r3"),
        ("ap-south-1", "r4"), ("Amazon, region not published", "amazon"),
        ("no address in the log", "none"), ("outside AWS", "outside"),
    ]  # fmt: skip


def test_many_regions_share_one_area_and_no_byte_is_lost() -> None:
    report = made_report()
    parts = {f"region-{number}": 100 - number for number in range(10)} | {"UNKNOWN": 7}
    day = DayTraffic(date(2026, 11, 1), 1, sum(parts.values()), parts)
    found = chart_data(replace(report, counts=replace(report.counts, days=(day,))))["days"]
    assert [area["name"] for area in found["areas"]][5:] == ["region-5", OTHERS, "outside AWS"]
    assert sum(area["bytes"][0] for area in found["areas"]) == day.bytes


def test_the_size_chart_has_every_class_and_says_which_are_below_the_floor() -> None:
    report = made_report()
    sizes = (SizeTraffic(2**20, 1, 1, 1), SizeTraffic(2**26, 1, 1, 1), SizeTraffic(None, 1, 1, 1))
    found = chart_data(replace(report, counts=replace(report.counts, sizes=sizes)))["sizes"]
    assert [(each["name"], each["below"]) for each in found] == [
        ("1 MiB", True), ("2 MiB", True), ("4 MiB", True), ("8 MiB", True),
        ("16 MiB", False), ("32 MiB", False), ("64 MiB", False),
    ]  # fmt: skip


def test_folders_have_their_suffixes_and_the_share_to_aws() -> None:
    first, *_ = chart_data(made_report())["folders"]
    assert first["name"] == "dcos/"
    assert [child["name"] for child in first["children"]] == [".tar.xz", ".tar.xz.sha256"]
    assert round(first["children"][0]["aws"], 2) == 0.71


def test_there_is_nothing_to_draw_without_requests() -> None:
    assert chart_data(without_requests()) == {
        "bill": [], "days": {"days": [], "areas": []}, "sizes": [], "folders": [],
    }  # fmt: skip
