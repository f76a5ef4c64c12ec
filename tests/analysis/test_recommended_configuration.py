"""The configuration of a recommendation: what it keeps of the one in use, and what it may say."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nearbucket.cli import main as cli
from nearbucket.config.prices import Prices
from nearbucket.config.settings import Settings
from nearbucket.policy.object_keys import encode_key
from nearbucket.policy.rules import SitePolicy
from nearbucket.pricing.tariff import tariff
from tests.analysis.made_traffic import (
    MIB,
    fact,
    month_usage,
    traffic_of,
)
from tests.analysis.recommending import (
    ORIGIN,
    OURS,
    PAYG,
    SEEDS,
    advice,
    first_half,
    from_two_regions,
    half,
    line,
    loaded,
    some,
    steady,
    with_own,
)
from tests.cli.conftest import Outcome

if TYPE_CHECKING:
    from pathlib import Path


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
    assert "# Behind a load balancer or CDN, also set client_address: " in found.yaml
    path = tmp_path / "nearbucket.yaml"
    path.write_text(found.yaml, encoding="utf-8")
    assert check(path).code == 0


@pytest.mark.parametrize("own", [None, 5.0])
def test_a_log_without_the_bytes_of_all_requests_does_not_tell_the_volume(
    own: float | None,
) -> None:
    settings = with_own(prices={"monthly_gb": own})
    found = some(advice(traffic_of(steady(), 14), own=settings, whole=False))
    assert loaded(found).prices.monthly_gb == own


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
def test_odd_names_give_patterns_that_match_them_and_no_more_where_there_are_such(
    folder: str, tmp_path: Path, check: Any
) -> None:
    rows = [
        fact(encode_key(f"{folder}{number}"), size=200 * MIB, day=day, requests=300)
        for day in range(14)
        for number in "abc"
    ]
    found = some(advice(traffic_of(rows, 14)))
    assert found.yaml.isascii()
    path = tmp_path / "nearbucket.yaml"
    path.write_text(found.yaml, encoding="utf-8")
    assert check(path).code == 0
    policy = SitePolicy.build(Settings.model_validate(yaml.safe_load(found.yaml)).sites[0])
    assert policy.may_redirect(f"{folder}a")
    unsayable = folder in {"{a,b}/", "(a|b)/"}  # by a pattern of the configuration
    assert policy.may_redirect("other/a") == unsayable


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
