"""Stores: what they say of addresses, what AWS accepts, and updates that are never half done."""

from __future__ import annotations

import json
import random
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.edge_function.address_store import (
    DEEPER,
    LARGEST_IMPORT,
    LONGEST_VALUE,
    address_pairs,
    store_size,
)
from nearbucket.edge_function.store_update import (
    MOST_KEYS,
    import_document,
    read_import_document,
    update_requests,
)
from nearbucket.errors import ConfigError
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.list_guard import CLOUDFRONT
from nearbucket.regions.region_table import build_table, networks_of
from tests.build import ranges
from tests.edge_function.test_decisions import OVERRIDES, addresses
from tests.ranges_lists import PUBLISHED, RangesList, document, each_list, needs_published, row

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.regions.ip_ranges import Ranges

SERVICES = ("EC2",)


def region_in(pairs: Mapping[str, str], text: str) -> str | None:
    """The region of an address by a store, read as its description says."""
    address = ip_address(text)
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    digits = f"{int(address):0{address.max_prefixlen // 4}x}"
    for length in range(4 if address.version == 4 else 8, len(digits) + 1):
        value = pairs.get(f"{address.version}{digits[:length]}")
        if value is None:
            return None
        if value != DEEPER:
            rest = digits[length:]
            for group in value.split(";"):
                region, _, listed = group.partition(" ")
                for each in listed.split(","):
                    low, dash, high = each.partition("-")
                    high = high if dash else low
                    full = len(rest)
                    if low.ljust(full, "0") <= rest <= high.ljust(full, "f"):
                        return region
            return None
    raise AssertionError(text)


@each_list
@pytest.mark.parametrize("services", [SERVICES, ("AMAZON", "EC2")])
@pytest.mark.parametrize("overrides", [{}, OVERRIDES], ids=["the list", "overrides"])
def test_a_store_has_the_region_of_each_address(
    ranges_list: RangesList, services: tuple[str, ...], overrides: dict[str, Any]
) -> None:
    listed = ranges_list.ranges
    used = {network: None if region == "none" else region for network, region in overrides.items()}
    table, cdn = build_table(listed, services, used), networks_of(listed, CLOUDFRONT)
    pairs = address_pairs(listed, services, used)
    for text in addresses(listed, 4_000):
        expected = None if cdn.holds(text) else table.region(text)
        assert region_in(pairs, text) == expected, text


@each_list
def test_aws_takes_the_store(ranges_list: RangesList) -> None:
    pairs = address_pairs(ranges_list.ranges, SERVICES, {})
    assert max(map(len, pairs.values())) <= LONGEST_VALUE == 1024
    assert max(map(len, pairs)) <= 512
    assert len(import_document(pairs)) < 120_000 < LARGEST_IMPORT
    assert all(each.isascii() for pair in pairs.items() for each in pair)
    found = json.loads(import_document(pairs))["data"]
    assert {entry["key"]: entry["value"] for entry in found} == pairs
    assert read_import_document(import_document(pairs)) == pairs


@needs_published
def test_the_published_list_takes_1_509_pairs() -> None:
    pairs = address_pairs(PUBLISHED.ranges, SERVICES, {})
    assert (len(pairs), store_size(pairs)) == (1509, 60898)


def test_a_store_looks_as_described() -> None:
    assert address_pairs(ranges(), SERVICES, {}) == {
        "4c000": "us-east-1 02",
        "4c633": "us-west-2 64",
        "4cb00": "eu-west-1 71-717",
        "620010db8": "us-east-1 0001",
    }


def dense(number: int, seed: int) -> Ranges:
    """A list that fills one /16 with small prefixes of several regions."""
    chance = random.Random(seed)  # noqa: S311
    regions = ("us-east-1", "us-west-2", "eu-west-1")
    rows = [
        row(f"198.18.{chance.randrange(256)}.{chance.randrange(64) * 4}/30", chance.choice(regions))
        for _ in range(number)
    ]
    return read_ranges(document(*rows, row("192.0.2.0/24")))


def test_a_long_value_is_divided() -> None:
    pairs = address_pairs(dense(2_000, 1), SERVICES, {})
    assert pairs["4c612"] == DEEPER
    assert len(pairs) > 16
    assert max(map(len, pairs.values())) <= LONGEST_VALUE


@pytest.mark.parametrize(("first", "second"), [(100, 2_000), (2_000, 100), (2_000, 2_000)])
def test_between_two_requests_each_address_has_its_old_or_its_new_region(
    first: int, second: int
) -> None:
    before = address_pairs(dense(first, 1), SERVICES, {})
    after = address_pairs(dense(second, 2), SERVICES, {})
    chance = random.Random(3)  # noqa: S311
    texts = [f"198.18.{chance.randrange(256)}.{chance.randrange(256)}" for _ in range(300)]
    stored = dict(before)
    for body in update_requests(before, after):
        assert len(body.get("Puts", ())) + len(body.get("Deletes", ())) <= MOST_KEYS == 50
        stored |= {each["Key"]: each["Value"] for each in body.get("Puts", ())}
        for each in body.get("Deletes", ()):
            del stored[each["Key"]]
        for text in texts:
            old_and_new = region_in(before, text), region_in(after, text)
            assert region_in(stored, text) in old_and_new, text
    assert stored == after


def test_a_store_that_has_not_changed_needs_no_request() -> None:
    pairs = address_pairs(ranges(), SERVICES, {})
    assert update_requests(pairs, pairs) == []


@pytest.mark.parametrize(
    ("network", "keys"), [("::/3", 1 << 29), ("2000::/13", 1 << 19), ("2600::/15", 1 << 17)]
)
def test_a_network_too_wide_for_an_import_is_refused(network: str, keys: int) -> None:
    overrides = {"10.0.0.0/8": "us-west-2", network: "us-east-1", "::/1": None}
    message = rf"overrides\.{network}: store\.json .* 5242880 .* \(this one needs {keys} keys\)"
    with pytest.raises(ConfigError, match=message):
        address_pairs(ranges(), SERVICES, overrides)


def test_the_widest_networks_that_are_imported() -> None:
    pairs = address_pairs(ranges(), SERVICES, {"0.0.0.0/1": "us-east-1", "2600::/16": "us-west-2"})
    assert 4_000_000 < len(import_document(pairs)) <= LARGEST_IMPORT == 5 * 2**20


@pytest.mark.parametrize(
    "text", ["", "[]", '{"data": [{"key": 1}]}', '{"data": [{"key": "a", "value": 1}]}']
)
def test_what_is_no_store_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is not the store\.json of an earlier run"):
        read_import_document(text)
