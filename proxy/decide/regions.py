"""Addresses to regions: an immutable longest-prefix table over AWS's published ranges.

In: ``Ranges``, the counted services and the operator's overrides; then one address text at a
time. Out: ``RegionTable`` (address to region) and ``NetworkSet`` (address to yes or no), both
picklable. Refuses to know where the list came from, how old it is, and what anybody does with
a region. ``Ranges`` and ``read_ranges`` are the other half of this face; they live in
``ranges.py``.

The rules, from the VPC user guide ("AWS IP address ranges") and the published list: labels
overlap on purpose and prefixes nest, so the longest prefix of a counted service decides; GLOBAL
means "in no region" and shadows like any other row.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from socket import AF_INET, AF_INET6, inet_pton
from typing import TYPE_CHECKING

from proxy.decide.model import ConfigError, Match
from proxy.decide.prefixes import (
    BITS,
    MAPPED_FIRST,
    flatten,
    network_start,
    parse_address,
    parse_network,
    prefix_text,
)
from proxy.decide.ranges import Ranges, Row, read_ranges

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    _Networks = dict[tuple[int, int], str | None]
    """First address and length of each prefix of one family, to its region."""

__all__ = [
    "NetworkSet",
    "Ranges",
    "RegionTable",
    "Row",
    "build_table",
    "network_set",
    "networks_of",
    "read_ranges",
]


@dataclass(frozen=True, slots=True)
class RegionTable:
    """Address to region, by longest prefix. Immutable and picklable; made by ``build_table``.

    Attributes:
        token: ``Ranges.token``, or None for a table without a list.
        created: ``Ranges.created``, or None for a table without a list.
        prefixes_v4: Distinct IPv4 prefixes that decide, overrides included.
        prefixes_v6: The same for IPv6.
        skipped: ``Ranges.skipped_rows``.
    """

    token: int | None
    created: str | None
    prefixes_v4: int
    prefixes_v6: int
    skipped: int
    # Interval starts as packed bytes, which sort as the numbers do and save the conversion a
    # lookup. The IPv6 intervals include ::ffff:0:0/96 with a copy of IPv4's, so that mapped
    # addresses need no test of their own.
    _starts4: tuple[bytes, ...]
    _regions4: tuple[str | None, ...]
    _starts6: tuple[bytes, ...]
    _regions6: tuple[str | None, ...]
    _by_length: Mapping[int, tuple[tuple[int, Mapping[int, str | None]], ...]]

    def region(self, address: str) -> str | None:
        """Region of an address, or None: outside, in no region, or not an address at all.

        IPv4-mapped IPv6 counts as IPv4. Never raises, whatever the text.
        """
        try:
            if ":" in address:
                return self._regions6[bisect_right(self._starts6, inet_pton(AF_INET6, address))]
            return self._regions4[bisect_right(self._starts4, inet_pton(AF_INET, address))]
        except (OSError, ValueError, TypeError):
            return None

    def match(self, address: str) -> Match | None:
        """The longest prefix that holds an address, or None; slower than ``region``."""
        parsed = parse_address(address)
        if parsed is None:
            return None
        family, value = parsed
        for length, regions in self._by_length[family]:
            first = network_start(family, value, length)
            if first in regions:
                return Match(regions[first], prefix_text(family, first, length))
        return None


@dataclass(frozen=True, slots=True)
class NetworkSet:
    """Networks to ask whether one of them holds an address. Immutable and picklable."""

    _table: RegionTable

    def holds(self, address: str) -> bool:
        """Whether a network holds the address; same reading as ``RegionTable.region``."""
        return self._table.region(address) is not None


def build_table(
    ranges: Ranges | None, services: Collection[str], overrides: Mapping[str, str | None]
) -> RegionTable:
    """The table of the rows whose service counts, under the operator's overrides.

    Overrides compete by length and win ties. One prefix listed for two regions (no published
    list has one) belongs to none: doubt is served from the origin.

    Args:
        ranges: The list, or None when there is none yet.
        services: Service labels that count.
        overrides: Network to region, or to None for no region.

    Raises:
        ConfigError: An override is not a network.
    """
    wanted = frozenset(services)
    networks: dict[int, _Networks] = {4: {}, 6: {}}
    for family, first, length, region, service, _ in ranges.rows if ranges else ():
        if service in wanted:
            known = networks[family]
            if known.setdefault((first, length), region) != region:
                known[first, length] = None
    for text, region in overrides.items():
        family, first, length = _network(text, "regions.overrides: ")
        networks[family][first, length] = region
    return _table(ranges, networks)


def networks_of(ranges: Ranges, service: str) -> NetworkSet:
    """The networks that the list gives to one service, whatever their region."""
    return _network_set(row[:3] for row in ranges.rows if row.service == service)


def network_set(texts: Iterable[str]) -> NetworkSet:
    """The networks, or single addresses, written in ``texts``.

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
    known: dict[int, _Networks] = {4: {}, 6: {}}
    for family, first, length in networks:
        known[family][first, length] = "held"
    return NetworkSet(_table(None, known))


def _table(ranges: Ranges | None, networks: Mapping[int, _Networks]) -> RegionTable:
    v4, v6 = networks[4], networks[6]
    starts4, regions4 = flatten(BITS[4], v4)
    offset = BITS[6] - BITS[4]
    mapped = {(MAPPED_FIRST + first, offset + length): name for (first, length), name in v4.items()}
    # No IPv6 prefix speaks for mapped addresses, not even an override of ::/0.
    starts6, regions6 = flatten(BITS[6], {**v6, (MAPPED_FIRST, offset): None, **mapped})
    return RegionTable(
        token=ranges.token if ranges else None,
        created=ranges.created if ranges else None,
        prefixes_v4=len(v4),
        prefixes_v6=len(v6),
        skipped=ranges.skipped_rows if ranges else 0,
        _starts4=tuple(start.to_bytes(4, "big") for start in starts4),
        _regions4=tuple(regions4),
        _starts6=tuple(start.to_bytes(16, "big") for start in starts6),
        _regions6=tuple(regions6),
        _by_length={family: _levels(known) for family, known in networks.items()},
    )


def _levels(known: _Networks) -> tuple[tuple[int, dict[int, str | None]], ...]:
    """Prefixes by length, longest first, for ``RegionTable.match``."""
    levels: dict[int, dict[int, str | None]] = {}
    for (first, length), region in known.items():
        levels.setdefault(length, {})[first] = region
    return tuple(sorted(levels.items(), reverse=True))
