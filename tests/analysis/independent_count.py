"""Counts records in plain Python, to compare reports with; imports nothing of the package.

The rules: bytes are ``sc-bytes``. A GET with 200 is a download if it is complete; so are the
complete ranges of one client, User-Agent and object together, as long as less than ten minutes
lie between one and the next. A 200 or 206 broke off if the result is ``Error`` or less than 95 %
of the content length was sent. Everything else counts as a request, and with its bytes. The
region is that of the longest EC2 prefix in AWS's list.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache
from ipaddress import ip_address, ip_network
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.analysis.made_logs import JOINED, Record
from tests.made_ranges import MADE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

UNKNOWN, AMAZON_NO_REGION, NO_ADDRESS = "UNKNOWN", "AMAZON-NO-REGION", "NO-ADDRESS"
AMAZON = frozenset({16509, 14618})
NO_TEXT = "-"


class Key(NamedTuple):
    """An object: its host, and its key in the bucket."""

    host: str
    key: str


class Network(NamedTuple):
    """A network, and a region of addresses in it."""

    network: str
    region: str


@dataclass(slots=True)
class Sum:
    """Sums of some requests.

    Attributes:
        requests: Requests.
        bytes: Bytes.
        downloads: Downloads; only counted by region and in total.
        addresses: Distinct addresses.
        aws_bytes: Bytes from AWS regions.
        by_region: Bytes by region.
        by_key: Bytes by object.
        objects: Distinct objects; only counted by size class.
    """

    requests: int = 0
    bytes: int = 0
    downloads: int = 0
    addresses: set[str] = field(default_factory=set)
    aws_bytes: int = 0
    by_region: Counter[str] = field(default_factory=Counter)
    by_key: Counter[Key] = field(default_factory=Counter)
    objects: int = 0


def _sums() -> defaultdict[str, Sum]:
    return defaultdict(Sum)


@dataclass(slots=True)
class Count:
    """Everything that was counted.

    Attributes:
        total: All requests.
        aborted: Downloads that broke off.
        first: Time of the first request, in seconds since 1970.
        last: Time of the last one.
        regions: By region.
        files: By object.
        agents: By User-Agent; ``-`` without one.
        networks: By network inside AWS, a /24 or /56, and region: some belong to several.
        days: By day, UTC.
        sizes: By size class: the power of two, None if the size is not known.
        hosts: By host.
        results: By result type and status.
        edges: By the first three letters of the edge's code.
        known_sizes: Size of each object that the log shows.
    """

    total: Sum = field(default_factory=Sum)
    aborted: int = 0
    first: int = 1 << 62
    last: int = 0
    regions: defaultdict[str, Sum] = field(default_factory=_sums)
    files: defaultdict[Key, Sum] = field(default_factory=lambda: defaultdict(Sum))
    agents: defaultdict[str, Sum] = field(default_factory=_sums)
    networks: defaultdict[Network, Sum] = field(default_factory=lambda: defaultdict(Sum))
    days: defaultdict[date, Sum] = field(default_factory=lambda: defaultdict(Sum))
    sizes: dict[int | None, Sum] = field(default_factory=dict)
    hosts: defaultdict[str, Sum] = field(default_factory=_sums)
    results: defaultdict[str, Sum] = field(default_factory=_sums)
    edges: defaultdict[str, Sum] = field(default_factory=_sums)
    known_sizes: dict[Key, int] = field(default_factory=dict)


class Regions:
    """The regions of addresses, by AWS's list."""

    def __init__(self, path: Path = MADE) -> None:
        document = json.loads(path.read_bytes())
        self._rows: dict[tuple[int, int], dict[int, str]] = defaultdict(dict)
        for row in [*document["prefixes"], *document["ipv6_prefixes"]]:
            network = ip_network(row.get("ip_prefix") or row["ipv6_prefix"])
            if row["service"] == "EC2":
                length, bits = network.prefixlen, network.max_prefixlen
                start = int(network.network_address) >> (bits - length)
                self._rows[network.version, length][start] = row["region"]
        self._lengths = sorted(self._rows, reverse=True)
        self._known: dict[str, str | None] = {}

    def of(self, text: str) -> str | None:
        """Region of an address, or None."""
        if text not in self._known:
            self._known[text] = self._look_up(text)
        return self._known[text]

    def _look_up(self, text: str) -> str | None:
        address = ip_address(text)
        for version, length in self._lengths:
            if version == address.version:
                found = self._rows[version, length].get(
                    int(address) >> (address.max_prefixlen - length)
                )
                if found is not None:
                    return None if found == "GLOBAL" else found
        return None


