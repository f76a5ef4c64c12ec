"""An ip-ranges.json built like AWS's, of networks that are not assigned.

``made_list`` returns the document; the same scale always gives the same bytes. ``MADE`` is the
copy of it that is committed, so that tests and people can read it as a file. After a change of
the tables below, ``python -m tests.made_ranges`` writes it again.

AWS's list changes with each release. This one has every kind of row of it (list of
2026-07-29): every set of services that one prefix is listed under, inside every kind of prefix
around it, every prefix length, local and Wavelength zones, the other partitions, and the order of
the rows. `tests/test_made_ranges.py` compares the two. It cannot have prefixes wider than /16 in
IPv4: the widest unassigned network, 198.18.0.0/15, has to hold nearly all of them.

The committed list is about a tenth of AWS's: large enough to have each kind several times and
every region in both families, small enough to be read and reviewed, and loaded in milliseconds
by each server that a test starts.
"""

from __future__ import annotations

import ipaddress
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MADE = Path(__file__).parent / "data" / "ip-ranges.made.json"

SEED = 20260729

REGIONS = (
    *("us-east-1", "us-west-2", "us-east-2", "us-west-1", "eu-central-1", "eu-west-1"),
    *("ap-northeast-1", "ap-southeast-1", "eu-west-2", "ap-southeast-2", "ap-south-1"),
    *("sa-east-1", "ap-northeast-2", "eu-south-1", "eu-west-3", "eu-north-1", "ca-central-1"),
    *("me-south-1", "ap-northeast-3", "ap-east-1", "eu-south-2", "af-south-1", "us-gov-west-1"),
    *("cn-north-1", "cn-northwest-1", "ap-southeast-3", "ap-south-2", "us-gov-east-1"),
    *("ap-southeast-4", "il-central-1", "ap-southeast-5", "me-central-1", "eu-central-2"),
    *("ca-west-1", "ap-east-2", "mx-central-1", "ap-southeast-7", "ap-southeast-6"),
    *("eusc-de-east-1", "us-south-1", "sa-west-1", "me-west-1"),
)
"""Those of AWS's list, largest first. The last three are listed and not open (2026-07-29)."""

ZONES = (
    *("us-west-2-sea-1", "us-east-1-iah-1", "us-west-2-wl1-las-wlz-1"),
    *("us-east-1-wl1-atl-wlz-1", "ap-southeast-2-akl-1", "us-east-1-bos-1", "ap-south-1-del-2"),
    *("ap-northeast-2-wl1-cjj-wlz-1", "eu-central-1-ist-1", "us-east-2-jan-1"),
)
"""Border groups of local and Wavelength zones; each begins with its region's name."""

UNASSIGNED = ("192.0.2.0/24", "198.51.100.0/24", "198.18.0.0/15", "2001:db8::/32", "3fff::/20")
"""Documentation (RFC 5737, 3849, 9637) and benchmarks (RFC 2544). 203.0.113.0/24 is not listed:
clients that have no address in any list come from there."""


class Block(NamedTuple):
    """A prefix at a fixed place: tests name addresses in it, or others lie inside it.

    Attributes:
        prefix: In CIDR notation.
        group: Border group, which is the region outside of zones, or GLOBAL; None keeps the place
            free.
        services: Services that it is listed under, in order.
    """

    prefix: str
    group: str | None
    services: str = ""


