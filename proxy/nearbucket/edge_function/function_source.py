"""The source of the function: the settings of the sites, written into ``function.js``.

``function.js`` has the rules, in the order that saves reads of the store: which rule prevents a
redirect shows in no answer. What differs from site to site is data, and patterns are literal
regular expressions. Comments and indentation are left out, as a function may have 10 KB.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from nearbucket.edge_function.address_store import range_text
from nearbucket.edge_function.pattern_expressions import NOTHING, expression
from nearbucket.errors import ConfigError
from nearbucket.policy.engine import HOSTS_PATH
from nearbucket.policy.rules import SitePolicy
from nearbucket.regions.prefixes import BITS, parse_network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site

LONGEST_FUNCTION = 10 * 1024
"""Bytes of a function (CloudFront developer guide, "Quotas on CloudFront Functions")."""

_POLICY = "//POLICY//"
_DISPENSABLE = re.compile(r"^ *// .*\n|^ +|\n(?=\n)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Expression:
    """Source of a regular expression, written as a literal."""

    source: str


def function_source(settings: Settings) -> str:
    """The function for all sites of a configuration.

    Raises:
        ConfigError: A setting cannot be written as JavaScript, or the function is too long.
    """
    template = files(__package__).joinpath("function.js").read_text("utf-8")
    title, _, code = template.partition("\nimport ")
    hosts = {host: number for number, site in enumerate(settings.sites) for host in site.hosts}
    constants: dict[str, object] = {
        "REASON_HEADER": settings.log.reason_header,
        "WELL_KNOWN": HOSTS_PATH if settings.listen.well_known else "",
        "HOSTS": hosts,
        "SITES": [_site(site) for site in settings.sites],
    }
    policy = "\n".join(f"const {name} = {_literal(value)};" for name, value in constants.items())
    short = _DISPENSABLE.sub("", f"import {code}")
    source = f"{title}\n{short.replace(_POLICY, policy)}"
    if len(source.encode()) > LONGEST_FUNCTION:
        raise ConfigError(
            f"the function would have {len(source.encode())} bytes, and CloudFront takes "
            f"{LONGEST_FUNCTION}; compile fewer sites, targets, patterns or networks together"
        )
    return source


def _site(site: Site) -> dict[str, Any]:
    """What the function has to know of a site; names as in ``function.js``."""
    policy, redirect, opt_out = SitePolicy.build(site), site.redirect, site.opt_out
    where = f"{site.key}.redirect."
    return {
        "status": redirect.status,
        "index": policy.index,
        "maxKey": policy.max_key,
        "head": policy.redirects_head,
        "percent": policy.percent,
        "query": opt_out.query,
        "header": (opt_out.header or "").lower(),
        "args": sorted(policy.origin_query),
        "paths": _keys(redirect.paths, f"{where}paths"),
        "exclude": _keys(redirect.exclude, f"{where}exclude"),
        "mutable": _keys(redirect.mutable, f"{where}mutable"),
        "agents": _fields(opt_out.user_agents, f"{site.key}.opt_out.user_agents"),
        "cookies": _fields(redirect.cookies, f"{where}cookies"),
        "networks": sorted(map(_network, opt_out.networks)),
        "targets": _targets(policy),
    }


def _keys(patterns: tuple[str, ...], where: str) -> _Expression:
    return _Expression(expression(patterns, where, keys=True))


def _fields(patterns: tuple[str, ...], where: str) -> _Expression:
    return _Expression(expression(patterns, where, keys=False))


def _network(text: str) -> str:
    """A network as a range of leading digits, with the digit of its family before both ends."""
    parsed = parse_network(text)
    if parsed is None:  # the settings have been checked
        raise AssertionError(text)
    family, first, length = parsed
    last = first | (1 << BITS[family] - length) - 1
    low, dash, high = range_text(first, last, BITS[family] // 4).partition("-")
    return f"{family}{low}-{family}{high if dash else low}"


def _targets(policy: SitePolicy) -> list[list[str]]:
    """The targets that are on: regions, URL, and that for IPv6 if ``function.js`` cannot derive it.

    A space stands for the region, so that buckets with names alike share an entry.
    """
    found: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for region, urls in policy.targets.items():
        if policy.modes[region] == "on":
            base, six = (url.replace(region, " ") for url in (urls.ipv4, urls.ipv6))
            derived = base.replace("s3. ", "s3.dualstack. ", 1)
            found[base,] += [region] if derived == six else []
            if derived != six:
                found[base, six].append(region)
    return [[" ".join(regions), *bases] for bases, regions in found.items() if regions]


def _literal(value: object) -> str:
    """A value as JavaScript, in ASCII."""
    match value:
        case _Expression(source):
            return "/" + source.replace("/", r"\/") + "/" if source != NOTHING else f"/{NOTHING}/"
        case dict():
            return "{" + ",".join(_members(value)) + "}"
        case list():
            return "[" + ",".join(map(_literal, value)) + "]"
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return json.dumps(value)


def _members(values: dict[str, object]) -> Iterator[str]:
    for name, value in values.items():
        key = name if name.isascii() and name.isidentifier() else json.dumps(name)
        yield f"{key}:{_literal(value)}"
