"""Learns from the responses of an origin that an object has changed.

Every response of an origin, to a client's request or to a HEAD, shows the ETag of an object. If it
is not the known one, the entry in the object cache is replaced, the copies are checked at once, and
the other workers are told, which do the same. So as soon as one worker has seen a new version, no
worker redirects to an older copy.

An archive and its side files (``x.tar.xz.sha256``) are uploaded together. When a side file is new,
the archive is checked, and from then on counts as no older than its side file.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nearbucket.origin.failover.known_versions import ShownObject
from nearbucket.policy.rules import SitePolicy
from nearbucket.replicas.bucket_cache import CachedObject
from nearbucket.replicas.object_version import ABSENT, ObjectVersion, VersionReport, unix_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nearbucket.config.sites import Site
    from nearbucket.replicas.bucket_cache import BucketCache
    from nearbucket.replicas.object_cache import ObjectCache
    from nearbucket.replicas.object_version import CatalogBatch


SIDE_FILES = ("sha256", "sha512", "md5", "asc", "sig")
"""The usual extensions of side files, after the key of their archive and a dot."""

LATELY = 2.0
"""Seconds after a change for which the older copy may be redirected to."""

LONGEST = 60.0
"""Seconds after a change for which responses to requests that were sent before it may arrive."""

PAUSE = 1.0
"""Seconds after its last check in which an archive or side file is not checked again."""


class ShownVersion(Protocol):
    """The fields of a response that identify the version of its object."""

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
        policies: The policies of the sites that compare.
    """

    bucket: BucketCache
    copies: tuple[BucketCache, ...]
    policies: tuple[SitePolicy, ...]

    def matters(self, key: str) -> bool:
        """Whether a redirect can depend on the version of an object."""
        return any(policy.may_redirect(key) for policy in self.policies)

    def wants(self, key: str) -> bool:
        """Whether the version of an object is to be cached."""
        known = self.bucket.get(key) is not None
        return known or self.matters(key) or self.archive_of(key) is not None

    def archive_of(self, key: str) -> str | None:
        """The object whose side file this key is, if that object is cached."""
        archive = key.rpartition(".")[0]
        return archive if archive and self.bucket.get(archive) is not None else None


class ReplacedVersion(NamedTuple):
    """The version that an object had before it changed.

    Attributes:
        changed: Monotonic time at which the first worker learned of another one.
        version: The older version.
        doubted: Monotonic time at which it was last unclear which version is the newer one; at
            first that of the change. A response to a request sent before may show an older one.
    """

    changed: float
    version: ObjectVersion
    doubted: float

    def is_shown_late(self, etag: str, asked: float) -> bool:
        """Whether a response shows this version because its request was sent before the change."""
        return etag == self.version.etag and asked < self.changed


