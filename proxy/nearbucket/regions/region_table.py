"""The region of an address, by the longest prefix, and sets of networks. Immutable and picklable.

As the VPC user guide ("AWS IP address ranges") and the published list have it: prefixes of
different services overlap and nest. So the longest prefix of the services that count decides.
GLOBAL means "in no region", and hides shorter prefixes like any other row.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nearbucket.errors import ConfigError
from nearbucket.regions.prefix_tree import Prefixes, Tree4, Tree6, groups, grow
from nearbucket.regions.prefixes import (
    BITS,
    network_start,
    packed_address,
    parse_address,
    parse_network,
    prefix_text,
    union,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from nearbucket.regions.ip_ranges import Ranges


@dataclass(frozen=True, slots=True)
class PrefixMatch:
    """The longest prefix that holds an address.

    Attributes:
        region: AWS region name, or None when the prefix belongs to no region.
        prefix: The prefix in CIDR notation.
    """

    region: str | None
    prefix: str


@dataclass(frozen=True, slots=True)
class RegionTable:
    """Address to region, by longest prefix; made by ``build_table``.

    Attributes:
        token: ``Ranges.token``, or None without a list.
        created: ``Ranges.created``, or None without a list.
        prefixes_v4: Number of IPv4 prefixes in the table, overrides included.
        prefixes_v6: Number of IPv6 prefixes, likewise.
        skipped: ``Ranges.skipped_rows``.
        built_in: ``Ranges.date`` if the list is the built-in one, otherwise empty.
    """

    token: int | None
    created: str | None
    prefixes_v4: int
    prefixes_v6: int
    skipped: int
    built_in: str
    _by_length: Mapping[int, tuple[tuple[int, Mapping[int, str | None]], ...]] = field(repr=False)
    # The same as trees. Neither shown nor compared: their shared tuples would be visited once
    # for each place that they stand in, which takes for ever.
    _tree4: Tree4 = field(repr=False, compare=False)
    _tree6: Tree6 = field(repr=False, compare=False)

    def region_of(self, packed: bytes) -> str | None:
        """Region of an address; None if it is not listed, or in no region.

        Args:
            packed: 4 or 16 bytes, as ``packed_address`` gives them.
        """
        # Without loops and calls for speed (bench/redirect/lookup.py). type() is cheaper than
        # isinstance(), but mypy does not narrow by it.
        if len(packed) == 4:  # noqa: PLR2004  # bytes of an IPv4 address
            four = self._tree4[packed[0]][packed[1]]
            return four[packed[2]][packed[3]] if type(four) is tuple else four  # type: ignore[return-value]
        six = self._tree6[packed[0]][packed[1]]
        if six is None:
            return None
        rest = six[packed[2]][packed[3]][packed[4]]
        if type(rest) is not tuple:
            return rest  # type: ignore[return-value]
        found = rest[packed[5]][packed[6]][packed[7]]
        if found is not ...:
            return found
        match = self._longest(6, int.from_bytes(packed, "big"))  # prefixes longer than /64
        return match.region if match else None

    def region(self, address: str) -> str | None:
        """Region of an address as text; None also if it is not an address."""
        packed = packed_address(address)
        return None if packed is None else self.region_of(packed)

    def match(self, address: str) -> PrefixMatch | None:
        """The longest prefix that holds an address, or None. Slower than ``region``."""
        parsed = parse_address(address)
        return None if parsed is None else self._longest(*parsed)

    def _longest(self, family: int, value: int) -> PrefixMatch | None:
        for length, regions in self._by_length[family]:
            first = network_start(family, value, length)
            if first in regions:
                return PrefixMatch(regions[first], prefix_text(family, first, length))
        return None

    def parts(self) -> Iterator[object]:
        """The objects of the table in small groups, each before those that contain it.

        Pickled in this order by one pickler, each takes little time to read.
        """
        for levels in self._by_length.values():
            yield from (regions for _, regions in levels)
        yield from groups(self._tree4)
        yield from groups(self._tree6)


@dataclass(frozen=True, slots=True)
class NetworkSet:
    """A set of networks that can be asked whether it holds an address."""

    # Starts and ends of the networks in turn, as packed addresses, which sort as numbers do.
    # They are bisected: most sets are empty or small.
    _bounds4: tuple[bytes, ...]
    _bounds6: tuple[bytes, ...]

    def holds_packed(self, packed: bytes) -> bool:
        """Whether the set holds an address of 4 or 16 bytes (``packed_address``)."""
        bounds = self._bounds4 if len(packed) == 4 else self._bounds6  # noqa: PLR2004  # as above
        return bisect_right(bounds, packed) % 2 == 1

    def holds(self, address: str) -> bool:
        """Whether the set holds an address as text; False if it is not an address."""
        packed = packed_address(address)
        return packed is not None and self.holds_packed(packed)


def build_table(
    ranges: Ranges | None, services: Collection[str], overrides: Mapping[str, str | None]
) -> RegionTable:
    """The table of the rows of some services, with the operator's overrides.

    An override replaces a listed prefix of the same length. A prefix that is listed for two regions
    (no published list has one) is in no region, so that its clients are served from the origin.

    Args:
        ranges: The list, or None if there is none yet.
        services: Service labels of the rows to use.
        overrides: Network to region, or to None for no region.

    Raises:
        ConfigError: An override is not a network.
    """
    return _table(ranges, used_prefixes(ranges, services, overrides))


def used_prefixes(
    ranges: Ranges | None, services: Collection[str], overrides: Mapping[str, str | None]
) -> dict[int, Prefixes]:
    """The prefixes of ``build_table`` with the same arguments, by family."""
    wanted = frozenset(services)
    networks: dict[int, Prefixes] = {4: {}, 6: {}}
    for family, first, length, region, service, _ in ranges.rows if ranges else ():
        if service in wanted:
            known = networks[family]
            if known.setdefault((first, length), region) != region:
                known[first, length] = None
    for text, region in overrides.items():
        family, first, length = _network(text, "regions.overrides: ")
        networks[family][first, length] = region
    return networks


def regions_of(
    ranges: Ranges, services: Collection[str], overrides: Mapping[str, str | None]
) -> set[str | None]:
    """The regions in the table that ``build_table`` makes of the same arguments."""
    wanted = frozenset(services)
    return {row.region for row in ranges.rows if row.service in wanted} | set(overrides.values())


def networks_of(ranges: Ranges, service: str) -> NetworkSet:
    """The networks that are listed for one service, in any region."""
    return _network_set(row[:3] for row in ranges.rows if row.service == service)


def network_set(texts: Iterable[str]) -> NetworkSet:
    """A set of networks and addresses.

    Raises:
        ConfigError: A text is not a network.
    """
    return _network_set(_network(text) for text in texts)


def _network(text: str, where: str = "") -> tuple[int, int, int]:
    parsed = parse_network(text)
    if parsed is None:
        raise ConfigError(f"{where}{text!r} is not a network such as 192.0.2.0/24")
    return parsed


def _network_set(networks: Iterable[tuple[int, int, int]]) -> NetworkSet:
    listed: dict[int, list[tuple[int, int]]] = {4: [], 6: []}
    for family, first, length in networks:
        listed[family].append((first, length))
    return NetworkSet(*(_packed(family, union(family, each)) for family, each in listed.items()))


def _packed(family: int, bounds: Iterable[int]) -> tuple[bytes, ...]:
    """Bounds as packed addresses, without one past the last address of all."""
    bits = BITS[family]
    return tuple(bound.to_bytes(bits // 8, "big") for bound in bounds if not bound >> bits)


def _table(ranges: Ranges | None, networks: Mapping[int, Prefixes]) -> RegionTable:
    v4, v6 = networks[4], networks[6]
    return RegionTable(
        token=ranges.token if ranges else None,
        created=ranges.created if ranges else None,
        prefixes_v4=len(v4),
        prefixes_v6=len(v6),
        skipped=ranges.skipped_rows if ranges else 0,
        built_in=ranges.date if ranges and ranges.built_in else "",
        _tree4=grow(4, v4),
        _tree6=grow(6, v6),
        _by_length={family: _levels(known) for family, known in networks.items()},
    )


def _levels(known: Prefixes) -> tuple[tuple[int, dict[int, str | None]], ...]:
    """Prefixes by length, longest first, for ``RegionTable.match``."""
    levels: dict[int, dict[int, str | None]] = {}
    for (first, length), region in known.items():
        levels.setdefault(length, {})[first] = region
    return tuple(sorted(levels.items(), reverse=True))
