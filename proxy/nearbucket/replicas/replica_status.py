"""Whether clients may be redirected to a copy, by the site's settings and what is known of it.

``status`` answers at once, from the object cache and the health checks. That a copy is good holds
for a tenth of the age of the origin's object, as in HTTP's heuristic freshness (RFC 9111, section
4.2.2): from 2 s to ``redirect.verify_ttl``. In the last quarter of it, a request has S3 asked again
in the background. That a copy is absent or differs holds for as long as it has been so: from 2 s to
30 s. What is older counts as unknown; ``settle`` asks S3 and waits.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.policy.model import Reason, ReplicaStatus
from nearbucket.replicas.bucket_probe import BucketProbe
from nearbucket.replicas.client_check import ClientChecker
from nearbucket.replicas.client_target import ClientTarget, target_uses
from nearbucket.replicas.health_check import HealthChecker
from nearbucket.replicas.object_cache import ObjectCache
from nearbucket.replicas.object_version import ABSENT
from nearbucket.replicas.origin_versions import LATELY, OriginVersions
from nearbucket.s3.presigner import Presigner
from nearbucket.s3.sigv4 import Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import aiohttp

    from nearbucket.config.buckets import Bucket
    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.replicas.object_cache import BucketCache, CachedObject
    from nearbucket.replicas.object_version import VersionReport
    from nearbucket.s3.credentials import SdkCredentials
    from nearbucket.telemetry.metrics import Counters

SHORTEST = 2.0
"""Seconds for which every result holds, unless ``verify_ttl`` is shorter."""

OF_ITS_AGE = 0.1
"""Share of the age of the origin's object for which it holds that a copy is good."""

NEGATIVE_TTL = 30.0
"""Seconds after which a copy that is absent or differs is checked again at the latest."""

RENEW_AFTER = 0.75
"""Share of the time that a good result holds, after which the copy is checked again."""

OUTAGE = 86400.0
"""Seconds for which the last answer of an origin holds that does not answer any more."""

REVALIDATE_PAUSE = 1.0
"""Age in seconds from which an answer is checked again when a client came back."""

DOWN = ReplicaStatus(Reason.TARGET_DOWN, None, 0.0)
UNVERIFIED = ReplicaStatus(Reason.UNVERIFIED, None, 0.0)
"""What the buckets hold is not known, or no longer."""

_NO_COPY = frozenset({Reason.ABSENT, Reason.NOT_REPLICATED})


class OlderCopy(NamedTuple):
    """A copy of the version that an object had until a moment ago.

    Attributes:
        changed: Monotonic time at which this worker learned of the newer version.
        size: Bytes of the copy.
    """

    changed: float
    size: int


class ReplicaRule(NamedTuple):
    """When a site redirects to a copy in one region.

    Attributes:
        watched_url: The target's ``object_base_url``; None if it has no health checks.
        clients: The target as clients see it; None if it has no health checks.
        buckets: Caches of the buckets that must hold the object, the target's last.
        has_origin: Whether the first of them is the origin's.
        longest: Seconds for which a result holds at most.
        smallest: Bytes of the smallest object that is redirected.
    """

    watched_url: str | None
    clients: ClientTarget | None
    buckets: tuple[BucketCache, ...]
    has_origin: bool
    longest: float
    smallest: int


