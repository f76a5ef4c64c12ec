"""Addresses and prefixes as bytes and numbers.

An address is packed once, into 4 or 16 bytes in network order, for all lookups. A prefix is its
family (4 or 6), first address and length as numbers: ``ipaddress`` objects for 16,000 rows
would cost ten times as much as ``read_ranges`` does without them.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BITS = {4: 32, 6: 128}
"""Bits of an address of each family."""

_FAMILIES = {4: AF_INET, 6: AF_INET6}

_MAPPED = 0xFFFF
"""The top 96 bits of an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2)."""

MAPPED_FIRST, MAPPED_LENGTH = _MAPPED << 32, 96
"""``::ffff:0:0/96``."""

_MAPPED_START = _MAPPED.to_bytes(12, "big")
_PACKED4 = 4


def packed_address(text: str) -> bytes | None:
    """A packed address, or None if the text is not an address. IPv4-mapped IPv6 becomes IPv4."""
    try:
        if ":" not in text:
            return inet_pton(AF_INET, text)
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError, TypeError):
        return None
    return packed[12:] if packed.startswith(_MAPPED_START) else packed


def address_text(packed: bytes) -> str:
    """Canonical text of a packed address."""
    return inet_ntop(AF_INET if len(packed) == _PACKED4 else AF_INET6, packed)


def parse_address(text: str) -> tuple[int, int] | None:
    """Family and number of an address; otherwise as ``packed_address``."""
    packed = packed_address(text)
    if packed is None:
        return None
    return (4 if len(packed) == _PACKED4 else 6), int.from_bytes(packed, "big")


def parse_network(text: str) -> tuple[int, int, int] | None:
    """Family, first address and length of a network, or None if the text is not a network.

    Host bits are cleared, an address is a network of its own, and a network inside
    ``::ffff:0:0/96`` becomes the IPv4 network that it stands for.
    """
    address, slash, digits = text.partition("/")
    family = 6 if ":" in address else 4
    bits = BITS[family]
    if slash and not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(bits))):
        return None
    length = int(digits) if slash else bits
    if length > bits:
        return None
    try:
        packed = inet_pton(_FAMILIES[family], address)
    except (OSError, ValueError):
        return None
    first = network_start(family, int.from_bytes(packed, "big"), length)
    if length >= MAPPED_LENGTH and first >> 32 == _MAPPED:
        return 4, first - MAPPED_FIRST, length - MAPPED_LENGTH
    return family, first, length


def network_start(family: int, value: int, length: int) -> int:
    """First address of the network of ``length`` bits that holds the address ``value``."""
    shift = BITS[family] - length
    return value >> shift << shift


def prefix_text(family: int, first: int, length: int) -> str:
    """CIDR notation of a prefix."""
    packed = first.to_bytes(BITS[family] // 8, "big")
    return f"{inet_ntop(_FAMILIES[family], packed)}/{length}"


def union(family: int, prefixes: Iterable[tuple[int, int]]) -> list[int]:
    """Sorted bounds of what the prefixes cover: first address, one past the last, and so on.

    Args:
        family: 4 or 6.
        prefixes: First address and length of each, in any order, nested or repeated.
    """
    bits, bounds = BITS[family], list[int]()
    for first, length in sorted(set(prefixes)):
        end = first + (1 << bits - length)
        if not bounds or first > bounds[-1]:
            bounds += (first, end)
        elif end > bounds[-1]:
            bounds[-1] = end
    return bounds


def covered(family: int, prefixes: Iterable[tuple[int, int]]) -> int:
    """Number of addresses that the prefixes cover, each counted once."""
    bounds = union(family, prefixes)
    return sum(bounds[1::2]) - sum(bounds[::2])
