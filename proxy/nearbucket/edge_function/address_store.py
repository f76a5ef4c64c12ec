"""The prefixes as pairs of a CloudFront KeyValueStore, which has no other question than a key.

A key is ``4`` or ``6`` and the leading hexadecimal digits of an address: 4 in IPv4, 8 in IPv6. Its
value names the regions in that block, each with ranges of the digits that follow::

    "40302": "us-east-1 -00,02-03;us-west-2 44"

A range is ``first-last``, or one text for both; zeros at the end of a first and ``f`` at the end of
a last one are left out. So 3.2.0.0 to 3.2.0.255 and 3.2.2.0 to 3.2.3.255 are in us-east-1 above. A
value that would be too long is ``+``: then the keys with one more digit have the block's parts.

Names of regions are written out, and the whole list is stored. So a store does not depend on which
regions have targets, and function and store can be updated in any order. Addresses of CloudFront
itself are in no region, as in ``Trust``: behind one is another distribution, and not a client.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.edge_function.store_update import import_document
from nearbucket.errors import ConfigError
from nearbucket.regions.list_guard import CLOUDFRONT
from nearbucket.regions.prefixes import BITS, parse_network, union
from nearbucket.regions.region_table import used_prefixes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from nearbucket.regions.ip_ranges import Ranges
    from nearbucket.regions.prefix_tree import Prefixes

LONGEST_VALUE = 1024
"""Bytes of a value (CloudFront developer guide, "Quotas on key value stores")."""
LARGEST_IMPORT = 5 * 1024 * 1024
"""Bytes of a file that a store is made of (CloudFront developer guide, "File format for key-value
pairs"); a store may have as many, without the marks of JSON (the page on quotas)."""
DEEPER = "+"
"""Value of a block whose parts have keys of their own."""

_DIGITS = {4: 4, 6: 8}
_MOST_BLOCKS = LARGEST_IMPORT // 16  # a key and the name of a region
_BITS_OF_DIGIT, _PARTS = 4, 16


class AddressRange(NamedTuple):
    """Addresses of one region.

    Attributes:
        first: The first address, as a number.
        end: One past the last address.
        region: AWS region name.
    """

    first: int
    end: int
    region: str


def address_pairs(
    ranges: Ranges, services: Collection[str], overrides: Mapping[str, str | None]
) -> dict[str, str]:
    """Key to value for the regions that ``build_table`` finds by the same arguments, sorted.

    Raises:
        ConfigError: They do not fit into a store.
    """
    pairs: dict[str, str] = {}
    for family, prefixes in used_prefixes(ranges, services, overrides).items():
        width = BITS[family] - _DIGITS[family] * _BITS_OF_DIGIT
        blocks: defaultdict[int, list[AddressRange]] = defaultdict(list)
        cdn = (row[1:3] for row in ranges.rows if (row[0], row.service) == (family, CLOUDFRONT))
        for each in _without(_flat(family, prefixes), union(family, cdn)):
            numbers = range(each.first >> width, (each.end - 1 >> width) + 1)
            if len(blocks) + len(numbers) > _MOST_BLOCKS:
                raise _too_large(overrides)
            for block in numbers:
                blocks[block].append(each)
        for block, within in blocks.items():
            pairs.update(_block_pairs(family, block, _DIGITS[family], within))
    if len(import_document(pairs)) > LARGEST_IMPORT:
        raise _too_large(overrides)
    return dict(sorted(pairs.items()))


def _too_large(overrides: Mapping[str, str | None]) -> ConfigError:
    """That the pairs do not fit; names the override that needs most of them."""
    problem = f"store.json would have more than the {LARGEST_IMPORT} bytes that CloudFront imports"
    keys = {network: _number_of_keys(network) for network, region in overrides.items() if region}
    if not keys:
        return ConfigError(f"regions.services: {problem}; name fewer services")
    widest = max(keys, key=keys.__getitem__)
    return ConfigError(
        f"regions.overrides.{widest}: {problem}; write narrower networks (this one needs "
        f"{keys[widest]} keys)"
    )


def _number_of_keys(network: str) -> int:
    """Number of the blocks with addresses of a network."""
    parsed = parse_network(network)
    if parsed is None:  # the settings have been checked
        raise AssertionError(network)
    family, _, length = parsed
    return 1 << max(_DIGITS[family] * _BITS_OF_DIGIT - length, 0)


def store_size(pairs: Mapping[str, str]) -> int:
    """Bytes of the keys and values, which are ASCII."""
    return sum(len(key) + len(value) for key, value in pairs.items())


def range_text(first: int, last: int, digits: int) -> str:
    """A range of ``digits`` hexadecimal digits, in the form of a value."""
    low = f"{first:0{digits}x}"[:digits].rstrip("0") if digits else ""
    high = f"{last:0{digits}x}"[:digits].rstrip("f") if digits else ""
    return low if low == high else f"{low}-{high}"


def _flat(family: int, prefixes: Prefixes) -> Iterator[AddressRange]:
    """The ranges of each region, disjoint and sorted: the longest prefix has an address.

    Shorter prefixes that are still open wait on a stack; those of no region hide others.
    """
    last: AddressRange | None = None
    for first, end, region in _pieces(family, prefixes):
        if region is None or first == end:
            continue
        if last is not None and last.end == first and last.region == region:
            last = last._replace(end=end)
            continue
        if last is not None:
            yield last
        last = AddressRange(first, end, region)
    if last is not None:
        yield last


def _without(ranges: Iterator[AddressRange], bounds: Sequence[int]) -> Iterator[AddressRange]:
    """What is left of the ranges outside others, given by their bounds (``union``)."""
    for first, end, region in ranges:
        place = first
        for low, high in zip(bounds[::2], bounds[1::2], strict=True):
            if low < end and high > place:
                if place < low:
                    yield AddressRange(place, low, region)
                place = high
        if place < end:
            yield AddressRange(place, end, region)


def _pieces(family: int, prefixes: Prefixes) -> Iterator[tuple[int, int, str | None]]:
    """First address, end and region of each piece between two bounds of prefixes, sorted."""
    around: list[tuple[int, str | None]] = []  # ends and regions, the outermost first
    place = 0
    past_all = 1 << BITS[family]
    for (first, length), region in [*sorted(prefixes.items()), ((past_all, BITS[family]), None)]:
        while around and around[-1][0] <= first:
            end, outer = around.pop()
            yield place, end, outer
            place = end
        if around:
            yield place, first, around[-1][1]
        place = first
        around.append((first + (1 << BITS[family] - length), region))


def _block_pairs(
    family: int, block: int, digits: int, within: Sequence[AddressRange]
) -> Iterator[tuple[str, str]]:
    """The pairs of one block: its own, or ``DEEPER`` and those of its parts.

    Args:
        family: 4 or 6.
        block: The leading digits, as a number.
        digits: Number of leading digits.
        within: The ranges that have addresses of the block.
    """
    width = BITS[family] - digits * _BITS_OF_DIGIT
    value = _value(block << width, width, within)
    key = f"{family}{block:0{digits}x}"
    if len(value) <= LONGEST_VALUE:
        yield key, value
        return
    yield key, DEEPER
    for part in range(block * _PARTS, (block + 1) * _PARTS):
        low, high = (bound << width - _BITS_OF_DIGIT for bound in (part, part + 1))
        inside = [each for each in within if each.first < high and each.end > low]
        if inside:
            yield from _block_pairs(family, part, digits + 1, inside)


def _value(low: int, width: int, within: Sequence[AddressRange]) -> str:
    """The value of the block of ``width`` bits that begins at ``low``."""
    texts: defaultdict[str, list[str]] = defaultdict(list)
    most = (1 << width) - 1
    for first, end, region in within:
        bounds = max(first - low, 0), min(end - 1 - low, most)
        texts[region].append(range_text(*bounds, width // _BITS_OF_DIGIT))
    return ";".join(f"{region} {','.join(found)}" for region, found in texts.items())
