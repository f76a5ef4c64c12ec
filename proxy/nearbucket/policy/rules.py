"""The rules of a site that prevent a redirect, in the order in which they are applied.

None of them depends on what the buckets hold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit
from zlib import crc32

from nearbucket.policy.model import Reason
from nearbucket.policy.object_keys import MAX_KEY, encode_key
from nearbucket.policy.record import record
from nearbucket.regions.region_table import NetworkSet, network_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nearbucket.config.sites import Site
    from nearbucket.policy.model import Request

SIGNED_QUERY = re.compile(
    r"(?:^|&)(?:x-amz-|awsaccesskeyid=|signature=|key-pair-id=)", re.IGNORECASE
)
_SPECIAL = re.compile(r"[*?[]")
"""Characters that are not literal in a shell pattern."""
_BUCKETS = 10_000
_FOR_CDN = frozenset({Reason.CLIENT_UNKNOWN, Reason.OUTSIDE_AWS, Reason.NO_TARGET, Reason.PATH})
"""Reasons that do not depend on what buckets hold: a client gets an object either from the CDN, or
from a copy and the origin, which have one version. Else a download could mix the CDN's version with
theirs. ``shadow``, ``off`` and ``percent`` say that the object is streamed."""
_ROLLOUT = {"on": Reason.IN_REGION, "shadow": Reason.SHADOW, "off": Reason.OFF}


@record(frozen=True, slots=True)
class Facts:
    """What the rules depend on.

    Attributes:
        request: The request.
        key: Object key, decoded once.
        query: Query of the request target, still encoded.
        client: The client's address, or None.
        region: The client's region, or None.
        origin_query: Arguments of the query that are passed on to S3 (``origin.query``).
    """

    request: Request
    key: str
    query: str
    client: str | None
    region: str | None
    origin_query: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TargetUrls:
    """Base URLs of a target for Location, with the bucket's prefix and a slash at the end."""

    ipv4: str
    ipv6: str


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """The rules of one site, compiled once per configuration."""

    name: str
    targets: dict[str, TargetUrls]
    modes: dict[str, str]
    sent_to: tuple[str, ...]
    cdn_url: str | None
    redirects: bool
    private: bool
    presign: float | None
    max_key: int
    index: str
    origin_query: frozenset[str]
    paths: ShellPatterns
    exclude: ShellPatterns | None
    mutable: ShellPatterns | None
    cookies: ShellPatterns | None
    percent: float
    redirects_head: bool
    status: int
    opt_out_query: str | None
    opt_out_header: bytes | None
    opt_out_agents: ShellPatterns | None
    opt_out_networks: NetworkSet | None

    @classmethod
    def build(cls, site: Site) -> SitePolicy:
        """Compile a site's settings."""
        opt_out, redirect = site.opt_out, site.redirect
        prefixes = [site.origin.prefix, *(target.prefix for target in site.targets.values())]
        return cls(
            name=site.name,
            targets={
                region: TargetUrls(
                    f"{target.location()}/{encode_key(target.prefix)}",
                    f"{target.location(dualstack=True)}/{encode_key(target.prefix)}",
                )
                for region, target in site.targets.items()
            },
            modes={region: site.mode_of(region) for region in site.targets},
            sent_to=tuple(site.sent_to),
            cdn_url=f"{site.bypass.to}/" if site.bypass.to and site.redirects_to_cdn else None,
            redirects=redirect.percent > 0 and site.regions_in_use != [],
            private=site.bypass.cache_control == "private",
            presign=redirect.presign,
            max_key=MAX_KEY - max(len(prefix.encode()) for prefix in prefixes),
            index=site.index or "",
            origin_query=frozenset(site.origin.query),
            paths=ShellPatterns.of(redirect.paths),
            exclude=ShellPatterns.of_any(redirect.exclude),
            mutable=ShellPatterns.of_any(redirect.mutable),
            cookies=ShellPatterns.of_any(redirect.cookies),
            percent=redirect.percent,
            redirects_head=redirect.head == "redirect",
            status=redirect.status,
            opt_out_query=opt_out.query,
            opt_out_header=opt_out.header.lower().encode() if opt_out.header else None,
            opt_out_agents=ShellPatterns.of_any(opt_out.user_agents),
            opt_out_networks=network_set(opt_out.networks) if opt_out.networks else None,
        )

    def reason(self, facts: Facts) -> Reason:
        """The reason of the first rule that prevents a redirect, or ``IN_REGION``.

        The engine then checks the copy, for ``SHADOW`` too, so that shadow counts only what would
        really be redirected.
        """
        if facts.client is None:
            return Reason.CLIENT_UNKNOWN
        if facts.region is None:
            return Reason.OUTSIDE_AWS
        if facts.region not in self.targets:
            return Reason.NO_TARGET
        if not self.matches_paths(facts.key):
            return Reason.PATH
        if self.is_mutable(facts.key):
            return Reason.MUTABLE
        if self.opted_out(facts):
            return Reason.OPT_OUT
        if self.has_credentials(facts):
            return Reason.CREDENTIALS
        if self.answers_head(facts):
            return Reason.HEAD
        return self.rollout(facts)

    def rollout(self, facts: Facts) -> Reason:
        """``PERCENT``, or the reason that stands for the mode of the target."""
        if self.is_left_out(facts):
            return Reason.PERCENT
        return _ROLLOUT[self.modes[facts.region or ""]]

    def is_left_out(self, facts: Facts) -> bool:
        """Whether the request is not in the share that may be redirected."""
        if self.percent >= 100:  # noqa: PLR2004  # of a hundred
            return False
        return rollout_bucket(facts.client or "", facts.key) >= self.percent

    @property
    def reads(self) -> frozenset[bytes]:
        """Lower-case names of the header fields that these rules depend on."""
        names = {b"authorization", b"origin", b"user-agent"}
        if self.cookies is not None:
            names.add(b"cookie")
        if self.opt_out_header is not None:
            names.add(self.opt_out_header)
        return frozenset(names)

    @property
    def certain(self) -> bool:
        """Whether no rule depends on client and object together, and no answer is signed."""
        return self.percent >= 100 and self.presign is None  # noqa: PLR2004  # of a hundred

    def matches_paths(self, key: str) -> bool:
        """Whether ``paths`` matches and ``exclude`` does not; never for the empty key."""
        exclude = self.exclude
        return key != "" and self.paths.match(key) and (exclude is None or not exclude.match(key))

    def is_mutable(self, key: str) -> bool:
        """Whether an object is always streamed."""
        return self.mutable is not None and self.mutable.match(key)

    def may_redirect(self, key: str) -> bool:
        """Whether there are clients that can be redirected to a copy of an object."""
        return self.matches_paths(key) and not self.is_mutable(key)

    def is_private(self, key: str) -> bool:
        """Whether no shared cache may keep a streamed object, which others are redirected for."""
        if not self.private or not key or self.is_mutable(key):
            return False
        return self.cdn_url is not None or (self.redirects and self.matches_paths(key))

    def answers_head(self, facts: Facts) -> bool:
        """Whether the request is a HEAD, and those are not redirected."""
        return facts.request.method == "HEAD" and not self.redirects_head

    def opted_out(self, facts: Facts) -> bool:
        """Whether one of the site's ``opt_out`` settings matches."""
        headers, query = facts.request.headers, facts.query
        agents, networks, client = self.opt_out_agents, self.opt_out_networks, facts.client
        return (
            (self.opt_out_header is not None and self.opt_out_header in headers)
            or (query != "" and self.opt_out_query in query.split("&"))
            or (
                agents is not None
                and agents.match(headers.get(b"user-agent", b"").decode("latin-1"))
            )
            or (networks is not None and client is not None and networks.holds(client))
        )

    def has_credentials(self, facts: Facts) -> bool:
        """Whether the request has credentials, or arguments that only this host can answer."""
        headers = facts.request.headers
        return (
            b"authorization" in headers
            or (b"cookie" in headers and self._counted_cookies(headers) != [])
            or facts.origin_query != ()
            or (facts.query != "" and SIGNED_QUERY.search(facts.query) is not None)
        )

    def credentials_of(self, facts: Facts) -> str:
        """What counts as credentials, in words; empty if nothing does."""
        if not self.has_credentials(facts):
            return ""
        cookies = self._counted_cookies(facts.request.headers)
        if b"authorization" in facts.request.headers:
            return "Authorization"
        if cookies:
            names = ", ".join(cookies) or "without a name"
            return (
                f"Cookie {names}; a CDN need not forward it, and redirect.cookies says which count"
            )
        return "an argument of origin.query" if facts.origin_query else "a signed query"

    def _counted_cookies(self, headers: Mapping[bytes, bytes]) -> list[str]:
        """Names of the cookies that count; several fields are joined by commas.

        A field without a readable name counts as a cookie with an empty name.
        """
        cookies = headers.get(b"cookie")
        if cookies is None or self.cookies is None:
            return []
        pairs = re.split("[;,]", cookies.decode("latin-1"))
        names = {pair.partition("=")[0].strip() for pair in pairs}
        return sorted(name for name in names - {""} or {""} if self.cookies.match(name))

    def origin_arguments(self, query: str) -> tuple[tuple[str, str], ...]:
        """The arguments of a query that are passed on to S3 (``origin.query``)."""
        if not self.origin_query or not query:
            return ()
        pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
        return tuple((name, value) for name, value in pairs if name in self.origin_query)

    def cdn_url_of(self, facts: Facts, reason: Reason) -> str | None:
        """Base URL of the CDN for a request without a target; None to answer from here.

        Not redirected are requests whose reason is not in ``_FOR_CDN``, or that are left out by
        ``percent``, objects that are overwritten often, HEAD requests unless ``redirect.head`` says
        so, and requests that only this host can answer.
        """
        if self.cdn_url is None or reason not in _FOR_CDN or not facts.key:
            return None
        if self.is_mutable(facts.key) or self.answers_head(facts) or self.is_left_out(facts):
            return None
        host = facts.request.headers.get(b"host", b"").decode("latin-1").lower()
        if host == urlsplit(self.cdn_url).netloc.lower():  # from the CDN: it would be a loop
            return None
        return None if self.has_credentials(facts) or self.opted_out(facts) else self.cdn_url

    def base(self, client: str, region: str) -> str:
        """Absolute URL of a target, up to the key.

        IPv6 clients get the dual-stack host: they may have no IPv4, and S3's usual host names have
        no IPv6 address (S3 user guide, "Using dual-stack endpoints").
        """
        urls = self.targets[region]
        return urls.ipv6 if ":" in client else urls.ipv4


