"""Made traffic with a known truth: requests as records, the same for the same seed.

``mixed`` has everything that is hard to count: skewed popularity, IPv6, ranges over the ends of
files, downloads that broke off, agents and paths encoded in several ways, 304, HEAD, refusals,
lines without an address, Amazon addresses that AWS's list does not have. ``made_story`` has
traffic for which the best policy is known. ``log_writers`` writes both as log files,
``independent_count`` counts them.

Each file has a random generator of its own, so that files can be made in several processes.
Addresses of AWS regions are those of ``tests/data/ip-ranges.made.json``.
"""

from __future__ import annotations

import json
import random
import socket
from dataclasses import dataclass
from functools import cache, lru_cache
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote
from zlib import crc32

from tests.made_ranges import MADE

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST_SECOND = 1793577600
"""2026-11-02 00:00:00 UTC, a Monday."""
DAY = 86400
JOINED = 600
"""Seconds: ranges of one client and object with a shorter gap are one download."""
HEADER = 412
"""Bytes of response headers in ``sc-bytes``."""
AMAZON_ASN, OTHER_ASN = 16509, 3320


class MadeObject(NamedTuple):
    """An object, and how requests for it look.

    Attributes:
        key: Its key in the bucket.
        sent: The URL path as the client sent it.
        logged: The path as the log has it, in ``cs-uri-stem``.
        size: Bytes.
    """

    key: str
    sent: str
    logged: str
    size: int


class Record(NamedTuple):
    """One request, as it happened; -1 and empty text stand for ``-`` in a log.

    Attributes:
        time: Seconds since 1970, UTC.
        edge: ``x-edge-location``.
        bytes: ``sc-bytes``.
        client: Address, or empty.
        method: Method.
        host: ``x-host-header``.
        object: The object asked for.
        status: Status; 0 where the log has ``000``.
        agent: User-Agent as the client sent it, or empty.
        encoded: How often the log encodes the agent.
        query: Query as sent, or empty.
        cookie: Cookie as sent, or empty.
        result: ``x-edge-result-type``.
        length: ``sc-content-len``.
        start: ``sc-range-start``.
        end: ``sc-range-end``.
        asn: Number of the client's network.
    """

    time: int
    edge: str
    bytes: int
    client: str
    method: str
    host: str
    object: MadeObject
    status: int
    agent: str
    encoded: int
    query: str
    cookie: str
    result: str
    length: int
    start: int
    end: int
    asn: int


@dataclass(frozen=True, slots=True)
class Mixed:
    """How much mixed traffic is made.

    Attributes:
        lines: Requests of all files.
        files: Files; each is a part of the period.
        seed: The same seed gives the same requests.
        days: Days of the period.
        objects: Distinct objects.
        addresses: Distinct client addresses, at most; one in five is of an AWS region.
    """

    lines: int
    files: int = 4
    seed: int = 16
    days: int = 14
    objects: int = 2000
    addresses: int = 20000


HOSTS = ("downloads.example.com", "downloads.example.io")
EDGES = (
    *("IAD89-C1", "IAD55-P4", "SFO53-P2", "SEA19-C2", "FRA56-P3", "LHR61-P1", "DUB56-P1"),
    *("NRT57-C3", "SIN52-C1", "BOM78-P4", "GRU3-C1", "SYD62-P2", "JNB52-P1", "TLV50-C1"),
    *("HKG62-C1", "ICN57-P2"),
)
AGENTS = (
    *("curl/8.5.0", "curl/7.88.1", "Wget/1.21.3", "aria2/1.36.0", "Go-http-client/1.1"),
    *("Python-urllib/3.11", "python-requests/2.32.3", "Debian APT-HTTP/1.3 (2.6.1)"),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/131.0.0.0 Safari/537.36"
    ),
    (
        "docker/26.1.4 go/go1.21.11 git-commit/de5c9cf kernel/6.1.0-21-cloud-amd64 os/linux "
        "arch/amd64 UpstreamClient(Docker-Client/26.1.4 \\(linux\\))"
    ),
    *('NewsBlur Feed Fetcher ("Mozilla/5.0 (Macintosh)")', "libdnf (Fedora 41; server)"),
    *("Größe/1.0 (ü)", "Artifactory/7.84.17 78417900", "nixpkgs <fetchurl>", "100% cpu|agent"),
)
"""User-Agents; none has a ``%`` before two hexadecimal digits, which no log could tell apart."""
REGIONS = (
    *("us-east-1",) * 40, *("us-west-2",) * 20, *("eu-west-1",) * 12, *("eu-central-1",) * 8,
    *("us-east-2",) * 6, *("ap-northeast-2",) * 4, *("ap-southeast-2",) * 4, *("us-west-1",) * 3,
    "sa-east-1", "ap-south-1", "eu-north-1", "ap-east-1",
)  # fmt: skip
"""Regions of clients inside AWS, each as often as it should come."""
_SUFFIXES = (
    *(".tar.xz", ".tar.gz", ".qcow2", ".rpm", ".deb", ".zip", "", ".json", ".tar.xz.sha256"),
    *(".tar.gz.asc", ".iso", ".html"),
)
_FOLDERS = ("dcos", "images", "repo/el9/x86_64", "blobs/sha256", "nightly", "tools/v1.2")


