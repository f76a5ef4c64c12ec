"""What is recommended: on traffic for which the best policy is known, and on odd traffic."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import yaml

from nearbucket.analysis.recommending.recommendation import NothingRecommended
from nearbucket.config.prices import Prices
from nearbucket.config.settings import Settings
from nearbucket.policy.rules import SitePolicy
from nearbucket.pricing.bill import bill
from nearbucket.pricing.tariff import tariff
from tests.analysis.made_traffic import (
    GEOGRAPHIES,
    GOOD_REGIONS,
    MIB,
    fact,
    month_usage,
    traffic_of,
)
from tests.analysis.recommending import (
    ORIGIN,
    PAYG,
    SEEDS,
    advice,
    applied,
    first_half,
    half,
    line,
    some,
    steady,
    usual,
    what_if,
    why_nothing,
)


@SEEDS
def test_it_saves_at_least_eight_tenths_more_than_the_usual_policy(seed: int) -> None:
    before = usual(half(seed, 0)).saving_usd_month
    assert first_half(seed).saving_usd_month >= 1.8 * before > 0


@SEEDS
def test_it_saves_nearly_all_that_copies_of_everything_everywhere_save(seed: int) -> None:
    traffic = half(seed, 14)  # without the burst, which cannot be foreseen
    regions = (*GOOD_REGIONS, "ap-south-1", "ap-southeast-1")
    everything = Settings.model_validate(
        {
            "sites": [
                {
                    "origin": {"bucket": "downloads", "region": ORIGIN},
                    "targets": {
                        region: {"bucket": "downloads" if region == ORIGIN else f"to-{region}"}
                        for region in regions
                    },
                    "redirect": {"paths": ["*"], "exclude": []},
                }
            ]
        }
    )
    most = what_if(traffic, everything)
    found = applied(first_half(seed), traffic)
    assert found.saving_usd_month >= 0.97 * most.saving_usd_month
    assert found.redirects_month <= 0.6 * most.redirects_month
    assert found.costs_usd_month <= 0.2 * most.costs_usd_month


@SEEDS
def test_regions_with_steady_traffic_are_chosen_and_a_burst_and_a_trickle_are_not(
    seed: int,
) -> None:
    found = first_half(seed)
    assert found.regions == GOOD_REGIONS
    burst, trickle = line(found, "ap-southeast-1"), line(found, "ap-south-1")
    assert not burst.chosen
    assert burst.saving_usd_month > 300
    assert burst.why == "no evidence that it stays: it is seen on 1 of 14 days only"
    assert not trickle.chosen
    assert "less than" in trickle.why


@SEEDS
def test_large_objects_in_demand_are_chosen_and_the_cold_archive_is_not(seed: int) -> None:
    found = first_half(seed)
    policy = SitePolicy.build(Settings.model_validate(yaml.safe_load(found.yaml)).sites[0])
    for key in ("releases/2.7/app-2.7.tar.xz", "images/disk-9.qcow2", f"layers/{7:040x}",
                "nightly/020/app-1.tar.gz", "yum/9/lib-3.x86_64.rpm"):  # fmt: skip
        assert policy.may_redirect(key), key
    for key in ("attic/2011/dump-7.bin", "api/index-1.json", "win/setup-1.zip"):
        assert not policy.may_redirect(key), key
    archive = line(found, "attic/*.bin")
    assert not archive.chosen
    assert archive.saving_usd_month < 0
    assert "copies would cost" in archive.why


@SEEDS
def test_checksums_are_never_redirected(seed: int) -> None:
    policy = SitePolicy.build(
        Settings.model_validate(yaml.safe_load(first_half(seed).yaml)).sites[0]
    )
    names = [
        *half(seed, 0).objects.column("key").to_pylist(),
        "releases/2.99/app-2.99.tar.xz.sha256",
    ]
    checksums = [name for name in names if name.endswith(".sha256")]
    assert checksums
    assert not any(policy.may_redirect(name) for name in checksums)


@SEEDS
def test_what_it_predicts_from_fourteen_days_holds_on_the_next_fourteen(seed: int) -> None:
    found, after = first_half(seed), half(seed, 14)
    real = applied(found, after).saving_usd_month
    assert real == pytest.approx(found.saving_usd_month, rel=0.05)
    assert found.low <= real <= found.high
    assert real >= 1.8 * usual(after).saving_usd_month


@SEEDS
def test_the_floor_keeps_small_objects_from_being_redirected(seed: int) -> None:
    assert 1 << 13 <= first_half(seed).min_size <= 16 * MIB


@SEEDS
def test_figures_are_those_of_the_policy_as_the_product_decides_it(seed: int) -> None:
    found = first_half(seed)
    again = applied(found, half(seed, 0))
    assert found.saving_usd_month == pytest.approx(again.saving_usd_month)
    assert found.bytes_month == pytest.approx(again.bytes_month)
    assert found.redirects_month == pytest.approx(again.redirects_month)
    assert found.costs_usd_month == pytest.approx(again.costs_usd_month)


@SEEDS
@pytest.mark.parametrize("kind", ["pattern", "region"])
def test_the_chosen_lines_of_a_kind_add_up_to_the_whole(seed: int, kind: str) -> None:
    found = first_half(seed)
    chosen = [each for each in found.why if each.chosen and each.kind == kind]
    names = found.paths if kind == "pattern" else found.regions
    assert [each.name for each in chosen] == list(names)
    assert sum(each.saving_usd_month for each in chosen) == pytest.approx(found.saving_usd_month)
    assert sum(each.bytes_month for each in chosen) == pytest.approx(found.bytes_month)


def test_it_never_saves_more_than_the_bill() -> None:
    traffic = traffic_of(
        (fact("a.iso", size=100 * MIB, day=day, requests=40_000) for day in range(14)), 14
    )
    found, whole = some(advice(traffic)), bill(month_usage(traffic), PAYG)
    assert found.saving_usd_month <= found.high <= whole
    assert found.saving_usd_month == pytest.approx(whole, rel=0.02)


PLANS = ("payg", "payg", "flat:premium-50", "flat:premium-600", "flat:business")


@pytest.mark.parametrize(
    "seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(4, 12))]
)
def test_on_any_traffic_the_figures_keep_within_the_bill(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # a seed repeats
    regions = ["UNKNOWN", *chance.sample(sorted(GEOGRAPHIES), 3), "sa-east-1"]
    keys = [
        f"{chance.choice(('a/', 'b/c/', 'v1.2/', ''))}{number}{chance.choice(('.iso', '.rpm', ''))}"
        for number in range(30)
    ]
    days = chance.choice((1, 2, 3, 5, 14, 20))
    rows = [
        fact(
            chance.choice(keys), chance.choice(regions), int(2 ** chance.uniform(1, 36)),
            day=chance.randrange(days), requests=int(2 ** chance.uniform(0, 12)),
            status=chance.choice((200, 200, 206)),
        )
        for _ in range(300)
    ]  # fmt: skip
    traffic = traffic_of(rows, days)
    prices = tariff(Prices(plan=chance.choice(PLANS), discount=chance.choice((0, 30))))
    found, whole = advice(traffic, prices), bill(month_usage(traffic), prices)
    if isinstance(found, NothingRecommended):
        return
    assert 0 < found.saving_usd_month <= whole
    assert found.low <= found.saving_usd_month <= found.high <= whole
    assert found.costs_usd_month >= 0
    again = Settings.model_validate(yaml.safe_load(found.yaml))
    same = what_if(traffic, again, prices)
    assert same.saving_usd_month == pytest.approx(found.saving_usd_month)
    chosen = [each for each in found.why if each.chosen and each.kind == "pattern"]
    assert sum(each.saving_usd_month for each in chosen) == pytest.approx(found.saving_usd_month)


def test_a_region_whose_bytes_go_to_one_network_is_not_chosen() -> None:
    traffic = traffic_of([*steady(), *steady("us-west-2")], 14)
    alone = traffic.networks.to_pylist()
    for row in alone:
        if row["region"] == "us-west-2":
            row["network"] = "198.18.7.0/24"
    only = replace(traffic, networks=traffic.networks.from_pylist(alone))
    assert some(advice(traffic)).regions == (ORIGIN, "us-west-2")
    found = some(advice(only))
    assert found.regions == (ORIGIN,)
    assert "100 % of its bytes go to one network, 198.18.7.0/24" in line(found, "us-west-2").why


def test_a_pattern_of_one_day_is_not_chosen() -> None:
    rush = fact("once.img", size=4000 * MIB, day=6, requests=4000)
    found = some(advice(traffic_of([*steady(), rush], 14)))
    assert found.paths == ("*.iso",)
    assert line(found, "*.img").why.startswith("no evidence that it stays: it is seen on 1 of 14")


def test_losses_inside_of_a_pattern_are_excluded() -> None:
    cold = (
        fact(f"pool/old-{number}.img", "us-west-2", 200 * MIB, day=number % 14, status=206)
        for number in range(4000)
    )
    sizes = {f"pool/old-{number}.img": 2000 * MIB for number in range(4000)}
    hot = [row for key in ("pool/a.iso", "pool/b.deb", "pool/c.zip", "pool/d.exe", "pool/e.dmg",
                           "pool/f.pkg", "pool/g.msi", "pool/h.rpm", "pool/i.tgz", "pool/j.box")
           for row in steady("us-west-2", key, 900)]  # fmt: skip
    sizes |= {row.key: 200 * MIB for row in hot}
    found = some(advice(traffic_of([*hot, *cold], 14, sizes)))
    assert found.paths == ("pool/*",)
    assert found.exclude[-1] == "*.img"
    assert "more than they save" in line(found, "*.img").why
    policy = SitePolicy.build(Settings.model_validate(yaml.safe_load(found.yaml)).sites[0])
    assert not policy.may_redirect("pool/old-1.img")
    assert policy.may_redirect("pool/a.iso")


@pytest.mark.parametrize("between", ["", "/"], ids=["at the root", "in many folders"])
def test_objects_that_no_other_pattern_tells_apart_are_all_redirected(between: str) -> None:
    keys = [f"{one}{two}{between}blob" for one in "abcdefghij" for two in "abcdefghij"]
    rows = [
        fact(each, "us-east-1", 1000 * MIB, day=day, requests=20)
        for day in range(14)
        for each in keys
    ]
    found = some(advice(traffic_of(rows, 14)))
    assert found.paths == ("*",)
    assert found.saving_usd_month > 0.9 * bill(month_usage(traffic_of(rows, 14)), PAYG)


def test_copies_of_all_objects_are_told_to_be_more_than_those_of_the_log() -> None:
    keys = [f"{one}{two}" for one in "abcdefghij" for two in "abcdefghij"]
    for region, told in (("us-west-2", True), (ORIGIN, False)):
        rows = [row for key in keys for row in steady(region, key, 20)]
        found = some(advice(traffic_of(rows, 14)))
        assert found.paths == ("*",)
        assert ("sync also copies objects that nobody asked for" in line(found, "*").why) == told


def test_all_objects_are_not_redirected_where_patterns_tell_apart_what_pays() -> None:
    rows = [
        fact(key, "us-east-1", 1000 * MIB, day=day, requests=900 if "." in key else 9)
        for day in range(14)
        for key in ("a/b.iso", "c/d.rpm", "bare")
    ]
    assert some(advice(traffic_of(rows, 14))).paths != ("*",)


@pytest.mark.parametrize("rush", ["rush/once.img", "once"], ids=["in a folder", "without a suffix"])
def test_all_objects_do_not_make_up_for_a_pattern_without_evidence(rush: str) -> None:
    often = (steady(key=key, requests=500) for key in ("a/x.iso", "b/y.deb"))
    burst = fact(rush, size=1000 * MIB, day=6, requests=2000)
    found = some(advice(traffic_of([*(row for rows in often for row in rows), burst], 14)))
    assert sorted(found.paths) == ["*.deb", "*.iso"]
    (left,) = [each for each in found.why if each.kind == "pattern" and not each.chosen]
    assert left.why == "no evidence that it stays: it is seen on 1 of 14 days only"


def test_of_all_objects_those_without_evidence_are_excluded() -> None:
    keys = [f"{one}{two}/blob" for one in "abcdefghij" for two in "abcdefghij"]
    often = [fact(key, size=1000 * MIB, day=day, requests=5) for day in range(14) for key in keys]
    burst = fact("rush/once.img", size=1000 * MIB, day=6, requests=3000)
    found = some(advice(traffic_of([*often, burst], 14)))
    assert found.paths == ("*",)
    assert found.exclude[-1] == "*.img"
    assert line(found, "*.img").why.startswith("no evidence that it stays: it is seen on 1 of 14")


def test_in_the_origins_region_even_cold_objects_pay() -> None:
    cold = [
        fact(f"dump-{number}.bin", size=200 * MIB, day=number % 14, status=206)
        for number in range(5000)
    ]
    sizes = {row.key: 4000 * MIB for row in cold}
    found = some(advice(traffic_of(cold, 14, sizes)))
    assert (found.paths, found.regions) == (("*.bin",), (ORIGIN,))


NOBODY = "no client in an AWS region downloads an object that may be redirected"
RUSH = (fact("once.img", size=4000 * MIB, day=6, requests=4000), fact("a.zip", "UNKNOWN", day=0))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        pytest.param([], NOBODY, id="nothing"),
        pytest.param([*steady("UNKNOWN")], NOBODY, id="only from outside of AWS"),
        pytest.param([*steady("cn-north-1")], NOBODY, id="from another partition"),
        pytest.param([*steady("NO-ADDRESS"), *steady("AMAZON-NO-REGION")], NOBODY, id="no region"),
        pytest.param([*steady(requests=1)], "the best one would save less than $5.00", id="little"),
        pytest.param(
            [*steady("UNKNOWN"), *RUSH], "no evidence for *.img: it is seen on 1 of", id="a rush"
        ),
    ],
)
def test_where_nothing_pays_nothing_is_recommended(rows: list[Any], why: str) -> None:
    assert why in why_nothing(advice(traffic_of(rows, 14)))


def test_a_first_site_without_traffic_is_named() -> None:
    first, other = (
        {"hosts": [host], "origin": {"bucket": "downloads", "region": ORIGIN}}
        for host in ("first.example", "*")
    )
    own = Settings.model_validate({"sites": [first, other]})
    traffic = traffic_of(steady(), 14)
    assert why_nothing(advice(traffic, own=own)) == f"{NOBODY} by the site first.example"
    some(advice(traffic, own=Settings.model_validate({"sites": [other, first]})))


def test_requests_that_the_proxy_never_redirects_do_not_count() -> None:
    rows = [
        fact("a.iso", size=200 * MIB, day=day, requests=3000, **odd)
        for day in range(14)
        for odd in ({"flags": 1}, {"flags": 2}, {"method": "HEAD"}, {"status": 304})
    ]
    assert why_nothing(advice(traffic_of(rows, 14))) == NOBODY


def test_a_flat_rate_plan_saves_what_a_smaller_size_of_it_costs_less() -> None:
    traffic = half(16, 14)
    premium = tariff(Prices(plan="flat:premium-75"))
    found = some(advice(traffic, premium))
    assert found.saving_usd_month == pytest.approx(450, abs=20)
    assert found.low <= found.saving_usd_month <= found.high <= 450


def test_a_plan_with_one_size_saves_nothing() -> None:
    found = advice(half(16, 14), tariff(Prices(plan="flat:pro")))
    assert why_nothing(found) == "the best one would save less than $5.00 a month"


def test_the_origin_may_be_anywhere() -> None:
    found = some(advice(half(16, 0), origin="eu-west-1"))
    assert found.regions[0] == "eu-west-1"
    assert set(found.regions) == set(GOOD_REGIONS)
    assert line(found, "eu-west-1").why == "the origin's own bucket: no copies"


@pytest.mark.parametrize("days", [1, 2])
def test_days_too_few_for_evidence_give_a_range_from_nothing(days: int) -> None:
    rows = [row for row in half(16, 0).facts.to_pylist() if (row["day"].day - 5) < days]
    traffic = half(16, 0)
    short = replace(traffic, facts=traffic.facts.from_pylist(rows, traffic.facts.schema), days=days)
    found = some(advice(short))
    assert found.low == 0 < found.saving_usd_month


def test_two_days_from_noon_to_noon_are_recommended_for_like_two_calendar_days() -> None:
    noons = [
        fact("a.iso", size=200 * MIB, day=day, requests=requests)
        for day, requests in enumerate((150, 301, 149))
        for _ in range(10)
    ]
    found = some(advice(traffic_of(noons, 2)))
    assert found.paths == ("*.iso",)
    assert found.low == 0