BLOCKS = (
    Block("198.18.0.0/16", "us-east-1", "AMAZON EC2"),
    Block("198.19.0.0/17", "GLOBAL", "AMAZON CLOUDFRONT"),
    Block("198.19.64.0/18", "GLOBAL", "CLOUDFRONT_ORIGIN_FACING"),
    Block("198.19.128.0/19", "GLOBAL", "AMAZON CLOUDFRONT CLOUDFRONT_ORIGIN_FACING"),
    Block("198.19.160.0/20", "GLOBAL", "AMAZON AMAZON_CONNECT"),
    Block("198.19.163.0/24", "ap-southeast-2", "AMAZON AMAZON_CONNECT EC2"),
    Block("198.19.175.0/24", None),
    Block("198.19.176.0/21", "GLOBAL", "AMAZON CHIME_MEETINGS"),
    Block("198.19.184.0/21", "GLOBAL", "AMAZON IVS_LOW_LATENCY"),
    Block("198.19.192.0/21", "eu-south-2", "AMAZON"),
    Block("198.19.194.0/24", None),
    Block("198.19.199.1/32", "eu-south-2", "EC2"),
    Block("198.19.200.0/22", "GLOBAL", "AMAZON GLOBALACCELERATOR"),
    Block("198.19.204.0/22", "ap-northeast-2", "AMAZON EC2 S3"),
    Block("198.19.208.0/24", "GLOBAL", "AMAZON EC2"),
    Block("198.19.209.0/24", "us-west-2-sea-1", "AMAZON EC2"),
    Block("198.19.210.0/24", "us-east-1-iah-1", "AMAZON EC2"),
    Block("198.19.211.0/24", "us-west-2-wl1-las-wlz-1", "AMAZON EC2"),
    Block("198.19.212.0/24", "eusc-de-east-1", "AMAZON"),
    Block("198.19.213.0/24", "cn-north-1", "AMAZON EC2"),
    Block("198.19.214.0/24", "eu-west-1", "AMAZON DYNAMODB"),
    Block("198.19.215.0/24", "us-east-2", "AMAZON S3"),
    Block("3fff:100::/32", "us-east-1", "AMAZON EC2"),
    Block("3fff:200::/40", "GLOBAL", "AMAZON CLOUDFRONT CLOUDFRONT_ORIGIN_FACING"),
    Block("3fff:200:1::/48", "us-east-1", "AMAZON EC2"),
    Block("3fff:200:100::/40", "GLOBAL", "AMAZON IVS_LOW_LATENCY"),
    Block("3fff:200:200::/40", "GLOBAL", "AMAZON CHIME_MEETINGS"),
    Block("3fff:200:300::/40", "GLOBAL", "AMAZON AMAZON_CONNECT"),
    Block("3fff:200:400::/40", "GLOBAL", "AMAZON GLOBALACCELERATOR"),
    Block("3fff:200:500::/44", "us-west-2", "AMAZON"),
    Block("3fff:200:600::/40", "us-west-2-sea-1", "AMAZON EC2 S3"),
)


class Kind(NamedTuple):
    """Prefixes of one kind, at places that chance chooses.

    Attributes:
        amount: How many of them there are.
        place: What they are listed for: ``region``, ``zone`` or ``GLOBAL``.
        services: Services that each is listed under, in order.
        lengths: Prefix lengths that they have in turn.
        inside: Place and services of the prefix around each; empty for none. Where that one is
            listed for a region, they are listed for it too.
    """

    amount: int
    place: str
    services: str
    lengths: tuple[int, ...]
    inside: str = ""


_REGIONAL, _CDN = "region AMAZON EC2", "GLOBAL AMAZON CLOUDFRONT"

