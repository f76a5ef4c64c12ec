"""The answers of a report on access logs, as plain values.

Field names are those of the JSON report.

Units: bytes and requests are counts of the period of the logs, unless a name ends in ``_month``:
then they are scaled to a month of 30.4 days. Dollars are US dollars a month.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nearbucket.analysis.reading.sources import DamagedFile  # noqa: TC001  # for the schema

if TYPE_CHECKING:
    from datetime import date, datetime

AMAZON_NO_REGION = "AMAZON-NO-REGION"
"""In place of a region: the log has Amazon's ASN, and AWS's list has no region for the address."""
NO_ADDRESS = "NO-ADDRESS"
"""In place of a region: the log has no client address."""
NOT_RECOMMENDED = "No policy is recommended"
"""Beginning of the note with the reason."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is about.

    Attributes:
        files: Files read.
        lines: Requests counted.
        left_out: Lines that are no requests, by the reason why they do not count.
        first: Time of the period's first request, to any host, UTC; ``from`` in JSON, None if none.
        last: Time of the last one, UTC; ``to`` in JSON.
        days: Days of the period; less than a day counts as its part, but for at least a minute.
        damaged: Files that are damaged or left out, with the reason.
        prices_of: Month of the prices, such as ``2026-11``.
        kinds: Formats of the files that have these requests: ``w3c``, ``w3c-v2`` (CloudFront's
            standard logs v2), ``json``, ``parquet``, ``s3`` (S3 server access logs), or ``fields``
            for columns named with ``--fields``.
        overlapping_kinds: Those with files of the same time, which may have the same requests.
        prices_file: File of ``--prices``, whose prices replace those of the list; None without it.
    """

    files: int
    lines: int
    left_out: dict[str, int]
    first: datetime | None
    last: datetime | None
    days: float
    damaged: tuple[DamagedFile, ...]
    prices_of: str
    kinds: tuple[str, ...] = ()
    overlapping_kinds: tuple[str, ...] = ()
    prices_file: str | None = None


@dataclass(frozen=True, slots=True)
class RegionTraffic:
    """Requests from one AWS region, ``UNKNOWN``, ``AMAZON-NO-REGION`` or ``NO-ADDRESS``.

    Attributes:
        region: The region.
        requests: Requests.
        bytes: Bytes of their responses (``sc-bytes``).
        downloads: Whole responses, and ranges of one client and object joined.
        addresses: Distinct client addresses.
    """

    region: str
    requests: int
    bytes: int
    downloads: int
    addresses: int


@dataclass(frozen=True, slots=True)
class FileTraffic:
    """Requests for one object.

    Attributes:
        key: Object key; with the host before it where the logs have several.
        bytes: Bytes.
        requests: Requests.
        addresses: Distinct client addresses.
        size: Size of the object, as far as the log shows it.
        aws_bytes: Bytes of requests from AWS regions.
    """

    key: str
    bytes: int
    requests: int
    addresses: int
    size: int | None
    aws_bytes: int


@dataclass(frozen=True, slots=True)
class AgentTraffic:
    """Requests with one User-Agent.

    Attributes:
        agent: User-Agent, decoded.
        bytes: Bytes.
        requests: Requests.
        redirected: Requests that nearbucket answered with a redirect to a target; 0 in other logs.
        came_back: Requests with the reason ``came-back``: the client did not follow a redirect.
    """

    agent: str
    bytes: int
    requests: int
    redirected: int
    came_back: int


@dataclass(frozen=True, slots=True)
class NetworkTraffic:
    """Requests from one network inside AWS: a /24 of IPv4, a /56 of IPv6.

    Attributes:
        network: The network.
        region: Its region.
        bytes: Bytes.
        requests: Requests.
        addresses: Distinct addresses.
        top_key: The object with the most of these bytes.
    """

    network: str
    region: str
    bytes: int
    requests: int
    addresses: int
    top_key: str


@dataclass(frozen=True, slots=True)
class DayTraffic:
    """Requests of one day (UTC).

    Attributes:
        day: The day.
        requests: Requests.
        bytes: Bytes.
        by_region: Bytes by region, ``UNKNOWN`` and others as in ``RegionTraffic``.
    """

    day: date
    requests: int
    bytes: int
    by_region: dict[str, int]


@dataclass(frozen=True, slots=True)
class SizeTraffic:
    """Requests for objects of one size class.

    Attributes:
        at_least: Lower bound of the class, a power of two; None: the size is not known.
        requests: Requests.
        bytes: Bytes.
        objects: Distinct objects.
    """

    at_least: int | None
    requests: int
    bytes: int
    objects: int


@dataclass(frozen=True, slots=True)
class NamedTraffic:
    """Requests by host, or by result type and status.

    Attributes:
        name: The host, or such as ``Miss 200``.
        requests: Requests.
        bytes: Bytes.
    """

    name: str
    requests: int
    bytes: int


@dataclass(frozen=True, slots=True)
class FolderTraffic:
    """Requests for the objects of one folder that have one suffix.

    Attributes:
        folder: First folder of the keys; empty for objects in no folder.
        suffix: Suffixes of the names, such as ``.tar.xz``; empty for none.
        bytes: Bytes.
        aws_bytes: Bytes of requests from AWS regions.
        requests: Requests.
        objects: Distinct objects.
    """

    folder: str
    suffix: str
    bytes: int
    aws_bytes: int
    requests: int
    objects: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything that was counted in the logs.

    Attributes:
        requests: All requests.
        bytes: Their bytes.
        downloads: Downloads: whole responses, and ranges of one client and object joined.
        aborted: Downloads that broke off.
        regions: By region, most bytes first.
        top_files: The objects with the most bytes.
        user_agents: The User-Agents with the most bytes.
        networks: The networks inside AWS with the most bytes.
        days: By day, in order.
        sizes: By size class, smallest first, unknown last.
        hosts: By host.
        results: By result type and status.
        folders: By first folder and suffix, most bytes first; empty if they were not counted.
    """

    requests: int
    bytes: int
    downloads: int
    aborted: int
    regions: tuple[RegionTraffic, ...]
    top_files: tuple[FileTraffic, ...]
    user_agents: tuple[AgentTraffic, ...]
    networks: tuple[NetworkTraffic, ...]
    days: tuple[DayTraffic, ...]
    sizes: tuple[SizeTraffic, ...]
    hosts: tuple[NamedTraffic, ...]
    results: tuple[NamedTraffic, ...]
    folders: tuple[FolderTraffic, ...] = ()


