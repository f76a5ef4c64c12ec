"""Whether a copy is one to send clients to: what settings make of what is known.

In: sites, the object cache and the health checks. Out: a ``ReplicaStatus`` for a site, region and
key, at once; the questions that are open about it, asked. Refuses to know clients and requests.

How long an answer holds (``redirect.verify_ttl``): good news for that long, and for its last
quarter somebody asking causes one new question while the answer is still given; bad news for
``NEGATIVE_TTL`` seconds at most. What is older counts as unknown.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.policy.model import Reason, ReplicaStatus
from nearbucket.replicas.bucket_probe import BucketProbe
from nearbucket.replicas.health_check import HealthChecker
from nearbucket.replicas.object_cache import NEGATIVE_TTL, ObjectCache
from nearbucket.replicas.object_version import ABSENT
from nearbucket.s3.presigner import Presigner
from nearbucket.s3.sigv4 import Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import aiohttp

    from nearbucket.config.buckets import Bucket
    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.replicas.object_cache import BucketCache, CachedObject, CountCallback
    from nearbucket.s3.credentials import SdkCredentials

RENEW_AFTER = 0.75
"""Share of ``verify_ttl`` after which good news is asked for again."""

OUTAGE = 86400.0
"""Seconds for which an origin that does not answer is taken at its last word."""

REVALIDATE_PAUSE = 1.0
"""Seconds for which a client that came back does not make anybody ask again."""

DOWN = ReplicaStatus(Reason.TARGET_DOWN, None, 0.0)
UNVERIFIED = ReplicaStatus(Reason.UNVERIFIED, None, 0.0)
"""Nobody has said so far, or lately."""


class ReplicaRule(NamedTuple):
    """What a site asks of the copies in one region.

    Attributes:
        watched_url: The target's ``object_base_url``; None where it is not watched.
        buckets: What is known of the buckets that have to hold the object, the target last.
        good: Seconds for which good news holds.
        bad: Seconds for which bad news holds.
        smallest: Bytes of the smallest object that is redirected.
    """

    watched_url: str | None
    buckets: tuple[BucketCache, ...]
    good: float
    bad: float
    smallest: int


class ReplicaStatuses:
    """What one worker knows of all targets.

    Attributes:
        object_cache: What the buckets hold.
        health: Which targets are down.
        presigners: Site and region to who signs its Locations, where they are signed.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        ambient: SdkCredentials,
        count: CountCallback,
        changed: Callable[[], None],
    ) -> None:
        """Args: what asks S3; who signs; counts what is found; called when targets change."""
        self._session = session
        self._ambient = ambient
        self.presigners: Mapping[tuple[str, str], Presigner] = {}
        self.health = HealthChecker(changed)
        self.object_cache = ObjectCache(count, self.health, changed)
        self._rules: dict[tuple[str, str], ReplicaRule] = {}
        self._wait = 0.0

    def use(self, settings: Settings) -> None:
        """Judge by this configuration from now on; what is known stays."""
        probes, watched = self._probes(settings.sites)
        self.object_cache.use(probes.values(), settings.catalog.entries)
        self.health.use(probes[base_url] for base_url in watched)
        self._wait = settings.catalog.wait
        self._rules = {
            (site.name, region): self._rule(site, region)
            for site in settings.sites
            for region in site.targets
        }
        self.presigners = {
            (site.name, region): Presigner(self._signer(target), site.redirect.presign)
            for site in settings.sites
            if site.redirect.presign is not None
            for region, target in site.targets.items()
        }

    def _signer(self, target: Bucket) -> Signer:
        """Its own: another site may ask the same bucket by other credentials."""
        return Signer(target.credentials, target.region, ambient=self._ambient)

    def _probes(self, sites: Iterable[Site]) -> tuple[dict[str, BucketProbe], set[str]]:
        """A probe for each bucket, by ``object_base_url``, and which of them are watched."""
        probes: dict[str, BucketProbe] = {}
        watched = set()
        for site in sites:
            for entry in (site.origin, *site.targets.values()):
                if entry.object_base_url not in probes or entry.expected_owner:
                    probes[entry.object_base_url] = BucketProbe(entry, self._session, self._ambient)
            if site.redirect.watch:
                watched |= {site.targets[region].object_base_url for region in site.regions_in_use}
        return probes, watched

    def _rule(self, site: Site, region: str) -> ReplicaRule:
        redirect = site.redirect
        urls = dict.fromkeys(  # the origin may be the target
            entry.object_base_url for _, entry in site.buckets_to_check(region)
        )
        buckets = tuple(self.object_cache.buckets[base_url] for base_url in urls)
        bad = min(NEGATIVE_TTL, redirect.verify_ttl)
        watched = site.targets[region].object_base_url if redirect.watch else None
        return ReplicaRule(watched, buckets, redirect.verify_ttl, bad, redirect.min_size)

    def status(self, site: str, region: str, key: str) -> ReplicaStatus:
        """What is known of a copy now; asks for what will soon be too old."""
        rule = self._rules.get((site, region))
        if rule is None:  # between two assignments of a reload
            return UNVERIFIED
        if rule.watched_url is not None and rule.watched_url in self.health.down:
            self.health.requested(rule.watched_url, key)
            return DOWN
        if not rule.buckets:
            return ReplicaStatus()
        return self._status(rule, key, monotonic())

    def _status(self, rule: ReplicaRule, key: str, now: float) -> ReplicaStatus:
        known = _cached(rule, key)
        if known is None or _unsaid(known):
            return UNVERIFIED
        against, size = _reason_against(rule, known), known[0].version.size
        oldest = min(entry.seen for entry in known)
        if against is Reason.NOT_REPLICATED:
            return (
                UNVERIFIED
                if now - oldest > rule.bad
                else ReplicaStatus(against, size, oldest + rule.bad)
            )
        if now - oldest > rule.good:
            excused = _excused(rule, known, now)
            return ReplicaStatus(against, size, 0.0) if excused else UNVERIFIED
        until = oldest + rule.good * RENEW_AFTER
        if until < now:
            self._renew(rule, key, now)
        return ReplicaStatus(against, size, until)

    def _renew(self, rule: ReplicaRule, key: str, now: float) -> None:
        for bucket in rule.buckets:
            entry = bucket.get(key)
            if entry is None or now - entry.seen > rule.good * RENEW_AFTER:
                self.object_cache.check(bucket, key, renews=True)

    def revalidate(self, site: str, region: str, key: str) -> None:
        """A client that was sent to a copy came back: ask what is there, if that is not fresh."""
        rule = self._rules.get((site, region))
        if rule is None or not rule.buckets:
            return
        target = rule.buckets[-1]
        entry = target.get(key)
        if entry is None or monotonic() - entry.seen > REVALIDATE_PAUSE:
            self.object_cache.check(target, key, renews=True)

    async def settle(self, site: str, region: str, key: str) -> None:
        """Ask what is not known, and wait for it as long as a request may."""
        rule = self._rules.get((site, region))
        if rule is None:
            return
        deadline = monotonic() + self._wait
        for _ in range(2):  # the answer of one bucket may make another's too old
            now = monotonic()
            flights = {
                flight
                for bucket in _to_check(rule, key, now)
                if (flight := self.object_cache.check(bucket, key)) is not None
            }
            if not flights or now >= deadline:
                return
            await asyncio.wait(flights, timeout=deadline - now)

    def up(self) -> Iterator[tuple[tuple[str, str], bool]]:
        """Site and region of every target, and whether clients are sent there."""
        for name, rule in self._rules.items():
            yield name, rule.watched_url not in self.health.down

    def tick(self, now: float) -> None:
        """Once a second."""
        self.object_cache.tick(now)

    async def close(self) -> None:
        """Ask nothing more."""
        await self.health.close()
        await self.object_cache.close()