KINDS4 = (
    Kind(90, "region", "AMAZON EC2", (26, 27, 28, 29)),
    Kind(150, "region", "AMAZON", (*range(26, 33),)),
    Kind(20, "zone", "AMAZON EC2", (26, 27, 28, 29)),
    Kind(16, "region", "AMAZON EC2 S3", (26, 27, 28)),
    Kind(14, "region", "AMAZON S3", (26, 27, 28)),
    Kind(10, "GLOBAL", "AMAZON CLOUDFRONT", (25, 26, 27, 28)),
    Kind(8, "region", "AMAZON GLOBALACCELERATOR", (28,)),
    Kind(6, "region", "AMAZON EC2 IVS_REALTIME", (28,)),
    Kind(8, "region", "AMAZON DYNAMODB", (27, 28, 29)),
    Kind(6, "region", "AMAZON DYNAMODB EC2", (27, 28)),
    Kind(4, "GLOBAL", "AMAZON GLOBALACCELERATOR", (25, 26, 27, 28)),
    Kind(4, "region", "AMAZON EC2 ROUTE53_HEALTHCHECKS_PUBLISHING", (28, 29)),
    Kind(3, "region", "AMAZON CHIME_VOICECONNECTOR EC2", (28,)),
    Kind(3, "GLOBAL", "AMAZON EC2", (26, 27, 28)),
    Kind(3, "GLOBAL", "AMAZON", (27, 28)),
    Kind(2, "region", "AMAZON EC2 ROUTE53", (26, 27)),
    Kind(3, "GLOBAL", "AMAZON IVS_REALTIME", (26, 27, 28)),
    Kind(3, "GLOBAL", "AMAZON ROUTE53", (26, 27, 28)),
    Kind(2, "region", "AMAZON IVS_REALTIME", (28,)),
    Kind(2, "region", "AMAZON EC2 ROUTE53_HEALTHCHECKS", (28,)),
    Kind(1, "GLOBAL", "AMAZON EC2 ROUTE53_HEALTHCHECKS", (26,)),
    Kind(60, "region", "ROUTE53_RESOLVER", (*range(22, 33),), _REGIONAL),
    Kind(55, "region", "AMAZON", (*range(22, 30),), _REGIONAL),
    Kind(20, "region", "API_GATEWAY", (*range(23, 29),), _REGIONAL),
    Kind(10, "region", "KINESIS_VIDEO_STREAMS", (30, 31), _REGIONAL),
    Kind(10, "region", "EBS", (28, 29, 30, 31, 32), _REGIONAL),
    Kind(9, "region", "S3", (28,), _REGIONAL),
    Kind(9, "region", "CLOUDFRONT", (*range(24, 33),), _REGIONAL),
    Kind(7, "region", "WORKSPACES_GATEWAYS", (21, 22, 23, 24), _REGIONAL),
    Kind(6, "region", "CODEBUILD", (28, 29), _REGIONAL),
    Kind(5, "region", "MEDIA_PACKAGE_V2", (29,), _REGIONAL),
    Kind(5, "region", "AMAZON_APPFLOW", (30,), _REGIONAL),
    Kind(4, "region", "CLOUD9", (27,), _REGIONAL),
    Kind(4, "region", "EC2_INSTANCE_CONNECT", (29, 30), _REGIONAL),
    Kind(3, "region", "ROUTE53_HEALTHCHECKS", (25, 26, 27, 28), _REGIONAL),
    Kind(3, "region", "AURORA_DSQL", (26, 27, 28), _REGIONAL),
    Kind(3, "region", "EFS", (26, 27, 28), _REGIONAL),
    Kind(2, "region", "ROUTE53", (23, 24), _REGIONAL),
    Kind(2, "region", "AMAZON_CONNECT", (26, 27, 28), _REGIONAL),
    Kind(2, "region", "CLOUDFRONT CLOUDFRONT_ORIGIN_FACING", (27, 28), _REGIONAL),
    Kind(1, "region", "CHIME_VOICECONNECTOR", (23,), _REGIONAL),
    Kind(1, "region", "DYNAMODB", (22,), _REGIONAL),
    Kind(1, "region", "EC2", (26,), "region AMAZON S3"),
    Kind(8, "region", "EC2", (32,), "region AMAZON"),
    Kind(8, "region", "AMAZON EC2", (24,), f"{_CDN} CLOUDFRONT_ORIGIN_FACING"),
    Kind(5, "GLOBAL", "CLOUDFRONT_ORIGIN_FACING", (*range(19, 25),), _CDN),
    Kind(3, "region", "AMAZON AMAZON_CONNECT EC2", (24,), "GLOBAL AMAZON AMAZON_CONNECT"),
    Kind(4, "region", "AMAZON EC2", (24,), "GLOBAL AMAZON CHIME_MEETINGS"),
    Kind(1, "GLOBAL", "AMAZON GLOBALACCELERATOR", (24,), "GLOBAL AMAZON CHIME_MEETINGS"),
    Kind(5, "region", "AMAZON EC2 IVS_REALTIME", (24,), "GLOBAL AMAZON IVS_LOW_LATENCY"),
    Kind(2, "GLOBAL", "S3", (24,), "GLOBAL AMAZON GLOBALACCELERATOR"),
)

_EC2_LENGTHS = (
    *(40, 36, 48, 40, 33, 56, 40, 34, 35, 40, 38, 39, 40, 42, 44, 40),
    *(45, 46, 47, 40, 52, 54, 55, 40, 59, 60, 62, 40, 64),
)
_AMAZON_LENGTHS = (40, 39, 44, 46, 47, 48, 56, 58, 59, 62, 63, 64, 65, 96, 128)