class ReplicaStatuses:
    """What one worker knows of all targets.

    Attributes:
        object_cache: The objects of all buckets.
        origin_versions: Learns versions from the responses of origins.
        health: Which targets are down.
        clients: Which targets are down for clients.
        presigners: Signers of Locations, by site and region; for sites with ``presign`` only.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        ambient: SdkCredentials,
        counters: Counters,
        changed: Callable[[], None],
        report: Callable[[VersionReport], None] = lambda _: None,
    ) -> None:
        """Know nothing yet.

        Args:
            session: A session of ``client_session``.
            ambient: The AWS SDK's credential chain.
            counters: Counts the checks; savings that were none are taken back there.
            changed: Called when a status may be new.
            report: Tells the other workers of a version; by default there are none.
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

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Build what a configuration needs; calling what is returned puts it to use.

        What is known of the buckets stays.
        """
        probes, watched = self._probes(settings.sites)
        caches = self.object_cache.prepare(probes.values())
        by_url = {probe.base_url: cache for probe, cache in caches}
        rules = {
            (site.name, region): _rule(site, region, by_url)
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
            self.health.use(probes[base_url] for base_url in watched)
            self.clients.use(uses)
            self._rules, self.presigners = rules, presigners
            self._wait = settings.catalog.wait

        return use

    def _on_head(self, bucket: BucketCache, key: str, known: CachedObject | None) -> None:
        self.origin_versions.on_head(bucket, key, known)

    def _forget(self, base_url: str, keys: Iterable[str] | None) -> None:
        self.object_cache.forget(base_url, keys)

    def _signer(self, target: Bucket) -> Signer:
        """One for each site: another may use the same bucket with other credentials."""
        return Signer(target.credentials, target.region, ambient=self._ambient)

    def _probes(self, sites: Sequence[Site]) -> tuple[dict[str, BucketProbe], set[str]]:
        """A probe for each bucket, by ``object_base_url``, and which have health checks."""
        probes: dict[str, BucketProbe] = {}
        watched, with_copies = set(), _urls_with_copies(sites)
        for site in sites:
            for entry in (site.origin, *site.targets.values()):
                url = entry.object_base_url
                if url not in probes or entry.expected_owner:
                    probes[url] = BucketProbe(
                        entry, self._session, self._ambient, reads_marks=url in with_copies
                    )
            if site.redirect.watch:
                watched |= {site.targets[region].object_base_url for region in site.regions_in_use}
        return probes, watched

    def status(self, site: str, region: str, key: str) -> ReplicaStatus:
        """What is known of a copy; has S3 asked again if that will soon be too old."""
        rule = self._rules.get((site, region))
        if rule is None:  # a reload uses the new engine a moment before the new rules
            return UNVERIFIED
        if rule.watched_url is not None and rule.watched_url in self.health.down:
            self.health.requested(rule.watched_url, key)
            return DOWN
        if rule.clients in self.clients.down:
            return DOWN
        if not rule.buckets:
            return ReplicaStatus()
        return self._status(rule, key, monotonic())

    def _status(self, rule: ReplicaRule, key: str, now: float) -> ReplicaStatus:
        known = _cached(rule, key)
        if known is None or _needs_checksums(known):
            return UNVERIFIED
        against, size = _reason_against(rule, known), known[0].version.size
        oldest, valid_for = min(entry.seen for entry in known), _valid_for(rule, known)
        if against in _NO_COPY:
            until = oldest + valid_for
            return UNVERIFIED if until < now else ReplicaStatus(against, size, until)
        until = oldest + valid_for * RENEW_AFTER
        if until < now:
            if now - oldest > valid_for and not _excused(rule, known, now):
                return UNVERIFIED
            self._renew(rule, key, now - valid_for * RENEW_AFTER)
        return ReplicaStatus(against, size, until, _etags(known))

    def _renew(self, rule: ReplicaRule, key: str, oldest: float) -> None:
        """Check again, without waiting, what was seen before a monotonic time."""
        for bucket in rule.buckets:
            entry = bucket.get(key)
            if entry is None or entry.seen < oldest:
                self.object_cache.check(bucket, key, renews=True)

    def older_copy(self, site: str, region: str, key: str) -> OlderCopy | None:
        """The copy of an object that changed at the origin in the last ``LATELY`` seconds.

        Returns:
            None if it did not change, or the copy can no longer be used, or not for that version.
        """
        rule = self._rules.get((site, region))
        if rule is None or len(rule.buckets) <= 1 or rule.watched_url in self.health.down:
            return None
        origin, target = rule.buckets
        replaced, copy = self.origin_versions.replaced(origin.probe.base_url, key), target.get(key)
        if (
            replaced is None
            or copy is None
            or monotonic() - replaced.changed > LATELY
            or not copy.version.equals(replaced.version)
        ):
            return None
        return OlderCopy(replaced.changed, copy.version.size)

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
        """Note whether a client got through to a target, where its requests show it."""
        rule = self._rules.get((site, region))
        if rule is not None and rule.clients is not None:
            self.clients.note(rule.clients, got_through=got_through, now=monotonic())

    async def settle(self, site: str, region: str, key: str) -> bool:
        """Ask S3 for what is not known, and wait for at most ``catalog.wait``.

        The origin is asked first, if it may lack the object: then no target is asked.

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
                for bucket in _to_check(rule, key, now)
                if (flight := self.object_cache.check(bucket, key)) is not None
            }
            if not flights or now >= deadline:
                break
            await asyncio.wait(flights.values(), timeout=deadline - now)
            if rule.has_origin and _answered_404(flights.get(rule.buckets[0]), began):
                return True
        return False

    def up(self) -> Iterator[tuple[tuple[str, str], bool]]:
        """Site and region of every target, and whether it is up."""
        for name, rule in self._rules.items():
            down = rule.watched_url in self.health.down or rule.clients in self.clients.down
            yield name, not down

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


