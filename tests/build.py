"""Values for tests: settings, tables, engines and requests with documentation addresses.

And the command, as it is started in processes of its own.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import nearbucket
from nearbucket.config.settings import Settings
from nearbucket.policy.engine import Engine
from nearbucket.policy.model import Request
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.region_table import build_table, networks_of
from nearbucket.supervisor.snapshot import Snapshot
from nearbucket.supervisor.sockets.listener_tls import read_key_pair
from tests.ranges_lists import document, row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nearbucket.regions.ip_ranges import Ranges

EAST, WEST, ELSEWHERE, OUTSIDE = "192.0.2.7", "198.51.100.7", "203.0.113.7", "203.0.113.250"
EAST_V6, CDN = "2001:db8:1::7", "203.0.113.130"

PACKAGE = nearbucket.__name__
VERSION = nearbucket.__version__
COMMAND = (sys.executable, "-m", PACKAGE)
"""``nearbucket``, from this checkout."""

BLIND = {"verify": "none", "came_back": "off", "watch": False}
"""``redirect`` for targets that there are none of."""
FORWARDED = {"from": "x-forwarded-for", "trusted_proxies": ["loopback"]}
"""``client_address`` for tests that name the client in a field."""


def ranges_document() -> bytes:
    """A list in AWS's form, with documentation addresses only."""
    return document(
        row("192.0.2.0/24", "us-east-1"),
        row("198.51.100.0/24", "us-west-2"),
        row("203.0.113.0/25", "eu-west-1"),
        row("203.0.113.192/27", "GLOBAL"),
        row("203.0.113.128/26", "GLOBAL", "CLOUDFRONT_ORIGIN_FACING"),
        # As in the real list, an EC2-labelled block nests inside CloudFront's.
        row("203.0.113.128/28", "us-east-1"),
        v6=[row("2001:db8:1::/48", "us-east-1")],
        createDate="2026-01-01-00-00-00",
    )


@cache
def ranges() -> Ranges:
    """The list above, read."""
    return read_ranges(ranges_document())


def settings(
    *,
    site: Mapping[str, Any] | None = None,
    more: Sequence[Mapping[str, Any]] = (),
    **sections: Any,
) -> Settings:
    """A configuration with two targets; ``site`` and sections replace what they name.

    Copies are not checked and recent redirects do not count, unless the site says otherwise.
    """
    first = {
        "origin": {"bucket": "downloads", "region": "us-east-1"},
        "targets": {
            "us-east-1": {"bucket": "downloads"},
            "us-west-2": {"bucket": "us-west-2-downloads"},
        },
        **(site or {}),
    }
    sites = [{**each, "redirect": {**BLIND, **each.get("redirect", {})}} for each in (first, *more)]
    return Settings.model_validate({"sites": sites, **sections})


def open_bucket(endpoint: str, **more: Any) -> dict[str, Any]:
    """The entry of a bucket at an endpoint, which is asked without a signature."""
    return {
        "bucket": "downloads",
        "region": "us-east-1",
        "endpoint": endpoint,
        "credentials": "anonymous",
        **more,
    }


def snapshot(chosen: Settings, *, workers: int = 1) -> Snapshot:
    """What a worker is given."""
    regions, tls = chosen.regions, chosen.listen.tls
    pair = read_key_pair(tls) if tls and tls.key.exists() else None
    table = build_table(ranges(), regions.services, regions.overrides)
    return Snapshot(chosen, table, networks_of(ranges(), "CLOUDFRONT_ORIGIN_FACING"), workers, pair)


def engine(chosen: Settings) -> Engine:
    """An engine over the list above."""
    made = snapshot(chosen)
    return Engine.build(made.settings, made.table, made.cdn)


def request(
    target: str = "/a.tar.gz", *, peer: str | None = EAST, method: str = "GET", **fields: str
) -> Request:
    """A request; keyword ``user_agent`` is the field ``user-agent``."""
    headers = {
        name.replace("_", "-").encode(): value.encode("latin-1")
        for name, value in {"host": "dl.example", **fields}.items()
    }
    return Request(method, target, headers, peer)


def lone_config(folder: Path) -> Path:
    """A configuration file for one worker on a free port, which reaches neither S3 nor AWS."""
    nowhere = {"endpoint": "http://127.0.0.1:9", "credentials": "anonymous"}
    sections = {
        "listen": {"host": "127.0.0.1", "port": 0, "workers": 1},
        "admin": {"port": 0},
        "limits": {"drain_grace": 0},
        "regions": {"source": str(folder / "none"), "cache": str(folder / "cache")},
        "sites": [{"origin": {"bucket": "downloads", "region": "us-east-1", **nowhere}}],
    }
    config = folder / "nearbucket.yaml"
    config.write_text(json.dumps(sections), encoding="utf-8")
    return config
