"""The region of an address: special addresses, nested prefixes, and a comparison with a scan."""

from __future__ import annotations

import ipaddress
import json
import pickle
import random
from bisect import bisect_left
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.errors import ConfigError
from nearbucket.regions.ip_ranges import PrefixRow, Ranges, read_ranges
from nearbucket.regions.prefixes import packed_address
from nearbucket.regions.region_table import (
    PrefixMatch,
    RegionTable,
    build_table,
    network_set,
    networks_of,
)
from tests.ranges_lists import RangesList, document, each_list, on_both, row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def table_of(*rows: dict[str, str], overrides: dict[str, str | None] | None = None) -> RegionTable:
    """A table of these rows, all EC2."""
    v4 = [each for each in rows if "ip_prefix" in each]
    v6 = [each for each in rows if "ipv6_prefix" in each]
    return build_table(read_ranges(document(*v4, v6=v6)), ["EC2"], overrides or {})


@cache
def table_for(ranges_list: RangesList, *services: str) -> RegionTable:
    """The table of a whole list, made once for all tests: it cannot be changed."""
    return build_table(ranges_list.ranges, services, {})


def scan(rows: Iterable[PrefixRow], address: str) -> str | None:
    """Region of the longest prefix, found by looking at each one."""
    asked = ipaddress.ip_address(address)
    if isinstance(asked, ipaddress.IPv6Address):
        asked = asked.ipv4_mapped or asked
    best, region = -1, None
    for each in rows:
        bits = 32 if each.family == 4 else 128
        inside = each.first <= int(asked) < each.first + (1 << bits - each.length)
        if each.family == asked.version and inside and each.length > best:
            best, region = each.length, each.region
    return region


@pytest.mark.parametrize(
    ("ranges_list", "address", "ec2", "amazon"),
    [
        *on_both("A1-inside-global", ["198.19.163.1"], ["15.193.3.1"], *["ap-southeast-2"] * 2),
        *on_both("A2-global-only", ["198.19.175.1"], ["15.193.31.1"], None, None),
        *on_both("A2-global-tagged-ec2", ["198.19.208.1"], ["40.168.227.1"], None, None),
        *on_both(
            "A3-inside-cloudfront", ["3fff:200:1::1"], ["2600:9000:5201::1"], *["us-east-1"] * 2
        ),
        *on_both("A4-plain", ["198.19.204.1"], ["3.5.140.1"], *["ap-northeast-2"] * 2),
        *on_both(
            "A4-mapped", ["::ffff:198.19.204.1"], ["::ffff:3.5.140.1"], *["ap-northeast-2"] * 2
        ),
        *on_both(
            "A4-mapped-hex",
            ["::FFFF:C613:cc01"],
            ["::FFFF:0305:8c01"],
            *["ap-northeast-2"] * 2,
        ),
        *on_both("A5-local-zone-seattle", ["198.19.209.1"], ["15.181.0.1"], *["us-west-2"] * 2),
        *on_both("A5-local-zone-houston", ["198.19.210.1"], ["3.2.0.1"], *["us-east-1"] * 2),
        *on_both("A6-sovereign-cloud", ["198.19.212.1"], ["51.0.0.1"], None, "eusc-de-east-1"),
        *on_both("A6-china", ["198.19.213.1"], ["43.196.1.1"], *["cn-north-1"] * 2),
        *on_both("A7-ec2-inside-amazon", ["198.19.199.1"], ["99.77.55.1"], *["eu-south-2"] * 2),
        *on_both("A7-beside-it", ["198.19.194.1"], ["99.77.50.1"], None, "eu-south-2"),
        *on_both("A8-no-ec2", ["198.19.214.1"], ["52.94.5.1"], None, "eu-west-1"),
    ],
)
def test_a_list_places_an_address_by_its_longest_counted_prefix(
    ranges_list: RangesList, address: str, ec2: str | None, amazon: str | None
) -> None:
    assert table_for(ranges_list, "EC2").region(address) == ec2
    assert table_for(ranges_list, "AMAZON").region(address) == amazon


