"""Findings about what strangers can reach or forge: the client's address, and the admin port.

``docs/threat-model.md`` says what each of them means.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from nearbucket.cli.check.finding import Finding, Level
from nearbucket.config.settings import TRUST_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.config.settings import ClientAddress, Settings

_WIDE = {4: 8, 6: 16}
"""Shorter prefixes are wider than any network of a proxy's (10.0.0.0/8)."""

_SECRET = "add client_address.origin_secret"  # noqa: S105  # a setting's name


def exposure_findings(settings: Settings) -> list[Finding]:
    """Warnings about addresses that clients can forge, and about an admin port in public."""
    return [*_forgeable(settings.client_address, settings.listen.host), *_admin(settings)]


def _forgeable(trust: ClientAddress, host: str) -> Iterator[Finding]:
    header = trust.source
    if header == "peer":
        return
    forged = f"so clients can write any address into {header}"
    wide = [each for each in trust.trusted_proxies if _is_wide(each)]
    # the left end of a list in which every entry is trusted was written by the client
    if wide and (header == "x-forwarded-for" or not trust.origin_secret):
        text = f"{', '.join(wide)} trusts addresses that are not your proxies, {forged}"
        yield _finding("trusted_proxies", text, "name the networks of your proxies alone")
    if trust.origin_secret or wide:
        return
    if trust.trusted_hops and (trust.trusted_hops > 1 or _is_public(host)):
        where = "past your first proxy" if trust.trusted_hops > 1 else f"to {host}"
        text = f"whatever connects {where} counts as your proxy, {forged}"
        yield _finding("trusted_hops", text, f"{_SECRET}, or let only your proxies reach the port")
    elif "cloudfront" in trust.trusted_proxies:
        text = "the distributions of all AWS customers have the addresses of CloudFront"
        yield _finding("trusted_proxies", text, _SECRET)
    elif header == "cloudfront-viewer-address":
        text = f"load balancers pass this header on from any client, {forged}"
        yield _finding("from", text, _SECRET)


def _finding(key: str, text: str, fix: str) -> Finding:
    return Finding(Level.WARNING, f"client_address.{key}", "trust", text, fix)


def _admin(settings: Settings) -> Iterator[Finding]:
    host, place = settings.admin.host, "admin.host"
    text = "the admin port has no authentication and shows the configuration"
    if not _is_public(host):
        return
    if host in {"0.0.0.0", "::"}:
        text = f"{text}; whether only your monitoring reaches it on {host} is not checked"
        yield Finding(Level.NOTE, place, "admin", text, "let a firewall or security group say so")
        return
    text = f"{text}, and {host} is a public address"
    yield Finding(Level.WARNING, place, "admin", text, "use a loopback or private address")


def _is_wide(trusted: str) -> bool:
    if trusted in TRUST_WORDS:
        return False
    network = ipaddress.ip_network(trusted)
    return network.prefixlen < _WIDE[network.version]


def _is_public(host: str) -> bool:
    """Whether addresses of the internet can be those of a listener; a name may be anything."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host != "localhost"
    return address.is_unspecified or address.is_global
