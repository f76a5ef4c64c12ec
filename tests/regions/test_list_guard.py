"""Which lists are held back: AWS's own, changed in what a configuration uses of it."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from nearbucket.regions.ip_ranges import PrefixRow, Ranges
from nearbucket.regions.list_guard import CLOUDFRONT, RangesUse, addresses_by_region, refusal
from nearbucket.regions.prefixes import parse_network
from nearbucket.regions.region_table import build_table
from tests.build import settings
from tests.ranges_lists import each_list

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.ranges_lists import RangesList

    Change = Callable[[PrefixRow], PrefixRow | None]

DAY = 86400
NOW = 2_000_000_000.0
USE = RangesUse(("EC2",), {}, frozenset({"us-west-2", "ap-southeast-2"}), cloudfront=True)


def of(prefix: str, region: str | None = "us-west-2", service: str = "EC2") -> PrefixRow:
    parsed = parse_network(prefix)
    assert parsed is not None
    return PrefixRow(*parsed, region, service, region or "GLOBAL")


def changed(ranges: Ranges, change: Change, *more: PrefixRow, days: float = 1) -> Ranges:
    """A list that is published some days later."""
    rows = [row for each in ranges.rows if (row := change(each)) is not None]
    return Ranges(ranges.token + int(days * DAY), "", (*rows, *more))


def held(ranges: Ranges, fresh: Ranges, use: RangesUse = USE, now: float = NOW) -> str:
    """The result and the text of a refusal; empty if there is none."""
    found = refusal(ranges, fresh, use, now)
    return f"{found.result}: {found.text}" if found else ""


def without(holds: Callable[[PrefixRow], bool]) -> Change:
    return lambda row: None if holds(row) else row


VANISHED = {
    "all EC2 rows": (
        without(lambda row: row.service == "EC2"),
        "100 % fewer IPv4 addresses for EC2 in all regions",
    ),
    "EC2's IPv6 rows": (
        without(lambda row: row.service == "EC2" and row.family == 6),
        "100 % fewer IPv6 addresses for EC2 in all regions",
    ),
    "EC2 spelt otherwise": (
        lambda row: row._replace(service=row.service.replace("EC2", "Ec2")),
        "100 % fewer IPv4 addresses for EC2 in all regions",
    ),
    "EC2 in no region": (
        lambda row: row._replace(region=None) if row.service == "EC2" else row,
        "100 % fewer IPv4 addresses for EC2 in all regions",
    ),
    "a target's region": (
        without(lambda row: row.region == "ap-southeast-2"),
        "100 % fewer IPv4 addresses for the target ap-southeast-2",
    ),
    "its IPv6 rows alone": (
        without(lambda row: row.region == "ap-southeast-2" and row.family == 6),
        "100 % fewer IPv6 addresses for the target ap-southeast-2",
    ),
    "the region spelt otherwise": (
        lambda row: row._replace(region=row.region and row.region.replace("southeast-", "se")),
        "100 % fewer IPv4 addresses for the target ap-southeast-2",
    ),
    "CloudFront's rows": (
        without(lambda row: row.service == CLOUDFRONT),
        "100 % fewer IPv4 addresses for CLOUDFRONT_ORIGIN_FACING (trusted)",
    ),
}


@each_list
@pytest.mark.parametrize("name", VANISHED)
def test_a_list_in_which_what_counts_here_vanishes_is_held_back(
    name: str, ranges_list: RangesList
) -> None:
    change, text = VANISHED[name]
    fresh = changed(ranges_list.ranges, change)
    said = held(ranges_list.ranges, fresh)
    assert said == f"shrunk: list {fresh.token} covers {text} than the one in use"


@each_list
def test_what_does_not_count_here_may_vanish(ranges_list: RangesList) -> None:
    ranges = ranges_list.ranges
    for change in (
        without(lambda row: row.service not in {"EC2", CLOUDFRONT}),
        without(lambda row: row.region == "me-south-1"),
        lambda row: row,
    ):
        assert held(ranges, changed(ranges, change)) == ""
    other = RangesUse(("CODEBUILD",), {}, USE.regions)
    fewer = changed(ranges, without(lambda row: row.service in {"EC2", CLOUDFRONT}))
    assert held(ranges, fewer, other) == ""


@each_list
def test_rows_that_make_every_prefix_ambiguous_are_held_back(ranges_list: RangesList) -> None:
    """A prefix that is listed for two regions is in none."""
    ranges = ranges_list.ranges
    twice = [row._replace(region="xx-west-1") for row in ranges.rows if row.service == "EC2"]
    assert "shrunk" in held(ranges, changed(ranges, lambda row: row, *twice))


EIGHTS = [of(f"{first}.0.0.0/8", "us-east-1") for first in range(11, 100) if first != 100]


@each_list
@pytest.mark.parametrize(
    ("more", "text"),
    [
        pytest.param(EIGHTS, "% of all IPv4 addresses for EC2 in all regions", id="many /8"),
        pytest.param([of("2000::/16", "us-east-1")], "% of all IPv6 addresses", id="a /16"),
        pytest.param([of("11.0.0.0/8"), of("12.0.0.0/8")], "more IPv4 addresses", id="two /8"),
        pytest.param([of("2001:0::/26")], "more IPv6 addresses", id="a /26"),
        pytest.param(
            [of("11.0.0.0/8", None, CLOUDFRONT)],
            "more IPv4 addresses for CLOUDFRONT_ORIGIN_FACING (trusted)",
            id="CloudFront's",
        ),
    ],
)
def test_a_list_that_grew_is_held_back(
    more: list[PrefixRow], text: str, ranges_list: RangesList
) -> None:
    said = held(ranges_list.ranges, changed(ranges_list.ranges, lambda row: row, *more))
    assert said.startswith("grown: ")
    assert text in said


@each_list
def test_a_first_list_of_wide_prefixes_is_held_back_and_the_true_one_is_not(
    ranges_list: RangesList,
) -> None:
    ranges = ranges_list.ranges
    wide = changed(ranges, lambda _: None, *EIGHTS)
    found = refusal(None, wide, USE, NOW)
    assert found is not None
    assert "covers 35 % of all IPv4 addresses" in found.text
    assert refusal(None, ranges, USE, NOW) is None


@each_list
def test_a_region_may_appear(ranges_list: RangesList) -> None:
    ranges = ranges_list.ranges
    before = changed(ranges, without(lambda row: row.region == "ap-southeast-2"), days=-1)
    assert held(before, ranges) == ""


@pytest.mark.parametrize(
    ("before", "after", "days", "result"),
    [(100, 120, 0, ""), (100, 121, 0, "grown"), (100, 140, 90, ""), (100, 142, 90, "grown"),
     (100, 200, 365, ""), (100, 80, 0, ""), (100, 79, 0, "shrunk"), (100, 79, 365, "shrunk"),
     (0, 200, 0, "")],
)  # fmt: skip
def test_the_longer_ago_a_list_was_published_the_more_may_have_been_added(
    before: int, after: int, days: int, result: str
) -> None:
    rows = [of(f"203.0.{number}.0/24") for number in range(200)]
    found = refusal(
        Ranges(1, "", tuple(rows[:before])),
        Ranges(2 + days * DAY, "", tuple(rows[:after])),
        RangesUse(("EC2",), {}),
        NOW,
    )
    assert (found.result if found else "") == result


def test_a_token_in_the_future_is_held_back_and_hides_no_true_list() -> None:
    true = Ranges(int(NOW), "", (of("198.51.100.0/24"),))
    future = Ranges(10**10, "", true.rows)
    assert held(true, future).startswith("future: its token 10000000000 is a time in the future")
    assert held(future, true) == ""  # taken by a version without this rule
    assert held(true, Ranges(int(NOW + DAY - 1), "", true.rows)) == ""
    older = Ranges(int(NOW) - 1, "", true.rows)
    assert held(true, older) == "older: its token 1999999999 is older than 2000000000, in use"


def test_an_override_may_be_wider_than_any_list() -> None:
    ranges = Ranges(1, "", (of("198.51.100.0/24"),))
    use = RangesUse(("EC2",), {"fd00::/8": "us-west-2", "10.0.0.0/8": "us-east-1"})
    assert refusal(None, ranges, use, NOW) is None  # the first one
    assert held(ranges, Ranges(2, "", ranges.rows), use) == ""


def test_overrides_count_as_the_lookup_has_them() -> None:
    rows = of("198.51.100.0/24"), of("203.0.113.0/24", "eu-west-1")
    ranges, fewer = Ranges(1, "", rows), Ranges(2, "", rows[1:])
    use = RangesUse(("EC2",), {"198.51.100.0/25": "us-west-2"}, frozenset({"us-west-2"}))
    assert held(ranges, fewer, use) != ""  # all regions together: a quarter less
    rest = Ranges(2, "", (*rows[1:], of("192.0.2.0/25", "eu-west-1")))
    assert held(ranges, rest, use) == ""  # half of us-west-2 is left, by the override
    hidden = RangesUse(("EC2",), {"198.51.100.0/24": None}, frozenset({"us-west-2"}))
    assert held(ranges, fewer, hidden) == ""  # the row that vanished had no effect


@each_list
def test_the_addresses_of_each_region_are_those_that_the_lookup_finds(
    ranges_list: RangesList,
) -> None:
    """Sampled at the first address of every prefix, and behind the last."""
    table = build_table(ranges_list.ranges, ["AMAZON"], {})
    small = [row for row in ranges_list.ranges.rows if row.family == 4 and row.service == "AMAZON"]
    bounds = sorted(
        {bound for row in small for bound in (row.first, row.first + 2 ** (32 - row.length))}
    )
    counted: Counter[str | None] = Counter()
    for first, end in pairwise(bounds):
        if table.match(".".join(map(str, first.to_bytes(4, "big")))) is not None:
            counted[table.region_of(first.to_bytes(4, "big"))] += end - first
    found = addresses_by_region(4, {(row.first, row.length): row.region for row in small})
    assert found == counted


def test_a_configuration_uses_the_regions_of_all_its_targets() -> None:
    one = {"hosts": ["a"], "targets": {"us-west-2": {"bucket": "west"}}}
    two = {"hosts": ["b"], "targets": {"eu-west-1": {"bucket": "ireland"}}}
    origin = {"bucket": "downloads", "region": "us-east-1"}
    trusted = {"from": "x-forwarded-for", "trusted_proxies": ["cloudfront"]}
    made = settings(
        sites=[{"origin": origin, **one}, {"origin": origin, **two}], client_address=trusted
    )
    assert RangesUse.of(made) == RangesUse(
        ("EC2",), {}, frozenset({"us-west-2", "eu-west-1"}), cloudfront=True
    )
