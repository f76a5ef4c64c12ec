"""An event for ``aws cloudfront test-function``: a request that the function redirects."""

from __future__ import annotations

import re
from fnmatch import translate
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.policy.engine import Engine
from nearbucket.policy.model import Reason, RedirectTo, Request
from nearbucket.policy.object_keys import encode_key
from nearbucket.regions.list_guard import CLOUDFRONT
from nearbucket.regions.prefixes import BITS, address_text
from nearbucket.regions.region_table import build_table, network_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nearbucket.config.settings import Settings
    from nearbucket.regions.ip_ranges import Ranges

_WILDCARD = re.compile(r"[*?]|\[!?+\]?+[^\]]*+\]")
_FILLING = ["x", *map(chr, range(48, 127)), *map(chr, range(33, 48))]
"""What a set of a pattern may match, the plainest first."""
_TRIES = 20_000
"""Requests that are tried for a share of clients and objects (``redirect.percent``)."""


class SampleEvent(NamedTuple):
    """An event, and the Location that the function answers with."""

    event: dict[str, Any]
    location: str


def sample_event(settings: Settings, ranges: Ranges) -> SampleEvent | None:
    """The first event made of targets, patterns and prefixes that is redirected to a target."""
    regions = settings.regions
    table = build_table(ranges, regions.services, regions.overrides)
    engine = Engine.build(settings, table, network_set(())).for_client()
    for host, path, address in islice(_requests(settings, ranges), _TRIES):
        decision = engine.decide(Request("GET", path, {b"host": host.encode()}, address))
        if isinstance(decision, RedirectTo) and decision.reason is Reason.IN_REGION:
            return SampleEvent(_event(host, path, address), decision.location)
    return None


def _requests(settings: Settings, ranges: Ranges) -> Iterator[tuple[str, str, str]]:
    """Host, path and address of requests that may be redirected.

    If a site redirects a share, there are more, with other keys and addresses.
    """
    networks = _networks(settings, ranges)
    for site in settings.sites:
        host = "downloads.example.com" if site.name == "*" else site.name
        modes = {region: site.mode_of(region) for region in site.targets if region in networks}
        regions = [region for region, mode in modes.items() if mode == "on"]
        tries = _TRIES if regions and 0 < site.redirect.percent < 100 else 1  # noqa: PLR2004
        for number in range(tries):
            for pattern in site.redirect.paths:
                path = "/" + encode_key(_filled(pattern, number))
                for family, first, size in map(networks.__getitem__, regions):
                    packed = (first + number % size).to_bytes(BITS[family] // 8, "big")
                    yield host, path, address_text(packed)


def _networks(settings: Settings, ranges: Ranges) -> dict[str | None, tuple[int, int, int]]:
    """The widest prefix of each region without an address of CloudFront, of IPv4 if there is one.

    Family, first address and number of addresses.
    """
    services = frozenset(settings.regions.services)
    cdn = [row[:3] for row in ranges.rows if row.service == CLOUDFRONT]
    found: dict[str | None, tuple[int, int, int]] = {}
    for family, first, length, region, service, _ in ranges.rows:
        size = 1 << BITS[family] - length
        known = found.get(region)
        is_better = known is None or (-family, size) > (-known[0], known[2])
        if service in services and is_better and not _meets(cdn, family, first, size):
            found[region] = family, first, size
    return found


def _meets(cdn: Iterable[tuple[int, int, int]], family: int, first: int, size: int) -> bool:
    """Whether one of some prefixes has an address of a range."""
    return any(
        family == other and start < first + size and first < start + (1 << BITS[family] - length)
        for other, start, length in cdn
    )


def _filled(pattern: str, number: int) -> str:
    """The text with that number of those that a pattern matches."""
    return _WILDCARD.sub(lambda found: _filling(found[0], number), pattern)


def _filling(part: str, number: int) -> str:
    if part == "*":
        return f"x{number or ''}"
    fits = re.compile(translate(part)).fullmatch
    return next(filter(fits, _FILLING), "")


def _event(host: str, path: str, address: str) -> dict[str, Any]:
    """An event as functions get it (CloudFront developer guide, "Event structure")."""
    return {
        "version": "1.0",
        "context": {"eventType": "viewer-request"},
        "viewer": {"ip": address},
        "request": {
            "method": "GET",
            "uri": path,
            "querystring": {},
            "headers": {"host": {"value": host}},
            "cookies": {},
        },
    }
