"""The sentences at the beginning of a report."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from nearbucket.analysis.answers import (
    AMAZON_NO_REGION,
    NO_ADDRESS,
    Counts,
    DayTraffic,
    NamedTraffic,
    RegionTraffic,
    Scope,
    WhatIf,
)
from nearbucket.analysis.recommending.recommendation import NothingRecommended
from nearbucket.analysis.report_notes import _OWN_USD, report_notes
from nearbucket.config.prices import GB, Prices
from nearbucket.pricing.bill import Usage
from nearbucket.pricing.tariff import tariff
from tests.analysis.made_report import made_report
from tests.build import settings

MONEY = Path(__file__).parents[2] / "docs" / "money.md"
TB = 1024.0
SCOPE = Scope(1, 100, {}, None, None, 14.0, (), "2026-11")
COUNTS = Counts(
    100, 100, 1, 0, (RegionTraffic("us-east-1", 100, 100, 1, 1),), (), (), (), (), (),
    (NamedTraffic("downloads.example.com", 100, 100),), (),
)  # fmt: skip


def notes(plan: str = "payg", tb: float = 65, removed: float = 0, **odd: Any) -> list[str]:
    return list(
        report_notes(
            odd.get("scope", SCOPE),
            odd.get("counts", COUNTS),
            odd.get("by") or tariff(Prices(plan=plan, cdn_per_gb=odd.get("own_price"))),
            Usage({"north-america": tb * TB}, odd.get("requests", 0.0)),
            WhatIf("*", 1, removed * TB * GB, 1, odd.get("saving", 0.0)),
            odd.get("advice"),
            odd.get("own"),
        )
    )


def test_a_flat_rate_plan_comes_first() -> None:
    first, own, nat = notes("flat:premium-75", removed=30, saving=100.0)
    assert first == (
        "With the flat-rate plan Premium 75 TB, redirects save only what a smaller plan costs "
        "less: 65 TB a month need the plan of $1,450, and 35 TB that of $1,000. The plan "
        "has to be changed for it."
    )
    assert own.startswith("What nearbucket itself costs is not subtracted: about $74 a month")
    assert nat.startswith("Clients behind a NAT gateway")


@pytest.mark.parametrize(("plan", "tb"), [("flat:premium-50", 40), ("flat:pro", 40)])
def test_a_plan_that_stays_saves_nothing(plan: str, tb: float) -> None:
    first, *_ = notes(plan, tb=tb, removed=30)
    assert re.search(r"save nothing: it costs \$[\d,.]+ with 10 TB a month, as with 40 TB", first)


def test_more_than_the_size_of_a_plan_is_told() -> None:
    assert "700 TB a month are more than the 600 TB of this plan." in notes("flat:premium-600", 700)
    assert notes("flat:premium-50", 65)[1] == (
        "65 TB a month are more than the 50 TB of this plan; premium-75 is large enough, for "
        "$1,450 a month."
    )


@pytest.mark.parametrize(
    ("requests", "plan"),
    [(10e6, "pro"), (10.1e6, "business"), (125.1e6, "premium-50"), (500.1e6, None)],
)
def test_a_plan_includes_so_many_requests(requests: float, plan: str | None) -> None:
    found = [each for each in notes(tb=20, requests=requests) if "flat-rate plan" in each]
    assert [f"The flat-rate plan {plan} costs" in each for each in found] == [True] * bool(plan)


def test_more_requests_than_a_plan_includes_are_told() -> None:
    assert notes("flat:pro", 20, requests=38.4e6)[1] == (
        "38 million requests a month are more than the 10 million of this plan; business is large "
        "enough, for $200 a month."
    )
    assert "more than" not in " ".join(notes("flat:pro", 20, requests=10e6))


def test_a_flat_rate_plan_that_saves_more_than_redirects_is_told_first() -> None:
    first = notes(tb=200, saving=5000.0)[0]
    assert first.startswith("The flat-rate plan premium-200 costs $3,500 a month for up to 200")
    assert "Changing the plan saves more than redirects, which save $5,000" in first
    assert "--plan flat:premium-200" in first


def test_a_plan_that_costs_more_than_what_redirects_leave_is_told_without_a_verdict() -> None:
    first = notes(tb=65, saving=4000.0)[0]
    assert "premium-75" in first
    assert "Changing" not in first


@pytest.mark.parametrize("odd", [{"tb": 700}, {"own_price": 0.05}], ids=str)
def test_where_no_plan_fits_or_the_price_is_the_users_own_no_plan_is_told(odd: Any) -> None:
    assert not [each for each in notes(**odd) if "plan" in each]


def test_why_no_policy_is_recommended_is_told() -> None:
    found = notes(tb=700, advice=NothingRecommended("none pays"))
    assert found[0] == "No policy is recommended: none pays."
    assert found[1:] == notes(tb=700)


@pytest.mark.parametrize(
    ("hosts", "share"),
    [(("b.example", "*"), "75 %"), (("b.example", "c.example"), "25 %"), (("d.example",), "0 %")],
)
def test_a_note_says_that_a_policy_is_for_the_first_of_several_sites(
    hosts: tuple[str, ...], share: str
) -> None:
    counts = replace(
        COUNTS,
        hosts=tuple(
            NamedTraffic(f"{name}.example", 1, size)
            for name, size in {"A": 25, "B": 25, "": 50}.items()
        ),
    )
    origin = {"bucket": "downloads", "region": "us-east-1"}
    own = settings(
        sites=[{"hosts": ["a.example"], "origin": origin}, {"hosts": list(hosts), "origin": origin}]
    )
    nothing = NothingRecommended("none pays")
    told = notes(tb=700, advice=nothing, own=own, counts=counts)[1]
    assert told.startswith(
        "A policy is recommended for the first site of the configuration alone, "
    )
    assert f"a.example. {share} of the bytes are for other sites" in told
    for one in ({}, {"own": own}, {"advice": nothing}):
        assert not [each for each in notes(tb=700, counts=counts, **one) if "first site" in each]


def test_a_log_of_less_than_a_day_says_so_first_and_chooses_no_plan() -> None:
    short = replace(SCOPE, days=1 / 1440)
    first, *others = notes(tb=200, scope=short)
    assert first.startswith("A log of 1 minute is no evidence for a month")
    assert not [each for each in others if "plan" in each]


@pytest.mark.parametrize(
    ("saving", "verdict"),
    [(0.0, None), (42.83, ", more than this policy saves."), (100.0, "a load balancer.")],
)
def test_what_nearbucket_itself_costs_is_told_with_a_saving(
    saving: float, verdict: str | None
) -> None:
    found = [each for each in notes(saving=saving) if each.startswith("What nearbucket itself")]
    assert [verdict in each for each in found if verdict] == [True] * (verdict is not None)


def test_it_is_what_the_page_on_money_says() -> None:
    rows = MONEY.read_text(encoding="utf-8").splitlines()
    tasks, balancer = (
        int(row.split("|")[2].split(",")[0])
        for row in rows
        if row.startswith(("| two tasks on Fargate", "| load balancer |"))
    )
    assert tasks + balancer == _OWN_USD


@pytest.mark.parametrize(
    ("days", "text"),
    [
        (1.5, "is no evidence"),
        (2.9999, "does not tell weekends"),
        (7.0, "does not tell weekends"),
        (13.99, None),
    ],
)
def test_too_few_days_are_told(days: float, text: str | None) -> None:
    found = notes(tb=700, scope=replace(SCOPE, days=days))[:-1]
    assert [text in each for each in found if text] == [True] * (text is not None)
    assert bool(found) == (text is not None)


@pytest.mark.parametrize(("last", "told"), [(28, False), (29, True)])
def test_a_period_that_is_mostly_without_requests_is_told(last: int, *, told: bool) -> None:
    days = tuple(DayTraffic(date(2026, 11, 1 + number), 1, 1, {}) for number in range(14))
    first = datetime(2026, 11, 1, 23, 59, tzinfo=UTC)
    scope = replace(SCOPE, first=first, last=first.replace(day=last, hour=0), days=27.0)
    found = notes(tb=700, scope=scope, counts=replace(COUNTS, days=days))
    text = (
        "Only 14 of the 29 days from 2026-11-01 to 2026-11-29 have requests, and figures of a "
        "month count the others as well. If lines with a wrong time or missing files are the "
        "reason, name the period with --since and --until."
    )
    assert found[:-1] == [text] * told


def test_a_volume_or_a_bill_beyond_the_logs_is_told() -> None:
    counts = replace(COUNTS, bytes=int(30 * TB * GB), regions=())  # in 14 days
    more = tariff(Prices(monthly_gb=300 * TB))
    assert notes(tb=700, counts=counts, by=more)[0] == (
        "These logs have 65.1 TB a month of the 300 TB that prices.monthly_gb says. The rest "
        "counts in the bill and its tiers."
    )
    less = notes(tb=700, counts=counts, by=tariff(Prices(monthly_gb=59 * TB)))[0]
    assert less.startswith("These logs have 65.1 TB a month, more than the 59 TB that prices.month")
    billed = replace(tariff(Prices()), factor=3.95)
    assert notes(tb=700, counts=counts, by=billed)[0].startswith(
        "The bill given is 3.95 times what the price list says."
    )
    own = tariff(Prices(monthly_gb=59 * TB, cdn_per_gb=0.03))
    for fair in (own, tariff(Prices(monthly_gb=60 * TB)), tariff(Prices(discount=30))):
        assert len(notes(tb=700, counts=counts, by=fair)) == 1


def results(**requests: int) -> Counts:
    """100 requests, of which some have another result than ``Hit 200``."""
    some = {name.replace("_", " "): number for name, number in requests.items()}
    some["Hit 200"] = 100 - sum(some.values())
    return replace(COUNTS, results=tuple(NamedTraffic(*each, 0) for each in some.items()))


@pytest.mark.parametrize(
    ("path", "regions", "told"),
    [
        ("*", ("us-east-1", "us-west-2"), 1),
        ("*", ("us-east-1",), 0),
        ("*.iso", ("us-east-1", "us-west-2"), 0),
    ],
)
def test_copies_of_all_objects_are_told(path: str, regions: tuple[str, ...], told: int) -> None:
    found = made_report().recommendation
    assert found is not None
    advice = replace(found, paths=(path,), regions=regions)
    text = "nearbucket sync also copies those that nobody asked for in these logs."
    assert " ".join(notes(advice=advice)).count(text) == told


def test_a_plan_that_is_larger_than_needed_is_told() -> None:
    first, second, *_ = notes("flat:premium-600", removed=10)
    assert first.startswith(
        "With the flat-rate plan Premium 75 TB, redirects save nothing: it costs $1,450 with 55"
    )
    assert second == (
        "The flat-rate plan Premium 600 TB costs $10,000 a month. The bill here is the "
        "$1,450 of the size that is enough for 65 TB: without any redirect, changing to it saves "
        "$8,550."
    )
    assert not any("The bill here" in each for each in notes("flat:premium-75", removed=30))
    assert not any("The bill here" in each for each in notes("flat:premium-75", tb=300))


def test_prices_of_regions_that_only_savings_count_are_told() -> None:
    own = tariff(Prices(region_per_gb={"us-east-1": 0.5, "eu-west-1": 0.1}))
    told = [each for each in notes(by=own) if "prices.region_per_gb" in each]
    assert [each.partition(" save ")[0] for each in told] == ["Redirects in us-east-1"]
    elsewhere = tariff(Prices(region_per_gb={"eu-west-1": 0.1}))
    assert "region_per_gb" not in " ".join(notes() + notes(by=elsewhere))


def test_requests_that_were_redirected_already_are_told_first() -> None:
    found = notes("flat:premium-75", counts=results(Miss_301=1, **{"-_308": 2}))
    assert found[0] == (
        "3 of 100 requests were answered with a redirect. Bytes that clients then got elsewhere "
        "are not in these logs, so bill and savings are those of the rest. Take logs from before, "
        "or of a time in redirect.mode: shadow."
    )
    assert found[1:] == notes("flat:premium-75")


@pytest.mark.parametrize("few", [{"Miss_301": 1}, {"Redirect_301": 9, "Redirect_307": 9}], ids=str)
def test_few_redirects_and_those_from_http_to_https_are_not_told(few: dict[str, int]) -> None:
    assert notes(tb=700, counts=results(Miss_304=20, **few)) == notes(tb=700)


def test_logs_of_s3_are_told_and_that_other_logs_may_have_the_same_requests() -> None:
    found = notes(tb=700, scope=replace(SCOPE, kinds=("s3",)))
    assert found[0] == (
        "These are S3 server access logs. Dollars hold only if a CDN delivered their bytes: from "
        "S3 to CloudFront, and to clients in the bucket's region, they are free."
    )
    assert found[1:] == notes(tb=700)
    both = notes(tb=700, scope=replace(SCOPE, kinds=("s3", "w3c")))
    assert both[0] == found[0].replace("These", "Some of these", 1)
    assert both[1].startswith("S3 logs what a CDN or a proxy fetches, too, so requests may be in")
    assert both[2:] == notes(tb=700, scope=replace(SCOPE, kinds=("json", "w3c")))


def test_formats_of_the_same_time_may_have_the_same_requests() -> None:
    both = replace(SCOPE, kinds=("json", "s3", "w3c"), overlapping_kinds=("json", "s3", "w3c"))
    found = [each for each in notes(tb=700, scope=both) if "count twice: give only the" in each]
    of_s3, others = (each.partition(".")[0] for each in found)
    assert of_s3.startswith("S3 logs what a CDN or a proxy fetches, too, so requests may be in")
    assert others == "There are logs in several formats of the same time: json and w3c"
    for fine in ({"overlapping_kinds": ("json", "s3")}, {"left_out": {"repeated": 1}}):
        assert "several formats" not in " ".join(notes(tb=700, scope=replace(both, **fine)))


@pytest.mark.parametrize(("kinds", "whole"), [(("fields",), "."), (("fields", "w3c"), "; that")])
def test_a_sample_is_told_and_that_it_goes_for_all_logs(kinds: tuple[str, ...], whole: str) -> None:
    scope = replace(SCOPE, kinds=kinds, lines=50)
    first = notes(tb=700, scope=scope)[0]
    words = "By --sample, the 50 requests of these logs, and their bytes, stand for 100"
    assert first.startswith(words + whole)
    assert "--sample" not in " ".join(notes(tb=700, scope=replace(scope, lines=100)))


def test_gaps_in_the_counts_are_told() -> None:
    regions = (
        *COUNTS.regions,
        RegionTraffic(NO_ADDRESS, 1, 20, 1, 0),
        RegionTraffic(AMAZON_NO_REGION, 1, 7, 1, 1),
    )
    own = settings(site={"hosts": ["downloads.example.io"]})
    found = notes(tb=700, counts=replace(COUNTS, regions=regions), own=own)
    assert [each.split(" of the bytes")[0] for each in found[:-1]] == ["20 %", "7 %", "100 %"]
    assert notes(tb=700, own=settings())[:-1] == []
