"""Learns at the start what the buckets hold, so that first requests need not ask S3.

In: settings. Out: batches of objects, for every worker's catalogue, and how far it has come.
Refuses to know what workers do with them, and never raises: what is not learned is asked for
when a client comes.

Runs once, in the supervisor. A batch keeps a worker's loop from its clients for 0.4 ms, and
goes out at most every 2.5 ms; finding it keeps the supervisor's own loop for 5 to 10 ms.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from nearbucket.errors import ConfigError, ProxyError
from nearbucket.replicas.object_version import CatalogBatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Iterator

    from nearbucket.config.buckets import Bucket
    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.replicas.object_version import CatalogEntry
    from nearbucket.s3.bucket_location import BucketLocation

_log = logging.getLogger(__name__)

_BATCH = 250
_PAUSE = 0.0025  # between two batches, of whatever buckets
_TELL = 5.0  # seconds between two lines of the log


class WarmUpProgress(NamedTuple):
    """How far the warm-up has come.

    Attributes:
        state: ``failed`` has ended too, but could not read every bucket.
        learned: Objects sent to the workers.
        read: Objects met, those that no policy chooses among them.
        done: Buckets that are finished with, whether read or not.
        buckets: Buckets in all.
        problem: The first thing that went wrong, and what helps.
    """

    state: Literal["waiting", "running", "done", "failed"] = "waiting"
    learned: int = 0
    read: int = 0
    done: int = 0
    buckets: int = 0
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    """A bucket to be read.

    Attributes:
        location: The first entry that names it, or the first with an inventory.
        choices: Whether a site's policy chooses a key, for each site that depends on it.
        lasting: The longest ``redirect.verify_ttl`` among them.
    """

    location: BucketLocation
    choices: tuple[Callable[[str], bool], ...]
    lasting: float

    def chosen(self, objects: Iterable[CatalogEntry]) -> list[CatalogEntry]:
        """Those that any site asks for."""
        return [item for item in objects if any(choice(item[0]) for choice in self.choices)]

    def check_age(self, seen: float) -> None:
        """Refuse a report of which nothing holds any more.

        Raises:
            ConfigError: It was begun longer ago than what is known of an object holds.
        """
        if self.location.entry.inventory and (age := time.time() - seen) > self.lasting:
            raise ConfigError(
                f"{self.location.name}.inventory: the report is {age / 3600:.1f} hours old, and "
                f"what it says holds for redirect.verify_ttl, {self.lasting / 3600:.1f} hours; "
                "raise verify_ttl, name a newer report, or remove inventory: and the bucket is "
                "listed"
            )

    def pages(self) -> AsyncGenerator[CatalogBatch]:
        """All that the bucket holds, page by page."""
        from nearbucket.replicas.inventory_report import report_of  # noqa: PLC0415  # see _sources

        return (report_of if self.location.entry.inventory else _listing_of)(self.location)


def _sources(settings: Settings) -> list[_Source]:
    """Every bucket that a redirect depends on, once, however many entries name it."""
    # aiobotocore takes a third of a second to import; without a warm-up nobody needs it here
    from nearbucket.s3.bucket_location import BucketLocation  # noqa: PLC0415

    found: dict[str, _Source] = {}
    for number, site in enumerate(settings.sites):
        for name, entry in _entries(site):
            location = BucketLocation(
                f"sites.{number}.{name}", entry, entry.credentials, entry.expected_owner
            )
            known = found.get(entry.object_base_url, _Source(location, (), 0.0))
            if entry.inventory and not known.location.entry.inventory:
                known = replace(known, location=location)
            found[entry.object_base_url] = replace(
                known,
                choices=(*known.choices, _choice(site)),
                lasting=max(known.lasting, site.redirect.verify_ttl),
            )
    return list(found.values())


def _entries(site: Site) -> Iterator[tuple[str, Bucket]]:
    """Entries of buckets that are asked before a redirect of the site, each once."""
    asked = [each for region in site.regions_in_use for each in site.buckets_to_check(region)]
    yield from dict(asked).items()


def _choice(site: Site) -> Callable[[str], bool]:
    """Whether a request for the key may be redirected, whatever the object's size."""
    from nearbucket.policy.rules import SitePolicy  # noqa: PLC0415  # see _sources
    from nearbucket.policy.selection import has_url  # noqa: PLC0415

    policy = SitePolicy.build(site)
    return lambda key: policy.matches_paths(key) and has_url(key, policy)


