"""The details of an address, and the difference of two lists."""

from __future__ import annotations

import ipaddress
import random

import pytest

from nearbucket.regions.ip_ranges import PrefixRow, Ranges
from nearbucket.regions.queries import AddressDetails, RegionChange, RowIndex, difference
from tests.ranges_lists import RangesList, each_list, on_both


def made(prefix: str, region: str | None = "eu-west-1", service: str = "EC2") -> PrefixRow:
    """One row; its border group is its region."""
    network = ipaddress.ip_network(prefix)
    first = int(network.network_address)
    return PrefixRow(network.version, first, network.prefixlen, region, service, region or "GLOBAL")


def listed(token: int, *rows: PrefixRow) -> Ranges:
    return Ranges(token, "2023-11-14-22-13-20", rows)


@pytest.mark.parametrize(
    ("ranges_list", "address", "place", "services", "groups"),
    [
        *on_both(
            "inside global",
            ("198.19.163.1", ("ap-southeast-2", "198.19.163.0/24")),
            ("15.193.3.1", ("ap-southeast-2", "15.193.3.0/24")),
            *(("AMAZON", "AMAZON_CONNECT", "EC2"), ("ap-southeast-2",)),
        ),
        *on_both(
            "global only",
            ("198.19.175.1", (None, "198.19.160.0/20")),
            ("15.193.31.1", (None, "15.193.0.0/19")),
            *(("AMAZON", "AMAZON_CONNECT"), ("GLOBAL",)),
        ),
        *on_both(
            "local zone",
            ("198.19.209.1", ("us-west-2", "198.19.209.0/24")),
            ("15.181.0.1", ("us-west-2", "15.181.0.0/20")),
            *(("AMAZON", "EC2"), ("us-west-2-sea-1",)),
        ),
        *on_both(
            "ec2 inside amazon",
            ("198.19.199.1", ("eu-south-2", "198.19.199.1/32")),
            ("99.77.55.1", ("eu-south-2", "99.77.55.1/32")),
            *(("AMAZON", "EC2"), ("eu-south-2",)),
        ),
        *on_both(
            "mapped, no ec2",
            ("::ffff:198.19.214.1", ("eu-west-1", "198.19.214.0/24")),
            ("::ffff:52.94.5.1", ("eu-west-1", "52.94.5.0/24")),
            *(("AMAZON", "DYNAMODB"), ("eu-west-1",)),
        ),
        *on_both(
            "inside cloudfront",
            ("3fff:200:1::1", ("us-east-1", "3fff:200:1::/48")),
            ("2600:9000:5201::1", ("us-east-1", "2600:9000:5201::/48")),
            *(("AMAZON", "CLOUDFRONT", "CLOUDFRONT_ORIGIN_FACING", "EC2"), ("us-east-1",)),
        ),
        *on_both("private", ["10.0.0.1"], ["10.0.0.1"], (None, None), (), ()),
        *on_both("junk", ["junk\0"], ["junk\0"], (None, None), (), ()),
    ],
)
def test_details_name_the_longest_prefix_and_every_service(
    ranges_list: RangesList,
    address: str,
    place: tuple[str | None, str | None],
    services: tuple[str, ...],
    groups: tuple[str, ...],
) -> None:
    index = RowIndex(ranges_list.ranges)
    rows = index.rows(address)
    assert index.details(address) == AddressDetails(address, *place, services, groups, rows)


@each_list
def test_the_rows_of_an_address_are_those_a_scan_finds_longest_first(
    ranges_list: RangesList,
) -> None:
    chance = random.Random(7)  # noqa: S311 -- a seed repeats, that is the point
    listed = ranges_list.ranges.rows
    index = RowIndex(ranges_list.ranges)
    for picked in chance.sample(listed, 60):
        bits = 32 if picked.family == 4 else 128
        value = picked.first + chance.getrandbits(bits - picked.length)
        rows = index.rows(str(ipaddress.ip_address(value.to_bytes(bits // 8))))
        assert set(rows) == {
            row
            for row in listed
            if row.family == picked.family
            and row.first == value >> (bits - row.length) << (bits - row.length)
        }
        assert [row.length for row in rows] == sorted((row.length for row in rows), reverse=True)


@each_list
def test_a_list_does_not_differ_from_itself(ranges_list: RangesList) -> None:
    same = difference(ranges_list.ranges, ranges_list.ranges)
    assert (same.added, same.removed, same.old_token) == ((), (), same.new_token)
    assert not any(change.changed for change in same.regions)
    assert same.regions[-1].region is None
    assert len(same.regions) == len({row.region for row in ranges_list.ranges.rows})


def test_a_difference_shows_rows_added_and_removed_and_counts_by_region() -> None:
    kept, gone = made("203.0.113.0/24"), made("198.51.100.0/24", "us-east-1")
    moved, there = made("192.0.2.0/24", "us-east-1"), made("192.0.2.0/24", None)
    fresh = made("2001:db8::/127", "sa-west-1")
    found = difference(listed(1, kept, gone, moved), listed(2, kept, there, fresh))
    assert (found.old_token, found.new_token) == (1, 2)
    assert found.added == (there, fresh)
    assert found.removed == (moved, gone)
    assert found.regions == (
        RegionChange("eu-west-1", 256, 256, 0, 0),
        RegionChange("sa-west-1", 0, 0, 0, 2),
        RegionChange("us-east-1", 512, 0, 0, 0),
        RegionChange(None, 0, 256, 0, 0),
    )
    assert [change.changed for change in found.regions] == [False, True, True, True]


def test_a_region_counts_an_address_once_whatever_its_services() -> None:
    rows = made("203.0.113.0/24"), made("203.0.113.0/24", service="S3"), made("203.0.113.0/25")
    assert difference(listed(1, *rows), listed(1, *rows)).regions[0].v4_after == 256