def rollout_bucket(client: str, key: str) -> float:
    """A stable hash of client and key, from 0 to below 100, to compare with ``percent``."""
    return crc32(f"{client}\n{key}".encode()) % _BUCKETS * 100 / _BUCKETS


def any_pattern(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression for shell patterns, in which ``*`` matches slashes too."""
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")


@dataclass(frozen=True, slots=True)
class ShellPatterns:
    """Shell patterns, in which ``*`` matches slashes too.

    Most are a prefix (``pool/*``), a suffix (``*.gz``) or parts in between (``*.tar.*``), which are
    tested without a regular expression, in a third of its time.

    Attributes:
        beginnings: The prefixes.
        ends: The suffixes.
        others: All other patterns as one expression; None if there are none.
        parts: The texts between the asterisks of each pattern such as ``*.tar.*z*``.
    """

    beginnings: tuple[str, ...]
    ends: tuple[str, ...]
    others: re.Pattern[str] | None
    parts: tuple[tuple[str, ...], ...] = ()

    @classmethod
    def of(cls, patterns: Iterable[str]) -> ShellPatterns:
        """Compile patterns; a text matches if it matches one of them."""
        beginnings, ends, others, parts = [], [], [], []
        for pattern in patterns:
            if pattern.endswith("*") and not _SPECIAL.search(pattern[:-1]):
                beginnings.append(pattern[:-1])
            elif pattern.startswith("*") and not _SPECIAL.search(pattern[1:]):
                ends.append(pattern[1:])
            elif pattern[0] == pattern[-1] == "*" and not _SPECIAL.search(pattern.replace("*", "")):
                parts.append(tuple(filter(None, pattern.split("*"))))
            else:
                others.append(pattern)
        rest = any_pattern(others) if others else None
        return cls(tuple(beginnings), tuple(ends), rest, tuple(parts))

    @classmethod
    def of_any(cls, patterns: Sequence[str]) -> ShellPatterns | None:
        """The same; None if there are no patterns, so that no text matches."""
        return cls.of(patterns) if patterns else None

    def match(self, text: str) -> bool:
        """Whether the whole text matches one of them."""
        if text.endswith(self.ends) or text.startswith(self.beginnings):
            return True
        for parts in self.parts:
            if _in_order(parts, text):
                return True
        others = self.others
        return others is not None and others.fullmatch(text) is not None


def _in_order(parts: tuple[str, ...], text: str) -> bool:
    """Whether a text has these parts one behind the other."""
    place = 0
    for part in parts:
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True
