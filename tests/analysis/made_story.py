"""Traffic of 28 days for which the best policy is known: ten kinds of it.

Bytes and money come from large files that machines in us-east-1, us-west-2 and eu-west-1 fetch
again and again: ``dcos/*`` (with small checksums beside each), ``*.qcow2``, ``blobs/*`` without
suffix, ``nightly/*`` (new each day) and ``*.rpm``. What should not be chosen: ``archive/*``, most
of it asked for once; small JSON; zips, which only people outside of AWS fetch; a burst of one day
from ap-southeast-1; a trickle from ap-south-1. About 70 TB and 400,000 requests a month.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tests.analysis.made_logs import (
    AMAZON_ASN,
    DAY,
    FIRST_SECOND,
    HEADER,
    OTHER_ASN,
    MadeObject,
    Record,
    address_in,
    address_outside,
    logged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1 << 20
BURST_DAY = 5
"""Day of the burst: the first Saturday."""
ORIGIN = "us-east-1"
"""The region of the origin's bucket."""
BEST_REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
HOST = "downloads.example.com"


@dataclass(frozen=True, slots=True)
class Story:
    """Which part of the story is made; one file a day.

    Attributes:
        seed: The same seed gives the same requests.
        first: First day, from 0.
        days: Days; the story has 28.
    """

    seed: int = 16
    first: int = 0
    days: int = 14

    @property
    def files(self) -> int:
        """Files: one a day."""
        return self.days


class Kind(NamedTuple):
    """One kind of traffic.

    Attributes:
        name: Of its objects; ``{n}`` is a number, ``{day}`` the day.
        objects: How many objects there are (on each day, where names have a day).
        size: Bytes of an object, about.
        daily: Requests on a weekday, about.
        skew: How unevenly objects are asked for; 1 is evenly.
        regions: Share of each region; what is missing to 1 is outside of AWS.
        agent: User-Agent.
    """

    name: str
    objects: int
    size: int
    daily: int
    skew: float
    regions: dict[str, float]
    agent: str


_MACHINES = {"us-east-1": 0.45, "us-west-2": 0.25, "eu-west-1": 0.18, "ap-south-1": 0.003}
_OLD = {"us-west-2": 0.25, "eu-west-1": 0.25, "eu-central-1": 0.1, "ap-northeast-1": 0.1}
_LARGE = "dcos/releases/v1.{n}/dcos-1.{n}.tar.xz"
KINDS = (
    Kind(_LARGE, 40, 600 * MIB, 1750, 2.5, _MACHINES, "curl/8.5.0"),
    Kind(f"{_LARGE}.sha256", 40, 100, 2000, 2.5, _MACHINES, "curl/8.5.0"),
    Kind("images/base-{n}.qcow2", 30, 1200 * MIB, 390, 2.0, _MACHINES, "Go-http-client/1.1"),
    Kind("blobs/sha256/{n:064x}", 800, 60 * MIB, 4200, 3.0, _MACHINES, "docker/26.1.4"),
    Kind("nightly/{day:03}/build-{n}.tar.gz", 6, 250 * MIB, 800, 1.5, _MACHINES, "Wget/1.21.3"),
    Kind("repo/el9/pkg-{n}.rpm", 500, 25 * MIB, 4200, 3.0, _MACHINES, "libdnf (Fedora 41)"),
    Kind("archive/2012/dump-{n}.bin", 20000, 60 * MIB, 550, 1.0, _OLD, "curl/7.88.1"),
    Kind("api/v1/index-{n}.json", 200, 3000, 1500, 2.0, {"us-east-1": 0.2}, "axios/1.7.2"),
    Kind("win/setup-{n}.zip", 60, 180 * MIB, 1700, 2.0, {}, "Mozilla/5.0 (Windows NT 10.0)"),
)  # fmt: skip
"""All but the burst."""
_BURST = Kind(
    "images/base-{n}.qcow2", 30, 1200 * MIB, 1500, 2.0, {"ap-southeast-1": 1.0}, "Packer/1.11.2"
)
_CLIENTS = {"us-east-1": 400, "us-west-2": 250, "eu-west-1": 180, "ap-south-1": 40}
_EDGES = {
    "us-east-1": "IAD89-C1",
    "us-west-2": "SEA19-C2",
    "eu-west-1": "DUB56-P1",
    "ap-south-1": "BOM78-P4",
    "ap-southeast-1": "SIN52-C1",
}


def story(spec: Story, file: int) -> Iterator[Record]:
    """The requests of one day.

    Args:
        spec: Which part of the story.
        file: Number of the day within that part.
    """
    day = spec.first + file
    chance = random.Random(f"{spec.seed}:story {day}")  # noqa: S311 - a seed repeats
    weekend = 0.55 if day % 7 >= 5 else 1.0
    made = [
        record
        for kind in KINDS
        for record in _requests(kind, day, int(kind.daily * weekend), chance)
    ]
    if day == BURST_DAY:
        made += _requests(_BURST, day, _BURST.daily, chance)
    made.sort(key=lambda record: record.time)
    yield from made


def _requests(kind: Kind, day: int, amount: int, chance: random.Random) -> Iterator[Record]:
    for _ in range(int(amount * chance.uniform(0.95, 1.05))):
        found = _object(kind, day, int(kind.objects * chance.random() ** kind.skew))
        region = _region(kind, chance.random())
        time = FIRST_SECOND + day * DAY + chance.randrange(DAY)
        client = (
            address_in(region, chance.randrange(_CLIENTS.get(region, 60)))
            if region
            else address_outside(chance.randrange(50_000))
        )
        record = Record(
            time, _EDGES.get(region, "IAD55-P4"), found.size + HEADER, client, "GET", HOST, found,
            200, kind.agent, 1, "", "", "Hit", found.size, -1, -1,
            AMAZON_ASN if region else OTHER_ASN,
        )  # fmt: skip
        unusual = chance.random()
        if unusual < 0.01:
            record = record._replace(method="HEAD", bytes=390)
        elif unusual < 0.02:
            record = record._replace(status=304, length=-1, bytes=280)
        elif unusual < 0.03 and found.size > MIB:
            half = found.size // 2
            record = record._replace(
                status=206, length=half, start=0, end=half - 1, bytes=half + HEADER
            )
        yield record


def _object(kind: Kind, day: int, number: int) -> MadeObject:
    key = kind.name.format(n=number, day=day)
    size = kind.size * (80 + number * 7919 % 41) // 100 if kind.size > MIB else kind.size
    return MadeObject(key, "/" + key, logged("/" + key), size)


def _region(kind: Kind, at: float) -> str:
    for region, share in kind.regions.items():
        at -= share
        if at < 0:
            return region
    return ""
