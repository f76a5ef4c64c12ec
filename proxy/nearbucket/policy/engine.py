"""Decides a request, and explains the decision.

An ``Engine`` is built once per configuration and list of prefixes. Workers, ``explain`` and
``config diff`` all call its ``decide``.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, assert_never

from nearbucket.errors import RequestError
from nearbucket.policy.client_address import WRONG, Trust
from nearbucket.policy.model import (
    REPLICA_OK,
    UNKNOWN,
    Decision,
    Reason,
    RedirectTo,
    Refuse,
    ReplicaStatus,
    Request,
    Stream,
    action_of,
)
from nearbucket.policy.object_keys import encode_key, object_key, split_target
from nearbucket.policy.preconditions import held_version, names_origin
from nearbucket.policy.record import record
from nearbucket.policy.rules import Facts, SitePolicy, rollout_bucket
from nearbucket.regions.region_table import RegionTable, network_set

if TYPE_CHECKING:
    from nearbucket.config.settings import Settings
    from nearbucket.regions.region_table import NetworkSet, PrefixMatch

STATUS = {"method": 405, "host": 421, "secret": 403, "path-invalid": 400, "well-known": 200}

IN_REGION: Final = Reason.IN_REGION
SHADOW: Final = Reason.SHADOW
"""As plain names because members of an Enum are slow in Python 3.11."""

HOSTS_PATH = "/.well-known/nearbucket-hosts.json"
"""Path of the list of hosts that clients may be redirected to (RFC 8615)."""


class ExplainStep(NamedTuple):
    """One line of an explanation."""

    name: str
    value: str
    detail: str = ""


NOT_CHECKED = ExplainStep(
    "copy",
    "not checked",
    "checked when serving: whether the target is up and clients can read an equal copy there, "
    "redirect.min_size, came-back",
)
"""The step of a copy that no bucket was asked about."""
_PERCENT = "hash of client and path; redirected if below redirect.percent"
NOT_NEEDED = ExplainStep("copy", "not needed", "the rules above decide")
"""The step of a copy on which the decision does not depend."""


class ReplicaKnowledge(Protocol):
    """What is known of the copies and of recent redirects."""

    def replica_status(self, site: str, region: str, key: str) -> ReplicaStatus:
        """What is known of a site's object in the target bucket of a region; never waits."""

    def came_back(self, site: str, region: str, client: str, key: str, request: Request) -> bool:
        """Whether redirects of this client fail, so that it is streamed.

        ``region`` is that of the target; empty for redirects to the CDN.
        """


class FixedKnowledge:
    """Answers the same for every copy and every client."""

    def __init__(self, status: ReplicaStatus, *, came_back: bool = False) -> None:
        """Take the status of all copies, and whether all clients come back or none."""
        self._status, self._came_back = status, came_back

    def replica_status(self, _site: str, _region: str, _key: str) -> ReplicaStatus:
        """The status."""
        return self._status

    def came_back(
        self, _site: str, _region: str, _client: str, _key: str, _request: Request
    ) -> bool:
        """Whether clients come back."""
        return self._came_back


ASSUME_REPLICATED: ReplicaKnowledge = FixedKnowledge(REPLICA_OK)
"""To decide by the policy alone: all copies are there, and no client comes back."""


@record(frozen=True, slots=True)
class ResolvedTarget:
    """What a request names: a site's policy, an object key, and the query, still encoded."""

    site: SitePolicy
    key: str
    query: str


