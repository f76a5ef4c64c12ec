"""Lists buckets again where that costs less than the HEAD requests of all workers.

Runs in the supervisor. It decides for each bucket, about every three quarters of
``redirect.verify_ttl``: at that age workers renew an entry by a HEAD. Workers count the HEADs that
a listing could have replaced, and those that listings did replace (``Renewals``). A listing renews
only entries that a worker has already; what is new, young, has changed, differs from the origin's
object, or is not shown in a listing is left to HEADs (``BucketCache.renew``). It takes a quarter of
one core at most.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.errors import ProxyError
from nearbucket.event_loop import CpuShare
from nearbucket.plural import plural
from nearbucket.pricing.bill import s3_get_per_request, s3_list_per_request
from nearbucket.pricing.tariff import tariff
from nearbucket.replicas.bucket_cache import RENEW_AFTER
from nearbucket.replicas.warm_up import BATCH, PAUSE, SHARE

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from nearbucket.config.settings import Settings
    from nearbucket.pricing.tariff import Tariff
    from nearbucket.replicas.catalog_source import CatalogSource
    from nearbucket.replicas.object_version import CatalogBatch

_log = logging.getLogger(__name__)

ADVANTAGE = 2.0
"""A bucket begins to be listed when its HEADs cost this many times as much as a listing."""

MOST_SKIPPED = 64
"""Most turns for which a bucket is not listed after listings that failed or did not pay."""

_MARGIN = 1.0
"""Seconds between the end of a listing and the time when workers would send HEADs."""

_IDLE = 10.0
"""Seconds between checks whether workers have renewed any entry at all."""

_PAGE = 1000
"""Objects of a page of a listing (API reference, "ListObjectsV2")."""

_SLOWER = 1.5
"""The next listing is expected to take at most this many times as long as the last one."""


class Renewals(NamedTuple):
    """HEADs for one bucket, counted by all workers.

    Attributes:
        heads: HEADs that a listing could have replaced (``BucketCache.renewals``).
        spared: HEADs that listings have replaced (``BucketCache.spared``).
    """

    heads: float = 0.0
    spared: float = 0.0

    def since(self, before: Renewals) -> Renewals:
        """The difference to an earlier count; not below 0, where workers have ended meanwhile."""
        heads, spared = self.heads - before.heads, self.spared - before.spared
        return Renewals(max(0.0, heads), max(0.0, spared))


@dataclass(slots=True)
class ListingDecision:
    """Decides whether one bucket is listed in the next turn, by the prices of HEADs and LISTs.

    Attributes:
        heads_per_page: How many HEADs cost as much as a page of a listing.
        pages: Fewest pages that the next listing takes: those of the last one; 0 without one.
        active: Whether the last listing was complete, and the bucket is listed every turn.
    """

    heads_per_page: float
    pages: int = 0
    active: bool = False
    _skip: int = field(default=0)
    _skip_next: int = field(default=1)

    def budget(self, counted: Renewals) -> int:
        """The most pages that the next listing may have; 0 for no listing.

        Args:
            counted: What workers have counted since the last call.
        """
        if self.active:
            worth = int(counted.spared / self.heads_per_page)
            if worth >= self.pages:
                self._skip_next = 1
                return worth
            self.give_up()
        if self._skip > 0:
            self._skip -= 1
            return 0
        worth = int(counted.heads / self.heads_per_page / ADVANTAGE)
        return worth if worth >= self.pages else 0

    def listed(self, pages: int) -> None:
        """Note that a listing was complete, with so many pages."""
        self.active, self.pages = True, pages

    def too_long(self, pages: int) -> None:
        """Note that a listing was stopped because it had more than these pages."""
        self.pages = pages + 1
        self.give_up()

    def give_up(self) -> None:
        """Note that a listing failed or did not pay: pause, twice as many turns each time."""
        self.active, self._skip = False, self._skip_next
        self._skip_next = min(2 * self._skip_next, MOST_SKIPPED)


def verification_usd_hour(objects: int, verify_ttl: float, by: Tariff) -> tuple[float, float]:
    """What it costs to verify objects of one bucket that are requested all the time.

    Returns:
        USD an hour for the HEADs of one worker, and for the listings, which serve all workers;
        the latter for a bucket that has no other objects.
    """
    turns, pages = 3600 / (verify_ttl * RENEW_AFTER), -(-objects // _PAGE)
    return objects * turns * s3_get_per_request(by), pages * turns * s3_list_per_request(by)


class ListVerification:
    """Verifies the objects of all buckets by listings, where that costs less."""

    def __init__(
        self,
        settings: Settings,
        send: Callable[[CatalogBatch], None],
        on_page: Callable[[], None],
        renewals: Callable[[], Awaitable[Mapping[tuple[str, ...], float]]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Prepare; ``run`` starts.

        Args:
            settings: The configuration.
            send: Sends a batch of at most 250 objects to all workers.
            on_page: Called for each LIST request.
            renewals: What workers have counted, as ``ObjectCache.renewals``, added up.
            sleep: Sleeps for so many seconds, until the next turn of a bucket.
        """
        self._settings, self._send, self._renewals = settings, send, renewals
        self._on_page, self._sleep = on_page, sleep
        self._turn, self._pace = asyncio.Lock(), CpuShare(SHARE, PAUSE)

    async def run(self) -> None:
        """Decide and list until cancelled; a bucket that cannot be listed is logged."""
        before = await self._renewals()  # workers go on counting when a configuration is reloaded
        while not any((await self._renewals()).values()):
            await self._sleep(_IDLE)
        from nearbucket.replicas.catalog_source import sources_of  # noqa: PLC0415  # 10 ms

        async with asyncio.TaskGroup() as group:
            for source in sources_of(self._settings, self._on_page):
                if not source.location.entry.inventory:
                    group.create_task(self._keep_verified(source, _counted(source, before)))

    async def _keep_verified(self, source: CatalogSource, counted: Renewals) -> None:
        by = tariff(self._settings.prices)
        decision = ListingDecision(s3_list_per_request(by) / s3_get_per_request(by))
        took = 0.0
        while True:
            # in time for the next listing to end before workers would send HEADs
            due = source.verify_ttl * RENEW_AFTER - took * _SLOWER - _MARGIN
            await self._sleep(max(due, source.verify_ttl / 4) - took)
            began, before = monotonic(), counted
            try:
                counted = _counted(source, await self._renewals())
                await self._decide(source, decision, counted.since(before))
            except ProxyError as error:
                _log.warning("verification: %s is left to HEAD requests: %s", source, error)
                decision.give_up()
            except Exception:
                _log.exception("verification: %s is left to HEAD requests", source)
                decision.give_up()
            took = monotonic() - began

    async def _decide(
        self, source: CatalogSource, decision: ListingDecision, counted: Renewals
    ) -> None:
        was_active, budget = decision.active, decision.budget(counted)
        if budget > 0:
            await self._list(source, decision, budget)
        if was_active and not decision.active:
            _log.info("verification: %s is left to HEAD requests, which cost less now", source)
        if decision.active and not was_active:
            pages = plural(decision.pages, "page")
            _log.info("verification: %s is now verified by listings of %s", source, pages)

    async def _list(self, source: CatalogSource, decision: ListingDecision, budget: int) -> None:
        pages = 0
        async with aclosing(source.listing()) as listing:
            async for page in listing:
                pages += 1
                if pages > budget:
                    decision.too_long(budget)
                    return
                await self._send_page(page)
        decision.listed(pages)

    async def _send_page(self, page: CatalogBatch) -> None:
        for first in range(0, len(page.objects) or 1, BATCH):
            batch = replace(page, objects=page.objects[first : first + BATCH])
            async with self._turn:
                if batch.objects:
                    self._send(batch)
                await self._pace.rest()  # a page costs time even if no policy chooses its objects


def _counted(source: CatalogSource, found: Mapping[tuple[str, ...], float]) -> Renewals:
    url = source.location.entry.object_base_url
    return Renewals(found.get((url, "head"), 0.0), found.get((url, "list"), 0.0))
