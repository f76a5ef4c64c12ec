"""The tree of prefixes is exact at the edges of every level.

Prefixes of all lengths, above, at and below the levels where a walk stops, alone and nested; each
edge is asked in every way to write it, and a scan of all prefixes says what is right.
"""

from __future__ import annotations

import ipaddress
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.regions.prefix_tree import groups, grow
from nearbucket.regions.prefixes import BITS, MAPPED_FIRST, packed_address, prefix_text
from nearbucket.regions.region_table import NetworkSet, RegionTable, build_table, network_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Place = tuple[int, int, int]
"""Family, first address and length of a prefix."""

BASES = {
    4: [0, (1 << 32) - 1, 0xC633_6407, 0x0A80_FF00],
    6: [0, (1 << 128) - 1, 0x2600_1F18_4A3B_6902_9DF1_2D4E_68B4_A171, MAPPED_FIRST + (1 << 32)],
}
"""Both ends of the space, places inside, and the first address past the mapped ones."""

AROUND_STOPS = {4: (0, 8, 15, 16, 17, 24, 31, 32), 6: (0, 16, 17, 39, 40, 41, 63, 64, 65, 96, 128)}


def place(family: int, address: int, length: int) -> Place:
    shift = BITS[family] - length
    return family, address >> shift << shift, length


def edges(places: Iterable[Place]) -> Iterator[tuple[int, int]]:
    """First and last address of each prefix, and those one past them."""
    for family, first, length in places:
        end = first + (1 << BITS[family] - length)
        for value in {first - 1, first, end - 1, end}:
            if 0 <= value < 1 << BITS[family]:
                yield family, value


def texts(family: int, value: int) -> list[str]:
    """The ways to write an address; IPv4 also mapped, in dots and in hexadecimal."""
    if family == 4:
        dotted = str(ipaddress.IPv4Address(value))
        return [dotted, f"::ffff:{dotted}", f"::FFFF:{value >> 16:X}:{value & 0xFFFF:x}"]
    address = ipaddress.IPv6Address(value)
    tail = ipaddress.IPv4Address(value & 0xFFFF_FFFF)
    return [str(address), address.exploded.upper(), f"{address.exploded[:29]}:{tail}"]


def scan(places: dict[Place, str | None], family: int, value: int) -> str | None:
    """Region of the longest prefix; a mapped address is its IPv4 address and nothing else."""
    if family == 6 and value >> 32 == 0xFFFF:
        family, value = 4, value - MAPPED_FIRST
    held = [each for each in places if each[0] == family and each == place(family, value, each[2])]
    return places[max(held, key=lambda each: each[2])] if held else None


def table_of(places: dict[Place, str | None]) -> RegionTable:
    return build_table(None, [], {prefix_text(*each): name for each, name in places.items()})


def set_of(places: Iterable[Place]) -> NetworkSet:
    return network_set(prefix_text(*each) for each in places)


def check(places: dict[Place, str | None], asked: Iterable[tuple[int, int]]) -> None:
    """Table, match and set, asked by text and packed, agree with a scan about some addresses."""
    table, networks = table_of(places), set_of(places)
    held: dict[Place, str | None] = dict.fromkeys(places, "held")
    for family, value in asked:
        region = scan(places, family, value)
        for text in texts(family, value):
            match, packed = table.match(text), packed_address(text)
            assert packed is not None, text
            assert table.region(text) == table.region_of(packed) == region, text
            assert (match.region if match else None) == region, text
            inside = scan(held, family, value) is not None
            assert networks.holds(text) == networks.holds_packed(packed) == inside, text


@pytest.mark.parametrize("family", [4, 6])
def test_a_prefix_of_any_length_is_exact_at_its_edges(family: int) -> None:
    for length in range(BITS[family] + 1):
        for base in BASES[family]:
            one = place(family, base, length)
            if family == 6 and length >= 96 and one[1] >> 32 == 0xFFFF:
                continue  # it is an IPv4 prefix
            check({one: "eu-west-1"}, edges([one]))


@pytest.mark.parametrize("region", ["us-east-1", None], ids=["another-region", "in-no-region"])
@pytest.mark.parametrize("family", [4, 6])
def test_a_prefix_inside_another_is_exact_at_the_edges_of_both(
    family: int, region: str | None
) -> None:
    base = BASES[family][2]
    for outer in AROUND_STOPS[family]:
        for inner in (length for length in AROUND_STOPS[family] if length > outer):
            pair = {place(family, base, outer): "eu-west-1", place(family, base, inner): region}
            check(pair, edges(pair))


@pytest.mark.parametrize("family", [4, 6])
def test_prefixes_inside_one_another_at_every_level_are_exact(family: int) -> None:
    base = BASES[family][2]
    nest: dict[Place, str | None] = {
        place(family, base, length): f"r-{length}" for length in range(BITS[family] + 1)
    }
    check(nest, edges(nest))


