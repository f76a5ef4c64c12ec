"""What responses of the origin show of its objects: another version than the known one.

Every head that passes from an origin, and every HEAD request to it, shows the ETag of an object. If
that is new, the entry in the object cache is replaced, the copies are checked at once, and the
other workers are told, which do the same. So a copy is not redirected to any more as soon as one
worker has seen that it is an older version.

A side file (``x.tar.xz.sha256``) tells of its archive as well, since both are uploaded together:
when it is new, the archive is checked, and from then on is as young as its side file.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nearbucket.policy.rules import SitePolicy
from nearbucket.replicas.object_cache import CachedObject
from nearbucket.replicas.object_version import ABSENT, ObjectVersion, VersionReport, unix_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nearbucket.config.sites import Site
    from nearbucket.replicas.object_cache import BucketCache, ObjectCache


SIDE_FILES = ("sha256", "sha512", "md5", "asc", "sig")
"""What follows the dot behind an archive's key in the keys of its usual side files."""

LATELY = 2.0
"""Seconds for which it is known that an object has changed."""

PAUSE = 1.0
"""Age in seconds from which what is known of an archive or a side file is checked again."""


class ShownVersion(Protocol):
    """The fields of a response that tell the version of its object."""

    @property
    def etag(self) -> str:
        """ETag as S3 sent it; empty if there is none."""

    @property
    def total(self) -> int | None:
        """Bytes of the object; None if the response does not say."""

    @property
    def modified(self) -> str:
        """Last-Modified as S3 sent it; empty if there is none."""


class _Origin(NamedTuple):
    """An origin whose objects are compared with copies.

    Attributes:
        bucket: What is known of its objects.
        copies: What is known of the targets' objects.
        policies: Those of the sites that compare.
    """

    bucket: BucketCache
    copies: tuple[BucketCache, ...]
    policies: tuple[SitePolicy, ...]

    def matters(self, key: str) -> bool:
        """Whether a redirect can depend on the version of an object."""
        return any(policy.may_redirect(key) for policy in self.policies)

    def wants(self, key: str) -> bool:
        """Whether the version of an object is to be known."""
        known = self.bucket.get(key) is not None
        return known or self.matters(key) or self.archive_of(key) is not None

    def archive_of(self, key: str) -> str | None:
        """The object whose side file this is, if that object is known."""
        archive = key.rpartition(".")[0]
        return archive if archive and self.bucket.get(archive) is not None else None


class ReplacedVersion(NamedTuple):
    """The version that an object had until a moment ago.

    Attributes:
        changed: Monotonic time at which this worker learned of another one.
        version: The older version.
    """

    changed: float
    version: ObjectVersion


