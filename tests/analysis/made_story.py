"""The traffic of ``made_traffic`` as requests: 28 days for which the best policy is known.

About 70 TB a month.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from tests.analysis.made_traffic import BURST, BURST_KIND, KINDS, MIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.analysis.made_traffic import Kind

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
    if day == BURST:
        made += _requests(BURST_KIND, day, BURST_KIND.daily, chance)
    made.sort(key=lambda record: record.time)
    yield from made


def _requests(kind: Kind, day: int, amount: int, chance: random.Random) -> Iterator[Record]:
    amount = int(amount * chance.uniform(0.95, 1.05))
    for region in chance.choices(list(kind.regions), list(kind.regions.values()), k=amount):
        number = int(kind.objects * chance.random() ** (1 if kind.even else 2.5))
        key, size = kind.name.format(n=number, day=day), kind.size_of(number)
        in_aws = region != "UNKNOWN"
        client = (
            address_in(region, chance.randrange(_CLIENTS.get(region, 60)))
            if in_aws
            else address_outside(chance.randrange(50_000))
        )
        record = Record(
            FIRST_SECOND + day * DAY + chance.randrange(DAY), _EDGES.get(region, "IAD55-P4"),
            size + HEADER, client, "GET", HOST,
            MadeObject(key, "/" + key, logged("/" + key), size), 200, "curl/8.5.0", 1, "", "",
            "Hit", size, -1, -1, AMAZON_ASN if in_aws else OTHER_ASN,
        )  # fmt: skip
        unusual = chance.random()
        if unusual < 0.01:
            record = record._replace(method="HEAD", bytes=390)
        elif unusual < 0.02:
            record = record._replace(status=304, length=-1, bytes=280)
        elif unusual < 0.03 and size > MIB:
            half = size // 2
            record = record._replace(
                status=206, length=half, start=0, end=half - 1, bytes=half + HEADER
            )
        yield record
