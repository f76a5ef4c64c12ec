"""Makes an access log for the demo: two weeks of a team's downloads, as CloudFront would log them.

The requests are the same each time. Addresses are those of documentation, as in the demo's list of
prefixes. Bytes and money come from a few large files that build machines fetch again and again;
among the rest are small files, an archive, people at home, and a burst on one day.
"""

from __future__ import annotations

import gzip
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAYS = 14
FIRST = datetime(2026, 11, 2, tzinfo=UTC)
"""A Monday."""
FIELDS = (
    "date time x-edge-location sc-bytes c-ip cs-method cs(Host) cs-uri-stem sc-status "
    "cs(User-Agent) x-edge-result-type x-host-header sc-content-len"
)
HOST = "downloads.example.com"
_MIB = 1024**2
_HEAD = 420
"""Bytes of response header fields, which ``sc-bytes`` counts too."""
_BURST_DAY = 5
_WEEKEND = 5
_PLACES = {
    "us-east-1": ("192.0.2", "2001:db8:1", "IAD89-C1"),
    "us-west-2": ("198.51.100", "2001:db8:2", "SEA19-C2"),
    "eu-west-1": (None, "2001:db8:3", "DUB56-P1"),
    "": ("203.0.113", "2001:db8:f", "FRA56-P4"),
}
"""By AWS region, the beginnings of its addresses, and the edge that its clients reach; the last is
outside AWS."""
_SUBNETS, _HOSTS = 9, 60


class SampleKind(NamedTuple):
    """Files of one kind, and who downloads them.

    Attributes:
        name: Their keys; ``{n}`` is a number, ``{day}`` the day.
        files: How many there are.
        size: Bytes of one.
        daily: Requests on a working day.
        regions: Share of each region; the rest comes from outside AWS.
        agent: User-Agent.
    """

    name: str
    files: int
    size: int
    daily: int
    regions: dict[str, float]
    agent: str


_BUILD = {"us-east-1": 0.4, "us-west-2": 0.3, "eu-west-1": 0.15}
KINDS = (
    SampleKind("releases/1.{n}/app-1.{n}.tar.xz", 20, 700 * _MIB, 420, _BUILD, "curl/8.5.0"),
    SampleKind("releases/1.{n}/app-1.{n}.tar.xz.sha256", 20, 98, 420, _BUILD, "curl/8.5.0"),
    SampleKind("images/base-{n}.qcow2", 12, 1300 * _MIB, 110, _BUILD, "Go-http-client/2.0"),
    SampleKind("nightly/{day}/build-{n}.tar.gz", 4, 260 * _MIB, 150, _BUILD, "Wget/1.21.3"),
    SampleKind("archive/2012/dump-{n}.bin", 9000, 60 * _MIB, 40, {"us-west-2": 0.5}, "curl/7.88.1"),
    SampleKind("api/v1/index-{n}.json", 30, 3_000, 260, {"us-east-1": 0.3}, "axios/1.7.2"),
    SampleKind("win/setup-{n}.zip", 9, 180 * _MIB, 120, {}, "Mozilla/5.0 (Windows NT 10.0)"),
)
_BURST = SampleKind("load/set-{n}.bin", 3, 900 * _MIB, 500, {"eu-west-1": 1.0}, "Packer/1.11.2")


def write_sample_log(folder: Path) -> int:
    """Write one file a day into a new folder.

    Returns:
        How many requests they have.
    """
    folder.mkdir()
    requests = 0
    for day in range(DAYS):
        lines = sorted(_lines(day))
        requests += len(lines)
        head = f"#Version: 1.0\n#Fields: {FIELDS}\n"
        name = f"E1SAMPLE.{FIRST + timedelta(days=day):%Y-%m-%d}-00.sample.gz"
        with gzip.open(folder / name, "wt", encoding="ascii", compresslevel=1) as log:
            log.write(head + "".join(lines))
    return requests


def _lines(day: int) -> Iterator[str]:
    """The requests of one day."""
    chance = random.Random(day)  # noqa: S311  # the same requests each time
    quiet = 0.5 if day % 7 >= _WEEKEND else 1.0
    for kind in KINDS:
        for _ in range(int(kind.daily * quiet * chance.uniform(0.9, 1.1))):
            yield _line(kind, day, chance)
    if day == _BURST_DAY:
        for _ in range(_BURST.daily):
            yield _line(_BURST, day, chance)


def _line(kind: SampleKind, day: int, chance: random.Random) -> str:
    number = int(kind.files * chance.random() ** 2)  # some are asked for more than others
    key = kind.name.format(n=number, day=f"{FIRST + timedelta(days=day):%m%d}")
    address, edge = _client(_region(kind, chance.random()), chance)
    time = FIRST + timedelta(days=day, seconds=chance.randrange(86_400))
    whole = chance.random() < 0.99  # noqa: PLR2004  # the rest has the file already
    return "\t".join(
        (
            f"{time:%Y-%m-%d}", f"{time:%H:%M:%S}", edge,
            str(kind.size + _HEAD if whole else _HEAD), address,
            "GET", "d111111abcdef8.cloudfront.net", f"/{key}", "200" if whole else "304",
            quote(kind.agent, safe="/(.;)"), "Hit", HOST, str(kind.size) if whole else "-",
        )
    ) + "\n"  # fmt: skip


def _client(region: str, chance: random.Random) -> tuple[str, str]:
    """The address of a client, and its edge. Some have IPv4; the others are in several networks."""
    v4, v6, edge = _PLACES[region]
    host = chance.randrange(1, _HOSTS)
    if v4 and chance.random() < 0.1:  # noqa: PLR2004
        return f"{v4}.{host}", edge
    return f"{v6}:{chance.randrange(1, _SUBNETS):x}00::{host:x}", edge


def _region(kind: SampleKind, at: float) -> str:
    for region, share in kind.regions.items():
        at -= share
        if at < 0:
            return region
    return ""
