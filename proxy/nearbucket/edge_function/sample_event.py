"""An event for ``aws cloudfront test-function``: a request that the function redirects."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.policy.engine import Engine
from nearbucket.policy.model import Reason, RedirectTo, Request
from nearbucket.policy.object_keys import encode_key
from nearbucket.regions.list_guard import CLOUDFRONT
from nearbucket.regions.prefixes import BITS, address_text
from nearbucket.regions.region_table import build_table, network_set, networks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.config.settings import Settings
    from nearbucket.regions.ip_ranges import Ranges

_WILDCARD = re.compile(r"[*?]|\[!?+\]?+[^\]]*+\]")


class SampleEvent(NamedTuple):
    """An event, and the Location that the function answers with."""

    event: dict[str, Any]
    location: str


def sample_event(settings: Settings, ranges: Ranges) -> SampleEvent | None:
    """The first event made of targets, patterns and prefixes that is redirected to a target."""
    regions = settings.regions
    table = build_table(ranges, regions.services, regions.overrides)
    engine = Engine.build(settings, table, network_set(())).for_client()
    for host, path, address in _requests(settings, ranges):
        decision = engine.decide(Request("GET", path, {b"host": host.encode()}, address))
        if isinstance(decision, RedirectTo) and decision.reason is Reason.IN_REGION:
            return SampleEvent(_event(host, path, address), decision.location)
    return None


def _requests(settings: Settings, ranges: Ranges) -> Iterator[tuple[str, str, str]]:
    """Host, path and address of requests that may be redirected."""
    services, cdn = frozenset(settings.regions.services), networks_of(ranges, CLOUDFRONT)
    first: dict[str | None, str] = {}
    for family, number, _, region, service, _ in ranges.rows:
        if service in services:
            packed = number.to_bytes(BITS[family] // 8, "big")
            if not cdn.holds_packed(packed):
                first.setdefault(region, address_text(packed))
    for site in settings.sites:
        host = "downloads.example.com" if site.name == "*" else site.name
        for pattern in site.redirect.paths:
            path = "/" + encode_key(_WILDCARD.sub("x", pattern))
            yield from ((host, path, first[region]) for region in site.targets if region in first)


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
