"""Reads what a bucket holds, for the warm-up: from its listing, or from an S3 Inventory report.

Importing this imports the AWS SDK, which takes a third of a second.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nearbucket.errors import ConfigError
from nearbucket.policy.rules import SitePolicy
from nearbucket.policy.selection import has_url
from nearbucket.replicas.inventory_report import not_listed, report_of
from nearbucket.replicas.object_version import CatalogBatch
from nearbucket.replicas.replica_rule import barriers_of
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.sdk.bucket_listing import objects_of, pages_of
from nearbucket.s3.sdk.sdk_client import FAULTS, opened
from nearbucket.s3.unreadable import maybe_archived, unreadable_by_head

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.s3.listing.list_page import ListedObject

_log = logging.getLogger(__name__)


class CatalogSource:
    """The objects of one bucket that may be redirected to, in batches.

    Attributes:
        location: The first entry that names the bucket, or the first with an inventory.
        read: Objects read so far, those that no site's policy chooses among them.
    """

    def __init__(
        self, uses: Sequence[tuple[BucketLocation, Site]], barriers: frozenset[str]
    ) -> None:
        """Prepare to read a bucket.

        Args:
            uses: All entries of the configuration that name the bucket, each with its site.
            barriers: What keeps clients from reading an object there; empty for an origin.
        """
        self.location = next((each for each, _ in uses if each.entry.inventory), uses[0][0])
        self.read = 0
        self._choices = [_choice(site) for _, site in uses]
        self._valid_for = max(site.redirect.verify_ttl for _, site in uses)
        pages_of_source = report_of if self.location.entry.inventory else _listing_of
        self._pages = pages_of_source(self.location, barriers)
        self._page: CatalogBatch | None = None

    async def take(self, most: int) -> CatalogBatch | None:
        """The next objects, up to so many; None at the end.

        Raises:
            ProxyError: The bucket or the report cannot be read.
        """
        while self._page is None or not self._page.objects:
            page = await anext(self._pages, None)
            if page is None:
                return None
            self._check_age(page.seen)
            self.read += len(page.objects)
            chosen = [each for each in page.objects if any(ask(each[0]) for ask in self._choices)]
            self._page = replace(page, objects=tuple(chosen))
        page = self._page
        self._page = replace(page, objects=page.objects[most:])
        return replace(page, objects=page.objects[:most])

    def _check_age(self, seen: float) -> None:
        if self.location.entry.inventory and (age := time.time() - seen) > self._valid_for:
            raise ConfigError(
                f"{self.location.name}.inventory: the report is {age / 3600:.1f} hours old, and "
                f"what it says holds for redirect.verify_ttl, {self._valid_for / 3600:.1f} hours; "
                "raise verify_ttl, name a newer report, or remove inventory: and the bucket is "
                "listed"
            )

    async def close(self) -> None:
        """Close the connections to S3."""
        await self._pages.aclose()


def sources_of(settings: Settings) -> list[CatalogSource]:
    """A source for each bucket that a redirect depends on, however many entries name it."""
    uses: dict[str, list[tuple[BucketLocation, Site]]] = {}
    barriers: dict[str, frozenset[str]] = defaultdict(frozenset)
    for site in settings.sites:
        asked = [each for region in site.regions_in_use for each in site.buckets_to_check(region)]
        for name, entry in dict(asked).items():
            location = BucketLocation(
                f"{site.key}.{name}", entry, entry.credentials, entry.expected_owner
            )
            uses.setdefault(entry.object_base_url, []).append((location, site))
            if name != "origin":
                barriers[entry.object_base_url] |= barriers_of(site)
    return [CatalogSource(each, barriers[url]) for url, each in uses.items()]


def _choice(site: Site) -> Callable[[str], bool]:
    """Whether a request for a key may be redirected, whatever the object's size."""
    policy = SitePolicy.build(site)
    return lambda key: policy.may_redirect(key) and has_url(key, policy)


async def _listing_of(
    location: BucketLocation, barriers: frozenset[str]
) -> AsyncGenerator[CatalogBatch]:
    """The objects of a listing, without those that may be unreadable."""
    url = location.entry.object_base_url
    async with (
        opened(location) as client,
        aclosing(pages_of(client, location, not_listed)) as pages,
    ):
        warned = False
        async for seen, page in pages:
            found = [each for each in objects_of(page, location) if not _left_out(each, barriers)]
            if barriers and await _is_encrypted(client, location, found, barriers):
                found = []
                if not warned:
                    _log.warning(_ENCRYPTED, location.name, location)
                warned = True
            objects = [(*each[:3], each.modified.timestamp()) for each in found]
            yield CatalogBatch(url, tuple(objects), seen)


_ENCRYPTED = (
    "warm-up: %s: clients cannot read the objects of bucket %s, which are encrypted; a listing "
    "does not show that, so each object is checked when a client requests it"
)


def _left_out(each: ListedObject, barriers: frozenset[str]) -> bool:
    return bool(barriers) and maybe_archived(each.storage_class)


async def _is_encrypted(
    client: Any, location: BucketLocation, objects: Sequence[ListedObject], barriers: frozenset[str]
) -> bool:
    """Whether clients cannot read the newest of these objects, by a HEAD.

    A bucket's default encryption holds for all objects that are uploaded after it was set.
    """
    if not objects:
        return False
    newest = max(objects, key=lambda each: each.modified)
    try:
        answer = await client.head_object(**location.arguments(newest.key))
    except FAULTS:
        return True
    return unreadable_by_head(answer["ResponseMetadata"]["HTTPHeaders"]) in barriers
