"""Reads what a bucket holds, from its listing, or for the warm-up from an S3 Inventory report.

Only an inventory report is read with the AWS SDK, whose first use takes a third of a second.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import aclosing
from dataclasses import replace
from heapq import nlargest
from time import monotonic
from typing import TYPE_CHECKING, Any

from nearbucket.errors import ConfigError
from nearbucket.policy.rules import SitePolicy
from nearbucket.policy.selection import has_url, key_prefixes
from nearbucket.replicas.inventory_report import not_listed, report_of
from nearbucket.replicas.object_version import CatalogBatch
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.bucket_listing import objects_of, pages_of
from nearbucket.s3.sdk.light_client import opened_light
from nearbucket.s3.sdk.sdk_client import FAULTS, kind_of, meaning, told_by_get
from nearbucket.s3.unreadable import Unreadable, barriers_of, maybe_archived, unreadable_by_head

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.s3.listing.list_page import ListedObject

_log = logging.getLogger(__name__)


_NOT_READABLE = (
    "warm-up: %s: clients may be unable to read objects of bucket %s: %s; a listing does not show "
    "that, so each object is checked when a client requests it"
)

_ASKED = 4
"""How many of the newest objects of a page are asked for, if all before were deleted meanwhile."""

_Listed = tuple[float, "Sequence[ListedObject]"]
"""Monotonic time at which a listing began, and objects of one of its pages."""


class CatalogSource:
    """The objects of one bucket that may be redirected to, in batches.

    Attributes:
        location: The first entry that names the bucket, or the first with an inventory.
        verify_ttl: The shortest of the sites that use it.
        read: Objects read so far, those that no site's policy chooses among them.
    """

    def __init__(
        self,
        uses: Sequence[tuple[BucketLocation, Site]],
        barriers: frozenset[str],
        on_page: Callable[[], None],
    ) -> None:
        """Prepare to read a bucket.

        Args:
            uses: All entries of the configuration that name the bucket, each with its site.
            barriers: What keeps clients from reading an object there; empty for an origin.
            on_page: Called for each LIST request.
        """
        self.location = next((each for each, _ in uses if each.entry.inventory), uses[0][0])
        self.read = 0
        policies = [SitePolicy.build(site) for _, site in uses]
        self._choices = [_choice(policy) for policy in policies]
        ttls = [site.redirect.verify_ttl for _, site in uses]
        self.verify_ttl, self._valid_for = min(ttls), max(ttls)
        self._barriers, self._on_page = barriers, on_page
        self._prefixes = key_prefixes([path for _, site in uses for path in site.redirect.paths])
        if self.location.entry.inventory:
            self._pages = report_of(self.location, barriers)
        else:
            self._pages = self._readable()
        self._page: CatalogBatch | None = None

    def __str__(self) -> str:
        return self.location.name

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
            self._page = self._chosen(page)
        page = self._page
        self._page = replace(page, objects=page.objects[most:])
        return replace(page, objects=page.objects[:most])

    async def listing(self) -> AsyncGenerator[CatalogBatch]:
        """The pages of another listing, with which workers renew what they know.

        Raises:
            ProxyError: The bucket cannot be listed.
        """
        async with opened_light(self.location) as client, aclosing(self._listed(client)) as pages:
            async for page in pages:
                yield replace(self._chosen(self._batch(page)), renews=True)

    def _chosen(self, page: CatalogBatch) -> CatalogBatch:
        """The objects of a page that a policy may redirect to."""
        self.read += len(page.objects)
        first, *others = self._choices
        chosen = [
            each
            for each in page.objects
            if first(each[0]) or any(choice(each[0]) for choice in others)
        ]
        return replace(page, objects=tuple(chosen))

    def _check_age(self, seen: float) -> None:
        if self.location.entry.inventory and (age := monotonic() - seen) > self._valid_for:
            raise ConfigError(
                f"{self.location.name}.inventory: the report is {age / 3600:.1f} hours old, and "
                f"what it says holds for redirect.verify_ttl, {self._valid_for / 3600:.1f} hours; "
                "raise verify_ttl, name a newer report, or remove inventory: and the bucket is "
                "listed"
            )

    async def _listed(self, client: Any) -> AsyncGenerator[_Listed]:
        """The pages of a listing, without objects that may be archived.

        All of them are valid from its begin on: a server may go on with what it found then.
        """
        began = monotonic()
        for prefix in self._prefixes:
            name = self.location.entry.prefix + prefix
            async with aclosing(pages_of(client, self.location, not_listed, Prefix=name)) as pages:
                async for page in pages:
                    self._on_page()
                    objects = objects_of(page, self.location)
                    if self._barriers:
                        objects = [o for o in objects if not maybe_archived(o.storage_class)]
                    yield began, objects

    async def _readable(self) -> AsyncGenerator[CatalogBatch]:
        """The objects of a listing, without those that may be unreadable."""
        warned = False
        async with opened_light(self.location) as client, aclosing(self._listed(client)) as pages:
            async for began, objects in pages:
                found = objects
                if self._barriers and (why := await self._why_unreadable(client, objects)):
                    found = []
                    if not warned:
                        _log.warning(_NOT_READABLE, self.location.name, self.location, why)
                    warned = True
                yield self._batch((began, found))

    def _batch(self, page: _Listed) -> CatalogBatch:
        began, found = page
        objects = tuple([(*each[:3], each.modified.timestamp()) for each in found])
        return CatalogBatch(self.location.entry.object_base_url, objects, began)

    async def _why_unreadable(self, client: Any, objects: Sequence[ListedObject]) -> str:
        """Why clients may be unable to read the newest of these objects, by a HEAD; or nothing.

        A bucket's default encryption holds for all objects that are uploaded after it was set.
        """
        gone = ""
        for newest in nlargest(_ASKED, objects, key=lambda each: each.modified):
            where = self.location.arguments(newest.key)
            try:
                answer = await client.head_object(**where)
            except FAULTS as error:
                told = await told_by_get(client, where, error)
                is_locked = kind_of(told) is ErrorKind.CUSTOMER_KEY
                why = f"{newest.key}: {Unreadable.CUSTOMER_KEY if is_locked else meaning(told)}"
                if kind_of(told) is not ErrorKind.NO_OBJECT:
                    return why
                gone = gone or why  # deleted since the listing
            else:
                found = unreadable_by_head(answer["ResponseMetadata"]["HTTPHeaders"])
                return f"{newest.key}: {found}" if found in self._barriers else ""
        return gone

    async def close(self) -> None:
        """Close the connections to S3."""
        await self._pages.aclose()


def sources_of(settings: Settings, on_page: Callable[[], None]) -> list[CatalogSource]:
    """A source for each bucket that a redirect depends on, however many entries name it.

    Args:
        settings: The configuration.
        on_page: Called for each LIST request.
    """
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
    return [CatalogSource(each, barriers[url], on_page) for url, each in uses.items()]


def _choice(policy: SitePolicy) -> Callable[[str], bool]:
    """Whether a request for a key may be redirected, whatever the object's size."""
    return lambda key: policy.may_redirect(key) and has_url(key, policy)
