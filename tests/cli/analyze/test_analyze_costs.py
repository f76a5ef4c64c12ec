"""``nearbucket analyze``: the bill, prices, and the cost of copies by an inventory report."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.analysis.log_writers import w3c
from tests.analysis.made_logs import HOSTS
from tests.cli.analyze.conftest import LOG, report
from tests.cli.analyze.test_analyze_loop import addresses
from tests.cli.conftest import SITE
from tests.cli.conftest import write as write_config
from tests.made_ranges import MADE
from tests.replicas.test_inventory_report import manifest, packed, row

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run


def test_the_real_bill_scales_the_dollars(analyze: Any, tmp_path: Path) -> None:
    w3c(tmp_path / "a.log", [request._replace(bytes=10**12) for request in LOG])
    options = (str(tmp_path / "a.log"), "--format", "json", "--no-recommend")
    bill = report(analyze(*options, "--bill", "12345"))["bill"]
    assert (bill["usd_month"], bill["scaled"]) == (12345, True)


def test_a_bill_of_what_is_free_is_told_to_be_of_no_use(analyze: Any, log: str) -> None:
    options = (log, "--format", "json", "--no-recommend", "--bill")
    some, none = (report(analyze(*options, usd)) for usd in ("60", "0"))
    assert (some["bill"]["usd_month"], some["bill"]["scaled"]) == (0, False)
    first, *others = some["notes"]
    assert first.startswith("The bill given could not be used: by these prices, ")
    assert none["notes"] == others


def test_a_file_of_prices_is_named_beside_the_date_of_the_others(
    analyze: Any, log: str, tmp_path: Path
) -> None:
    own = tmp_path / "own\x1b.yaml"
    own.write_text("s3: {per_1000_gets: 0.0003}")
    scope = report(analyze(log, "--format", "json", "--no-recommend", "--prices", str(own)))[
        "scope"
    ]
    assert scope["prices_file"] == str(own)
    told = f"{scope['prices_of']}, with those of {tmp_path}/own\\x1b.yaml in their place"
    page = analyze(log, "--format", "html", "--no-recommend", "--prices", str(own)).out
    assert page.count(told) == 2
    plain = report(analyze(log, "--format", "json", "--no-recommend"))["scope"]
    assert plain["prices_file"] is None


@pytest.mark.parametrize(
    ("prices", "options", "message"),
    [
        ({}, "--bill inf", "--bill inf: write the dollars of a month"),
        ({}, "--bill 1e308", "--bill 1e+308: write the dollars of a month, below 1e12"),
        ({}, "--bill 9 --plan flat:pro", "--bill: without effect on the plan flat:pro, which "),
        ({"plan": "flat:pro"}, "--bill 9", "--bill: without effect on the plan flat:pro, which "),
        (
            {"plan": "flat:premium-75"},
            "--price-class 100 --discount 0",
            "--price-class, --discount: without effect on the plan flat:premium-75, which costs ",
        ),
        (
            {"cdn_per_gb": 0.02},
            "--plan payg --price-class 100 --discount 9 --bill 5",
            "--plan, --price-class, --discount: without effect beside prices.cdn_per_gb in the",
        ),
    ],
)
def test_prices_that_have_no_effect_are_refused_before_a_log_is_read(
    analyze: Any, tmp_path: Path, prices: dict[str, Any], options: str, message: str
) -> None:
    config = write_config(tmp_path / "own.yaml", sites=[SITE], prices=prices)
    code, out, err = analyze("no-such.log", "--config", config, *options.split())
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("prices", "options"),
    [
        ({"plan": "flat:pro"}, "--plan payg --discount 9 --bill 5"),
        ({"cdn_per_gb": 0.02}, "--bill 5"),
        ({"discount": 9, "price_class": 100}, "--plan flat:pro"),
    ],
)
def test_prices_that_have_an_effect_are_used(
    analyze: Any, tmp_path: Path, prices: dict[str, Any], options: str
) -> None:
    config = write_config(tmp_path / "own.yaml", sites=[SITE], prices=prices)
    assert "no such file" in analyze("no.log", "--config", config, *options.split()).err


def test_sizes_of_objects_come_from_an_inventory_report(
    analyze: Any, tmp_path: Path, log: str
) -> None:
    (tmp_path / "data.csv.gz").write_bytes(packed([row("cold/never-asked.tar.xz", 1 << 40)]))
    where = tmp_path / "manifest.json"
    where.write_bytes(manifest(["data.csv.gz"], "reports"))
    origin = {**SITE, "origin": {"bucket": "listed", "region": "us-east-1"}}
    config = write_config(tmp_path / "own.yaml", sites=[{**origin, "redirect": {"paths": ["*"]}}])
    options = (log, "--config", config, "--format", "json", "--no-recommend")
    without = report(analyze(*options))
    with_report = report(analyze(*options, "--inventory", str(where)))
    costs = [each["what_if"]["costs_usd_month"] for each in (without, with_report)]
    assert costs[1] > costs[0] + 20  # a terabyte more to store
    assert with_report["top_files"] == without["top_files"]


def test_an_inventory_report_is_about_the_first_site_alone(
    analyze: Any, tmp_path: Path, log: str
) -> None:
    cold = [row(f"cold/never-asked-{number}.tar.xz", 1 << 38) for number in range(4)]
    (tmp_path / "data.csv.gz").write_bytes(packed(cold))
    where = tmp_path / "manifest.json"
    where.write_bytes(manifest(["data.csv.gz"], "reports"))

    def costs(*hosts: str) -> float:
        """With the first site for these hosts, and another bucket's for all others."""
        site = {**SITE, "redirect": {"paths": ["*"]}}
        listed = {"origin": {"bucket": "listed", "region": "us-east-1"}, "hosts": list(hosts)}
        config = write_config(tmp_path / "own.yaml", sites=[{**site, **listed}, site])
        options = (log, "--config", config, "--format", "json", "--no-recommend")
        without, found = (
            report(analyze(*options, *more))["what_if"]["costs_usd_month"]
            for more in ((), ("--inventory", str(where)))
        )
        return float(round(found - without, 6))

    first, second = HOSTS[:2]
    assert costs(first, second) == costs(first) > 20  # a terabyte more to store
    assert costs("other.example") == 0