KINDS6 = (
    Kind(170, "region", "AMAZON EC2", _EC2_LENGTHS),
    Kind(30, "region", "AMAZON EC2 S3", (39, 40, 48)),
    Kind(40, "region", "AMAZON", _AMAZON_LENGTHS),
    Kind(16, "region", "AMAZON S3", (36, 39, 40)),
    Kind(10, "region", "AMAZON EC2 IVS_REALTIME", (48,)),
    Kind(8, "zone", "AMAZON EC2", (36, 40, 48)),
    Kind(3, "region", "AMAZON GLOBALACCELERATOR", (47,)),
    Kind(14, "GLOBAL", "AMAZON CLOUDFRONT", (*range(36, 49), 56)),
    Kind(3, "region", "AMAZON EC2 WORKSPACES_GATEWAYS", (39, 40)),
    Kind(3, "GLOBAL", "AMAZON GLOBALACCELERATOR", (40,)),
    Kind(3, "GLOBAL", "AMAZON", (44, 45, 48)),
    Kind(3, "GLOBAL", "AMAZON EC2", (38, 54, 56)),
    Kind(2, "GLOBAL", "AMAZON ROUTE53", (36, 43)),
    Kind(2, "region", "AMAZON EC2 ROUTE53_HEALTHCHECKS", (48, 56)),
    Kind(2, "region", "AMAZON EC2 ROUTE53", (44,)),
    Kind(12, "region", "AMAZON", (48, 56), _REGIONAL),
    Kind(4, "region", "EC2_INSTANCE_CONNECT", (56,), _REGIONAL),
    Kind(3, "region", "WORKSPACES_GATEWAYS", (40, 48), _REGIONAL),
    Kind(3, "region", "ROUTE53_HEALTHCHECKS", (56,), _REGIONAL),
    Kind(2, "region", "AURORA_DSQL", (56,), _REGIONAL),
    Kind(2, "region", "EFS", (56,), _REGIONAL),
    Kind(1, "region", "ROUTE53", (47,), _REGIONAL),
    Kind(1, "region", "S3", (56,), _REGIONAL),
    Kind(2, "region", "EC2", (64,), "region AMAZON"),
    Kind(5, "region", "AMAZON EC2", (48,), f"{_CDN} CLOUDFRONT_ORIGIN_FACING"),
    Kind(4, "region", "AMAZON EC2 IVS_REALTIME", (48,), "GLOBAL AMAZON IVS_LOW_LATENCY"),
    Kind(3, "region", "AMAZON EC2", (48,), "GLOBAL AMAZON CHIME_MEETINGS"),
    Kind(3, "region", "AMAZON AMAZON_CONNECT EC2", (48,), "GLOBAL AMAZON AMAZON_CONNECT"),
    Kind(2, "GLOBAL", "S3", (48,), "GLOBAL AMAZON GLOBALACCELERATOR"),
)


def made_list(scale: int = 1) -> bytes:
    """The synthetic list.

    Args:
        scale: A power of two: how many times as many prefixes of each kind there are; with 8 the
            list is as large as AWS's. Those of IPv4 get smaller by as much.
    """
    prefixes = _Maker(scale).prefixes()
    parts = ['{\n"syncToken": "1785313625",\n"createDate": "2026-07-29-08-27-05"']
    for version, listed, key in ((4, "prefixes", "ip_prefix"), (6, "ipv6_prefixes", "ipv6_prefix")):
        rows = ",\n".join(_rows([each for each in prefixes if each.version == version], key))
        parts.append(f'"{listed}": [\n{rows}\n]')
    return (",\n".join(parts) + "\n}\n").encode()


def _rows(prefixes: list[Prefix], key: str) -> Iterator[str]:
    """One line for each service of each prefix: AMAZON's first, as in AWS's list."""
    services = dict.fromkeys(name for each in prefixes for name in each.services)
    for service in services:
        for each in prefixes:
            if service in each.services:
                row = {key: str(each.network), "region": each.region, "service": service}
                yield json.dumps(row | {"network_border_group": each.group})