def _urls_with_copies(sites: Sequence[Site]) -> set[str]:
    """``object_base_url`` of each bucket that has copies of another one's objects."""
    urls = [(site.origin, target) for site in sites for target in site.targets.values()]
    return {
        target.object_base_url
        for origin, target in urls
        if target.object_base_url != origin.object_base_url
    }


def _rule(site: Site, region: str, caches: Mapping[str, BucketCache]) -> ReplicaRule:
    redirect = site.redirect
    urls = dict.fromkeys(  # the origin may be the target
        entry.object_base_url for _, entry in site.buckets_to_check(region)
    )
    buckets = tuple(caches[base_url] for base_url in urls)
    watched = site.targets[region].object_base_url if redirect.watch else None
    has_origin = site.origin.object_base_url in urls
    clients = ClientTarget.of(site, region) if redirect.watch else None
    return ReplicaRule(
        watched, clients, buckets, has_origin, redirect.verify_ttl, redirect.min_size
    )


def _cached(rule: ReplicaRule, key: str) -> list[CachedObject] | None:
    """The object in each bucket that counts; None if one of them is unknown.

    If the origin has no such object, the other buckets do not count.
    """
    entries = [bucket.get(key) for bucket in rule.buckets]
    if rule.has_origin and entries[0] is not None and entries[0].version == ABSENT:
        return [entries[0]]
    known = [entry for entry in entries if entry is not None]
    return known if len(known) == len(entries) else None


def _reason_against(rule: ReplicaRule, entries: list[CachedObject]) -> Reason | None:
    """The reason against a redirect that follows from what the buckets hold."""
    first, last = entries[0].version, entries[-1].version
    if rule.has_origin and first == ABSENT:
        return Reason.ABSENT
    if first == ABSENT or last == ABSENT:  # noqa: PLR1714  # saves a tuple each time
        return Reason.NOT_REPLICATED
    if first is not last and not first.equals(last):
        return Reason.NOT_REPLICATED
    return Reason.SMALL if first.size < rule.smallest else None


def _valid_for(rule: ReplicaRule, entries: list[CachedObject]) -> float:
    """Seconds for which it holds what these entries say of a copy."""
    if _reason_against(rule, entries) in _NO_COPY:
        return min(max(SHORTEST, min(entry.age for entry in entries)), NEGATIVE_TTL, rule.longest)
    return min(max(SHORTEST, entries[0].age * OF_ITS_AGE), rule.longest)


def _etags(entries: list[CachedObject]) -> tuple[str, ...]:
    """The copy's ETag, and the origin's where it is another: the same bytes in other parts."""
    first, last = entries[0].version.etag, entries[-1].version.etag
    return tuple(filter(None, (last,) if first == last else (last, first)))


def _excused(rule: ReplicaRule, entries: list[CachedObject], now: float) -> bool:
    """Whether only the origin's answer is too old, because the origin does not answer.

    Then the copy is all there is: nothing could be streamed instead.
    """
    first, last = entries[0], entries[-1]
    return (
        len(rule.buckets) > 1
        and rule.buckets[0].failing
        and now - first.seen < OUTAGE
        and now - last.seen <= rule.longest
    )


def _needs_checksums(entries: list[CachedObject]) -> bool:
    """Whether it takes checksums to tell if the copy is the origin's: then HEAD is needed."""
    return entries[0].version.equals(entries[-1].version) is None


def _answered_404(flight: asyncio.Task[float | None] | None, began: float) -> bool:
    """Whether a HEAD that was sent at ``began`` or later was answered 404."""
    if flight is None or not flight.done() or flight.cancelled():
        return False
    asked = flight.result()
    return asked is not None and asked >= began


def _to_check(rule: ReplicaRule, key: str, now: float) -> list[BucketCache]:
    """The buckets in which the object is unknown, or was seen too long ago.

    The origin alone, as long as it may lack the object.
    """
    if not rule.buckets:
        return []
    first = rule.buckets[0].get(key)
    if rule.has_origin and (first is None or first.version == ABSENT):
        holds = first is not None and now - first.seen <= _valid_for(rule, [first])
        return [] if holds else [rule.buckets[0]]
    known = _cached(rule, key)
    if known and _needs_checksums(known):
        return list(rule.buckets)
    return [
        bucket
        for bucket in rule.buckets
        if (entry := bucket.get(key)) is None
        or now - entry.seen > _valid_for(rule, known or [entry])
    ]