@dataclass(frozen=True, slots=True)
class BillEstimate:
    """The CDN's bill for a month of this traffic.

    Attributes:
        plan: Plan in words, such as ``pay as you go, price class all``.
        bytes_month: Bytes.
        usd_month: Dollars.
        scaled: Whether ``--bill`` gave the dollars, and all other dollars are scaled to it.
        gb_month: The bytes in GB (2^30 bytes), by price geography of the edge.
        requests_month: Requests.
    """

    plan: str
    bytes_month: float
    usd_month: float
    scaled: bool
    gb_month: dict[str, float] = field(default_factory=dict)
    requests_month: float = 0.0


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What one policy would change.

    Attributes:
        policy: The policy in words: patterns, size floor, regions.
        redirects_month: Redirects.
        bytes_month: Bytes that the CDN no longer delivers.
        costs_usd_month: Copies, storage and requests to S3.
        saving_usd_month: The bill before, less the bill after, less the costs.
        gb_month: The bytes in GB (2^30 bytes), by price geography of the edge.
    """

    policy: str
    redirects_month: float
    bytes_month: float
    costs_usd_month: float
    saving_usd_month: float
    gb_month: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NextRegion:
    """What one regional bucket more would bring.

    Attributes:
        region: The region.
        redirects_month: Further redirects.
        bytes_month: Further bytes that the CDN no longer delivers.
        costs_usd_month: Copies, storage and requests to S3 of this bucket.
        saving_usd_month: Saved by it, net of its costs; negative if it costs more.
    """

    region: str
    redirects_month: float
    bytes_month: float
    costs_usd_month: float
    saving_usd_month: float


@dataclass(frozen=True, slots=True)
class RecommendedLine:
    """One pattern or region of the recommendation, or one left out, and why.

    Attributes:
        name: Pattern or region.
        chosen: Whether it is recommended; a chosen ``exclude`` is an exclusion that is recommended.
        bytes_month: Bytes that it redirects; of a line that is not chosen, bytes to AWS regions.
        objects: Distinct objects.
        saving_usd_month: What it adds to the lines of its kind before it (shares do not add up
            otherwise), net of its costs: chosen patterns add up to the saving, and so do chosen
            regions. Of a line that is not chosen, what it would add; negative if it costs more.
        why: The reason, in one sentence.
        kind: ``pattern``, ``region``, ``exclude`` or ``floor``.
    """

    name: str
    chosen: bool
    bytes_month: float
    objects: int
    saving_usd_month: float
    why: str
    kind: str = "pattern"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A policy that fits the logs.

    Attributes:
        paths: Patterns for ``redirect.paths``.
        exclude: Patterns for ``redirect.exclude``.
        min_size: Size floor in bytes.
        regions: Regions with a bucket, the origin's first.
        redirects_month: Redirects.
        bytes_month: Bytes that the CDN no longer delivers.
        costs_usd_month: Copies, storage and requests to S3.
        saving_usd_month: The bill before, less the bill after, less the costs.
        low: The lowest saving that the days of the log suggest.
        high: The highest.
        why: Each pattern and region, chosen or left out, with its reason.
        yaml: The block to paste into the configuration.
        gb_month: The bytes in GB (2^30 bytes), by price geography of the edge.
    """

    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    min_size: int
    regions: tuple[str, ...]
    redirects_month: float
    bytes_month: float
    costs_usd_month: float
    saving_usd_month: float
    low: float
    high: float
    why: tuple[RecommendedLine, ...]
    yaml: str
    gb_month: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report.

    Attributes:
        scope: What was read.
        counts: What was counted.
        bill: The bill for a month of this traffic.
        what_if: What the configured policy would change; without a configuration, the policy with
            which such a service usually begins (``*.tar.*z*``, the origin's region and us-west-2).
        next_regions: What each further bucket would bring, with the policy of ``what_if``.
        recommendation: The policy that fits best; None if it was not asked for, or nothing pays.
        notes: Sentences a reader must see first, such as that a flat-rate plan saves nothing.
    """

    scope: Scope
    counts: Counts
    bill: BillEstimate
    what_if: WhatIf
    next_regions: tuple[NextRegion, ...]
    recommendation: Recommendation | None
    notes: tuple[str, ...]