ANYWHERE = st.one_of(
    *(
        st.builds(
            place,
            st.just(family),
            # Few different bytes, so that prefixes meet, nest and touch.
            st.lists(st.sampled_from([0, 0, 1, 128, 255]), min_size=size, max_size=size).map(
                lambda found: int.from_bytes(bytes(found))
            ),
            st.integers(0, BITS[family]),
        )
        for family, size in ((4, 4), (6, 16))
    )
)
NOT_MAPPED = ANYWHERE.filter(lambda each: each[0] == 4 or each[2] < 96 or each[1] >> 32 != 0xFFFF)


@given(
    places=st.dictionaries(
        NOT_MAPPED, st.sampled_from([None, "eu-west-1", "us-east-1"]), max_size=12
    ),
    others=st.lists(ANYWHERE, max_size=4),
)
def test_any_prefixes_are_exact_at_the_edges_of_all(
    places: dict[Place, str | None], others: list[Place]
) -> None:
    check(places, edges([*places, *others]))


@pytest.mark.parametrize("prefix", ["2001:db8::/65", "2001:db8::5/128", "2001:db8::/96"])
def test_beside_a_prefix_longer_than_the_tree_is_deep_the_one_around_it_counts(prefix: str) -> None:
    table = build_table(None, [], {"2001:db8::/48": "eu-west-1", prefix: "us-east-1"})
    assert table.region("2001:db8::5") == "us-east-1"
    assert table.region("2001:db8:0:0:8000::5") == "eu-west-1"
    assert table.region("2001:db8:0:1::5") == "eu-west-1"


@pytest.mark.parametrize(
    ("networks", "mapped", "held"),
    [
        (["::/0"], "::ffff:192.0.2.1", False),
        (["::/79"], "::ffff:0.0.0.0", False),
        (["::/0", "192.0.2.0/24"], "::ffff:192.0.2.1", True),
        (["::/0", "192.0.2.0/24"], "::ffff:192.0.3.0", False),
        (["0.0.0.0/0"], "::ffff:255.255.255.255", True),
        (["::ffff:0:0/96"], "192.0.2.1", True),
    ],
)
def test_only_ipv4_networks_hold_mapped_addresses(
    networks: list[str], mapped: str, *, held: bool
) -> None:
    assert network_set(networks).holds(mapped) == held
    reaches_over = any(network.startswith("::/") for network in networks)
    for beside in ("::fffe:ffff:ffff", "::1:0:0:0"):
        assert network_set(networks).holds(beside) == reaches_over


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "", "junk"])
def test_no_networks_hold_nothing(address: str) -> None:
    assert not network_set([]).holds(address)


@pytest.mark.parametrize("family", [4, 6])
def test_no_prefix_up_to_the_depth_of_the_tree_is_looked_for_beside_it(family: int) -> None:
    base, deepest = BASES[family][2], min(BITS[family], 64)
    for length in range(1, deepest + 1):
        one = place(family, base, length)
        bare = replace(table_of({one: "eu-west-1"}), _by_length={})
        for _, value in edges([one]):
            if family == 4 or value >> 32 != 0xFFFF:  # mapped addresses are IPv4
                text = texts(family, value)[0]
                assert bare.region(text) == scan({one: "eu-west-1"}, family, value), text


def test_a_table_shows_itself_in_one_line() -> None:
    assert len(repr(table_of({place(6, BASES[6][2], 40): "eu-west-1"}))) < 100


def test_a_tree_that_was_sent_is_the_same_tree() -> None:
    places = {place(6, BASES[6][2], length): f"r-{length}" for length in (32, 40, 64, 128)}
    table = table_of({**places, place(4, BASES[4][2], 20): "eu-west-1"})
    sent: RegionTable = pickle.loads(pickle.dumps(table))  # noqa: S301 -- our own bytes
    for family, value in edges([*places, place(4, BASES[4][2], 20)]):
        for text in texts(family, value):
            assert sent.region(text) == table.region(text)


def nodes(tree: object) -> dict[int, tuple[object, ...]]:
    """Every tuple of a tree, by identity."""
    found: dict[int, tuple[object, ...]] = {}
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple) and id(node) not in found:
            found[id(node)] = node
            waiting += node
    return found


@pytest.mark.parametrize("family", [4, 6])
def test_groups_have_every_tuple_of_a_tree_once_after_those_inside_it(family: int) -> None:
    base = BASES[family][2]
    tree = grow(
        family,
        {place(family, base, length)[1:]: f"r-{length}" for length in range(1, BITS[family] + 1)},
    )
    order = [node for group in groups(tree) for node in group]
    assert {id(node) for node in order} == set(nodes(tree))
    assert len(order) == len(nodes(tree)) > 3
    seen: set[int] = set()
    for node in order:
        assert all(id(each) in seen for each in node if isinstance(each, tuple))
        seen.add(id(node))
    assert order[-1] is tree
    assert max(map(len, groups(tree))) <= 32
