"""Addresses of clients, from a list of prefixes in AWS's form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

VPC = ip_network("10.20.0.0/16")
"""A network inside the VPC, which ``regions.overrides`` gives to us-west-2."""
OUTSIDE = ip_network("203.0.113.0/24")
"""A documentation network that no list has."""

WEST, EAST = "us-west-2", "us-east-1"


@dataclass(frozen=True)
class Networks:
    """Networks whose every address is of one region.

    Attributes:
        by_name: By the region, or ``ipv6`` (of us-west-2), ``vpc`` and ``outside``.
    """

    by_name: Mapping[str, IPv4Network | IPv6Network]

    @classmethod
    def of(cls, path: Path) -> Networks:
        """Choose networks from a list."""
        rows = json.loads(path.read_text(encoding="utf-8"))
        v4 = [(ip_network(each["ip_prefix"]), each) for each in rows["prefixes"]]
        v6 = [(ip_network(each["ipv6_prefix"]), each) for each in rows["ipv6_prefixes"]]
        chosen = {region: _undivided(v4, region) for region in (WEST, EAST)}
        return cls(chosen | {"ipv6": _undivided(v6, WEST), "vpc": VPC, "outside": OUTSIDE})

    def address(self, name: str, number: int) -> str:
        """One address, another for each number below 250."""
        return str(self.by_name[name][1 + number % 250])

    def region(self, address: str) -> str:
        """The region of an address given by ``address``; empty outside."""
        return _region(address, tuple(self.by_name.items()))


@cache
def _region(address: str, networks: tuple[tuple[str, IPv4Network | IPv6Network], ...]) -> str:
    found = next(name for name, network in networks if ip_address(address) in network)
    return {"ipv6": WEST, "vpc": WEST, "outside": ""}.get(found, found)


def _undivided(
    rows: list[tuple[IPv4Network | IPv6Network, dict[str, str]]], region: str
) -> IPv4Network | IPv6Network:
    """A network of EC2 in a region without another prefix inside it."""
    candidates = [
        network
        for network, row in rows
        if row["region"] == region and row["service"] == "EC2" and network.num_addresses >= 256
    ]
    taken = [network for network, _ in rows]
    return next(
        network
        for network in sorted(candidates, key=lambda each: -each.prefixlen)
        if not any(other != network and other.subnet_of(network) for other in taken)  # type: ignore[arg-type]
    )
