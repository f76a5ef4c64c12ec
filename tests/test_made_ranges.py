"""The synthetic list is what its generator makes, and has all kinds of rows of AWS's."""

from __future__ import annotations

import ipaddress
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest

from nearbucket.regions.ip_ranges import read_ranges
from tests import made_ranges
from tests.made_ranges import KINDS4, KINDS6, REGIONS, UNASSIGNED, Network, made_list
from tests.ranges_lists import MADE, PUBLISHED, RangesList, each_list, needs_published

if TYPE_CHECKING:
    from nearbucket.regions.ip_ranges import PrefixRow

FAMILIES = pytest.mark.parametrize("family", [4, 6], ids=["IPv4", "IPv6"])


def kinds(ranges_list: RangesList, family: int) -> Counter[tuple[str, str]]:
    """How many prefixes there are of each kind: as ``made_ranges.Kind`` has them, and inside."""
    rows: dict[Network, list[PrefixRow]] = defaultdict(list)
    for row in ranges_list.ranges.rows:
        if row.family == family:
            rows[ipaddress.ip_network(row.prefix)].append(row)
    names = {network: _name(found) for network, found in rows.items()}
    return Counter((name, _kind_around(network, names)) for network, name in names.items())


def _name(rows: list[PrefixRow]) -> str:
    region, group = rows[0].region, rows[0].border_group
    place = "GLOBAL" if region is None else "region" if region == group else "zone"
    return " ".join((place, *sorted(row.service for row in rows)))


def _kind_around(network: Network, names: dict[Network, str]) -> str:
    """The name of the longest prefix that holds this one, if there is one."""
    wider = network
    while wider.prefixlen:
        wider = wider.supernet()
        if wider in names:
            return names[wider]
    return ""


def test_the_committed_list_is_what_the_generator_makes() -> None:
    assert made_list() == made_ranges.MADE.read_bytes(), "run: python -m tests.made_ranges"


@pytest.mark.parametrize("scale", [1, 2])
def test_every_row_is_read_and_no_network_belongs_to_anyone(scale: int) -> None:
    ranges = read_ranges(made_list(scale))
    assert ranges.skipped == ()
    assert len(ranges.rows) > 1000 * scale
    unassigned = [ipaddress.ip_network(each) for each in UNASSIGNED]
    for prefix in {row.prefix for row in ranges.rows}:
        network = ipaddress.ip_network(prefix)
        assert any(made_ranges.inside(network, each) for each in unassigned), prefix


@FAMILIES
def test_it_has_prefixes_of_every_kind_that_its_tables_name(family: int) -> None:
    tables = {
        (f"{kind.place} {kind.services}", kind.inside) for kind in {4: KINDS4, 6: KINDS6}[family]
    }
    assert tables - kinds(MADE, family).keys() == set()


@FAMILIES
@needs_published
def test_it_has_prefixes_of_every_kind_of_the_published_list(family: int) -> None:
    assert kinds(PUBLISHED, family).keys() - kinds(MADE, family).keys() == set()


@FAMILIES
@needs_published
def test_it_has_the_published_lists_prefix_lengths_down_from_the_widest_there_is_room_for(
    family: int,
) -> None:
    made, published = (
        {row.length for row in each.ranges.rows if row.family == family}
        for each in (MADE, PUBLISHED)
    )
    assert {length for length in published - made if family == 6 or length >= 16} == set()


@FAMILIES
@each_list
def test_each_region_has_addresses_of_ec2_in_both_families(
    ranges_list: RangesList, family: int
) -> None:
    rows = ranges_list.ranges.rows
    listed = {row.region for row in rows if row.family == family and row.service == "EC2"}
    assert listed == {*REGIONS, None}


@FAMILIES
@each_list
def test_prefixes_meet_others_of_their_region_and_of_another(
    ranges_list: RangesList, family: int
) -> None:
    bits = 32 if family == 4 else 128
    rows = [row for row in ranges_list.ranges.rows if row.family == family]
    starts = {row.first: row.region for row in rows}
    ends = {row.first + (1 << bits - row.length): row.region for row in rows}
    met = Counter(starts[place] == ends[place] for place in starts.keys() & ends.keys())
    assert min(met[True], met[False]) > 20