def _cached(rule: ReplicaRule, key: str) -> list[CachedObject] | None:
    """What is known of the buckets that count; None where one of them was never asked."""
    entries = [bucket.get(key) for bucket in rule.buckets]
    known = [entry for entry in entries if entry is not None]
    return known if len(known) == len(entries) else None


def _reason_against(rule: ReplicaRule, entries: list[CachedObject]) -> Reason | None:
    """Why not to redirect, going by what the buckets hold."""
    first, last = entries[0].version, entries[-1].version
    if first == ABSENT or last == ABSENT:  # noqa: PLR1714  # no tuple to be made a request
        return Reason.NOT_REPLICATED
    if first is not last and not first.equals(last):
        return Reason.NOT_REPLICATED
    return Reason.SMALL if first.size < rule.smallest else None


def _excused(rule: ReplicaRule, entries: list[CachedObject], now: float) -> bool:
    """Whether only the origin's word is too old, and the origin gives none.

    Then the copy is all there is: nothing could be streamed in its stead.
    """
    first, last = entries[0], entries[-1]
    return (
        len(rule.buckets) > 1
        and rule.buckets[0].failing
        and now - first.seen < OUTAGE
        and now - last.seen <= rule.good
    )


def _unsaid(entries: list[CachedObject]) -> bool:
    """Whether listings leave open if the copy is the origin's: a HEAD has checksums as well."""
    return entries[0].version.equals(entries[-1].version) is None


def _to_check(rule: ReplicaRule, key: str, now: float) -> list[BucketCache]:
    """The buckets to be asked: all that is known of them is too old for what it says."""
    if not rule.buckets:
        return []
    known, most = _cached(rule, key), rule.good
    if known is not None:
        if _unsaid(known):
            return list(rule.buckets)
        if _reason_against(rule, known) is Reason.NOT_REPLICATED:
            most = rule.bad
    return [
        bucket
        for bucket in rule.buckets
        if (entry := bucket.get(key)) is None
        or now - entry.seen > (rule.bad if entry.version == ABSENT else most)
    ]
