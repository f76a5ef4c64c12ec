"""The ranges feed: fetches the list at intervals, and holds back one that looks wrong.

Whatever fails here, the list in use stays in use. Before the first fetch that is the copy on disk,
or the built-in list. Reading and comparing lists takes 60 ms of CPU time, so that is done
``in_background``.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Never

from nearbucket.errors import ConfigError, RangesError
from nearbucket.event_loop import in_background
from nearbucket.regions.built_in_list import built_in_list
from nearbucket.regions.ip_ranges import Ranges, read_ranges
from nearbucket.regions.ip_ranges_source import CachedRanges, FetchError, RangesCache, fetch
from nearbucket.regions.list_guard import RangesUse, RefreshResult, Refusal, refusal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearbucket.config.settings import Regions

    Publish = Callable[[Ranges], Awaitable[None] | None]

_log = logging.getLogger(__name__)

_FIRST_RETRY, _LAST_RETRY = 2.0, 300.0
_OLD = 86400.0  # seconds without a confirmation
_REMINDED_AFTER = 3600.0  # seconds after which the log says again that the list is old

_CONFIRM = "; held back until `nearbucket ranges update --force` confirms it"


def stored_list(settings: Regions) -> CachedRanges | None:
    """The copy on disk, or the built-in list if that is newer; None if there is neither.

    The copy has to be a good list from the same source. Takes 12 to 50 ms of CPU time.
    """
    copy = _copy(settings)
    built_in = built_in_list(settings.source, newer_than=copy.ranges.token if copy else None)
    return CachedRanges(built_in, None, float(built_in.token), forced=False) if built_in else copy


def _copy(settings: Regions) -> CachedRanges | None:
    try:
        return RangesCache(settings.cache, settings.source).load()
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"{settings.cache}: {error.strerror or error}"
    except RangesError as error:
        why = str(error)
    _log.warning("regions.cache is not used: %s", why)
    return None


class RangesFeed:
    """Keeps one list current.

    Attributes:
        current: The list in use, or None.
        confirmed_at: Unix time at which the source last confirmed it, or None; of the built-in list
            the time at which AWS published it.
        results: Number of refreshes with each result.
        problem: Why the last refresh failed; empty if it did not.
        cache_problem: Why the copy on disk could not be written; empty if it could.
    """

    def __init__(  # noqa: PLR0913  # clock, sleep and chance, so that no test waits
        self,
        settings: Regions,
        publish: Publish,
        *,
        use: Callable[[], RangesUse] | None = None,
        patience: float = 30.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; ``refresh`` and ``run`` read.

        Args:
            settings: Source, period and cache.
            publish: Called on the event loop with each accepted list, and awaited if it returns
                an awaitable. If it raises, the list is not in use; ``refresh`` raises the same.
            use: What is used of a list now; by default what the section says.
            patience: Seconds that a download may take in all.
            clock: Returns Unix time.
            sleep: Sleeps for some seconds.
            chance: Returns a number in [0, 1), for jitter.
        """
        self.current: Ranges | None = None
        self.confirmed_at: float | None = None
        self.results = dict.fromkeys(RefreshResult, 0)
        self.problem = ""
        self.cache_problem = ""
        self._settings, self._publish, self._patience = settings, publish, patience
        self._use_of_list = use or (lambda: RangesUse.of_section(settings))
        self._clock, self._sleep, self._chance = clock, sleep, chance
        self._cache = RangesCache(settings.cache, settings.source)
        self._mark: str | None = None
        self._last = RefreshResult.UNCHANGED
        self._reminded_at = clock()  # or when the source last confirmed a list

    def adopt(self, stored: CachedRanges) -> None:
        """Take a stored list for the one in use. It is not published."""
        self._note(stored.ranges, stored.mark)
        self.confirmed_at = min(stored.confirmed_at, self._clock())  # the clock may have been ahead

    async def refresh(self, *, force: bool = False) -> RefreshResult:
        """Ask the source once; with ``force`` a list that would be held back is accepted too."""
        result, self.problem = await self._attempt(force=force)
        self.results[result] += 1
        if result.good:
            self.confirmed_at = self._clock()
        self._report(result)
        return result

    async def run(self) -> Never:
        """Refresh for ever: once in each period, and after failures in 2, 4, 8 … seconds."""
        failures = 0
        while True:
            try:
                good = (await self.refresh()).good
            except Exception:
                _log.exception("ranges: the list could not be put into use")
                good = False
            failures = 0 if good else failures + 1
            await self._sleep(self._pause(failures))

    def warnings(self) -> list[str]:
        """What is wrong with the list in use, its source and its copy on disk; empty if nothing."""
        found = [self.cache_problem] if self.cache_problem else []
        if self.current is not None and self.current.built_in:
            why = self.problem or "it is being fetched"
            found.append(
                f"the built-in list of prefixes of {self.current.date} is used until "
                f"regions.source has been fetched ({why}); clients whose addresses AWS has moved "
                "since are redirected to another region"
            )
        elif self.problem:
            effect = (
                f"that of {self.current.date} stays in use" if self.current else "there is none"
            )
            found.append(f"regions.source gave no usable list ({self.problem}); {effect}")
        return found

    def _pause(self, failures: int) -> float:
        """Seconds to the next refresh; jitter keeps a fleet from asking at one time."""
        period = self._settings.refresh
        if not failures:
            return period * (0.9 + 0.2 * self._chance())
        doubled = _FIRST_RETRY * 2.0 ** min(failures - 1, 16)
        return min(doubled, _LAST_RETRY, period) * (0.5 + 0.5 * self._chance())

    async def _attempt(self, *, force: bool) -> tuple[RefreshResult, str]:
        try:
            known = None if force else self._mark  # what is confirmed has to be fetched
            body, mark = await fetch(self._settings.source, known, self._patience)
            if body is None:
                await self._touch()
                return RefreshResult.UNCHANGED, ""
            fresh = await in_background(read_ranges, body)
        except RangesError as error:
            return RefreshResult.INVALID, str(error)
        except FetchError as error:
            return RefreshResult.FAILED, str(error)
        current = self.current
        new = current is None or not fresh.is_same_list(current)
        if new and not force:
            found = await in_background(self._refusal, fresh)
            if found is not None:
                return found.result, found.text + _CONFIRM
        if new or (current and current.built_in):  # from now on it is the source's list
            await self._use(fresh, mark)
        self._mark = mark
        await self._keep(partial(self._cache.save, forced=force), body, mark, fresh)
        return (RefreshResult.UPDATED if new else RefreshResult.UNCHANGED), ""

    def _refusal(self, fresh: Ranges) -> Refusal | None:
        """Why a list may not replace the one in use, or None. May read the copy on disk."""
        current = self.current
        if current is not None and fresh.token == current.token:
            # a token stands for one list, so neither this one nor its token is trusted
            text = f"token {fresh.token} is in use for a different list"
            found: Refusal | None = Refusal(RefreshResult.INVALID, text)
        else:
            found = refusal(current, fresh, self._use_of_list(), self._clock())
        return None if found and self._cache.confirms(fresh) else found

    async def _use(self, ranges: Ranges, mark: str | None) -> None:
        handed = self._publish(ranges)
        if handed is not None:
            await handed
        self._note(ranges, mark)

    def _note(self, ranges: Ranges, mark: str | None) -> None:
        self.current, self._mark = ranges, mark
        _log.info(
            "ranges: %s %d (%s) in use: %d rows, %d left out%s",
            "built-in list" if ranges.built_in else "list",
            ranges.token,
            ranges.created,
            len(ranges.rows),
            ranges.skipped_rows,
            "".join(f"; {note}" for note in ranges.skipped[:3]),
        )

    async def _touch(self) -> None:
        """Set the copy's time to that of the confirmation; fetch again if there is no copy."""
        if not self.cache_problem and not await self._keep(self._cache.touch, self._clock()):
            self._mark = None

    async def _keep(self, work: Callable[..., None], *arguments: object) -> bool:
        """Do something to the copy on disk. Returns whether that succeeded."""
        try:
            await asyncio.to_thread(work, *arguments)
        except OSError as error:
            why = f"{error.filename or self._settings.cache}: {error.strerror or error}"
            is_known = bool(self.cache_problem)
            self.cache_problem = (
                f"regions.cache: no copy is kept on disk: {why}; let this process write there, or "
                "set another file"
            )
            if not is_known:
                _log.warning("%s", self.cache_problem)
            return False
        self.cache_problem = ""
        return True

    def _report(self, result: RefreshResult) -> None:
        """Log changes only, as a source that stays broken would fill the log, and an old list."""
        if result.good:
            self._reminded_at = self._clock()
            if not self._last.good:
                _log.info("ranges: the source is usable again (%s)", result)
        elif self._is_reminder_due():
            self._reminded_at = self._clock()
            text = "ranges: the list is over a day old, or missing: %s; %s"
            _log.warning(text, self.problem, self._effect())
        elif result is not self._last:
            _log.warning("ranges: %s: %s; %s", result, self.problem, self._effect())
        self._last = result

    def _is_reminder_due(self) -> bool:
        now = self._clock()
        return now - (self.confirmed_at or 0) > _OLD and now - self._reminded_at >= _REMINDED_AFTER

    def _effect(self) -> str:
        """What a failed refresh means for the list in use."""
        if self.current is None:
            return "there is no list yet"
        if self.current.built_in:
            return f"the built-in list of {self.current.date} stays in use"
        return "the list in use stays"