async def _listing_of(location: BucketLocation) -> AsyncGenerator[CatalogBatch]:
    from nearbucket.replicas.inventory_report import not_listed  # noqa: PLC0415  # see _sources
    from nearbucket.s3.bucket_listing import objects_of, pages_of  # noqa: PLC0415
    from nearbucket.s3.sdk_client import opened  # noqa: PLC0415

    url = location.entry.object_base_url
    async with (
        opened(location) as client,
        aclosing(pages_of(client, location, not_listed)) as pages,
    ):
        async for seen, page in pages:
            yield CatalogBatch(url, tuple(each[:3] for each in objects_of(page, location)), seen)


class _Shares:
    """Who may send how much, so that all buckets know the same first keys.

    Each may send as much as any other; what one leaves over, when it has ended, goes to the
    rest in equal parts.
    """

    def __init__(self, entries: int, buckets: int) -> None:
        self._entries = entries
        self._sent = [0] * buckets
        self._reading = set(range(buckets))
        self._changed = asyncio.Event()

    async def take(self, bucket: int, wanted: int) -> int:
        """How much of it may be sent now; waits for what others may leave; 0 if that is nothing."""
        while self._room(bucket) == 0:
            if not any(self._room(other) for other in self._reading):
                return 0
            await self._changed.wait()
        granted = min(wanted, self._room(bucket))
        self._sent[bucket] += granted
        self._tell()
        return granted

    def end(self, bucket: int) -> None:
        """It sends no more."""
        self._reading.discard(bucket)
        self._tell()

    def _room(self, bucket: int) -> int:
        ended = sum(sent for number, sent in enumerate(self._sent) if number not in self._reading)
        return (self._entries - ended) // len(self._reading) - self._sent[bucket]

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@dataclass(slots=True)
class WarmUp:
    """One run over all buckets.

    Attributes:
        settings: The configuration; whoever runs this has looked at ``catalog.warm_up``.
        send: Takes a batch of at most 250 objects to all workers.
        progress: Up to date at any time.
    """

    settings: Settings
    send: Callable[[CatalogBatch], None]
    progress: WarmUpProgress = field(default=WarmUpProgress(), init=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def run(self) -> None:
        """Read every bucket until all is learned, or as much as is sure to be remembered."""
        sources = _sources(self.settings)
        # the catalogue promises to keep half of its entries (``replicas/object_cache.py``)
        shares = _Shares(self.settings.catalog.entries // 2, len(sources))
        self._set(state="running", buckets=len(sources))
        _log.info("warm-up: reads %d buckets", len(sources))
        began, teller = time.monotonic(), asyncio.create_task(self._tell())
        try:
            async with asyncio.TaskGroup() as group:
                for number, source in enumerate(sources):
                    group.create_task(self._read(number, source, shares))
        finally:
            teller.cancel()
        self._set(state="failed" if self.progress.problem else "done")
        ended = "failed in part" if self.progress.problem else "done"
        took = time.monotonic() - began
        _log.info("warm-up %s: %s, in %.1f s", ended, self._figures(), took)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_TELL)
            _log.info("warm-up: %s so far", self._figures())

    def _figures(self) -> str:
        now = self.progress
        return (
            f"{now.learned:,} objects learned, {now.read:,} listed; {now.done} of {now.buckets} "
            "buckets finished"
        )

    def _set(self, **changed: object) -> None:
        self.progress = self.progress._replace(**changed)  # type: ignore[arg-type]

    async def _read(self, number: int, source: _Source, shares: _Shares) -> None:
        try:
            async with aclosing(source.pages()) as pages:
                await self._hand_on(number, source, shares, pages)
        except ProxyError as error:
            self._fail(str(error))
        except Exception:
            _log.exception("warm-up")
            self._fail(f"{source.location.name}: a fault of ours; the log says more")
        finally:
            shares.end(number)
            self._set(done=self.progress.done + 1)

    async def _hand_on(
        self, number: int, source: _Source, shares: _Shares, pages: AsyncGenerator[CatalogBatch]
    ) -> None:
        """Send what is chosen of a bucket, until it or its share ends."""
        async for page in pages:
            source.check_age(page.seen)
            chosen = source.chosen(page.objects)
            self._set(read=self.progress.read + len(page.objects))
            while chosen:
                size = await shares.take(number, min(_BATCH, len(chosen)))
                if size == 0:
                    _log.info(
                        "warm-up: %s: room for no more: catalog.entries", source.location.name
                    )
                    return
                await self._send(replace(page, objects=tuple(chosen[:size])))
                chosen = chosen[size:]

    async def _send(self, batch: CatalogBatch) -> None:
        async with self._turn:
            self.send(batch)
            self._set(learned=self.progress.learned + len(batch.objects))
            await asyncio.sleep(_PAUSE)

    def _fail(self, problem: str) -> None:
        _log.warning("warm-up: %s", problem)
        self._set(problem=self.progress.problem or problem)