class OriginVersions:
    """The versions of the origins' objects, as one worker learns them."""

    def __init__(
        self,
        cache: ObjectCache,
        changed: Callable[[], None],
        report: Callable[[VersionReport], None],
    ) -> None:
        """Keep a cache up to date.

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
        self._copies: dict[str, BucketCache] = {}
        self._replaced: dict[tuple[str, str], ReplacedVersion] = {}

    def prepare(
        self, sites: Iterable[Site], caches: Mapping[str, BucketCache]
    ) -> Callable[[], None]:
        """Find the origins whose versions matter; call what is returned to put them to use.

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

        copies_by_url = {
            copy.probe.base_url: copy for origin in by_url.values() for copy in origin.copies
        }

        def use() -> None:
            self._by_url, self._by_site, self._copies = by_url, by_site, copies_by_url

        return use

    def on_response(self, site: str, key: str, shown: ShownVersion, asked: float) -> None:
        """Learn from a response with an object, a range of it, or its validators.

        Args:
            site: Name of the site.
            key: Object key, decoded, without the bucket's prefix.
            shown: What the response says of the version.
            asked: Monotonic time at which the request was sent, or shortly before.
        """
        origin, etag = self._by_site.get(site), shown.etag.strip('"')
        if origin is None or not etag or origin.bucket.has(key, shown.total, etag):
            return
        if not origin.wants(key):
            return
        if shown.total is None:  # 304 has no length
            self._doubt(origin, key, etag, asked)
        else:
            modified = unix_time(shown.modified)
            version = ObjectVersion(shown.total, etag, None, modified, unreadable=None)
            self._show(origin, key, CachedObject.of(version, asked))

    def shown(self, site: str, key: str) -> ShownObject | None:
        """What is known of an object of a site's origin, as any worker has seen it last."""
        origin = self._by_site.get(site)
        known = None if origin is None else origin.bucket.get(key)
        if known is None:
            return None
        return ShownObject(known.version.etag, known.version.size, known.seen)

    def on_missing(self, site: str, key: str, asked: float) -> None:
        """Learn from a 404 that an object does not exist; arguments as in ``on_response``."""
        origin = self._by_site.get(site)
        if origin is None or origin.bucket.has(key, ABSENT.size, ABSENT.etag):
            return
        if origin.wants(key):
            self._show(origin, key, CachedObject.of(ABSENT, asked))

    def _show(self, origin: _Origin, key: str, entry: CachedObject) -> None:
        was_known = origin.bucket.get(key) is not None
        if self._learn(origin, key, entry):
            self._tell(origin.bucket, key, entry, was_known=was_known)

    def _tell(self, bucket: BucketCache, key: str, entry: CachedObject, *, was_known: bool) -> None:
        """Tell the other workers; but not of every key that a client thinks up."""
        if was_known or entry.version[:2] != ABSENT[:2]:
            older, changed = None, 0.0
            replaced = self.replaced(bucket.probe.base_url, key)
            if replaced is not None:
                older, changed = replaced.version, replaced.changed
            self._report(VersionReport(bucket.probe.base_url, key, *entry, older, changed))

    def on_report(self, report: VersionReport) -> None:
        """Another worker learned a version; what is not known here is left to that worker."""
        origin = self._by_url.get(report.base_url)
        entry = CachedObject(report.version, report.seen, report.since)
        if origin is None:
            self._learn_copy(report.base_url, report.key, entry)
            return
        if origin.bucket.get(report.key) is not None:
            self._learn(origin, report.key, entry)
        else:
            self._check_beside(origin, report.key, entry)
        self._agree(report)

    def on_listing(self, batch: CatalogBatch) -> None:
        """Apply a listing to the object cache; what was learned after it began takes precedence."""
        url, bucket = batch.base_url, self._cache.buckets.get(batch.base_url)
        if bucket is None:
            return
        if not batch.renews:
            late = {
                key
                for (of, key), each in self._replaced.items()
                if of == url and batch.seen < each.doubted
            }
            news = [each for each in batch.objects if each[0] not in late]
            self._cache.learn(url, news, batch.seen)
            return
        origins = [each.bucket for each in self._by_url.values() if bucket in each.copies]
        if others := bucket.renew(batch, origins):
            self._changed()
        for key in others:
            self._forget_all(bucket, key)

    def _forget_all(self, bucket: BucketCache, key: str) -> None:
        """Forget an object, its copies, its archive and its side files: requests check them."""
        origin = self._by_url.get(bucket.probe.base_url)
        if origin is not None:
            self._forget(origin, key)
        for each in (bucket, *(origin.copies if origin else ())):
            each.forget(key)
        for name in (key.rpartition(".")[0], *[f"{key}.{each}" for each in SIDE_FILES]):
            bucket.forget(name)

    def _learn_copy(self, base_url: str, key: str, entry: CachedObject) -> None:
        """Keep what another worker has seen of a copy, so that all redirect to it or none."""
        copy = self._copies.get(base_url)
        known = None if copy is None else copy.get(key)
        if copy is not None and known is not None and known.seen < entry.seen:
            copy.put(key, entry)
            if entry.version.ends(known.version, copy.probe.barriers):
                self._changed()

    def _agree(self, report: VersionReport) -> None:
        """Take the time of a change from the worker that learned of it first."""
        if report.older is None:
            return
        name, changed = (report.base_url, report.key), report.changed
        own = self._replaced.get(name)
        same = own is not None and own.version[:2] == report.older[:2]
        if own is None or (not same and changed > own.changed):
            self._replaced[name] = ReplacedVersion(changed, report.older, monotonic())
        elif same and changed < own.changed:
            self._replaced[name] = own._replace(changed=changed)

    def on_head(self, bucket: BucketCache, key: str, known: CachedObject | None) -> None:
        """Learn from a HEAD that showed another version than ``known``, or the first one (None).

        Or that clients can no longer read the object, which matters to its copies alone.
        """
        url, entry = bucket.probe.base_url, bucket.get(key)
        origin = self._by_url.get(url)
        if origin is None and known is not None and entry is not None and url in self._copies:
            self._report(VersionReport(url, key, *entry))
        is_new = entry is not None and (known is None or known.version[:2] != entry.version[:2])
        if origin is not None and entry is not None and is_new:
            if known is not None:
                self._replace(origin, key, known)
                self._check_copies(origin, key, entry.seen)
            self._check_beside(origin, key, entry)
            self._tell(bucket, key, entry, was_known=known is not None)

    def _learn(self, origin: _Origin, key: str, entry: CachedObject) -> bool:
        """Keep a version, if it is surely newer than the known one.

        That is so if the request was sent after the response arrived that the known one is from.
        Of requests that overlapped only S3 can tell which has seen the newer version.

        Returns:
            Whether the known version is another one now, or unknown.
        """
        bucket, replaced = origin.bucket, self.replaced(origin.bucket.probe.base_url, key)
        known, late = bucket.get(key), replaced is not None and entry.seen < replaced.doubted
        if known is None and late:  # what S3 answers to the HEAD is newer
            return False
        if known is not None:
            if known.version[:2] == entry.version[:2]:
                return False
            if late or known.seen >= entry.seen:
                return self._doubt(origin, key, entry.version.etag, entry.seen)
        bucket.put(key, entry)
        if known is not None:
            self._changed()
            self._replace(origin, key, known)
            self._check_copies(origin, key, entry.seen)
        self._check_beside(origin, key, entry)
        return True

    def _doubt(self, origin: _Origin, key: str, etag: str, asked: float) -> bool:
        """Ask for the current version, and forget the known one unless it surely is newer.

        Args:
            origin: The origin.
            key: The object.
            etag: ETag of the version that a response has shown.
            asked: Monotonic time before which its request was not sent.

        Returns:
            Whether the version is unknown now.
        """
        bucket, replaced = origin.bucket, self.replaced(origin.bucket.probe.base_url, key)
        if bucket.get(key) is None:
            return False
        late = replaced is not None and replaced.is_shown_late(etag, asked)
        if not late:
            self._forget(origin, key)
            self._changed()
            self._check_copies(origin, key, monotonic())
        self._cache.check(bucket, key, renews=True)
        return not late

    def _forget(self, origin: _Origin, key: str) -> None:
        """Forget the known version; responses to earlier requests do not bring it back."""
        bucket, now = origin.bucket, monotonic()
        known, replaced = bucket.peek(key), self.replaced(bucket.probe.base_url, key)
        bucket.forget(key)
        if replaced is not None and now - replaced.changed <= LATELY:
            self._replaced[bucket.probe.base_url, key] = replaced._replace(doubted=now)
        elif known is not None:
            self._replace(origin, key, known)

    def _replace(self, origin: _Origin, key: str, known: CachedObject) -> None:
        now = monotonic()
        self._replaced[origin.bucket.probe.base_url, key] = ReplacedVersion(now, known.version, now)

    def replaced(self, base_url: str, key: str) -> ReplacedVersion | None:
        """The last version of an object, if that changed in the last ``LONGEST`` seconds."""
        return self._replaced.get((base_url, key))

    def tick(self, now: float) -> None:
        """Once a second: forget changes that no response can have missed."""
        if self._replaced:
            self._replaced = {
                name: replaced
                for name, replaced in self._replaced.items()
                if now - replaced.doubted <= LONGEST
            }

    def _check_copies(self, origin: _Origin, key: str, seen: float) -> None:
        """Check the copies of an object that changed, unless they were seen after that."""
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
