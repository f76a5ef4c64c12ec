"""The rules: why a request is redirected, streamed or refused, one ``Reason`` each.

In: one site's compiled rules and the facts of a request. Out: a ``Reason``, and where to.
Refuses to know how the facts were found. No rule here asks a bucket anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl, urlsplit
from zlib import crc32

from nearbucket.policy.model import Reason
from nearbucket.policy.object_keys import MAX_KEY, encode_key
from nearbucket.regions.region_table import NetworkSet, network_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nearbucket.config.sites import Site
    from nearbucket.policy.model import Request

_SIGNED_QUERY = re.compile(
    r"(?:^|&)(?:x-amz-|awsaccesskeyid=|signature=|key-pair-id=)", re.IGNORECASE
)
_BUCKETS = 10_000
_ROLLOUT = {"on": Reason.IN_REGION, "shadow": Reason.SHADOW, "off": Reason.OFF}


class Facts(NamedTuple):
    """What the rules look at.

    Attributes:
        request: The request.
        key: Object key, decoded once.
        query: Query of the request target, still encoded.
        client: The client's address, or None.
        region: The client's region, or None.
        origin_query: Arguments of the query that the origin is to be asked.
        packed: The client's address for lookups, or None.
    """

    request: Request
    key: str
    query: str
    client: str | None
    region: str | None
    origin_query: tuple[tuple[str, str], ...] = ()
    packed: bytes | None = None


@dataclass(frozen=True, slots=True)
class TargetUrls:
    """Base URLs of one target for Location, with the bucket's prefix, ending in a slash."""

    ipv4: str
    ipv6: str


@dataclass(frozen=True, slots=True)
class SitePolicy:
    """One site's rules, compiled. Built once per configuration."""

    name: str
    targets: Mapping[str, TargetUrls]
    modes: Mapping[str, str]
    sent_to: tuple[str, ...]
    cdn_url: str | None
    presigned: bool
    max_key: int
    index: str
    origin_query: frozenset[str]
    paths: re.Pattern[str]
    exclude: re.Pattern[str]
    percent: float
    status: int
    opt_out_query: str | None
    opt_out_header: bytes | None
    opt_out_agents: re.Pattern[str]
    opt_out_networks: NetworkSet

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
            cdn_url=f"{site.bypass.to}/" if site.bypass.to else None,
            presigned=redirect.presign is not None,
            max_key=MAX_KEY - max(len(prefix.encode()) for prefix in prefixes),
            index=site.index or "",
            origin_query=frozenset(site.origin.query),
            paths=_any_of(redirect.paths),
            exclude=_any_of(redirect.exclude),
            percent=redirect.percent,
            status=redirect.status,
            opt_out_query=opt_out.query,
            opt_out_header=opt_out.header.lower().encode() if opt_out.header else None,
            opt_out_agents=_any_of(opt_out.user_agents),
            opt_out_networks=network_set(opt_out.networks),
        )

    def reason(self, facts: Facts) -> Reason:
        """The first rule that keeps a request from being redirected, or ``IN_REGION``.

        What the buckets hold is not asked here; it comes before ``SHADOW``, so that shadow
        counts what would really be redirected.
        """
        if facts.client is None:
            return Reason.CLIENT_UNKNOWN
        if facts.region is None:
            return Reason.OUTSIDE_AWS
        if facts.region not in self.targets:
            return Reason.NO_TARGET
        if not self.matches_paths(facts.key):
            return Reason.PATH
        if self.opted_out(facts):
            return Reason.OPT_OUT
        if has_credentials(facts):
            return Reason.CREDENTIALS
        return self.rollout(facts)

    def rollout(self, facts: Facts) -> Reason:
        """How far the operator has switched redirects on."""
        if self.percent < 100 and rollout_bucket(facts.client or "", facts.key) >= self.percent:  # noqa: PLR2004  # of a hundred
            return Reason.PERCENT
        return _ROLLOUT[self.modes[facts.region or ""]]

    @property
    def reads(self) -> frozenset[bytes]:
        """Lower-case names of the header fields that these rules look at."""
        fixed = {b"authorization", b"cookie", b"origin", b"user-agent"}
        return frozenset(fixed | {self.opt_out_header} if self.opt_out_header else fixed)

    @property
    def certain(self) -> bool:
        """Whether no rule looks at client and object together, and no answer is signed."""
        return self.percent >= 100 and not self.presigned  # noqa: PLR2004  # of a hundred

    def matches_paths(self, key: str) -> bool:
        """Whether the patterns choose the key; the empty one is a bucket, never an object."""
        chosen = key != "" and self.paths.fullmatch(key) is not None
        return chosen and self.exclude.fullmatch(key) is None

    def opted_out(self, facts: Facts) -> bool:
        """Whether the client says it does not want to be redirected."""
        headers = facts.request.headers
        agent = headers.get(b"user-agent", b"").decode("latin-1")
        return (
            (self.opt_out_header is not None and self.opt_out_header in headers)
            or (self.opt_out_query is not None and self.opt_out_query in facts.query.split("&"))
            or self.opt_out_agents.fullmatch(agent) is not None
            or (facts.packed is not None and self.opt_out_networks.holds_packed(facts.packed))
        )

    def origin_arguments(self, query: str) -> tuple[tuple[str, str], ...]:
        """The arguments of a query that may reach S3; all others never do."""
        if not self.origin_query or not query:
            return ()
        pairs = parse_qsl(query, keep_blank_values=True, errors="replace")
        return tuple((name, value) for name, value in pairs if name in self.origin_query)

    def cdn_url_of(self, facts: Facts, reason: Reason) -> str | None:
        """Where a request goes that is not sent to a target; None for the origin.

        Who cannot follow redirects, or asks what this host alone can answer, is not sent on.
        """
        if self.cdn_url is None or reason is Reason.CAME_BACK or not facts.key:
            return None
        host = facts.request.headers.get(b"host", b"").decode("latin-1").lower()
        if host == urlsplit(self.cdn_url).netloc.lower():  # the CDN asks us: that would be a loop
            return None
        return None if has_credentials(facts) or self.opted_out(facts) else self.cdn_url

    def base(self, client: str, region: str) -> str:
        """Absolute URL of a target, up to the key.

        A client seen over IPv6 may have nothing else, and S3's plain host names answer
        over IPv4 alone (S3 user guide, "Using dual-stack endpoints").
        """
        urls = self.targets[region]
        return urls.ipv6 if ":" in client else urls.ipv4


def has_credentials(facts: Facts) -> bool:
    """Whether the request carries something meant for this host alone."""
    headers = facts.request.headers
    return (
        b"authorization" in headers
        or b"cookie" in headers
        or facts.origin_query != ()
        or (facts.query != "" and _SIGNED_QUERY.search(facts.query) is not None)
    )


def rollout_bucket(client: str, key: str) -> float:
    """Where a client and key stand in the percentage, 0 to below 100; the same everywhere."""
    return crc32(f"{client}\n{key}".encode()) % _BUCKETS * 100 / _BUCKETS


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    """One expression for shell patterns; ``*`` matches slashes; none match nothing."""
    return re.compile("|".join(translate(pattern) for pattern in patterns) or r"(?!)")