@dataclass(frozen=True, slots=True)
class Engine:
    """All that a decision depends on. Immutable: a reload replaces the engine.

    Attributes:
        table: Region of an address.
        trust: Finds the client's address.
        sites: Policy by host name, or ``*``.
        certain: Names of the sites where no rule depends on client and object together.
        streaming: Names of the sites that do not redirect to the CDN.
        well_known: Whether ``HOSTS_PATH`` is answered.
        client_given: Whether the peer is the client that ``explain`` was asked about.
        reads: Lower-case names of all header fields that a decision can depend on.
    """

    table: RegionTable
    trust: Trust
    sites: dict[str, SitePolicy]
    certain: frozenset[str]
    streaming: frozenset[str]
    reads: frozenset[bytes]
    well_known: bool
    client_given: bool = False

    @classmethod
    def build(cls, settings: Settings, table: RegionTable, cdn: NetworkSet) -> Engine:
        """Compile a configuration for a list of prefixes.

        Args:
            settings: The configuration.
            table: Prefixes of ``regions.services``, with the overrides.
            cdn: CloudFront's origin-facing prefixes.
        """
        sites = {}
        for site in settings.sites:
            policy = SitePolicy.build(site)
            sites.update(dict.fromkeys(site.hosts, policy))
        trust = Trust.build(settings.client_address, cdn)
        reads = trust.reads.union(*(policy.reads for policy in sites.values()))
        certain = frozenset(policy.name for policy in sites.values() if policy.certain)
        streaming = frozenset(policy.name for policy in sites.values() if policy.cdn_url is None)
        well_known = settings.listen.well_known
        return cls(table, trust, sites, certain, streaming, reads | {b"host"}, well_known)

    def decide(self, request: Request, replicas: ReplicaKnowledge = ASSUME_REPLICATED) -> Decision:
        """The answer to a request, and its reason. Raises nothing, whatever a client sends.

        Args:
            request: The request.
            replicas: What is known of the copies; by default the policy alone decides.
        """
        if request.method not in {"GET", "HEAD"}:
            return Refuse(204 if request.method == "OPTIONS" else 405, Reason.METHOD)
        resolved = self.resolve(request)
        return (
            resolved if isinstance(resolved, Refuse) else self._serve(request, resolved, replicas)
        )

    def resolve(self, request: Request) -> ResolvedTarget | Refuse:
        """The site and key of a request, whatever its method; or why it is refused."""
        try:
            authority, path, query = split_target(request.target)
        except RequestError:
            return _refuse(Reason.PATH_INVALID)
        site = self.site_of(request, authority)
        if site is None:
            return _refuse(Reason.HOST)
        if self.trust.secret(request) is WRONG:
            return _refuse(Reason.SECRET)
        if path == HOSTS_PATH and self.well_known:
            return _refuse(Reason.WELL_KNOWN)
        try:
            key = object_key(path)
        except RequestError:
            return _refuse(Reason.PATH_INVALID)
        if site.index and (not key or key.endswith("/")):
            key += site.index
        if len(key) > site.max_key // 4 and len(key.encode()) > site.max_key:
            return _refuse(Reason.PATH_INVALID)
        return ResolvedTarget(site, key, query)

    def _serve(
        self, request: Request, resolved: ResolvedTarget, replicas: ReplicaKnowledge
    ) -> RedirectTo | Stream:
        site, key = resolved.site, resolved.key
        facts, headers = self._facts(request, resolved), request.headers
        client, region = facts.client, facts.region
        reason, replica, base, etag = site.reason(facts), REPLICA_OK, None, None
        wants_copy = reason is IN_REGION or reason is SHADOW
        if wants_copy and client is not None and region is not None:
            replica = replicas.replica_status(site.name, region, key)
            against, _, _, etags = replica
            if against is not None:
                reason = against
            elif reason is IN_REGION and (etag := _version_of_client(request, etags)):
                reason = Reason.NOT_MODIFIED
            elif len(etags) > 1 and names_origin(headers, etags):
                reason = Reason.OTHER_ETAG
            elif replicas.came_back(site.name, region, client, key, request):
                reason = Reason.CAME_BACK
            elif reason is IN_REGION:
                base = site.base(client, region)
        to_cdn = False
        if base is None and (base := site.cdn_url_of(facts, reason)) is not None:
            to_cdn = True
            if client is not None and replicas.came_back(site.name, "", client, key, request):
                base, reason = None, Reason.CAME_BACK
        known = region in site.targets
        if base is None:
            query = facts.origin_query
            tag, size = etag or "", replica.size
            return Stream(site.name, key, client, region, known, reason, query, tag, size, to_cdn)
        path, browser = encode_key(key), b"origin" in headers
        return RedirectTo(
            site.name, key, client, region, known, base, path, site.status, browser, reason, replica
        )

    def _facts(self, request: Request, resolved: ResolvedTarget) -> Facts:
        address, region = request.located or self._locate(request)
        query = resolved.query
        asked = resolved.site.origin_arguments(query) if query else ()
        return Facts(request, resolved.key, query, address, region, asked)

    def _locate(self, request: Request) -> tuple[str | None, str | None]:
        found = self.trust.client(request)
        packed = found.packed
        return found.address, None if packed is None else self.table.region_of(packed)

    def site_of(self, request: Request, authority: str | None) -> SitePolicy | None:
        """The site that serves the request's host, or None."""
        if authority is None:
            authority = request.headers.get(b"host", b"").decode("latin-1")
        site = self.sites.get(authority)
        if site is None and (name := host_name(authority)) is not None:
            site = self.sites.get(name) or self.sites.get("*")
        return site

    def host_of(self, request: Request) -> str | None:
        """The host of the configuration that a request names; None if it names another."""
        authority = request.headers.get(b"host", b"").decode("latin-1")
        if not request.target.startswith("/"):
            with suppress(RequestError):
                authority = split_target(request.target)[0] or authority
        name = authority if authority in self.sites else host_name(authority)
        return name if name in self.sites and name != "*" else None

    def for_client(self) -> Engine:
        """The same engine, but the peer is always the client and no header is trusted."""
        trust = replace(self.trust, source="peer", secret_header=None, cdn=network_set(()))
        return replace(self, trust=trust, client_given=True)

    def explain(
        self, request: Request, decision: Decision, copy: ExplainStep = NOT_CHECKED
    ) -> list[ExplainStep]:
        """The steps that led to a decision on this request, in order; ``copy`` is the copy's."""
        steps = [ExplainStep("request", f"{request.method} {request.target}")]
        if not isinstance(decision, Refuse):
            steps += [*self._explain_rules(request, decision), copy]
        match decision:
            case RedirectTo():
                signed = self._signature(request, decision)
                answer = f"{decision.status} to {decision.location}{signed}"
            case Stream():
                answer = "the object, streamed from the origin"
            case Refuse():
                answer = f"status {decision.status}"
            case _:
                assert_never(decision)
        steps.append(ExplainStep("decision", f"{action_of(decision)}: {answer}"))
        steps.append(ExplainStep("reason", decision.reason.value, decision.reason.help))
        return steps

    def _signature(self, request: Request, decision: RedirectTo) -> str:
        """That a client's Location is signed: a signed URL would let anyone read the object."""
        resolved = self.resolve(request)
        presign = None if isinstance(resolved, Refuse) else resolved.site.presign
        if presign is None or decision.reason is not Reason.IN_REGION:
            return ""
        return f" (for clients signed, valid for {presign / 60:g} minutes)"

    def _prefix(self, match: PrefixMatch | None) -> str:
        """The prefix that gives the region, and of which list it is if that may be outdated."""
        found = match.prefix if match else "no prefix"
        date = self.table.built_in
        return f"{found} (by the built-in list of {date})" if date else found

    def _explain_rules(self, request: Request, decision: RedirectTo | Stream) -> list[ExplainStep]:
        resolved = self.resolve(request)
        if isinstance(resolved, Refuse):  # decide resolved it the same way
            raise AssertionError("a decision without a site")  # noqa: TRY004
        site, facts = resolved.site, self._facts(request, resolved)
        client = self.trust.client(request)
        match = self.table.match(client.address) if client.address else None
        share = rollout_bucket(client.address or "", decision.key)
        how = "as given" if self.client_given else client.how
        credentials = site.credentials_of(facts)
        return [
            ExplainStep("site", site.name),
            ExplainStep("key", decision.key),
            ExplainStep("client", client.address or "unknown", how),
            ExplainStep("region", decision.region or UNKNOWN, self._prefix(match)),
            ExplainStep("target", "yes" if decision.region in site.targets else "no"),
            ExplainStep("path", "matches" if site.matches_paths(decision.key) else "no match"),
            ExplainStep("mutable", "yes" if site.is_mutable(decision.key) else "no"),
            ExplainStep("opt-out", "yes" if site.opted_out(facts) else "no"),
            ExplainStep("credentials", "yes" if credentials else "no", credentials),
            ExplainStep("head", "answered here" if site.answers_head(facts) else "no"),
            ExplainStep("percent", f"{share:g} of {site.percent:g}", _PERCENT),
            ExplainStep("mode", site.modes.get(decision.region or "", "no target")),
        ]


WITH_COPY = frozenset({IN_REGION, SHADOW})
"""The reasons of the rules with which the decision depends on the copy."""


def _version_of_client(request: Request, etags: tuple[str, ...]) -> str | None:
    """The ETag of the current version if the client of a GET has that; otherwise None.

    A browser's request from another origin is left to the target, whose CORS rules it needs.
    """
    headers = request.headers
    if b"if-none-match" not in headers or request.method != "GET" or b"origin" in headers:
        return None
    return held_version(headers, etags)


@lru_cache(256)
def host_name(authority: str) -> str | None:
    """Host of ``host[:port]``, lower-case, without a trailing dot; None for anything else."""
    if "@" in authority or "," in authority:
        return None
    if ":" not in authority and "[" not in authority:
        return authority.lower().rstrip(".")
    host, _, port = authority.partition("]:") if "]" in authority else authority.partition(":")
    if port and not (port.isascii() and port.isdigit()):
        return None
    if host.startswith("["):
        host = host.rstrip("]") + "]"
    return host.lower().rstrip(".")


def _refuse(reason: Reason) -> Refuse:
    return Refuse(STATUS[reason.value], reason)
