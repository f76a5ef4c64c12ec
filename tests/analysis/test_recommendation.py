"""Recommended policies: on traffic for which the best one is known, and on odd traffic."""

from __future__ import annotations

import random
import sys
from collections import deque
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nearbucket.analysis.answers import Recommendation
from nearbucket.analysis.policies.recommendation import NothingRecommended, recommend
from nearbucket.analysis.policies.traffic_tables import TrafficTables
from nearbucket.analysis.policies.what_if import usual_policy, what_if
from nearbucket.cli import main as cli
from nearbucket.config.prices import Prices
from nearbucket.config.settings import Settings
from nearbucket.policy.object_keys import encode_key
from nearbucket.policy.rules import SitePolicy
from nearbucket.pricing.bill import bill
from nearbucket.pricing.tariff import tariff
from tests.analysis.made_traffic import (
    GEOGRAPHIES,
    GOOD_REGIONS,
    MIB,
    fact,
    month_usage,
    story,
    traffic_of,
)
from tests.cli.conftest import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nearbucket.analysis.answers import RecommendedLine, WhatIf
    from nearbucket.analysis.traffic import Traffic
    from nearbucket.pricing.tariff import Tariff

ORIGIN = "us-east-1"
PAYG = tariff(Prices())
SEEDS = pytest.mark.parametrize("seed", [16, pytest.param(7, marks=pytest.mark.long)])


Advice = Recommendation | NothingRecommended


def advice(traffic: Traffic, prices: Tariff = PAYG, **more: Any) -> Advice:
    origin = more.pop("origin", ORIGIN)
    return recommend(tables_of(traffic), origin, prices, month_usage(traffic), **more)


_tables: deque[tuple[Traffic, TrafficTables]] = deque(maxlen=4)


def tables_of(traffic: Traffic) -> TrafficTables:
    """The tables in a database, where they are kept for the next test of the same traffic."""
    for known, tables in _tables:
        if known is traffic:
            return tables
    _tables.append((traffic, TrafficTables(traffic)))
    return _tables[-1][1]


def some(found: Advice) -> Recommendation:
    assert isinstance(found, Recommendation), found
    return found


def why_nothing(found: Advice) -> str:
    assert isinstance(found, NothingRecommended), found
    return found.why


@cache
def half(seed: int, first: int) -> Traffic:
    return story(seed, first)


@cache
def first_half(seed: int) -> Recommendation:
    return some(advice(half(seed, 0)))


def applied(found: Recommendation, traffic: Traffic) -> WhatIf:
    settings = Settings.model_validate(yaml.safe_load(found.yaml))
    return what_if(tables_of(traffic), settings, PAYG, month_usage(traffic))


def usual(traffic: Traffic) -> WhatIf:
    return what_if(tables_of(traffic), usual_policy(ORIGIN), PAYG, month_usage(traffic))


def line(found: Recommendation, name: str) -> RecommendedLine:
    return next(each for each in found.why if each.name == name)


# ---- the story of which the best policy is known


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
    most = what_if(tables_of(traffic), everything, PAYG, month_usage(traffic))
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
    same = what_if(tables_of(traffic), again, prices, month_usage(traffic))
    assert same.saving_usd_month == pytest.approx(found.saving_usd_month)
    chosen = [each for each in found.why if each.chosen and each.kind == "pattern"]
    assert sum(each.saving_usd_month for each in chosen) == pytest.approx(found.saving_usd_month)


# ---- what is left out, and why


def steady(region: str = ORIGIN, key: str = "a.iso", requests: int = 3000) -> Iterable[Any]:
    return (fact(key, region, 200 * MIB, day=day, requests=requests) for day in range(14))


@cache
def from_two_regions() -> Traffic:
    """56 TB a month."""
    rows = (row for region in (ORIGIN, "us-west-2") for row in steady(region, requests=4750))
    return traffic_of(rows, 14)


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
        pytest.param([*steady(requests=1)], "the best one would save less than 5 USD", id="little"),
        pytest.param(
            [*steady("UNKNOWN"), *RUSH], "no evidence for *.img: it is seen on 1 of", id="a rush"
        ),
    ],
)
def test_where_nothing_pays_nothing_is_recommended(rows: list[Any], why: str) -> None:
    assert why in why_nothing(advice(traffic_of(rows, 14)))