@pytest.mark.parametrize("region", ["us-gov-west-1", "us-gov-east-1", "cn-northwest-1"])
@each_list
def test_a_region_of_another_partition_is_data_like_any_other(
    ranges_list: RangesList, region: str
) -> None:
    found = next(each for each in ranges_list.ranges.rows if each.region == region)
    table = table_for(ranges_list, "AMAZON")
    assert table.region(found.prefix.partition("/")[0]) == region


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "127.0.0.1", "169.254.170.2", "100.64.0.1", "240.0.0.1", "::1"),
        *("fe80::1%eth0", "fe80::1", "::", "0.0.0.0", "255.255.255.255", "::ffff:10.0.0.1"),
        *("", " ", "-", ",", "None", "unknown", "localhost", "1", ":::", "%", ":"),
        *("\0", ":\0", "\ud800", ":\ud800"),
        pytest.param("9" * 1_000_000, id="a-million-digits"),
        pytest.param(":" * 1_000_000, id="a-million-colons"),
    ],
    ids=ascii,
)
@each_list
def test_special_addresses_and_junk_have_no_region_and_raise_nothing(
    ranges_list: RangesList, address: str
) -> None:
    has_no_region(ranges_list, address)


@pytest.mark.parametrize(
    "written",
    [
        *("{0}.{1}.{2}", "{0}.{1}.{2}.1.1", "0{0}.0{1}.{2}.01", "{0}.{1}.{2}.1 "),
        *(" {0}.{1}.{2}.1", "{0}.{1}.{2}.1\n", "{0}.{1}.{2}.256", "0x{0:x}.{1}.{2}.1"),
        *("{0}.{1}.{2}.1/32", "{0}.{1}.{2}.1:443", "{0}.{1}.{2}.1\0", "{0}.{1}.{2}.\u0661"),
        *("\uff10{0}.{1}.{2}.1", "::{0}.{1}.{2}.1", "::fffe:{0}.{1}.{2}.1"),
        *("64:ff9b::{0}.{1}.{2}.1", "[{v6}]", "{v6}%1"),
    ],
    ids=ascii,
)
@each_list
def test_a_listed_address_that_is_written_wrong_has_no_region(
    ranges_list: RangesList, written: str
) -> None:
    assert table_for(ranges_list, "EC2").region(ranges_list.seoul)
    parts = map(int, ranges_list.seoul.split("."))
    has_no_region(ranges_list, written.format(*parts, v6=ranges_list.east))


def has_no_region(ranges_list: RangesList, address: str) -> None:
    table = table_for(ranges_list, "AMAZON", "EC2")
    assert table.region(address) is None
    assert table.match(address) is None
    assert not networks_of(ranges_list.ranges, "AMAZON").holds(address)


def test_even_a_value_that_is_not_text_has_no_region() -> None:
    nothing: Any = None
    table = table_of(row("3.5.140.0/22"))
    assert table.region(nothing) is None
    assert table.match(nothing) is None
    assert table.region(b"3.5.140.1") is None  # type: ignore[arg-type]  # what a caller may get wrong


@pytest.mark.parametrize(
    ("prefix", "inside", "outside"),
    [
        ("198.51.100.7/32", ["198.51.100.7"], ["198.51.100.6", "198.51.100.8"]),
        ("3.32.0.0/11", ["3.32.0.0", "3.63.255.255"], ["3.31.255.255", "3.64.0.0"]),
        ("203.0.113.0/24", ["203.0.113.0", "203.0.113.255"], ["203.0.112.255", "203.0.114.0"]),
        ("2001:db8::5/128", ["2001:db8::5"], ["2001:db8::4", "2001:db8::6"]),
        (
            "2600:1f00::/32",
            ["2600:1f00::", "2600:1f00:ffff:ffff:ffff:ffff:ffff:ffff"],
            ["2600:1eff:ffff:ffff:ffff:ffff:ffff:ffff", "2600:1f01::"],
        ),
    ],
)
def test_a_prefix_holds_its_first_and_last_address_and_nothing_past_them(
    prefix: str, inside: list[str], outside: list[str]
) -> None:
    table, networks = table_of(row(prefix)), network_set([prefix])
    assert [table.region(address) for address in inside] == ["eu-west-1"] * len(inside)
    assert [table.region(address) for address in outside] == [None] * len(outside)
    assert all(networks.holds(address) for address in inside)
    assert not any(networks.holds(address) for address in outside)


def paint(rows: Iterable[PrefixRow], values: list[int], bits: int) -> list[PrefixRow | None]:
    """The row that decides each of some sorted addresses: longer prefixes painted over shorter."""
    owners: list[PrefixRow | None] = [None] * len(values)
    for each in sorted(rows, key=lambda row: row.length):
        start = bisect_left(values, each.first)
        end = bisect_left(values, each.first + (1 << bits - each.length))
        owners[start:end] = [each] * (end - start)
    return owners


