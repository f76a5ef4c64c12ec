"""Flags of requests that are never redirected: with credentials, or by a client that opts out.

What counts as that is set for each site, so the site of the request's host decides. Opt-outs by
header, and Authorization, show in nearbucket's own logs alone, as the reason.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import pyarrow as pa
import pyarrow.compute as pc

from nearbucket.analysis.reading import formats
from nearbucket.analysis.reducing.coded_columns import Coded, constant, named_column
from nearbucket.analysis.traffic import CREDENTIALS, OPTED_OUT
from nearbucket.policy.rules import SIGNED_QUERY, any_pattern
from nearbucket.regions.region_table import network_set

if TYPE_CHECKING:
    from nearbucket.config.settings import Settings

_BY_REASON = {"credentials": CREDENTIALS, "opt-out": OPTED_OUT}
_ALL = range((CREDENTIALS | OPTED_OUT) + 1)


@dataclass(frozen=True, slots=True)
class SiteRules:
    """By what requests to a site are known as never redirected. Picklable.

    Attributes:
        opt_out_query: Query argument with which a client opts out; None for none.
        opt_out_agents: Shell patterns of User-Agents that do.
        opt_out_networks: Networks that do.
        cookies: Shell patterns of names of cookies that count as credentials.
        arguments: Names of query arguments that only the origin can answer.
    """

    opt_out_query: str | None = "redirect=no"
    opt_out_agents: tuple[str, ...] = ()
    opt_out_networks: tuple[str, ...] = ()
    cookies: tuple[str, ...] = ("*",)
    arguments: tuple[str, ...] = ()


Sites = tuple[tuple[tuple[str, ...], SiteRules], ...]
"""Rules that differ, each with its hosts; ``*`` is every other host. A host of no site gets the
first ones, which do not matter: no policy redirects its requests."""
ANY_SITE: Sites = ((("*",), SiteRules()),)
"""All hosts, with the default settings of a site."""


def sites_of(settings: Settings) -> Sites:
    """The rules of a configuration; sites with equal rules are joined."""
    hosts_of: dict[SiteRules, list[str]] = {}
    for site in settings.sites:
        rules = SiteRules(
            opt_out_query=site.opt_out.query,
            opt_out_agents=tuple(site.opt_out.user_agents),
            opt_out_networks=tuple(site.opt_out.networks),
            cookies=tuple(site.redirect.cookies),
            arguments=tuple(site.origin.query),
        )
        hosts_of.setdefault(rules, []).extend(name.lower() for name in site.hosts)
    return tuple((tuple(names), rules) for rules, names in hosts_of.items())


def request_flags(table: pa.Table, host: Coded, agent: Coded, reason: Coded, sites: Sites) -> Coded:
    """The bits ``CREDENTIALS`` and ``OPTED_OUT`` of each request, by the rules of its site.

    Args:
        table: Requests of a log.
        host: Their hosts.
        agent: Their User-Agents.
        reason: nearbucket's reasons; empty texts in other logs.
        sites: The rules of each site.
    """
    first, *others = (_by_rules(table, agent, reason, site) for _, site in sites)
    if not others:
        return first
    place = {name: number for number, (names, _) in enumerate(sites) for name in names}
    flags = first.picked(int, pa.int64())
    for number, other in enumerate(others, 1):
        of_site = host.picked(partial(_is_of, place, number), pa.bool_())
        flags = pc.if_else(of_site, other.picked(int, pa.int64()), flags)
    return Coded(flags, _ALL)


def _is_of(place: dict[str, int], number: int, host: str) -> bool:
    return place.get(host, place.get("*", 0)) == number


def _by_rules(table: pa.Table, agent: Coded, reason: Coded, site: SiteRules) -> Coded:
    cookies, agents = any_pattern(site.cookies), any_pattern(site.opt_out_agents)
    networks, arguments = network_set(site.opt_out_networks), frozenset(site.arguments)
    own = any(reason.values)

    def of_query(raw: bytes) -> int:
        query = "" if raw in {b"-", b""} else formats.sent_text(raw, own=own)
        opted_out = query != "" and site.opt_out_query in query.split("&")
        origin_only = SIGNED_QUERY.search(query) is not None
        if arguments and not origin_only:
            pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
            origin_only = any(name in arguments for name, _ in pairs)
        return CREDENTIALS * origin_only | OPTED_OUT * opted_out

    def of_client(raw: bytes) -> int:
        return OPTED_OUT * networks.holds(formats.text_of(raw))

    columns = [
        named_column(table, "cs_uri_query", of_query, 0),
        named_column(table, "cs_cookie", lambda raw: CREDENTIALS * _counts(raw, cookies), 0),
        Coded(
            agent.codes,
            [OPTED_OUT * bool(agents.fullmatch(name)) for name in agent.values],
        ),
        Coded(reason.codes, [_BY_REASON.get(name, 0) for name in reason.values]),
    ]
    if site.opt_out_networks:
        columns.append(named_column(table, "c_ip", of_client, 0))
    bits = [column.picked(int, pa.int8()) for column in columns if any(column.values)]
    if not bits:
        return constant(0, len(table))
    whole = bits[0]
    for more in bits[1:]:
        whole = pc.bit_wise_or(whole, more)
    return Coded(whole.cast(pa.int64()), _ALL)


def _counts(raw: bytes, cookies: re.Pattern[str]) -> bool:
    """Whether a Cookie field names a cookie that counts, as ``policy/rules.py`` has it."""
    text = formats.text_of(raw)
    if not text:
        return False
    names = {pair.partition("=")[0].strip() for pair in re.split("[;,]", text)}
    return any(cookies.fullmatch(name) for name in names - {""} or {""})