def test_requests_that_the_proxy_never_redirects_do_not_count() -> None:
    rows = [
        fact("a.iso", size=200 * MIB, day=day, requests=3000, **odd)
        for day in range(14)
        for odd in ({"flags": 1}, {"flags": 2}, {"method": "HEAD"}, {"status": 304})
    ]
    assert why_nothing(advice(traffic_of(rows, 14))) == NOBODY


# ---- plans, origins, configurations


def test_a_flat_rate_plan_saves_what_a_smaller_size_of_it_costs_less() -> None:
    traffic = half(16, 14)
    premium = tariff(Prices(plan="flat:premium-75"))
    found = some(advice(traffic, premium))
    assert found.saving_usd_month == pytest.approx(450, abs=20)
    assert found.low <= found.saving_usd_month <= found.high <= 450


def test_a_plan_with_one_size_saves_nothing() -> None:
    found = advice(half(16, 14), tariff(Prices(plan="flat:pro")))
    assert why_nothing(found) == "the best one would save less than 5 USD a month"


def test_the_origin_may_be_anywhere() -> None:
    found = some(advice(half(16, 0), origin="eu-west-1"))
    assert found.regions[0] == "eu-west-1"
    assert set(found.regions) == set(GOOD_REGIONS)
    assert line(found, "eu-west-1").why == "the origin's own bucket: no copies"


def test_the_configuration_in_use_keeps_its_buckets_and_exclusions() -> None:
    own = Settings.model_validate(
        {
            "sites": [
                {
                    "hosts": ["downloads.example.com"],
                    "origin": {"bucket": "ours", "region": ORIGIN},
                    "targets": {"us-west-2": {"bucket": "ours-in-oregon"}},
                    "redirect": {"mutable": ["nightly/*"], "exclude": ["*.qcow2"], "status": 302},
                }
            ]
        }
    )
    found = some(advice(half(16, 0), own=own))
    site = Settings.model_validate(yaml.safe_load(found.yaml)).sites[0]
    assert (site.name, site.origin.bucket) == ("downloads.example.com", "ours")
    assert site.targets["us-west-2"].bucket == "ours-in-oregon"
    assert site.targets[ORIGIN].bucket == "ours"
    assert site.redirect.status == 302
    assert site.redirect.mutable == ("nightly/*",)
    assert found.exclude[0] == "*.qcow2"
    assert not {"*.qcow2", "*.tar.gz", "nightly/*"} & set(found.paths)


OURS = {"bucket": "ours", "region": ORIGIN}


def with_own(**more: Any) -> Settings:
    sites = more.pop("sites", None) or [{"origin": OURS, **more.pop("site", {})}]
    return Settings.model_validate({"sites": sites, **more})


def loaded(found: Recommendation) -> Settings:
    return Settings.model_validate(yaml.safe_load(found.yaml))


def test_only_the_hosts_of_the_site_count() -> None:
    mine = [row._replace(host="mine.example") for row in steady(requests=300)]
    traffic = traffic_of([*mine, *steady("us-west-2", "b.rpm")], 14)
    found = some(advice(traffic, own=with_own(site={"hosts": ["mine.example"]})))
    assert (found.paths, found.regions) == (("*.iso",), (ORIGIN,))
    assert found.low == pytest.approx(found.high) == pytest.approx(found.saving_usd_month)


def test_hosts_of_other_sites_do_not_count_for_a_site_for_all_hosts() -> None:
    sites = [
        {"origin": OURS},
        {"hosts": ["other.example"], "origin": {"bucket": "theirs", "region": ORIGIN}},
    ]
    other = [row._replace(host="other.example") for row in steady("us-west-2", "b.iso")]
    traffic = traffic_of([*steady(requests=300), *other], 14)
    found = some(advice(traffic, own=with_own(sites=sites)))
    assert found.regions == (ORIGIN,)
    assert found.redirects_month == pytest.approx(300 * 30.4)
    assert [site.name for site in loaded(found).sites] == ["*"]
    assert "# This is the first site: keep those for other.example.\n" in found.yaml


