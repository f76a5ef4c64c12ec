"""Whether a copy is one to send clients to: what settings make of what is known.

In: sites, the catalogue and the watch. Out: a ``Standing`` for a site, region and key, at once;
the questions that are open about it, asked. Refuses to know clients and requests.

How long an answer holds (``redirect.verify_ttl``): good news for that long, and for its last
quarter somebody asking causes one new question while the answer is still given; bad news for
``NEGATIVE`` seconds at most. What is older counts as unknown.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.policy.model import Reason, Standing
from nearbucket.replicas.bucket_probe import Looker
from nearbucket.replicas.health_check import Watch
from nearbucket.replicas.object_cache import NEGATIVE, Catalog
from nearbucket.replicas.object_version import ABSENT
from nearbucket.s3.presigner import Presigner
from nearbucket.s3.sigv4 import Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import aiohttp

    from nearbucket.config.buckets import Bucket
    from nearbucket.config.settings import Settings
    from nearbucket.config.sites import Site
    from nearbucket.replicas.object_cache import Counts, Entry, Shelf
    from nearbucket.s3.credentials import Ambient

FRESH = 0.75
"""Share of ``verify_ttl`` after which good news is asked for again."""

OUTAGE = 86400.0
"""Seconds for which an origin that does not answer is taken at its last word."""

DOUBTED = 1.0
"""Seconds for which a client that came back does not make anybody ask again."""

DOWN = Standing(Reason.TARGET_DOWN, None, 0.0)
OPEN = Standing(Reason.UNVERIFIED, None, 0.0)
"""Nobody has said so far, or lately."""


class Rule(NamedTuple):
    """What a site asks of the copies in one region.

    Attributes:
        place: The target's place; None where it is not watched.
        shelves: What is known of the buckets that have to hold the object, the target last.
        good: Seconds for which good news holds.
        bad: Seconds for which bad news holds.
        smallest: Bytes of the smallest object that is redirected.
    """

    place: str | None
    shelves: tuple[Shelf, ...]
    good: float
    bad: float
    smallest: int


class Standings:
    """What one worker knows of all targets.

    Attributes:
        catalog: What the buckets hold.
        watch: Which targets are down.
        presigners: Site and region to who signs its Locations, where they are signed.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        ambient: Ambient,
        count: Counts,
        changed: Callable[[], None],
    ) -> None:
        """Args: what asks S3; who signs; counts what is found; called when targets change."""
        self._session = session
        self._ambient = ambient
        self.presigners: Mapping[tuple[str, str], Presigner] = {}
        self.watch = Watch(changed)
        self.catalog = Catalog(count, self.watch, changed)
        self._rules: dict[tuple[str, str], Rule] = {}
        self._wait = 0.0

    def use(self, settings: Settings) -> None:
        """Judge by this configuration from now on; what is known stays."""
        lookers, watched = self._lookers(settings.sites)
        self.catalog.use(lookers.values(), settings.catalog.entries)
        self.watch.use(lookers[place] for place in watched)
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

    def _lookers(self, sites: Iterable[Site]) -> tuple[dict[str, Looker], set[str]]:
        """Who asks each bucket, by place, and which of them are watched."""
        lookers: dict[str, Looker] = {}
        watched = set()
        for site in sites:
            for entry in (site.origin, *site.targets.values()):
                if entry.place not in lookers or entry.expected_owner:
                    lookers[entry.place] = Looker(entry, self._session, self._ambient)
            if site.redirect.watch:
                watched |= {site.targets[region].place for region in site.regions_in_use}
        return lookers, watched

    def _rule(self, site: Site, region: str) -> Rule:
        redirect = site.redirect
        places = dict.fromkeys(
            entry.place for _, entry in site.asked(region)
        )  # origin may be target
        shelves = tuple(self.catalog.shelves[place] for place in places)
        bad = min(NEGATIVE, redirect.verify_ttl)
        watched = site.targets[region].place if redirect.watch else None
        return Rule(watched, shelves, redirect.verify_ttl, bad, redirect.min_size)

    def standing(self, site: str, region: str, key: str) -> Standing:
        """What is known of a copy now; asks for what will soon be too old."""
        rule = self._rules.get((site, region))
        if rule is None:  # between two assignments of a reload
            return OPEN
        if rule.place is not None and rule.place in self.watch.down:
            self.watch.wanted(rule.place, key)
            return DOWN
        if not rule.shelves:
            return Standing()
        return self._judged(rule, key, monotonic())

    def _judged(self, rule: Rule, key: str, now: float) -> Standing:
        known = _known(rule, key)
        if known is None or _unsaid(known):
            return OPEN
        against, size = _against(rule, known), known[0].held.size
        oldest = min(entry.seen for entry in known)
        if against is Reason.NOT_REPLICATED:
            return OPEN if now - oldest > rule.bad else Standing(against, size, oldest + rule.bad)
        if now - oldest > rule.good:
            excused = _excused(rule, known, now)
            return Standing(against, size, 0.0) if excused else OPEN
        until = oldest + rule.good * FRESH
        if until < now:
            self._renew(rule, key, now)
        return Standing(against, size, until)

    def _renew(self, rule: Rule, key: str, now: float) -> None:
        for shelf in rule.shelves:
            entry = shelf.get(key)
            if entry is None or now - entry.seen > rule.good * FRESH:
                self.catalog.ask(shelf, key, renews=True)

    def doubt(self, site: str, region: str, key: str) -> None:
        """A client that was sent to a copy came back: ask what is there, if that is not fresh."""
        rule = self._rules.get((site, region))
        if rule is None or not rule.shelves:
            return
        target = rule.shelves[-1]
        entry = target.get(key)
        if entry is None or monotonic() - entry.seen > DOUBTED:
            self.catalog.ask(target, key, renews=True)

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
                for shelf in _open(rule, key, now)
                if (flight := self.catalog.ask(shelf, key)) is not None
            }
            if not flights or now >= deadline:
                return
            await asyncio.wait(flights, timeout=deadline - now)

    def up(self) -> Iterator[tuple[tuple[str, str], bool]]:
        """Site and region of every target, and whether clients are sent there."""
        for name, rule in self._rules.items():
            yield name, rule.place not in self.watch.down

    def tick(self, now: float) -> None:
        """Once a second."""
        self.catalog.tick(now)

    async def close(self) -> None:
        """Ask nothing more."""
        await self.watch.close()
        await self.catalog.close()