@dataclass(frozen=True, slots=True)
class RangesUpdate:
    """What ``nearbucket ranges update`` did.

    Attributes:
        result: How it ended; if good, the copy on disk is the published list.
        ranges: The list on disk, or None.
        problem: Why it failed; empty if it did not.
    """

    result: RefreshResult
    ranges: Ranges | None
    problem: str


async def update(
    settings: Regions,
    *,
    use: RangesUse | None = None,
    force: bool = False,
    patience: float = 30.0,
) -> RangesUpdate:
    """Fetch the list once and keep it on disk, for a running feed or the next start.

    Args:
        settings: Source and cache.
        use: What is used of a list; by default what the section says.
        force: Accept a list that would be held back; a running feed that finds it on disk then
            accepts it as confirmed.
        patience: Seconds that the download may take in all.

    Raises:
        ConfigError: The list is good, but cannot be kept.
    """
    used = use or RangesUse.of_section(settings)
    feed = RangesFeed(settings, lambda _: None, use=lambda: used, patience=patience)
    stored = await asyncio.to_thread(stored_list, settings)
    if stored is not None:
        feed.adopt(stored)
    result = await feed.refresh(force=force)
    if result.good and feed.cache_problem:
        raise ConfigError(feed.cache_problem)
    return RangesUpdate(result, feed.current, feed.problem)
