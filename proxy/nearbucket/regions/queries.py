"""Questions about lists, for ``nearbucket lookup``, ``ranges diff`` and warnings."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nearbucket.config.value_types import nearest
from nearbucket.regions.prefixes import covered, network_start, parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearbucket.regions.ip_ranges import PrefixRow, Ranges


@dataclass(frozen=True, slots=True)
class AddressDetails:
    """What the list says about an address, under all services.

    Attributes:
        address: The address as given.
        region: Region of the longest prefix, or None (GLOBAL, not listed, not an address).
        prefix: The longest prefix in CIDR notation, or None if it is not listed.
        services: Services of all rows that hold the address, sorted.
        border_groups: Network border groups of the longest prefix, sorted.
        rows: All rows that hold the address, longest prefix first.
    """

    address: str
    region: str | None
    prefix: str | None
    services: tuple[str, ...]
    border_groups: tuple[str, ...]
    rows: tuple[PrefixRow, ...]


@dataclass(frozen=True, slots=True)
class RegionChange:
    """Numbers of addresses of one region (None for GLOBAL) in the old and in the new list."""

    region: str | None
    v4_before: int
    v4_after: int
    v6_before: int
    v6_after: int

    @property
    def changed(self) -> bool:
        """Whether any count differs."""
        return (self.v4_before, self.v6_before) != (self.v4_after, self.v6_after)


@dataclass(frozen=True, slots=True)
class RangesDifference:
    """What changed from one list to another.

    Attributes:
        old_token: ``syncToken`` of the old list.
        new_token: ``syncToken`` of the new list.
        added: Rows that only the new list has, sorted by address.
        removed: Rows that only the old list has, sorted by address. A prefix that has moved to
            another region is in both.
        regions: Every region of either list, sorted by name, GLOBAL last.
    """

    old_token: int
    new_token: int
    added: tuple[PrefixRow, ...]
    removed: tuple[PrefixRow, ...]
    regions: tuple[RegionChange, ...]


class RowIndex:
    """The rows of a list by prefix: a lookup takes one dictionary access for each length."""

    def __init__(self, ranges: Ranges) -> None:
        levels: dict[int, dict[int, dict[int, list[PrefixRow]]]] = {4: {}, 6: {}}
        for row in ranges.rows:
            level = levels[row.family].setdefault(row.length, {})
            level.setdefault(row.first, []).append(row)
        self._levels = {family: sorted(level.items())[::-1] for family, level in levels.items()}

    def rows(self, address: str) -> tuple[PrefixRow, ...]:
        """Every row whose prefix holds the address, longest prefix first."""
        parsed = parse_address(address)
        if parsed is None:
            return ()
        family, value = parsed
        found: list[PrefixRow] = []
        for length, level in self._levels[family]:
            found += level.get(network_start(family, value, length), ())
        return tuple(found)

    def details(self, address: str) -> AddressDetails:
        """What the list says about an address; a text that is not one is not listed."""
        rows = self.rows(address)
        longest = [row for row in rows if row.length == rows[0].length]
        return AddressDetails(
            address=address,
            region=rows[0].region if rows else None,
            prefix=rows[0].prefix if rows else None,
            services=tuple(sorted({row.service for row in rows})),
            border_groups=tuple(sorted({row.border_group for row in longest})),
            rows=rows,
        )


def difference(old: Ranges, new: Ranges) -> RangesDifference:
    """Rows added and removed, and the addresses of each region before and after."""
    before, after = frozenset(old.rows), frozenset(new.rows)
    v4_old, v4_new = _by_region(old, 4), _by_region(new, 4)
    v6_old, v6_new = _by_region(old, 6), _by_region(new, 6)
    regions = {row.region for row in before | after}
    return RangesDifference(
        old_token=old.token,
        new_token=new.token,
        added=tuple(sorted(after - before, key=_order)),
        removed=tuple(sorted(before - after, key=_order)),
        regions=tuple(
            RegionChange(
                region,
                v4_old.get(region, 0),
                v4_new.get(region, 0),
                v6_old.get(region, 0),
                v6_new.get(region, 0),
            )
            for region in sorted(regions, key=lambda name: (name is None, name or ""))
        ),
    )


def _order(row: PrefixRow) -> tuple[int, int, int, str, str]:
    return row.family, row.first, row.length, row.service, row.region or ""


def _by_region(ranges: Ranges, family: int) -> Mapping[str | None, int]:
    """Number of addresses that the prefixes of each region cover, each counted once."""
    prefixes: defaultdict[str | None, list[tuple[int, int]]] = defaultdict(list)
    for row in ranges.rows:
        if row.family == family:
            prefixes[row.region].append((row.first, row.length))
    return {region: covered(family, known) for region, known in prefixes.items()}


def unlisted_services(services: Iterable[str], ranges: Ranges) -> dict[str, str]:
    """The service labels that a list does not have, each with the one that may be meant."""
    listed = sorted({row.service for row in ranges.rows})
    return {
        each: f"did you mean {near}?"
        if (near := nearest(each, listed))
        else f"it has {', '.join(listed)}"
        for each in services
        if each not in listed
    }