class Prefix:
    """A prefix of the list, and what is free inside it."""

    def __init__(self, network: Network, group: str, services: str) -> None:
        self.network, self.version = network, network.version
        self.group, self.services = group, services.split()
        self.region = next((name for name in REGIONS if group.startswith(name)), group)
        self.space = _Space(network)
        place = {self.region: "region", "GLOBAL": "GLOBAL"}.get(group, "zone")
        self.kind = f"{place} {services}"


class _Space:
    """The free addresses of some networks."""

    def __init__(self, *networks: Network) -> None:
        self._free = list(networks)

    def room(self, length: int) -> bool:
        """Whether there is a place for a prefix of this length."""
        return any(each.prefixlen <= length for each in self._free)

    def take(self, length: int, chance: random.Random) -> Network:
        """A place for a prefix of this length: in the smallest gap that has one."""
        longest = max(each.prefixlen for each in self._free if each.prefixlen <= length)
        found = chance.choice([each for each in self._free if each.prefixlen == longest])
        halvings = length - found.prefixlen
        wanted = int(found.network_address) >> found.max_prefixlen - length
        wanted += chance.getrandbits(halvings) if halvings else 0
        network = type(found)((wanted << found.max_prefixlen - length, length))
        self.reserve(network)
        return network

    def reserve(self, network: Network) -> None:
        """Reserve this network, which has to be free."""
        (around,) = [each for each in self._free if inside(network, each)]
        self._free.remove(around)
        while around != network:
            for half in around.subnets():
                if inside(network, half):
                    around = half
                else:
                    self._free.append(half)


class _Maker:
    def __init__(self, scale: int) -> None:
        self._scale, self._longer = scale, scale.bit_length() - 1
        self._chance = random.Random(SEED)  # noqa: S311 - a seed repeats, that is the point
        networks = [ipaddress.ip_network(each) for each in UNASSIGNED]
        self._spaces = {
            version: _Space(*(each for each in networks if each.version == version))
            for version in (4, 6)
        }
        self._prefixes: list[Prefix] = []
        self._by_kind: dict[tuple[int, str], list[Prefix]] = defaultdict(list)

    def prefixes(self) -> list[Prefix]:
        """All of them, in the order of the list."""
        for block in BLOCKS:
            self._put(block)
        for version, kinds in ((4, KINDS4), (6, KINDS6)):
            for kind in kinds:
                for number in range(kind.amount * self._scale):
                    self._add(version, kind, number)
        self._chance.shuffle(self._prefixes)
        return self._prefixes

    def _put(self, block: Block) -> None:
        network = ipaddress.ip_network(block.prefix)
        around = [each for each in self._prefixes if inside(network, each.network)]
        (around[-1].space if around else self._spaces[network.version]).reserve(network)
        if block.group is not None:
            self._list(network, block.group, block.services)

    def _add(self, version: int, kind: Kind, number: int) -> None:
        length = kind.lengths[number % len(kind.lengths)]
        length = min(length + self._longer, 32) if version == 4 else length
        space, group = self._spaces[version], self._group(kind.place, number)
        if kind.inside:
            around = self._chance.choice(
                [
                    each
                    for each in self._by_kind[version, kind.inside]
                    if each.network.prefixlen < length and each.space.room(length)
                ]
            )
            space = around.space
            group = group if around.region == "GLOBAL" else around.group
        self._list(space.take(length, self._chance), group, kind.services)

    def _list(self, network: Network, group: str, services: str) -> None:
        listed = Prefix(network, group, services)
        self._prefixes.append(listed)
        self._by_kind[listed.version, listed.kind].append(listed)

    def _group(self, place: str, number: int) -> str:
        """A border group: every region and zone once, then the large regions more often."""
        if place == "zone":
            return ZONES[number % len(ZONES)]
        if place == "GLOBAL":
            return place
        if number < len(REGIONS):
            return REGIONS[number]
        weights = [1 / (rank + 2) for rank in range(len(REGIONS))]
        return self._chance.choices(REGIONS, weights)[0]


def inside(network: Network, other: Network) -> bool:
    """Whether a network is a part of another."""
    return network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]  # of one version


if __name__ == "__main__":
    MADE.write_bytes(made_list())
