"""The rule by which a site redirects to a copy in one region, given the known objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nearbucket.policy.model import Reason
from nearbucket.replicas.health.client_target import ClientTarget
from nearbucket.replicas.object_version import ABSENT
from nearbucket.s3.unreadable import barriers_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.config.sites import Site
    from nearbucket.replicas.bucket_cache import BucketCache, CachedObject

SHORTEST = 2.0
"""Seconds for which every result is valid at least, unless ``verify_ttl`` is shorter."""

OF_ITS_AGE = 0.1
"""A good result is valid for this share of the age of the origin's object."""

NEGATIVE_TTL = 30.0
"""Seconds for which it is valid at most that a copy is missing or different."""

OUTAGE = 86400.0
"""Seconds for which the last answer of an origin stays valid while it does not answer."""

NO_COPY = frozenset({Reason.ABSENT, Reason.NOT_REPLICATED, Reason.UNREADABLE})
"""Reasons of a request for which the target has no copy of the origin's object that clients can
read."""


class ReplicaRule(NamedTuple):
    """When a site redirects to a copy in one region.

    Attributes:
        watched_url: The target's ``object_base_url``; None if it has no health checks.
        clients: The target as clients see it; None if it has no health checks.
        buckets: Caches of the buckets that must hold the object, the target's last.
        has_origin: Whether the first of them is the origin's, and the object has to be there.
        longest: Seconds for which a result is valid at most.
        smallest: Bytes of the smallest object that is redirected to.
        compares: Whether the copy has to equal the origin's object.
        barriers: What keeps the site's clients from reading a copy; empty if copies are not
            checked.
    """

    watched_url: str | None
    clients: ClientTarget | None
    buckets: tuple[BucketCache, ...]
    has_origin: bool
    longest: float
    smallest: int
    compares: bool
    barriers: frozenset[str]

    @classmethod
    def of(cls, site: Site, region: str, caches: Mapping[str, BucketCache]) -> ReplicaRule:
        """The rule of a site for a region; ``caches`` by ``object_base_url``."""
        redirect = site.redirect
        urls = dict.fromkeys(  # the origin may be the target
            entry.object_base_url for _, entry in site.buckets_to_check(region)
        )
        watched = site.targets[region].object_base_url if redirect.watch else None
        has_origin = site.origin.object_base_url in urls
        return cls(
            watched_url=watched,
            clients=ClientTarget.of(site, region) if redirect.watch else None,
            buckets=tuple(caches[base_url] for base_url in urls),
            has_origin=has_origin and (redirect.verify != "exists" or len(urls) == 1),
            longest=redirect.verify_ttl,
            smallest=redirect.min_size,
            compares=redirect.verify == "match",
            barriers=frozenset() if redirect.verify == "none" else barriers_of(site),
        )

    def describe(self, key: str, now: float) -> str:
        """What each bucket is known to have, in words."""
        names = ("origin", "target") if len(self.buckets) > 1 else ("object",)
        found = [
            f"{name}: {_in_words(bucket, key, now)}"
            for name, bucket in zip(names, self.buckets, strict=False)
        ]
        return "; ".join(found) or "no bucket is checked (redirect.verify, redirect.min_size)"

    def known(self, key: str) -> list[CachedObject] | None:
        """The object in each bucket that counts; None if one of them is unknown.

        If the origin has no such object, the other buckets do not count.
        """
        entries = [bucket.get(key) for bucket in self.buckets]
        if self.has_origin and entries[0] is not None and entries[0].version == ABSENT:
            return [entries[0]]
        known = [entry for entry in entries if entry is not None]
        return known if len(known) == len(entries) else None

    def reason_against(self, entries: list[CachedObject]) -> Reason | None:
        """The reason against a redirect that follows from what the buckets hold."""
        first, last = entries[0].version, entries[-1].version
        if self.has_origin and first == ABSENT:
            return Reason.ABSENT
        # Before the copy: ``sync`` copies no small objects.
        if 0 <= (last if first == ABSENT else first).size < self.smallest:
            return Reason.SMALL
        if last == ABSENT:
            return Reason.NOT_REPLICATED
        # Before the comparison: the ETag of a copy that is encrypted with a KMS key differs.
        if last.unreadable in self.barriers:
            return Reason.UNREADABLE
        if self.compares and first is not last and not first.equals(last):
            return Reason.NOT_REPLICATED
        return None

    def needs_head(self, entries: list[CachedObject]) -> bool:
        """Whether something is needed that only the response to a HEAD has.

        Checksums, to compare the copy; or whether clients can read it.
        """
        first, last = entries[0].version, entries[-1].version
        return (self.compares and first.equals(last) is None) or (
            last.unreadable is None and bool(self.barriers)
        )

    def valid_for(self, entries: list[CachedObject]) -> float:
        """Seconds for which the result of these entries is valid."""
        if self.reason_against(entries) in NO_COPY:
            return min(
                max(SHORTEST, min(entry.age for entry in entries)), NEGATIVE_TTL, self.longest
            )
        first, last = entries[0], entries[-1]
        age = (first if self.compares or last.version == ABSENT else last).age
        return min(max(SHORTEST, age * OF_ITS_AGE), self.longest)

    def is_excused(self, entries: list[CachedObject], now: float) -> bool:
        """Whether only the origin's answer has expired, because the origin does not answer.

        Then redirects go on: nothing could be streamed instead.
        """
        first, last = entries[0], entries[-1]
        return (
            len(self.buckets) > 1
            and self.buckets[0].failure != ""
            and now - first.seen < OUTAGE
            and now - last.seen <= self.longest
        )

    def to_check(self, key: str, now: float) -> list[BucketCache]:
        """The buckets in which the object is unknown, or known from too long ago.

        Only the origin, as long as it is not known that it has the object.
        """
        if not self.buckets:
            return []
        first = self.buckets[0].get(key)
        if self.has_origin and (first is None or first.version == ABSENT):
            holds = first is not None and now - first.seen <= self.valid_for([first])
            return [] if holds else [self.buckets[0]]
        known = self.known(key)
        if known and self.needs_head(known):
            return list(self.buckets)
        return [
            bucket
            for bucket in self.buckets
            if (entry := bucket.get(key)) is None
            or now - entry.seen > self.valid_for(known or [entry])
        ]


def _in_words(bucket: BucketCache, key: str, now: float) -> str:
    entry = bucket.get(key)
    if entry is None:
        return f"not known: {bucket.failure}" if bucket.failure else "not known"
    when = f"checked {max(0.0, now - entry.seen):.0f} s ago"
    if entry.version == ABSENT:
        return f"no such object, {when}"
    size, etag = entry.version.known_size, entry.version.etag or "unknown"
    unreadable = f"{entry.version.unreadable}, " if entry.version.unreadable else ""
    return f"{'?' if size is None else size} bytes, ETag {etag}, {unreadable}{when}"


def etags_of(entries: list[CachedObject]) -> tuple[str, ...]:
    """The copy's ETag, and the origin's if that differs (the same bytes in other parts)."""
    first, last = entries[0].version.etag, entries[-1].version.etag
    return tuple(filter(None, (last,) if first == last else (last, first)))
