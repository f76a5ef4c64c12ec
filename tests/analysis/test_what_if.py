"""What a configuration would redirect and save, against decisions one request after the other."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.analysis.policies.traffic_tables import TrafficTables
from nearbucket.analysis.policies.what_if import usual_policy, what_if_and_next_regions
from nearbucket.analysis.traffic import CREDENTIALS, OPTED_OUT
from nearbucket.config.prices import GB, MONTH_DAYS, Prices
from nearbucket.config.settings import Settings
from nearbucket.errors import ConfigError
from nearbucket.policy.engine import Engine
from nearbucket.policy.model import Reason, Request
from nearbucket.pricing.bill import Usage, bill
from nearbucket.pricing.tariff import tariff
from tests.analysis.made_traffic import MIB, fact, month_usage, traffic_of
from tests.analysis.recommending import PAYG, what_if
from tests.build import EAST, ELSEWHERE, OUTSIDE, WEST, engine, settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nearbucket.analysis.answers import WhatIf
    from nearbucket.policy.model import Decision
    from tests.analysis.made_traffic import Fact

FLAT = tariff(Prices(cdn_per_gb=0.05))
"""One price for each GB, so that dollars are easily computed."""
CLIENTS = {"us-east-1": EAST, "us-west-2": WEST, "eu-west-1": ELSEWHERE, "UNKNOWN": OUTSIDE}
HOST = "downloads.example.com"


def forecast(rows: Sequence[Fact], days: float = MONTH_DAYS, **site: Any) -> WhatIf:
    traffic = traffic_of(rows, days)
    return what_if(traffic, settings(site=site), FLAT)


def redirects(**odd: Any) -> float:
    """Redirects of one request of the log, in a month as long as the log."""
    site = odd.pop("site", {})
    row = {"key": "a.tar.gz", "region": "us-west-2", **odd}
    return forecast([fact(**row)], **site).redirects_month


# ---- what counts


ODD_KEYS = (
    "a.tar.gz", "x/b%20c.tar.xz", "d%252F.tar.gz", "e+f.tar.bz2", "g.tar.gz.sha256", "h.zip", "",
    "..%2Fi.tar.gz", "%C3%A9.tar.gz", "%FF.tar.gz", "latest/j.tar.gz", "a" * 1100 + ".tar.gz", "k/",
    "l.tar.gz?m", "n" * 1000 + ".tar.gz", ".well-known/nearbucket-hosts.json", "/o.tar.gz",
)  # fmt: skip
POLICIES: dict[str, dict[str, Any]] = {
    "default": {},
    "redirected HEAD": {"redirect": {"head": "redirect"}},
    "everything": {"redirect": {"paths": ["*"], "exclude": []}},
    "mutable": {"redirect": {"mutable": ["latest/*"]}},
    "off": {"redirect": {"mode": "off"}},
    "index": {"redirect": {"paths": ["*"]}, "index": "index.html"},
    "a CDN": {"bypass": {"mode": "redirect", "to": "https://cdn.example.com"}},
    "one host": {"hosts": [HOST]},
    "a prefix": {
        "targets": {"us-west-2": {"bucket": "us-west-2-downloads", "prefix": "p" * 50 + "/"}}
    },
}


@pytest.mark.parametrize("name", POLICIES)
def test_what_is_redirected_is_what_the_engine_decides_request_by_request(name: str) -> None:
    site = POLICIES[name]
    rows = [
        fact(key, region, 3, host=host, method=method, flags=flags, day=day, requests=day + 1)
        for day, (key, region, host, method, flags) in enumerate(
            product(ODD_KEYS, CLIENTS, (HOST, "other.example"), ("GET", "HEAD", "POST"), (0, 1, 2))
        )
    ]
    decided = engine(settings(site=site))
    requests = size = 0
    for row in rows:
        headers = {b"host": row.host.encode()}
        if row.flags & CREDENTIALS:
            headers[b"authorization"] = b"Basic bm8="
        if row.flags & OPTED_OUT:
            headers[b"x-no-redirect"] = b"1"
        request = Request(row.method, "/" + row.key, headers, CLIENTS[row.region])
        if decided.decide(request).reason is Reason.IN_REGION:
            requests += row.requests
            size += row.bytes
    found = forecast(rows, **site)
    assert (found.redirects_month, found.bytes_month) == pytest.approx((requests, size))
    assert (requests > 0) == (name != "off")


def test_the_engine_is_asked_once_for_objects_of_which_it_cannot_answer_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []
    decide = Engine.decide

    def noted(self: Engine, request: Request) -> Decision:
        asked.append(request.target)
        return decide(self, request)

    monkeypatch.setattr(Engine, "decide", noted)
    keys = [f"{number}.tar.gz" for number in range(100)] + ["b%20c.tar.gz"]
    assert forecast([fact(key, "us-west-2") for key in keys]).redirects_month == len(keys)
    assert sorted(asked) == ["/0.tar.gz", "/b%20c.tar.gz"]


@pytest.mark.parametrize(
    ("odd", "count"),
    [
        pytest.param({"status": 206}, 1, id="a range"),
        pytest.param({"status": 304}, 0, id="not modified: answered here"),
        pytest.param({"status": 404}, 0, id="not there"),
        pytest.param({"status": 301}, 0, id="redirected already"),
        pytest.param({"site": {"redirect": {"percent": 25}}}, 0.25, id="percent, as expectation"),
        pytest.param({"site": {"redirect": {"mode": "shadow"}}}, 1, id="shadow, as if it was on"),
        pytest.param({"site": {"redirect": {"min_size": "1MiB"}}}, 1, id="as large as the floor"),
        pytest.param({"site": {"redirect": {"min_size": "2MiB"}}}, 0, id="below the floor"),
        pytest.param({"region": "NO-ADDRESS"}, 0, id="no address"),
        pytest.param({"region": "AMAZON-NO-REGION"}, 0, id="no region"),
        pytest.param({"region": "eu-central-1"}, 0, id="no target"),
    ],
)
def test_requests_count_as(odd: dict[str, Any], count: float) -> None:
    assert redirects(**odd) == pytest.approx(count)


def test_a_share_of_the_requests_has_that_share_of_the_bytes() -> None:
    found = forecast([fact("a.tar.gz", size=GB, requests=8)], redirect={"percent": 25})
    assert (found.redirects_month, found.bytes_month) == pytest.approx((2, 2 * GB))


def test_an_object_of_unknown_size_is_below_any_floor() -> None:
    traffic = traffic_of([fact("a.tar.gz")], MONTH_DAYS, sizes={})
    for floor, count in ((0, 1), (1, 0)):
        policy = settings(site={"redirect": {"min_size": floor}})
        found = what_if(traffic, policy)
        assert found.redirects_month == pytest.approx(count)


def test_the_size_may_be_known_from_another_host() -> None:
    rows = [fact("a.tar.gz", host=host) for host in ("one.example", "two.example")]
    traffic = traffic_of(rows, MONTH_DAYS)
    objects = traffic.objects.to_pylist()
    objects[1]["size"] = None
    one = replace(traffic, objects=traffic.objects.from_pylist(objects, traffic.objects.schema))
    policy = settings(site={"redirect": {"min_size": 1}})
    assert what_if(one, policy).redirects_month == pytest.approx(2)


def test_a_period_is_scaled_to_a_month() -> None:
    found = forecast([fact("a.tar.gz", size=GB, requests=10)], days=7.6)
    assert found.redirects_month == pytest.approx(40)
    assert found.bytes_month == pytest.approx(40 * GB)
    assert found.gb_month == pytest.approx({"north-america": 40})


def test_each_site_has_its_own_policy() -> None:
    policy = settings(
        site={"hosts": ["one.example"]},
        more=[
            {
                "hosts": ["two.example"],
                "origin": {"bucket": "two", "region": "us-east-1"},
                "targets": {"us-west-2": {"bucket": "two-west"}},
                "redirect": {"paths": ["*.iso"]},
            }
        ],
    )
    rows = [
        fact(key, "us-west-2", host=host)
        for key in ("a.tar.gz", "a.iso")
        for host in ("one.example", "two.example", "three.example")
    ]
    traffic = traffic_of(rows, MONTH_DAYS)
    found = what_if(traffic, policy, FLAT)
    assert found.redirects_month == pytest.approx(2)
    assert found.policy == (
        "one.example: *.tar.*z*; us-east-1 and us-west-2 | two.example: *.iso; us-west-2"
    )


# ---- money


def old(key: str, region: str, size: int, requests: int = 1) -> Iterable[Fact]:
    """Requests on the first and last of 30 days, for an object that is not new."""
    return (
        fact(key, region, size, day=0, requests=requests),
        fact(key, "UNKNOWN", size, day=29),
    )


AT_HOME = {"us-east-1": {"bucket": "downloads"}}
GET, PUT, STORAGE, TRANSFER = 0.0004 / 1000, 0.005 / 1000, 0.023, 0.02


def test_in_the_region_of_the_origin_only_requests_cost() -> None:
    found = forecast([*old("a.tar.gz", "us-east-1", GB, 1000)], targets=AT_HOME)
    assert found.saving_usd_month == pytest.approx(1000 * 0.05 - found.costs_usd_month)


def test_copies_cost_transfer_once_a_year_and_storage_each_month() -> None:
    found = forecast([*old("a.tar.gz", "us-west-2", GB, 1000)])
    costs = 1000 * GET + (TRANSFER + PUT) / 12 + STORAGE
    assert found.costs_usd_month == pytest.approx(costs)
    assert found.saving_usd_month == pytest.approx(1000 * 0.05 - costs)


def test_objects_that_come_anew_are_copied_each_month() -> None:
    rows = [fact(f"{day}.tar.gz", "us-west-2", GB, day=day) for day in range(30)]
    found = forecast(rows)
    month = MONTH_DAYS / 15  # half of them in half of the period
    copied = 15 / 12 + 15 * month
    stored = 30 + 15 * month
    costs = 30 * GET + copied * (TRANSFER + PUT) + stored * STORAGE
    assert found.costs_usd_month == pytest.approx(costs)


def test_objects_that_no_one_requested_are_copied_too() -> None:
    unasked = fact("b.tar.gz", "UNKNOWN", requests=0)
    sizes = {"a.tar.gz": GB, "b.tar.gz": 3 * GB}
    traffic = traffic_of([*old("a.tar.gz", "us-west-2", GB), unasked], MONTH_DAYS, sizes)
    found = what_if(traffic, settings(), FLAT)
    assert found.redirects_month == pytest.approx(1)
    costs = GET + (4 * TRANSFER + 2 * PUT) / 12 + 4 * STORAGE
    assert found.costs_usd_month == pytest.approx(costs)


def test_the_same_object_under_two_hosts_or_encodings_is_copied_once() -> None:
    once = [fact("a%20b.tar.gz", "us-west-2", GB)]
    again = [
        fact(key, "us-west-2", GB, host="other.example")
        for key in ("a%20b.tar.gz", "%61%20b.tar.gz")
    ]
    plain = [fact("c.tar.gz", "us-west-2", GB)]
    twice = [fact(key, "us-west-2", GB, host="other.example") for key in ("c.tar.gz", "%63.tar.gz")]
    for one, more in ((once, again), (plain, twice)):
        fewer = forecast(one).costs_usd_month
        further = forecast([*one, *more]).costs_usd_month
        assert further - fewer == pytest.approx(len(more) * GET)


def test_a_bucket_in_another_region_than_its_clients_costs_transfer() -> None:
    targets = {"us-west-2": {"bucket": "downloads", "region": "us-east-1"}}
    found = forecast([*old("a.tar.gz", "us-west-2", GB, 1000)], targets=targets)
    assert found.costs_usd_month == pytest.approx(1000 * (GET + TRANSFER))


@pytest.mark.parametrize("first", ["near.example", "far.example"])
def test_transfer_costs_only_at_the_site_whose_bucket_is_in_another_region(first: str) -> None:
    buckets = {"near.example": "us-west-2", "far.example": "us-east-1"}
    sites = [
        {
            "hosts": [host],
            "origin": {"bucket": "downloads", "region": "us-east-1"},
            "targets": {"us-west-2": {"bucket": "downloads", "region": buckets[host]}},
        }
        for host in sorted(buckets, key=first.__ne__)
    ]
    policy = Settings.model_validate({"sites": sites})
    rows = [
        fact("a.tar.gz", "us-west-2", GB, host=host, requests=requests)
        for host, requests in (("near.example", 1), ("far.example", 1000))
    ]
    traffic = traffic_of(rows, MONTH_DAYS)
    found = what_if(traffic, policy, FLAT)
    copy = TRANSFER + PUT + STORAGE  # all within the month, as the log has one day
    assert found.costs_usd_month == pytest.approx(1001 * GET + 1000 * TRANSFER + copy)


def test_a_redirect_saves_the_cheapest_gigabytes() -> None:
    tb = 1024
    rows = [fact("a.tar.gz", "us-east-1", tb * GB, requests=46),
            fact("b.zip", "UNKNOWN", tb * GB, requests=254)]  # fmt: skip
    traffic = traffic_of(rows, MONTH_DAYS)
    found = what_if(traffic, settings(site={"targets": AT_HOME}))
    before = Usage({"north-america": 300 * tb})
    after = Usage({"north-america": 254 * tb})
    expected = bill(before, PAYG) - bill(after, PAYG)
    assert found.saving_usd_month == pytest.approx(expected, abs=0.01)
    assert found.saving_usd_month < 46 * tb * 0.05


def test_a_price_of_ones_own_for_a_region_counts_instead_of_the_tier() -> None:
    rows = [fact("a.tar.gz", "us-east-1", GB, requests=5000)]
    traffic = traffic_of(rows, MONTH_DAYS)
    for price, saved in ((0.01, 50.0), (1.0, bill(month_usage(traffic), PAYG))):
        own = tariff(Prices(region_per_gb={"us-east-1": price}))
        found = what_if(traffic, settings(site={"targets": AT_HOME}), own)
        assert found.saving_usd_month == pytest.approx(saved - found.costs_usd_month)


def test_a_saving_is_negative_where_copies_cost_more() -> None:
    cold = [fact(f"{number}.tar.gz", "us-west-2", MIB) for number in range(100)]
    assert forecast([*cold, fact("big.tar.gz", "UNKNOWN", 500 * GB)]).saving_usd_month < 0


# ---- one more bucket


def test_each_further_region_has_what_its_bucket_alone_would_add() -> None:
    rows = [
        *old("a.tar.gz", "us-west-2", GB, 1000),
        *old("a.tar.gz", "eu-west-1", GB, 300),
        *old("a.tar.gz", "ap-south-1", GB, 1),
        *old("b.zip", "eu-west-1", GB, 300),
        *old("a.tar.gz", "cn-north-1", GB, 1000),
    ]
    traffic = traffic_of(rows, MONTH_DAYS)
    own, further = what_if_and_next_regions(
        TrafficTables(traffic), settings(), FLAT, month_usage(traffic)
    )
    assert own == what_if(traffic, settings(), FLAT)
    first, second = further
    assert (first.region, second.region) == ("eu-west-1", "ap-south-1")
    copies = (TRANSFER + PUT) / 12 + STORAGE
    assert first.redirects_month == pytest.approx(300)
    assert first.bytes_month == pytest.approx(300 * GB)
    assert first.costs_usd_month == pytest.approx(300 * GET + copies)
    assert first.saving_usd_month == pytest.approx(300 * 0.05 - 300 * GET - copies)
    assert second.saving_usd_month == pytest.approx(0.05 - GET - copies)


def test_without_a_configuration_archives_and_two_regions_are_assumed() -> None:
    rows = [
        fact(key, region)
        for key in ("a.tar.xz", "a.tar.xz.sha256", "b.zip")
        for region in ("us-east-1", "us-west-2", "eu-west-1")
    ]
    traffic = traffic_of(rows, MONTH_DAYS)
    for origin, other in (("us-east-1", "us-west-2"), ("us-west-2", "us-east-1")):
        policy = usual_policy(origin)
        assert list(policy.sites[0].targets) == [origin, other]
        found = what_if(traffic, policy, FLAT)
        assert found.redirects_month == pytest.approx(2)  # *.sha256 is excluded by default
        assert found.policy == f"*.tar.*z*; {origin} and {other}"


@pytest.mark.parametrize("origin", ["cn-north-1", "us-gov-west-1"])
def test_no_copies_are_assumed_in_another_partition(origin: str) -> None:
    assert list(usual_policy(origin).sites[0].targets) == [origin]


def test_a_region_that_does_not_exist_is_told() -> None:
    with pytest.raises(ConfigError, match="xx-1 is not an AWS region"):
        usual_policy("xx-1")


def test_an_empty_log_gives_zeros() -> None:
    traffic = traffic_of([], 0)
    assert isinstance(settings(), Settings)
    own, further = what_if_and_next_regions(TrafficTables(traffic), settings(), PAYG, Usage({}))
    assert (own.redirects_month, own.bytes_month, own.saving_usd_month) == (0, 0, 0)
    assert further == ()