@pytest.mark.parametrize(("price", "regions"), [(0.019, (ORIGIN,)), (0.03, (ORIGIN, "us-west-2"))])
def test_a_target_from_which_transfer_costs_more_than_the_cdn_is_not_recommended(
    price: float, regions: tuple[str, ...]
) -> None:
    own = with_own(site={"targets": {"us-west-2": OURS}})
    traffic = traffic_of([*steady(), *steady("us-west-2")], 14)
    found = some(advice(traffic, tariff(Prices(cdn_per_gb=price)), own=own))
    assert found.regions == regions
    gb = 3000 * 30.4 * 200 / 1024
    transfer = 0.02 * gb if "us-west-2" in regions else 0
    gets = 0.0004 / 1000 * found.redirects_month
    assert found.costs_usd_month == pytest.approx(transfer + gets)


@pytest.mark.parametrize("mode", ["off", "shadow"])
def test_a_target_that_is_recommended_is_in_use(mode: str) -> None:
    west = {"bucket": "west", "mode": mode}
    own = with_own(site={"targets": {"us-west-2": west}})
    found = some(advice(traffic_of([*steady(), *steady("us-west-2")], 14), own=own))
    assert loaded(found).sites[0].mode_of("us-west-2") == "on"
    assert line(found, "us-west-2").saving_usd_month > 1000


def test_without_a_configuration_it_is_in_shadow_mode_and_has_the_hosts_of_the_log(
    tmp_path: Path, check: Any
) -> None:
    rows = [
        fact("a.iso", day=day, size=200 * MIB, requests=3000, host=host)
        for day in range(14)
        for host in ("DL.example.com:443", "b.example")
    ]
    found = some(advice(traffic_of(rows, 14)))
    site = loaded(found).sites[0]
    assert site.redirect.mode == "shadow"
    assert set(site.hosts) == {"dl.example.com", "b.example"}
    assert "# Begin with redirect.mode: shadow, which only counts." in found.yaml
    path = tmp_path / "nearbucket.yaml"
    path.write_text(found.yaml, encoding="utf-8")
    assert check(path).code == 0


@pytest.mark.parametrize("hosts", [["not a host", "b.example"], [f"h{n}" for n in range(21)]])
def test_made_up_hosts_are_not_recommended(hosts: list[str]) -> None:
    rows = [
        fact("a.iso", day=day, size=200 * MIB, requests=3000, host=host)
        for day in range(14)
        for host in hosts
    ]
    assert loaded(some(advice(traffic_of(rows, 14)))).sites[0].hosts == ("*",)


@pytest.mark.parametrize(("mode", "recommended"), [("on", "on"), ("shadow", "shadow")])
def test_a_configuration_that_redirects_goes_on_to_do_so(mode: str, recommended: str) -> None:
    own = with_own(site={"hosts": ["mine.example", "*"], "redirect": {"mode": mode}})
    site = loaded(some(advice(traffic_of(steady(), 14), own=own))).sites[0]
    assert site.redirect.mode == recommended
    assert site.hosts == ("mine.example", "*")


def test_a_requester_pays_bucket_gets_signed_urls(tmp_path: Path, check: Any) -> None:
    own = with_own(site={"origin": {**OURS, "request_payer": True}})
    found = some(advice(traffic_of(steady(), 14), own=own))
    path = tmp_path / "nearbucket.yaml"
    path.write_text(found.yaml, encoding="utf-8")
    assert check(path).code == 0
    assert loaded(found).sites[0].redirect.presign == 900