@cache
def _made_regions() -> Regions:
    return Regions()


def count(records: Iterable[Record], *, asn: bool, regions: Regions | None = None) -> Count:
    """Count all records.

    Args:
        records: Those of all files, in any order.
        asn: Whether the log has the field ``asn``.
        regions: AWS's list; the made one if None.
    """
    counting = _Counting(Count(), regions or _made_regions(), asn=asn)
    for record in records:
        counting.add(record)
    return counting.finished()


class _Counting:
    def __init__(self, result: Count, regions: Regions, *, asn: bool) -> None:
        self.result = result
        self._regions, self._asn = regions, asn
        self._ranges: defaultdict[tuple[str, str, Key], list[int]] = defaultdict(list)
        self._region_of_client: dict[str, str] = {}
        self._ends: dict[Key, int] = {}
        self._dates: dict[int, date] = {}

    def region(self, record: Record) -> str:
        """Region, or what stands in its place."""
        if not record.client:
            return NO_ADDRESS
        region = self._regions.of(record.client)
        if region is None:
            inside = self._asn and record.asn in AMAZON
            region = AMAZON_NO_REGION if inside else UNKNOWN
        return region

    def add(self, record: Record) -> None:
        """Count one request."""
        result, size = self.result, record.bytes
        key = Key(record.host, record.object.key)
        region = self.region(record)
        aws = region not in {UNKNOWN, AMAZON_NO_REGION, NO_ADDRESS}
        result.first = min(result.first, record.time)
        result.last = max(result.last, record.time)
        day = record.time // 86400
        if day not in self._dates:
            self._dates[day] = datetime.fromtimestamp(day * 86400, UTC).date()
        sums = [
            result.total,
            result.regions[region],
            result.files[key],
            result.agents[record.agent or NO_TEXT],
            result.days[self._dates[day]],
            result.hosts[record.host],
            result.results[f"{record.result} {record.status:03}"],
            result.edges[record.edge[:3]],
        ]
        if aws:
            of_network = result.networks[Network(network_of(record.client), region)]
            of_network.by_key[key] += size
            sums.append(of_network)
        for each in sums:
            each.requests += 1
            each.bytes += size
        if record.client:
            for each in (result.regions[region], result.files[key], *sums[8:]):
                each.addresses.add(record.client)
        result.files[key].aws_bytes += size * aws
        result.days[self._dates[day]].by_region[region] += size
        self._download(record, key, region)

    def _download(self, record: Record, key: Key, region: str) -> None:
        if record.method != "GET" or record.status not in {200, 206}:
            return
        length = record.length
        if record.status == 200 and length >= 0:
            self.result.known_sizes[key] = max(self.result.known_sizes.get(key, 0), length)
        if record.status == 206 and record.start >= 0:
            self._ends[key] = max(self._ends.get(key, 0), record.end + 1)
        if record.result == "Error" or (length >= 0 and record.bytes * 100 < length * 95):
            self.result.aborted += 1
        elif record.status == 200:
            self.result.total.downloads += 1
            self.result.regions[region].downloads += 1
            if length < 0:
                self._ends[key] = max(self._ends.get(key, 0), record.bytes)
        else:
            self._region_of_client[record.client] = region
            self._ranges[record.client, record.agent, key].append(record.time)

    def finished(self) -> Count:
        """Join ranges, and put objects into size classes."""
        result = self.result
        for (client, _, _), times in self._ranges.items():
            times.sort()
            pairs = pairwise(times)
            downloads = 1 + sum(later - earlier >= JOINED for earlier, later in pairs)
            result.total.downloads += downloads
            result.regions[self._region_of_client[client]].downloads += downloads
        result.known_sizes = self._ends | result.known_sizes
        for key, each in result.files.items():
            size = result.known_sizes.get(key)
            of_class = result.sizes.setdefault(size_class(size), Sum())
            of_class.objects += 1
            of_class.requests += each.requests
            of_class.bytes += each.bytes
        return result


def size_class(size: int | None) -> int | None:
    """The largest power of two that is not above a size."""
    return None if size is None else 1 << max(size.bit_length() - 1, 0)


_networks: dict[str, str] = {}


def network_of(client: str) -> str:
    """The /24 or /56 of an address."""
    if client not in _networks:
        length = 56 if ":" in client else 24
        _networks[client] = str(ip_network(f"{client}/{length}", strict=False))
    return _networks[client]


def top(sums: Mapping[Any, Sum]) -> list[Any]:
    """Names of the twenty sums with the most bytes."""
    return sorted(sums, key=lambda name: -sums[name].bytes)[:20]
