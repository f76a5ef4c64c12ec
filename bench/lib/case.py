"""The configuration that is compared, and the clients that send requests.

From an ip-ranges document: nearbucket's settings, and client addresses. Each address is in a
region with a target, so every request measured here is answered with a redirect.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nearbucket.config.settings import Settings
from nearbucket.regions.prefixes import prefix_text
from nearbucket.regions.region_table import build_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.regions.ip_ranges import Ranges

ROOT = Path(__file__).parents[2]
PATH = "/releases/app-1.0.tar.gz"
REGIONS = ("us-east-1", "us-west-2", "eu-west-1")
"""Regions with a target."""

CLIENTS = 1000
MAX_CONNECTIONS = 12_000
IDLE_SECONDS = 600
"""How long every server keeps an idle connection: longer than a bench holds one."""

FAMILY, _BITS = 4, 32
_STRIDE = 2_654_435_761  # 2**32 / golden ratio: spreads the addresses, the same in every run


class BenchError(Exception):
    """The comparison cannot go on; the text says why and what to do."""


def ranges_file() -> Path:
    """The list of prefixes that comes with this version, unpacked into ``build/``."""
    packed = ROOT / "proxy/nearbucket/regions/ip-ranges.json.gz"
    document = gzip.decompress(packed.read_bytes())
    file = ROOT / "build" / f"ip-ranges-{json.loads(document)['createDate'][:10]}.json"
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(document)
    return file


def configuration(*, log: bool, origin: dict[str, Any] | None = None) -> dict[str, Any]:
    """Nearbucket's configuration file, with or without an access log.

    Args:
        log: Whether there is an access log.
        origin: Where objects are streamed from; AWS by default, which no request here reaches.
    """
    return {
        "listen": {"host": "127.0.0.1", "workers": 1},
        "client_address": {"from": "x-forwarded-for", "trusted_proxies": ["loopback"]},
        "limits": {
            "max_connections": MAX_CONNECTIONS,
            "idle_timeout": IDLE_SECONDS,
            "drain_grace": 0,
        },
        "log": {"access": "json" if log else "off", "level": "warning"},
        "sites": [{
            "origin": origin or {"bucket": "downloads", "region": "us-east-1"},
            "targets": {region: {"bucket": f"{region}-downloads"} for region in REGIONS},
            # no such buckets can be asked from here, and the load's few clients come back at once
            "redirect": {"verify": "none", "watch": False, "came_back": "off"},
        }],
    }  # fmt: skip


def settings(*, log: bool) -> Settings:
    """The same configuration as ``Settings``."""
    return Settings.model_validate(configuration(log=log))


def locations() -> dict[str, str]:
    """Region to the base of its redirects, without the slash at the end."""
    return {
        name: target.location() for name, target in settings(log=False).sites[0].targets.items()
    }


def clients(ranges: Ranges, count: int = CLIENTS) -> list[tuple[str, str]]:
    """IPv4 addresses inside the regions with a target, each with its region.

    Raises:
        BenchError: The list has no such prefix.
    """
    found = dict(_clients(ranges, count))
    if not found:
        raise BenchError(f"the list of prefixes has no IPv4 prefix in {', '.join(REGIONS)}")
    return list(found.items())[:count]


def _clients(ranges: Ranges, count: int) -> Iterator[tuple[str, str]]:
    table = build_table(ranges, settings(log=False).regions.services, {})
    rows = [row for row in counted(ranges) if row[2] in REGIONS]
    for number in range(count * 4 if rows else 0):
        first, length, region = rows[number * _STRIDE % len(rows)]
        value = first + number * _STRIDE % (1 << _BITS - length)
        address = prefix_text(FAMILY, value, _BITS).partition("/")[0]
        if region and table.region(address) == region:
            yield address, region


def counted(ranges: Ranges) -> list[tuple[int, int, str | None]]:
    """First address, length and region of the IPv4 prefixes that decide."""
    wanted = set(settings(log=False).regions.services)
    return sorted(
        {
            (row.first, row.length, row.region)
            for row in ranges.rows
            if row.family == FAMILY and row.service in wanted
        },
        key=lambda row: row[:2],
    )
