"""The ranges feed: asks for the list again and again, and refuses what looks wrong.

In: ``regions`` of the settings. Out: each accepted ``Ranges``, handed to ``publish``; a word
for every attempt (the metric label), the time of the last confirmation, and the copy on disk.
Refuses to know which services count, how a table is built, and which worker gets it.

Whatever happens here, the list in use stays in use: the worst case is an old list. Reading and
comparing lists takes 60 ms of CPU time, which a worker on the same core may need at that moment:
hence in the background.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Never

from nearbucket.errors import RangesError
from nearbucket.event_loop import in_background
from nearbucket.regions.ip_ranges import Ranges, read_ranges
from nearbucket.regions.ip_ranges_source import FetchError, RangesCache, fetch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearbucket.config.settings import Regions

    Publish = Callable[[Ranges], Awaitable[None] | None]

_log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 2.0, 300.0


class RefreshResult(StrEnum):
    """How an attempt ended: the label of ``nearbucket_ranges_refreshes_total``."""

    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    INVALID = "invalid"
    OLDER = "older"
    SHRUNK = "shrunk"

    @property
    def good(self) -> bool:
        """Whether the list in use is now known to be the published one."""
        return self in (RefreshResult.UPDATED, RefreshResult.UNCHANGED)


class RangesFeed:
    """Keeps one list current.

    Attributes:
        current: The list in use, or None.
        confirmed_at: When the source last confirmed it, in seconds since 1970, or None.
        results: How often each result came.
        problem: Why the last attempt was not good; empty when it was.
        cache_problem: Why the copy on disk could not be written; empty when it could.
    """

    def __init__(  # noqa: PLR0913 -- clock, sleep and chance are given so that no test waits
        self,
        settings: Regions,
        publish: Publish,
        *,
        patience: float = 30.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Set up; nothing is read before ``load_cached`` or ``refresh``.

        Args:
            settings: Source, period and cache.
            publish: Called on the event loop with each accepted list; awaited when it
                returns an awaitable. What it raises comes out of ``refresh`` and ``run``,
                and the list does not count as in use.
            patience: Seconds that one download may take in all.
            clock: Wall time.
            sleep: Waits some seconds.
            chance: A number in [0, 1), for jitter.
        """
        self.current: Ranges | None = None
        self.confirmed_at: float | None = None
        self.results = dict.fromkeys(RefreshResult, 0)
        self.problem = ""
        self.cache_problem = ""
        self._settings, self._publish, self._patience = settings, publish, patience
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._cache = RangesCache(settings.cache, settings.source)
        self._mark: str | None = None
        self._last = RefreshResult.UNCHANGED

    async def load_cached(self) -> bool:
        """Use the copy on disk, when there is a good one of the same source."""
        try:
            copy = await asyncio.to_thread(self._cache.load)
        except FileNotFoundError:
            return False
        except (OSError, RangesError) as error:
            _log.warning("regions.cache is not used: %s", error)
            return False
        await self._use(copy.ranges, copy.mark)
        self.confirmed_at = copy.confirmed_at
        return True

    async def refresh(self, *, force: bool = False) -> RefreshResult:
        """Ask the source once.

        Args:
            force: Accept an older or much smaller list too.
        """
        result, self.problem = await self._attempt(force=force)
        self.results[result] += 1
        if result.good:
            self.confirmed_at = self._clock()
        self._report(result)
        return result

    async def run(self) -> Never:
        """Refresh for ever: each period, and after a failure in 2, 4, 8 … seconds."""
        failures = 0
        while True:
            failures = 0 if (await self.refresh()).good else failures + 1
            await self._sleep(self._pause(failures))

    def _pause(self, failures: int) -> float:
        """Seconds to the next attempt; jitter keeps a fleet from asking all at once."""
        period = self._settings.refresh
        if not failures:
            return period * (0.9 + 0.2 * self._chance())
        doubled = _FIRST_RETRY * 2.0 ** min(failures - 1, 16)
        return min(doubled, _LAST_RETRY, period) * (0.5 + 0.5 * self._chance())

    async def _attempt(self, *, force: bool) -> tuple[RefreshResult, str]:
        try:
            body, mark = await fetch(self._settings.source, self._mark, self._patience)
            if body is None:
                await self._touch()
                return RefreshResult.UNCHANGED, ""
            fresh = await in_background(read_ranges, body)
        except RangesError as error:
            return RefreshResult.INVALID, str(error)
        except FetchError as error:
            return RefreshResult.FAILED, str(error)
        new = self.current is None or fresh.token != self.current.token
        if self.current is not None and not new and fresh.rows != self.current.rows:
            # The copy on disk stays the one in use: a token stands for one list.
            return RefreshResult.INVALID, f"token {fresh.token} is in use for a different list"
        if self.current is not None and new and not force:
            refusal = await in_background(self._refusal, self.current, fresh)
            if refusal is not None:
                return refusal
        if new:
            await self._use(fresh, mark)
        self._mark = mark
        await self._keep(self._cache.save, body, mark, fresh.token)
        return (RefreshResult.UPDATED if new else RefreshResult.UNCHANGED), ""

    def _refusal(self, current: Ranges, fresh: Ranges) -> tuple[RefreshResult, str] | None:
        """Why a list may not follow the one in use; reads the copy on disk, so off the loop."""
        if fresh.token < current.token:
            return (
                RefreshResult.OLDER,
                f"its token {fresh.token} is older than {current.token}, in use",
            )
        for family, now, then in zip(
            ("IPv4", "IPv6"), fresh.addresses(), current.addresses(), strict=True
        ):
            if now * 5 < then * 4 and not self._cache.holds(fresh.token):
                return RefreshResult.SHRUNK, (
                    f"list {fresh.token} covers {100 - 100 * now // then} % fewer {family} "
                    "addresses than the one in use; held back until "
                    "`nearbucket ranges update --force` confirms it"
                )
        return None

    async def _use(self, ranges: Ranges, mark: str | None) -> None:
        handed = self._publish(ranges)
        if handed is not None:
            await handed
        self.current, self._mark = ranges, mark
        _log.info(
            "ranges: list %d (%s) in use: %d rows, %d left out%s",
            ranges.token,
            ranges.created,
            len(ranges.rows),
            ranges.skipped_rows,
            "".join(f"; {note}" for note in ranges.skipped[:3]),
        )

    async def _touch(self) -> None:
        """Let the copy's age show the confirmation; a copy that is gone is fetched again."""
        if not self.cache_problem and not await self._keep(self._cache.touch, self._clock()):
            self._mark = None

    async def _keep(self, work: Callable[..., None], *arguments: object) -> bool:
        """Do something to the copy on disk; failing costs the copy, not the list."""
        try:
            await asyncio.to_thread(work, *arguments)
        except OSError as error:
            if not self.cache_problem:
                _log.warning("regions.cache: no copy is kept on disk: %s", error)
            self.cache_problem = str(error)
            return False
        self.cache_problem = ""
        return True

    def _report(self, result: RefreshResult) -> None:
        """One log line a change of state: a source that stays broken is not news."""
        if result.good and not self._last.good:
            _log.info("ranges: the source is usable again (%s)", result)
        elif not result.good and result is not self._last:
            left = "the list in use stays" if self.current else "there is none yet"
            _log.warning("ranges: %s: %s; %s", result, self.problem, left)
        self._last = result


@dataclass(frozen=True, slots=True)
class RangesUpdate:
    """What ``nearbucket ranges update`` did.

    Attributes:
        result: How the attempt ended; good means that the copy on disk is the published list.
        ranges: The list now on disk, or None.
        problem: What is wrong, or empty.
    """

    result: RefreshResult
    ranges: Ranges | None
    problem: str


async def update(settings: Regions, *, force: bool = False, patience: float = 30.0) -> RangesUpdate:
    """Fetch the list once and keep it on disk, for a running feed or the next start.

    Args:
        settings: Source and cache.
        force: Accept an older or much smaller list than the copy on disk; a running feed then
            takes the much smaller one as confirmed.
        patience: Seconds that the download may take in all.
    """
    feed = RangesFeed(settings, lambda _: None, patience=patience)
    await feed.load_cached()
    result = await feed.refresh(force=force)
    if result.good and feed.cache_problem:
        return RangesUpdate(
            RefreshResult.FAILED, feed.current, f"regions.cache: {feed.cache_problem}"
        )
    return RangesUpdate(result, feed.current, feed.problem)
