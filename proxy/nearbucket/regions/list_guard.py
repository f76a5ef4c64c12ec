"""Whether a fetched list may replace the one in use: is it newer, and of about the same extent?

What is measured is what a list does here: the addresses that the lookup has a region for, by
``regions.services`` and ``regions.overrides``; those in the region of each target; and those of
CloudFront, if they are trusted. The whole list would not do: one that lost all rows of EC2 covers
the same addresses as before, because those of AMAZON list them, too.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Self

from nearbucket.regions.prefixes import BITS, covered
from nearbucket.regions.region_table import used_prefixes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nearbucket.config.settings import Regions, Settings
    from nearbucket.regions.ip_ranges import Ranges
    from nearbucket.regions.prefix_tree import Prefixes

CLOUDFRONT = "CLOUDFRONT_ORIGIN_FACING"
"""Service label of CloudFront's addresses towards origins (``cloudfront`` in the settings)."""

_DAY = 86400
_MOST = {4: 2**29, 6: 2**108}
"""Addresses that no list of AWS's has: 7 and 200 times those of the list of 2026-07-29."""

_ALLOWANCE_DAYS = 90
"""For each so many days between two lists, they may differ once more by as much."""


class RefreshResult(StrEnum):
    """How a refresh ended: the label of ``nearbucket_ranges_refreshes_total``."""

    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    INVALID = "invalid"
    OLDER = "older"
    FUTURE = "future"
    SHRUNK = "shrunk"
    GROWN = "grown"

    @property
    def good(self) -> bool:
        """Whether the source has confirmed the list in use."""
        return self in (RefreshResult.UPDATED, RefreshResult.UNCHANGED)


class Refusal(NamedTuple):
    """Why a list is not used: the result of the refresh, and a text."""

    result: RefreshResult
    text: str


@dataclass(frozen=True, slots=True)
class RangesUse:
    """What a configuration uses of a list.

    Attributes:
        services: Service labels whose rows count.
        overrides: Network to region, or to None for no region.
        regions: Regions of targets.
        cloudfront: Whether CloudFront's addresses are trusted as proxies.
    """

    services: tuple[str, ...]
    overrides: Mapping[str, str | None]
    regions: frozenset[str] = frozenset()
    cloudfront: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The use of a whole configuration."""
        regions = frozenset(region for site in settings.sites for region in site.targets)
        trusted = "cloudfront" in settings.client_address.trusted_proxies
        return cls(settings.regions.services, settings.regions.overrides, regions, trusted)

    @classmethod
    def of_section(cls, regions: Regions) -> Self:
        """The use of the section ``regions`` alone."""
        return cls(regions.services, regions.overrides)


class _Extent(NamedTuple):
    """Number of addresses of one family, and how much it may change between two lists.

    Attributes:
        family: 4 or 6.
        what: What they are listed for.
        addresses: Number of addresses, each counted once.
        least: How many of a hundred may be left.
        more: How many for each hundred may be added in 90 days.
    """

    family: int
    what: str
    addresses: int
    least: int
    more: int


def refusal(current: Ranges | None, fresh: Ranges, use: RangesUse, now: float) -> Refusal | None:
    """Why a list may not replace the one in use, or None. Takes 30 ms of CPU time.

    Args:
        current: The list in use, or None.
        fresh: The fetched list, which has another token.
        use: What is used of it.
        now: Unix time.
    """
    if _is_future(fresh, now):
        return Refusal(
            RefreshResult.FUTURE,
            f"its token {fresh.token} is a time in the future ({_date(fresh.token)}), so every "
            "later list would count as older, or the clock of this machine is wrong",
        )
    # of the list alone: an override may be as wide as fd00::/8
    for extent in _extents(fresh, replace(use, overrides={})):
        if extent.addresses > _MOST[extent.family]:
            percent = 100 * extent.addresses / 2 ** BITS[extent.family]
            text = f"list {fresh.token} covers {percent:.2g} % of all IPv{extent.family} addresses"
            return Refusal(RefreshResult.GROWN, f"{text} for {extent.what}")
    if current is None or _is_future(current, now):
        return None  # a token in the future says nothing about other lists
    if fresh.token < current.token:
        text = f"its token {fresh.token} is older than {current.token}, in use"
        return Refusal(RefreshResult.OLDER, text)
    days = (fresh.token - current.token) / _DAY
    for now_, then in zip(_extents(fresh, use), _extents(current, use), strict=True):
        if found := _changed(then, now_, 1 + days / _ALLOWANCE_DAYS):
            return Refusal(found[0], f"list {fresh.token} covers {found[1]} than the one in use")
    return None


def _is_future(ranges: Ranges, now: float) -> bool:
    """A day is left for clocks that are wrong and tokens ahead of time."""
    return ranges.token > now + _DAY


def _date(token: int) -> str:
    try:
        return f"{datetime.fromtimestamp(token, UTC):%Y-%m-%d}"
    except (ValueError, OverflowError, OSError):
        return "no date"


def _changed(then: _Extent, now: _Extent, allowance: float) -> tuple[RefreshResult, str] | None:
    """What changed too much. Something that was not listed before may be listed now."""
    old, new = then.addresses, now.addresses
    what = f"IPv{now.family} addresses for {now.what}"
    if new * 100 < old * now.least:
        return RefreshResult.SHRUNK, f"{100 - 100 * new // old} % fewer {what}"
    if old and new > old * (1 + now.more / 100 * allowance):
        return RefreshResult.GROWN, f"{100 * new // old - 100} % more {what}"
    return None


def _extents(ranges: Ranges, use: RangesUse) -> Iterator[_Extent]:
    """The extents of a list, always the same ones in the same order."""
    networks = used_prefixes(ranges, use.services, use.overrides)
    for family, prefixes in networks.items():
        found = addresses_by_region(family, prefixes)
        total = sum(count for region, count in found.items() if region is not None)
        yield _Extent(family, f"{', '.join(use.services)} in all regions", total, 80, 20)
        for region in sorted(use.regions):
            # a region changes more: new ones grow
            yield _Extent(family, f"the target {region}", found[region], 50, 100)
        if use.cloudfront:
            rows = (row[1:3] for row in ranges.rows if row[0] == family and row[4] == CLOUDFRONT)
            yield _Extent(family, f"{CLOUDFRONT} (trusted)", covered(family, rows), 50, 100)


def addresses_by_region(family: int, prefixes: Prefixes) -> Counter[str | None]:
    """For how many addresses the longest prefix has each region."""
    found: Counter[str | None] = Counter()
    around: list[tuple[int, str | None]] = []  # the prefixes that hold this one: end and region
    for (first, length), region in sorted(prefixes.items(), key=lambda item: item[0]):
        size = 1 << BITS[family] - length
        while around and around[-1][0] <= first:
            around.pop()
        if around:
            found[around[-1][1]] -= size
        found[region] += size
        around.append((first + size, region))
    return found