def test_its_prices_are_those_that_its_figures_are_computed_with() -> None:
    traffic = from_two_regions()
    for terms in (
        {"plan": "flat:premium-75"}, {"discount": 30, "price_class": 100}, {"cdn_per_gb": 0.05},
        {"region_per_gb": {"us-west-2": 0.01}},
    ):  # fmt: skip
        prices = Prices.model_validate(terms)
        again = loaded(some(advice(traffic, tariff(prices)))).prices
        assert again.model_copy(update={"monthly_gb": None}) == prices
        assert again.monthly_gb == pytest.approx(sum(month_usage(traffic).gb.values()), abs=1)


def test_the_real_bill_is_said_as_a_discount_but_never_raises_a_price() -> None:
    traffic = from_two_regions()
    for ratio, discount in ((0.8, 20), (3, 0)):
        scaled = replace(PAYG, factor=ratio)
        assert loaded(some(advice(traffic, scaled))).prices.discount == pytest.approx(discount)


def test_a_larger_volume_of_the_configuration_stays() -> None:
    for volume in (1, 999_999):
        own = with_own(prices={"monthly_gb": volume})
        again = loaded(some(advice(from_two_regions(), own=own))).prices
        assert again.monthly_gb == pytest.approx(max(volume, 56_640), rel=0.01)


def test_at_a_server_that_is_not_aws_no_bucket_is_made_up(tmp_path: Path, check: Any) -> None:
    there = {"endpoint": "http://127.0.0.1:8333", "credentials": "anonymous"}
    own = Settings.model_validate(
        {
            "sites": [
                {
                    "origin": {"bucket": "ours", "region": ORIGIN, "prefix": "pub", **there},
                    "targets": {"eu-west-1": {"bucket": "copies", **there}},
                    "redirect": {"scheme": "http"},
                }
            ]
        }
    )
    found = some(advice(half(16, 0), own=own))
    assert found.regions == (ORIGIN, "eu-west-1")
    path = tmp_path / "nearbucket.yaml"
    path.write_text(found.yaml, encoding="utf-8")
    assert check(path).code == 0
    site = Settings.model_validate(yaml.safe_load(found.yaml)).sites[0]
    assert site.targets[ORIGIN].location() == site.origin.url()
    assert site.targets[ORIGIN].prefix == "pub/"


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


# ---- YAML


@SEEDS
def test_check_accepts_the_configuration(seed: int, tmp_path: Path, check: Any) -> None:
    path = tmp_path / "nearbucket.yaml"
    path.write_text(first_half(seed).yaml, encoding="utf-8")
    assert check(path).code == 0


HOSTILE = (
    "a: b #c/", "*x*/", "[a]/", "{a,b}/", "(a|b)/", "x$/", "<script>/", "\u202egnp/", "größe/",
    "'\"/", "- x/", "%s/", "~/",
)  # fmt: skip


@pytest.mark.parametrize("folder", HOSTILE)
def test_odd_names_give_patterns_that_match_them_and_no_more(
    folder: str, tmp_path: Path, check: Any
) -> None:
    rows = [
        fact(encode_key(f"{folder}{number}"), size=200 * MIB, day=day, requests=300)
        for day in range(14)
        for number in "abc"
    ]
    found = advice(traffic_of(rows, 14))
    if isinstance(found, NothingRecommended):  # no pattern of the configuration can say it
        assert folder in {"{a,b}/", "(a|b)/"}
        return
    assert found.yaml.isascii()
    path = tmp_path / "nearbucket.yaml"
    path.write_text(found.yaml, encoding="utf-8")
    assert check(path).code == 0
    policy = SitePolicy.build(Settings.model_validate(yaml.safe_load(found.yaml)).sites[0])
    assert policy.may_redirect(f"{folder}a")
    assert not policy.may_redirect("other/a")


@pytest.fixture(name="check")
def _check(
    lists_parsed_once: None,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    """Runs ``nearbucket check --offline`` on a file."""

    def run(path: Path) -> Outcome:
        arguments = ["nearbucket", "check", "--config", str(path), "--offline"]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Outcome(ended.value.code, *capsys.readouterr())

    return run