def _known(rule: Rule, key: str) -> list[Entry] | None:
    """What is known of the buckets that count; None where one of them was never asked."""
    entries = [shelf.get(key) for shelf in rule.shelves]
    known = [entry for entry in entries if entry is not None]
    return known if len(known) == len(entries) else None


def _against(rule: Rule, entries: list[Entry]) -> Reason | None:
    """Why not to redirect, going by what the buckets hold."""
    first, last = entries[0].held, entries[-1].held
    if first == ABSENT or last == ABSENT:  # noqa: PLR1714  # no tuple to be made a request
        return Reason.NOT_REPLICATED
    if first is not last and not first.equals(last):
        return Reason.NOT_REPLICATED
    return Reason.SMALL if first.size < rule.smallest else None


def _excused(rule: Rule, entries: list[Entry], now: float) -> bool:
    """Whether only the origin's word is too old, and the origin gives none.

    Then the copy is all there is: nothing could be streamed in its stead.
    """
    first, last = entries[0], entries[-1]
    return (
        len(rule.shelves) > 1
        and rule.shelves[0].failing
        and now - first.seen < OUTAGE
        and now - last.seen <= rule.good
    )


def _unsaid(entries: list[Entry]) -> bool:
    """Whether listings leave open if the copy is the origin's: a HEAD has checksums as well."""
    return entries[0].held.equals(entries[-1].held) is None


def _open(rule: Rule, key: str, now: float) -> list[Shelf]:
    """The buckets to be asked: all that is known of them is too old for what it says."""
    if not rule.shelves:
        return []
    known, most = _known(rule, key), rule.good
    if known is not None:
        if _unsaid(known):
            return list(rule.shelves)
        if _against(rule, known) is Reason.NOT_REPLICATED:
            most = rule.bad
    return [
        shelf
        for shelf in rule.shelves
        if (entry := shelf.get(key)) is None
        or now - entry.seen > (rule.bad if entry.held == ABSENT else most)
    ]