@pytest.mark.parametrize("services", [("EC2",), ("AMAZON",), ("EC2", "S3", "CLOUDFRONT")])
@pytest.mark.parametrize("family", [4, 6])
@each_list
def test_the_edges_of_every_listed_prefix_agree_with_painting(
    ranges_list: RangesList, family: int, services: Sequence[str]
) -> None:
    bits = 32 if family == 4 else 128
    rows = [each for each in ranges_list.ranges.rows if each.family == family]
    sides = {each.first for each in rows} | {
        each.first + (1 << bits - each.length) for each in rows
    }
    values = sorted(sides | {value - 1 for value in sides})
    table = table_for(ranges_list, *services)
    owners = paint((each for each in rows if each.service in services), values, bits)
    for value, owner in zip(values, owners, strict=True):
        address = str(ipaddress.ip_address(value.to_bytes(bits // 8)))
        region = owner and owner.region
        assert table.region(address) == region, address
        assert table.region_of(packed_address(address) or b"") == region, address
        assert table.match(address) == (owner and PrefixMatch(owner.region, owner.prefix)), address
    assert len(values) > 2 * len({each.prefix for each in rows})


@each_list
def test_random_addresses_agree_with_a_scan_of_the_list(ranges_list: RangesList) -> None:
    chance = random.Random(20260729)  # noqa: S311 -- a seed repeats, that is the point
    rows = [each for each in ranges_list.ranges.rows if each.service in {"AMAZON", "EC2"}]
    table = table_for(ranges_list, "AMAZON", "EC2")
    near4, near6 = (
        [each.first + chance.getrandbits(bits - each.length) for each in rows if each[0] == family]
        for family, bits in ((4, 32), (6, 128))
    )
    asked = [str(ipaddress.IPv4Address(value)) for value in chance.sample(near4, 50)]
    asked += [str(ipaddress.IPv4Address(chance.getrandbits(32))) for _ in range(50)]
    asked += [str(ipaddress.IPv6Address(value)) for value in chance.sample(near6, 100)]
    asked += [f"::ffff:{address}" for address in asked[:50]]
    for address in asked:
        region = scan(rows, address)
        assert table.region(address) == region, address
        assert table.region_of(packed_address(address) or b"") == region, address


SMALL4 = st.tuples(
    st.just(4),
    st.integers(0, 63).map(lambda n: (198 << 24) + (51 << 16) + (100 << 8) + n),
    st.integers(24, 32),
)
SMALL6 = st.tuples(
    st.just(6), st.integers(0, 63).map(lambda n: (0x20010DB8 << 96) + n), st.integers(120, 128)
)
REGION = st.sampled_from([None, "eu-west-1", "us-east-1", "sa-west-1"])


@given(
    listed=st.dictionaries(st.one_of(SMALL4, SMALL6), REGION, min_size=1, max_size=12),
    overrides=st.dictionaries(st.one_of(SMALL4, SMALL6), REGION, max_size=3),
    last=st.integers(0, 70),
)
def test_any_prefixes_and_overrides_agree_with_a_scan(
    listed: dict[tuple[int, int, int], str | None],
    overrides: dict[tuple[int, int, int], str | None],
    last: int,
) -> None:
    def rows(prefixes: dict[tuple[int, int, int], str | None]) -> dict[str, PrefixRow]:
        return {
            (
                made := PrefixRow(family, first >> bits << bits, length, region, "EC2", "-")
            ).prefix: made
            for (family, first, length), region in prefixes.items()
            for bits in [(32 if family == 4 else 128) - length]
        }

    ours = rows(overrides)
    table = build_table(
        Ranges(1, "", tuple(rows(listed).values())),
        ["EC2"],
        {prefix: each.region for prefix, each in ours.items()},
    )
    expected = list((rows(listed) | ours).values())
    v4, v6 = f"198.51.100.{last}", f"2001:db8::{last:x}"
    for address in (v4, f"::ffff:{v4}", v6):
        assert table.region(address) == scan(expected, address)
        assert table.region_of(packed_address(address) or b"") == scan(expected, address)
        match = table.match(address)
        assert (match.region if match else None) == scan(expected, address)
    assert table.prefixes_v4 + table.prefixes_v6 == len(expected)


@given(address=st.text(max_size=60))
def test_no_text_makes_a_lookup_raise(address: str) -> None:
    table = table_of(row("3.5.140.0/22"), row("2600:1f00::/32"))
    assert table.region(address) in {None, "eu-west-1"}
    table.match(address)


@pytest.mark.parametrize(
    ("overrides", "address", "region"),
    [
        ({"203.0.113.0/24": "us-east-1"}, "203.0.113.9", "us-east-1"),
        ({"203.0.113.0/24": None}, "203.0.113.9", None),
        ({"203.0.0.0/16": "us-east-1"}, "203.0.113.9", "eu-west-1"),
        ({"203.0.113.9": None}, "203.0.113.9", None),
        ({"203.0.113.9": None}, "203.0.113.8", "eu-west-1"),
        ({"10.0.0.0/8": "us-east-1"}, "10.1.2.3", "us-east-1"),
        ({"0.0.0.0/0": "us-east-1"}, "255.255.255.255", "us-east-1"),
        ({"0.0.0.0/0": "us-east-1"}, "::ffff:192.0.2.1", "us-east-1"),
        ({"::/0": "us-east-1"}, "2001:db8::1", "us-east-1"),
        ({"::/0": "us-east-1"}, "::ffff:192.0.2.1", None),
        ({"::ffff:192.0.2.0/120": "us-east-1"}, "192.0.2.1", "us-east-1"),
        ({"203.0.113.77/24": "us-east-1"}, "203.0.113.9", "us-east-1"),
    ],
)
def test_overrides_compete_by_length_and_win_ties(
    overrides: dict[str, str | None], address: str, region: str | None
) -> None:
    assert table_of(row("203.0.113.0/24"), overrides=overrides).region(address) == region


def test_what_is_no_network_is_the_operators_error() -> None:
    with pytest.raises(ConfigError, match=r"regions\.overrides: '10\.0\.0/8' is not a network"):
        build_table(None, ["EC2"], {"10.0.0/8": "us-east-1"})
    with pytest.raises(ConfigError, match=r"'203\.0\.113\.0/33' is not a network"):
        network_set(["192.0.2.0/24", "203.0.113.0/33"])


def test_without_a_list_only_overrides_have_a_region() -> None:
    table = build_table(None, ["EC2"], {"10.0.0.0/8": "us-east-1"})
    assert (table.region("10.0.0.1"), table.region("3.5.140.1")) == ("us-east-1", None)
    assert (table.token, table.created, table.prefixes_v4, table.prefixes_v6) == (None, None, 1, 0)


def test_one_prefix_listed_for_two_regions_belongs_to_none() -> None:
    rows = row("203.0.113.0/24"), row("203.0.113.0/24", "us-east-1"), row("203.0.113.0/24")
    assert table_of(*rows).region("203.0.113.1") is None


@each_list
def test_a_table_tells_its_list_and_its_size(ranges_list: RangesList) -> None:
    table = table_for(ranges_list, "EC2")
    top = json.loads(ranges_list.document)
    assert (str(table.token), table.created) == (top["syncToken"], top["createDate"])
    for family, listed, key in (
        (table.prefixes_v4, "prefixes", "ip_prefix"),
        (table.prefixes_v6, "ipv6_prefixes", "ipv6_prefix"),
    ):
        assert family == len({each[key] for each in top[listed] if each["service"] == "EC2"})
    assert (table.skipped, ranges_list.ranges.skipped) == (0, ())
    assert len(ranges_list.ranges.rows) == len(top["prefixes"]) + len(top["ipv6_prefixes"])


def test_a_table_and_a_set_of_networks_survive_pickling_and_cannot_be_changed() -> None:
    table, networks = table_of(row("203.0.113.0/24")), network_set(["203.0.113.0/24"])
    assert pickle.loads(pickle.dumps(table)) == table  # noqa: S301 -- our own bytes
    assert pickle.loads(pickle.dumps(networks)).holds("203.0.113.1")  # noqa: S301 -- as above
    with pytest.raises(AttributeError):
        table.token = 1  # type: ignore[misc]  # the point of the test


@each_list
def test_networks_of_a_service_hold_its_addresses_whatever_their_region(
    ranges_list: RangesList,
) -> None:
    networks = networks_of(ranges_list.ranges, "CLOUDFRONT_ORIGIN_FACING")
    rows = ranges_list.ranges.rows
    held = [each for each in rows if each.service == "CLOUDFRONT_ORIGIN_FACING"]
    assert len({each.region for each in held}) > 1
    assert all(networks.holds(each.prefix.partition("/")[0]) for each in held)
    assert not networks.holds(ranges_list.seoul)
