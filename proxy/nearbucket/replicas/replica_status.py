"""Whether clients may be redirected to a copy, by the site's settings and what is known of it.

``status`` answers at once, from the object cache and the health checks. A good result is valid for
a tenth of the age of the origin's object, as in HTTP's heuristic freshness (RFC 9111, section
4.2.2): from 2 s to ``redirect.verify_ttl``. In the last quarter of that time, a request starts a
new check in the background. That a copy is missing or different is valid for as long as it has been
so: from 2 s to 30 s. After that the copy is unknown; ``settle`` asks S3 and waits.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.policy.model import REPLICA_OK, Reason, ReplicaStatus
from nearbucket.replicas.bucket_cache import RENEW_AFTER
from nearbucket.replicas.bucket_probe import BucketProbe
from nearbucket.replicas.check_queue import NO_CLIENT
from nearbucket.replicas.health.client_check import ClientChecker
from nearbucket.replicas.health.client_target import target_text, target_uses
from nearbucket.replicas.health.health_check import HealthChecker
from nearbucket.replicas.object_cache import ObjectCache
from nearbucket.replicas.origin_versions import LATELY, OriginVersions
from nearbucket.replicas.replica_rule import NO_COPY, ReplicaRule, etags_of
from nearbucket.s3.presigner import Presigner
from nearbucket.s3.sigv4 import Signer
from nearbucket.s3.unreadable import SOON, barriers_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import aiohttp

    from nearbucket.config.buckets import Bucket
    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.replicas.bucket_cache import BucketCache, CachedObject
    from nearbucket.replicas.object_version import VersionReport
    from nearbucket.s3.credentials import SdkCredentials
    from nearbucket.telemetry.metrics import Counters

REVALIDATE_PAUSE = 1.0
"""Age in seconds from which an answer is checked again when a client came back."""

DOWN = ReplicaStatus(Reason.TARGET_DOWN, None, 0.0)
UNVERIFIED = ReplicaStatus(Reason.UNVERIFIED, None, 0.0)
"""What the buckets hold is not known, or no longer."""


class OlderCopy(NamedTuple):
    """A copy of the version that an object had before it changed.

    Attributes:
        changed: Monotonic time at which the first worker learned of the newer version.
        size: Bytes of the copy; None while it is checked which version the copy is of.
    """

    changed: float
    size: int | None


class ReplicaStatuses:
    """What one worker knows of all targets.

    Attributes:
        object_cache: The objects of all buckets.
        origin_versions: Learns versions from the responses of origins.
        health: Which targets are down.
        clients: Which targets are down for clients.
        presigners: Signers of Locations, by site and region; for sites with ``presign`` only.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # one worker, one call
        self,
        session: aiohttp.ClientSession,
        ambient: SdkCredentials,
        counters: Counters,
        changed: Callable[[], None],
        report: Callable[[VersionReport], None] = lambda _: None,
        origin_is_down: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """Know nothing yet.

        Args:
            session: A session of ``client_session``.
            ambient: The AWS SDK's credential chain.
            counters: Counts the checks; bytes that were not saved are subtracted there.
            changed: Called when a status may be new.
            report: Tells the other workers of a new version; by default there are no others.
            origin_is_down: Whether the origin of a site, by its name, is known not to answer; by
                default that is never known.
        """
        self._session = session
        self._ambient = ambient
        self.presigners: Mapping[tuple[str, str], Presigner] = {}
        self.health = HealthChecker(changed, self._forget)
        self.clients = ClientChecker(session, self.health.known_keys, counters, changed)
        self.object_cache = ObjectCache(counters.add, self.health, changed, self._on_head)
        self.origin_versions = OriginVersions(self.object_cache, changed, report)
        self._rules: dict[tuple[str, str], ReplicaRule] = {}
        self._wait = 0.0
        self._origin_is_down = origin_is_down

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Build what a configuration needs; call what is returned to put it to use.

        What is known of the buckets stays.
        """
        probes, watched = self._probes(settings.sites), _watched(settings.sites)
        caches = self.object_cache.prepare(probes.values())
        by_url = {probe.base_url: cache for probe, cache in caches}
        rules = {
            (site.name, region): ReplicaRule.of(site, region, by_url)
            for site in settings.sites
            for region in site.targets
        }
        uses = target_uses(settings.sites, probes)
        presigners = {
            (site.name, region): Presigner(self._signer(target), site.redirect.presign)
            for site in settings.sites
            if site.redirect.presign is not None
            for region, target in site.targets.items()
        }
        use_origins = self.origin_versions.prepare(settings.sites, by_url)

        def use() -> None:
            self.object_cache.use(caches, settings.catalog.entries)
            use_origins()
            self.health.use((probes[base_url], text) for base_url, text in watched.items())
            self.clients.use(uses)
            self._rules, self.presigners = rules, presigners
            for bucket in by_url.values():
                longest = [rule.longest for rule in rules.values() if bucket in rule.buckets]
                bucket.longest = min(longest, default=inf)
            self._wait = settings.catalog.wait

        return use

    def _on_head(self, bucket: BucketCache, key: str, known: CachedObject | None) -> None:
        self.origin_versions.on_head(bucket, key, known)

    def _forget(self, base_url: str, keys: Iterable[str] | None) -> None:
        self.object_cache.forget(base_url, keys)

    def _signer(self, target: Bucket) -> Signer:
        """One for each site: another may use the same bucket with other credentials."""
        also = target.request_fields
        return Signer(target.credentials, target.region, ambient=self._ambient, also=also)

    def _probes(self, sites: Sequence[Site]) -> dict[str, BucketProbe]:
        """A probe for each bucket, by ``object_base_url``."""
        probes: dict[str, BucketProbe] = {}
        with_copies, signed = _urls_with_copies(sites), _urls_that_need_credentials(sites)
        barriers, longest = _barriers(sites), max(site.redirect.verify_ttl for site in sites)
        for site in sites:
            for entry in (site.origin, *site.targets.values()):
                url = entry.object_base_url
                if url not in probes or entry.expected_owner:
                    probes[url] = BucketProbe(
                        entry,
                        self._session,
                        self._ambient,
                        reads_marks=url in with_copies,
                        needs_credentials=url in signed,
                        barriers=barriers.get(url, frozenset()),
                        lasting=longest + SOON,  # a result is used for as long as it is valid
                    )
        return probes

    def status(self, site: str, region: str, key: str) -> ReplicaStatus:
        """What is known of a copy; has S3 asked again if that will soon be too old."""
        rule = self._rules.get((site, region))
        if rule is None:  # a reload uses the new engine a moment before the new rules
            return UNVERIFIED
        if self._is_down(rule):
            if rule.watched_url is not None:
                self.health.requested(rule.watched_url, key)
            return DOWN
        if not rule.buckets:
            return REPLICA_OK
        return self._status(rule, key, monotonic())

    def _is_down(self, rule: ReplicaRule) -> bool:
        return rule.watched_url in self.health.down or rule.clients in self.clients.down

    def _status(self, rule: ReplicaRule, key: str, now: float) -> ReplicaStatus:
        known = rule.known(key)
        if known is None or rule.needs_head(known):
            return UNVERIFIED
        against = rule.reason_against(known)
        size = known[0 if against else -1].version.known_size
        oldest, valid_for = min(entry.seen for entry in known), rule.valid_for(known)
        if against in NO_COPY:
            until = oldest + valid_for
            return UNVERIFIED if until < now else ReplicaStatus(against, size, until)
        until = oldest + valid_for * RENEW_AFTER
        if until < now:
            if now - oldest > valid_for and not rule.is_excused(known, now):
                return UNVERIFIED
            self._renew(rule, key, now - valid_for * RENEW_AFTER)
        return ReplicaStatus(against, size, until, etags_of(known) if against is None else ())

    def _renew(self, rule: ReplicaRule, key: str, oldest: float) -> None:
        """Check in the background what is unknown, or was seen before a monotonic time."""
        for bucket in rule.buckets:
            entry = bucket.get(key)
            if entry is None or entry.seen < oldest:
                self.object_cache.check(bucket, key, renews=True)

    def older_copy(self, site: str, region: str, key: str) -> OlderCopy | None:
        """The copy of an object that changed at the origin in the last ``LATELY`` seconds.

        Returns:
            None if it did not change, if the target is down, or if the copy is of another version.
        """
        rule = self._rules.get((site, region))
        if rule is None or len(rule.buckets) <= 1 or self._is_down(rule):
            return None
        origin, target = rule.buckets
        replaced, copy = self.origin_versions.replaced(origin.probe.base_url, key), target.get(key)
        if replaced is None or monotonic() - replaced.changed > LATELY:
            return None
        if replaced.version.size < rule.smallest or (
            copy is not None and copy.version.unreadable in rule.barriers
        ):
            return None
        if copy is not None and copy.version.equals(replaced.version):
            return OlderCopy(replaced.changed, copy.version.size)
        return OlderCopy(replaced.changed, None) if key in target.flights else None

    def report(self, site: str, region: str, key: str, status: ReplicaStatus) -> tuple[str, str]:
        """What a status follows from, for people: a word, and why.

        Returns:
            A reason against a redirect or ``good``, and what is known of target and buckets.
        """
        rule = self._rules.get((site, region))
        if rule is None:
            return "no target", ""
        against = status.against
        if against is Reason.TARGET_DOWN:
            return against.value, self._why_down(rule)
        return (against.value if against else "good"), rule.describe(key, monotonic())

    def _why_down(self, rule: ReplicaRule) -> str:
        why = self.health.down.get(rule.watched_url) if rule.watched_url else None
        return why or (self.clients.down.get(rule.clients, "") if rule.clients else "")

    def revalidate(self, site: str, region: str, key: str) -> None:
        """Check a copy again, because a client that was redirected to it came back."""
        rule = self._rules.get((site, region))
        if rule is None or not rule.buckets:
            return
        target = rule.buckets[-1]
        entry = target.get(key)
        if entry is None or monotonic() - entry.seen > REVALIDATE_PAUSE:
            self.object_cache.check(target, key, renews=True)

    def client_result(self, site: str, region: str, *, got_through: bool) -> None:
        """Note that a client got through to a target, or that its redirects fail."""
        rule = self._rules.get((site, region))
        if rule is not None and rule.clients is not None:
            self.clients.note(rule.clients, got_through=got_through, now=monotonic())

    def took_back(self, site: str, region: str) -> bool:
        """Whether the savings of all clients of a target, which is down, are taken back."""
        rule = self._rules.get((site, region))
        return (
            rule is not None and rule.clients is not None and self.clients.took_back(rule.clients)
        )

    async def settle(self, site: str, region: str, key: str, network: bytes = NO_CLIENT) -> bool:
        """Ask S3 for what is not known, and wait for at most ``catalog.wait``.

        Checks for one ``network`` of clients wait for each other.

        If it is not known that the origin has the object, the origin is asked first, and the target
        only if it has.

        Returns:
            Whether the origin was asked during this call and answered 404.
        """
        rule = self._rules.get((site, region))
        if rule is None:
            return False
        began = monotonic()
        deadline = began + self._wait
        for _ in range(3):  # what one bucket answers may shorten how long another's answer holds
            now = monotonic()
            flights = {
                bucket: flight
                for bucket in rule.to_check(key, now)
                if (flight := self.object_cache.check(bucket, key, network)) is not None
            }
            if rule.has_origin and self._origin_is_down(site):
                flights.pop(rule.buckets[0], None)  # the check goes on, but nothing waits for it
            if not flights:
                break
            if now >= deadline:
                self._renew(rule, key, began)  # for the next request; also what was not asked yet
                break
            await asyncio.wait(flights.values(), timeout=deadline - now)
            if rule.has_origin and _answered_404(flights.get(rule.buckets[0]), began):
                return True
        return False

    def up(self) -> Iterator[tuple[tuple[str, str], bool]]:
        """Site and region of every target, and whether it is up."""
        for name, rule in self._rules.items():
            yield name, not self._is_down(rule)

    def down(self) -> dict[tuple[str, str], str]:
        """Why targets are down, by site and region."""
        return {name: why for name, rule in self._rules.items() if (why := self._why_down(rule))}

    def tick(self, now: float) -> None:
        """Do what is due once a second."""
        self.object_cache.tick(now)
        self.clients.tick(now)
        self.origin_versions.tick(now)

    async def close(self) -> None:
        """Stop the health checks and the requests under way."""
        await self.health.close()
        await self.clients.close()
        await self.object_cache.close()


def _watched(sites: Sequence[Site]) -> dict[str, str]:
    """The targets with health checks: ``object_base_url``, and how the log names them."""
    names: dict[str, list[tuple[str, str]]] = {}
    buckets = {}
    for site in sites:
        for region in site.regions_in_use if site.redirect.watch else ():
            target = site.targets[region]
            names.setdefault(target.object_base_url, []).append((site.name, region))
            buckets[target.object_base_url] = target.bucket
    return {url: target_text(of, buckets[url]) for url, of in names.items()}


def _urls_with_copies(sites: Sequence[Site]) -> set[str]:
    """``object_base_url`` of each bucket that has copies of another one's objects."""
    urls = [(site.origin, target) for site in sites for target in site.targets.values()]
    return {
        target.object_base_url
        for origin, target in urls
        if target.object_base_url != origin.object_base_url
    }


def _barriers(sites: Sequence[Site]) -> dict[str, frozenset[str]]:
    """What keeps clients from reading a copy, by the ``object_base_url`` of each target."""
    found: dict[str, frozenset[str]] = {}
    for site in sites:
        for target in site.targets.values():
            url = target.object_base_url
            found[url] = found.get(url, frozenset()) | barriers_of(site)
    return found


def _urls_that_need_credentials(sites: Sequence[Site]) -> set[str]:
    """``object_base_url`` of each target whose copies are checked, or whose URLs are signed."""
    return {
        target.object_base_url
        for site in sites
        if site.redirect.verify != "none" or site.redirect.presign is not None
        for target in site.targets.values()
    }


def _answered_404(flight: asyncio.Task[float | None] | None, began: float) -> bool:
    """Whether a HEAD that was sent at ``began`` or later was answered 404."""
    if flight is None or not flight.done() or flight.cancelled():
        return False
    asked = flight.result()
    return asked is not None and asked >= began