@cache
def networks(region: str, version: int) -> tuple[str, ...]:
    """Prefixes of a region for EC2 in the made list that have room for clients, of one family."""
    document = json.loads(MADE.read_bytes())
    rows, key = ("prefixes", "ip_prefix") if version == 4 else ("ipv6_prefixes", "ipv6_prefix")
    return tuple(
        row[key]
        for row in document[rows]
        if row["region"] == region and row["service"] == "EC2"
        if ip_network(row[key]).prefixlen <= (29 if version == 4 else 64)
    )


@lru_cache(1 << 17)
def address_in(region: str, number: int) -> str:
    """The client with this number in a region; half of them have IPv6."""
    version = 6 if number % 2 else 4
    choices = networks(region, version) or networks(region, 10 - version)
    network = ip_network(choices[number // 2 % len(choices)])
    offset = number * 2654435761 % network.num_addresses
    return str(network[offset])


def address_outside(number: int) -> str:
    """The client with this number outside of AWS, one in six with IPv6; up to 16 million."""
    if number % 6 == 0:
        packed = b"\xfd\x00" + number.to_bytes(4, "big") + b"\0\0\x91\xf2\0\0" + bytes(3) + b"\1"
        return socket.inet_ntop(socket.AF_INET6, packed)
    return f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@lru_cache(1 << 18)
def made_object(number: int) -> MadeObject:
    """The object with this number; its size depends on its suffix."""
    chance = random.Random(number)  # noqa: S311 - a seed repeats, that is the point
    suffix = _SUFFIXES[number % len(_SUFFIXES)]
    name = _odd_name(number) if number % 25 == 7 else f"file-{number}"
    key = f"{_FOLDERS[number % len(_FOLDERS)]}/{name}{suffix}"
    small = suffix.endswith((".sha256", ".asc", ".json", ".html"))
    size = int(2 ** chance.uniform(5, 12)) if small else int(2 ** chance.uniform(12, 30))
    sent = "/" + quote(key, safe="/!$&'()*,:;=@~")
    if "+" in key and number % 2:
        sent = sent.replace("%2B", "+")
    undone = number % 75 == 32
    return MadeObject(key, sent, sent if undone else logged(sent), size)


def _odd_name(number: int) -> str:
    names = ("my file", "größe", "50% off", 'quo"ted', "a+b", "c++", "ten #1?", "日本", "a|b", "~x")
    return f"{names[number // 25 % len(names)]} {number}"


def logged(text: str) -> str:
    """Text as CloudFront writes it to a log: once more percent-encoded."""
    return quote(text, safe="!$&'()*+,/:;=?@-._~")


def mixed(spec: Mixed, file: int) -> Iterator[Record]:
    """The requests of one file, in no strict order of time."""
    lines = spec.lines // spec.files + (file < spec.lines % spec.files)
    chance = random.Random(f"{spec.seed}:{file}")  # noqa: S311 - as above
    made = 0
    for record in _over_the_end(spec, file - 1, second=True):
        if file and made < lines:
            made += 1
            yield record
    last = list(_over_the_end(spec, file, second=False)) if file + 1 < spec.files else []
    room = lines - len(last)
    begin = FIRST_SECOND + spec.days * DAY * file / spec.files
    pace = spec.days * DAY / spec.files / max(lines, 1)
    while made < room:
        time = int(begin + made * pace)
        if chance.random() < 0.05:
            for record in _ranges(spec, chance, time, room - made):
                made += 1
                yield record
        else:
            made += 1
            yield _single(spec, chance, time)
    yield from last[: lines - made]


def _over_the_end(spec: Mixed, file: int, *, second: bool) -> Iterator[Record]:
    """Ranges of downloads that begin in one file and end in the next: one half of them."""
    chance = random.Random(f"{spec.seed}:end of {file}")  # noqa: S311 - as above
    end = FIRST_SECOND + int(spec.days * DAY * (file + 1) / spec.files)
    for gap in (1, 60, JOINED - 1, JOINED, JOINED + 100):
        blank = _single(spec, chance, end)
        found = made_object(chance.randrange(spec.objects))
        length = max(found.size // 2, 1)
        start, time = (length, end - 5 + gap) if second else (0, end - 5)
        yield blank._replace(
            time=time, object=found, method="GET", status=206, result="Hit", client="10.255.0.1",
            agent=AGENTS[0], encoded=1, length=length, start=start, end=start + length - 1,
            bytes=length + HEADER, asn=OTHER_ASN,
        )  # fmt: skip


def _popular(chance: random.Random, amount: int) -> int:
    """A number below ``amount``, by Zipf's law: number n comes half as often as number n / 2."""
    return int(amount ** chance.random()) - 1


def _client(spec: Mixed, chance: random.Random) -> tuple[str, int]:
    """Address and ASN. Few clients ask often, and one line in 250 has no address."""
    number = _popular(chance, spec.addresses)
    kind = chance.random()
    if kind < 0.3:
        region = REGIONS[number % len(REGIONS)]
        return address_in(region, number // 5), AMAZON_ASN
    if kind < 0.32:
        return f"10.254.{number >> 8 & 63}.{number & 255}", (16509, 14618)[number % 2]
    if kind < 0.324:
        return "", AMAZON_ASN if kind < 0.322 else OTHER_ASN
    return address_outside(number), OTHER_ASN


def _edge(client: str) -> str:
    """The edge near a client: always the same."""
    return EDGES[int(len(EDGES) * (crc32(client.encode()) / (1 << 32)) ** 2)]


def _single(spec: Mixed, chance: random.Random, time: int) -> Record:
    """One request that is no range: whole, broken off, refused, not modified and so on."""
    found = made_object(_popular(chance, spec.objects))
    client, asn = _client(spec, chance)
    kind = chance.random()
    method, status, result, length = "GET", 200, "Hit" if kind < 0.5 else "Miss", found.size
    size = length + HEADER
    if kind > 0.7:
        method, status, result, length, size = _unusual(chance, found.size, result)
    agent = AGENTS[int(len(AGENTS) * chance.random() ** 2)]
    extra = chance.random()
    return Record(
        time, _edge(client), size, client, method, HOSTS[extra > 0.9], found, status,
        "" if extra < 0.01 else agent, 2 if 0.01 < extra < 0.3 else 1, _query(extra),
        "session=a b" if 0.5 < extra < 0.51 else "", result, length, -1, -1, asn,
    )  # fmt: skip


def _query(extra: float) -> str:
    if 0.6 < extra < 0.62:
        return "X-Amz-Signature=0123&X-Amz-Expires=60"
    if 0.62 < extra < 0.63:
        return "redirect=no"
    return "v=3&name=a%20b" if 0.63 < extra < 0.65 else ""


_UNUSUAL = (
    (0.40, "GET", 304, "Hit", -1, 280),
    (0.60, "HEAD", 200, "Hit", None, 390),
    (0.72, "GET", 404, "Error", 243, 640),
    (0.78, "GET", 301, "Redirect", 183, 560),
    (0.86, "GET", 0, "Error", -1, 0),
    (0.90, "GET", 503, "LimitExceeded", -1, 512),
    (0.94, "GET", 302, "FunctionGeneratedResponse", -1, 330),
    (0.97, "OPTIONS", 200, "Miss", -1, 350),
    (1.00, "GET", 416, "Error", 120, 500),
)
"""Up to which chance; then method, status, result, content length (None: the object's), bytes."""


def _unusual(chance: random.Random, size: int, result: str) -> tuple[str, int, str, int, int]:
    """Method, status, result, content length and bytes of a request that is not simply whole."""
    kind = chance.random()
    if kind < 0.12:  # the client left
        return "GET", 200, "Error", size, int(size * chance.random() * 0.9) + HEADER
    if kind < 0.15:  # the log only shows it by the bytes
        return "GET", 200, result, size, int((size + HEADER) * chance.random() * 0.9)
    if kind < 0.2:  # of unknown length
        return "GET", 200, result, -1, size + HEADER
    method, status, result, length, sent = next(row[1:] for row in _UNUSUAL if kind < row[0])
    return method, status, result, size if length is None else length, sent


def _ranges(spec: Mixed, chance: random.Random, time: int, room: int) -> Iterator[Record]:
    """Ranges of one client and object: one download, or more where it paused for long."""
    base = _single(spec, chance, time)
    found = made_object(_popular(chance, spec.objects))
    size = max(found.size, 2)
    parts = min(chance.randint(1, 9), room, size)
    step = -(-size // parts)
    base = base._replace(object=found, method="GET", status=206, result="Hit")
    for part in range(parts):
        start, end = part * step, min((part + 1) * step, size) - 1
        if part == 0 and parts > 1 and chance.random() < 0.2:
            end = 1  # as podcast players ask first
        start = min(start, end)
        kind, length = chance.random(), end - start + 1
        whole = base._replace(time=time, bytes=length + HEADER, length=length, start=start, end=end)
        if kind < 0.03 and length > 10 * HEADER:
            whole = whole._replace(result="Error", bytes=length // 2)
        elif kind < 0.05:  # the last bytes: bytes=-N
            whole = whole._replace(start=-1, end=length)
        yield whole
        time += chance.choice((0, 1, 7, 60, JOINED - 1, JOINED, 1200) if kind < 0.3 else (0, 2, 9))