def test_opt_outs_of_a_site_count_as_in_a_comparison_of_configurations(
    analyze: Any, nearbucket: Run, tmp_path: Path
) -> None:
    hosts, size = ("one.example", "two.example"), 1 << 20
    clients = addresses("us-east-1")
    whole = LOG[0]._replace(method="GET", status=200, result="Hit", start=-1, query="", cookie="")
    hit = whole._replace(bytes=size, length=size)
    w3c(
        tmp_path / "a.log",
        [
            hit._replace(
                time=hit.time + 600 * number,
                host=hosts[number % 2],
                client=clients[number % 3],
                agent=f"a{number % 5}",
            )
            for number in range(300)
        ],
    )
    policy = {"paths": ["*"], "exclude": []}
    sites = [
        {**SITE, "hosts": [host], "redirect": policy, "opt_out": opt_out}
        for host, opt_out in zip(
            hosts, ({"user_agents": ["a1"]}, {"networks": [f"{clients[0]}/32"]}), strict=True
        )
    ]
    on = write_config(tmp_path / "on.yaml", sites=sites)
    off = write_config(
        tmp_path / "off.yaml",
        sites=[{**each, "redirect": {**policy, "mode": "off"}} for each in sites],
    )
    document = report(analyze(str(tmp_path / "a.log"), "--config", on, "--format", "json"))
    month = 30.4 / document["scope"]["days"]
    log = ("--log", str(tmp_path / "a.log"), "--ranges", str(MADE), "--json")
    replay = json.loads(nearbucket("config", "diff", off, on, *log).out)["replay"]
    assert replay["newly_redirected"] == 120 + 100
    assert document["what_if"]["redirects_month"] == pytest.approx(220 * month)