class OriginVersions:
    """The versions of the origins' objects, as one worker learns them."""

    def __init__(
        self,
        cache: ObjectCache,
        changed: Callable[[], None],
        report: Callable[[VersionReport], None],
    ) -> None:
        """Take the cache that is kept up to date.

        Args:
            cache: The object cache of the worker.
            changed: Called when an object has changed.
            report: Tells the other workers.
        """
        self._cache = cache
        self._changed = changed
        self._report = report
        self._by_url: dict[str, _Origin] = {}
        self._by_site: dict[str, _Origin] = {}
        self._replaced: dict[tuple[str, str], ReplacedVersion] = {}

    def prepare(
        self, sites: Iterable[Site], caches: Mapping[str, BucketCache]
    ) -> Callable[[], None]:
        """Find the origins whose versions matter; calling what is returned puts them to use.

        Args:
            sites: The sites of the configuration.
            caches: The cache of each bucket by ``Bucket.object_base_url``.
        """
        sites = tuple(sites)
        by_url: dict[str, _Origin] = {}
        for site in sites:
            if site.redirect.verify == "match" and site.regions_in_use:
                url = site.origin.object_base_url
                bucket = caches[url]
                copies = {
                    caches[site.targets[name].object_base_url] for name in site.regions_in_use
                }
                policies: tuple[SitePolicy, ...] = ()
                if url in by_url:
                    copies, policies = copies | {*by_url[url].copies}, by_url[url].policies
                known = tuple(copies - {bucket})
                by_url[url] = _Origin(bucket, known, (*policies, SitePolicy.build(site)))
        by_site = {
            site.name: by_url[site.origin.object_base_url]
            for site in sites
            if site.origin.object_base_url in by_url
        }

        def use() -> None:
            self._by_url, self._by_site = by_url, by_site

        return use

    def on_response(self, site: str, key: str, shown: ShownVersion, asked: float) -> None:
        """The origin of a site sent an object, a part of it, or its validators.

        Args:
            site: Name of the site.
            key: Object key, decoded, without the bucket's prefix.
            shown: What the response says of the version.
            asked: Monotonic time before which the request was not sent.
        """
        origin, etag = self._by_site.get(site), shown.etag.strip('"')
        if origin is None or not etag or origin.bucket.has(key, shown.total, etag):
            return
        if not origin.wants(key):
            return
        if shown.total is None:  # 304 has no length
            self._doubt(origin, key)
        else:
            modified = unix_time(shown.modified)
            version = ObjectVersion(shown.total, etag, None, modified)
            self._show(origin, key, CachedObject.of(version, asked))

    def on_missing(self, site: str, key: str, asked: float) -> None:
        """The origin of a site has no such object; the arguments are those of ``on_response``."""
        origin = self._by_site.get(site)
        if origin is None or origin.bucket.has(key, ABSENT.size, ABSENT.etag):
            return
        if origin.wants(key):
            self._show(origin, key, CachedObject.of(ABSENT, asked))

    def _show(self, origin: _Origin, key: str, entry: CachedObject) -> None:
        self._learn(origin, key, entry)
        self._report(VersionReport(origin.bucket.probe.base_url, key, *entry))

    def on_report(self, report: VersionReport) -> None:
        """Another worker learned a version."""
        origin = self._by_url.get(report.base_url)
        if origin is not None:
            self._learn(origin, report.key, CachedObject(*report[2:]))

    def on_head(self, bucket: BucketCache, key: str, known: CachedObject | None) -> None:
        """A HEAD request showed another version than the known one, if there was one."""
        origin, entry = self._by_url.get(bucket.probe.base_url), bucket.get(key)
        if origin is not None and entry is not None:
            if known is not None:
                self._replace(origin, key, known)
                self._check_copies(origin, key, entry.seen)
            self._check_beside(origin, key, entry)
            self._report(VersionReport(bucket.probe.base_url, key, *entry))

    def _learn(self, origin: _Origin, key: str, entry: CachedObject) -> None:
        bucket = origin.bucket
        known = bucket.get(key)
        if known is not None and known.version[:2] == entry.version[:2]:
            return
        if known is not None and known.seen >= entry.seen:
            # of requests that overlapped only S3 can tell which has seen the newer version
            self._doubt(origin, key)
            return
        bucket.put(key, entry)
        if known is not None:
            self._changed()
            self._replace(origin, key, known)
            self._check_copies(origin, key, entry.seen)
        self._check_beside(origin, key, entry)

    def _doubt(self, origin: _Origin, key: str) -> None:
        """Forget a version that is known no longer, and ask for the current one."""
        known = origin.bucket.get(key)
        if known is not None:
            origin.bucket.forget(key)
            self._changed()
            self._replace(origin, key, known)
            self._cache.check(origin.bucket, key, renews=True)
            self._check_copies(origin, key, monotonic())

    def _replace(self, origin: _Origin, key: str, known: CachedObject) -> None:
        self._replaced[origin.bucket.probe.base_url, key] = ReplacedVersion(
            monotonic(), known.version
        )

    def replaced(self, base_url: str, key: str) -> ReplacedVersion | None:
        """The last version of an object, if that changed in the last seconds."""
        return self._replaced.get((base_url, key))

    def tick(self, now: float) -> None:
        """Once a second: forget changes that are no longer new."""
        if self._replaced:
            self._replaced = {
                name: replaced
                for name, replaced in self._replaced.items()
                if now - replaced.changed <= LATELY
            }

    def _check_copies(self, origin: _Origin, key: str, seen: float) -> None:
        """Check the copies of an object that changed, as far as they were not seen since then."""
        for copy in origin.copies:
            entry = copy.get(key)
            if entry is not None and entry.seen <= seen:
                self._cache.check(copy, key, renews=True)

    def _check_beside(self, origin: _Origin, key: str, entry: CachedObject) -> None:
        """Check the archive of a new side file, or the side files of a new archive."""
        archive = origin.archive_of(key)
        if archive is not None:
            if origin.bucket.make_younger(archive, entry.since):
                self._changed()
            self._check_again(origin.bucket, archive)
        for name in SIDE_FILES:
            side_file = f"{key}.{name}"
            if origin.matters(side_file):
                self._check_again(origin.bucket, side_file)

    def _check_again(self, bucket: BucketCache, key: str) -> None:
        entry = bucket.get(key)
        if entry is not None and monotonic() - entry.seen > PAUSE:
            self._cache.check(bucket, key, renews=True)
