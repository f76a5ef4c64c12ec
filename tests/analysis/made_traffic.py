"""Tables of traffic for which the best policy is known, made without logs and a reader.

Large files are fetched again and again by machines in us-east-1, us-west-2 and eu-west-1:
``releases/*.tar.xz`` with small checksums beside them, ``*.qcow2``, ``layers/*`` without suffix,
``nightly/*`` (new each day) and ``*.rpm``. Not worth a copy: ``attic/*``, most of which is asked
for once; small JSON; zips, which only clients outside of AWS fetch. One Saturday has a burst of
images from ap-southeast-1, and all days a trickle from ap-south-1.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from nearbucket.analysis.traffic import Traffic
from nearbucket.config.prices import GB, MONTH_DAYS
from nearbucket.pricing.bill import Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MIB = 1 << 20
OK = 200
FIRST = date(2026, 10, 5)  # a Monday
BURST = 5
GOOD_REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
GEOGRAPHIES = {
    "us-east-1": "north-america", "us-west-2": "north-america", "eu-west-1": "europe",
    "ap-southeast-1": "asia", "ap-south-1": "india", "UNKNOWN": "north-america",
}  # fmt: skip
_MACHINES = {
    "us-east-1": 0.42, "us-west-2": 0.26, "eu-west-1": 0.2, "ap-south-1": 0.003, "UNKNOWN": 0.117,
}  # fmt: skip


class Kind(NamedTuple):
    """One kind of traffic.

    Attributes:
        name: Of its objects: ``{n}`` is the object's number, ``{day}`` the day's.
        objects: How many objects there are.
        size: Their bytes, about.
        daily: Requests on a weekday.
        regions: Share of each region.
        even: Whether all objects are equally popular.
    """

    name: str
    objects: int
    size: int
    daily: int
    regions: dict[str, float]
    even: bool = False

    def size_of(self, number: int) -> int:
        """Bytes of one object; large ones differ."""
        return self.size * (80 + number * 7919 % 41) // 100 if self.size > MIB else self.size


KINDS = (
    Kind("releases/2.{n}/app-2.{n}.tar.xz", 40, 640 * MIB, 1500, _MACHINES),
    Kind("releases/2.{n}/app-2.{n}.tar.xz.sha256", 40, 98, 6000, _MACHINES),
    Kind("images/disk-{n}.qcow2", 25, 1300 * MIB, 360, _MACHINES),
    Kind("layers/{n:040x}", 300, 70 * MIB, 3600, _MACHINES),
    Kind("nightly/{day:03}/app-{n}.tar.gz", 6, 250 * MIB, 800, _MACHINES),
    Kind("yum/9/lib-{n}.x86_64.rpm", 200, 30 * MIB, 4000, _MACHINES),
    Kind("attic/2011/dump-{n}.bin", 30000, 64 * MIB, 500,
         {"us-west-2": 0.4, "eu-west-1": 0.4, "UNKNOWN": 0.2}, even=True),
    Kind("api/index-{n}.json", 100, 3000, 3000, {"us-east-1": 0.3, "UNKNOWN": 0.7}),
    Kind("win/setup-{n}.zip", 40, 180 * MIB, 1500, {"UNKNOWN": 1.0}),
)  # fmt: skip
BURST_KIND = Kind("images/disk-{n}.qcow2", 25, 1300 * MIB, 1400, {"ap-southeast-1": 1.0})


class Fact(NamedTuple):
    """Requests that are alike; the columns of ``Traffic.facts``, with host and key."""

    day: date
    host: str
    key: str
    region: str
    geography: str
    method: str
    status: int
    flags: int
    requests: int
    bytes: int


def fact(  # noqa: PLR0913  # the columns
    key: str,
    region: str = "us-east-1",
    size: int = MIB,
    *,
    day: int = 0,
    requests: int = 1,
    host: str = "downloads.example.com",
    method: str = "GET",
    status: int = 200,
    flags: int = 0,
) -> Fact:
    """Requests for one object, each for ``size`` bytes."""
    geography = GEOGRAPHIES.get(region, "north-america")
    when = FIRST + timedelta(days=day)
    return Fact(
        when, host, key, region, geography, method, status, flags, requests, requests * size
    )


def traffic_of(facts: Iterable[Fact], days: float, sizes: dict[str, int] | None = None) -> Traffic:
    """The tables; the size of an object is that of one response, if none is given."""
    rows = list(facts)
    if sizes is None:
        sizes = {row.key: row.bytes // row.requests for row in rows if row.status == OK}
    numbers = {(row.host, row.key): 0 for row in rows}
    numbers = {path: number for number, path in enumerate(numbers)}
    networks: Counter[tuple[int, str, str]] = Counter()
    for number, row in enumerate(rows):
        if row.region in GEOGRAPHIES and row.region != "UNKNOWN":
            net = f"198.18.{number % 23}.0/24"
            networks[numbers[row.host, row.key], row.region, net] += row.bytes
    types = {"object": pa.int32(), "day": pa.date32(), "status": pa.int16(), "flags": pa.int8()}
    counts = {name: pa.int64() for name in ("size", "requests", "bytes")}

    def table(names: Iterable[str], values: Iterable[Iterable[object]]) -> pa.Table:
        columns = list(zip(*values, strict=True)) or [() for _ in names]
        kinds = [(types | counts).get(name, pa.string()) for name in names]
        return pa.table(list(map(pa.array, columns, kinds)), list(names))

    return Traffic(
        table(
            ("object", *(name for name in Fact._fields if name not in {"host", "key"})),
            ((numbers[row.host, row.key], row.day, *row[3:]) for row in rows),
        ),
        table(
            ("object", "host", "key", "size"),
            ((number, *path, sizes.get(path[1])) for path, number in numbers.items()),
        ),
        table(
            ("object", "region", "network", "bytes"),
            ((*of, size) for of, size in networks.items()),
        ),
        days,
    )


def story(seed: int, first: int = 0, days: int = 14) -> Traffic:
    """Some days of the story."""
    return traffic_of((row for day in range(first, first + days) for row in _day(seed, day)), days)


def _day(seed: int, day: int) -> Iterator[Fact]:
    chance = random.Random(f"{seed} {day}")  # noqa: S311  # a seed repeats
    calm = 0.55 if day % 7 >= BURST else 1.0
    kinds = [*KINDS, BURST_KIND] if day == BURST else list(KINDS)
    for kind in kinds:
        counts: Counter[tuple[int, str]] = Counter()
        amount = int(
            kind.daily * (calm if kind is not BURST_KIND else 1) * chance.uniform(0.93, 1.07)
        )
        objects = range(kind.objects)
        odds = list(accumulate(1.0 if kind.even else 1 / (number + 2) for number in objects))
        asked = chance.choices(objects, cum_weights=odds, k=amount)
        regions = chance.choices(list(kind.regions), list(kind.regions.values()), k=amount)
        counts.update(zip(asked, regions, strict=True))
        for (number, region), requests in counts.items():
            key = kind.name.format(n=number, day=day)
            yield fact(key, region, kind.size_of(number), day=day, requests=requests)


def month_usage(traffic: Traffic) -> Usage:
    """What the CDN delivers in a month of this traffic."""
    sums = traffic.facts.group_by("geography").aggregate([("bytes", "sum")]).to_pylist()
    month = MONTH_DAYS / traffic.days / GB
    return Usage({each["geography"]: each["bytes_sum"] * month for each in sums})
