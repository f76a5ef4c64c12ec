"""What the buckets hold: known for a while, asked once however many want to know.

In: a bucket's ``Looker`` and a key; what listings said. Out: what is known, at once; or the same
after S3 was asked, within a budget. Refuses to know sites and rules, and to grow: of all buckets
together it keeps ``entries`` objects, those asked for last.

The bound is kept by generations: what is used moves to the young half, and when that is full the
old half is dropped whole. So nothing is forgotten that was among the last ``entries / 2`` to be
used, and a look costs one dictionary, not the upkeep of a list. An entry takes about 0.5 KiB: a
key of 60 characters, an ETag, a tuple and the place in the dictionary.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nearbucket.errors import OriginError
from nearbucket.event_loop import let_go
from nearbucket.replicas.object_version import ABSENT, Held

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NEGATIVE = 30.0
"""Seconds for which the absence of an object, or a difference, is not asked about again."""

HOLD = 1.0
"""Seconds for which a question that S3 did not answer is not asked again."""

_AT_ONCE = 64
_MOST_FLIGHTS = 2048
"""Questions to one bucket that are under way, and of which most wait their turn."""

_log = logging.getLogger(__name__)


class Counts(Protocol):
    """Who counts what was found."""

    def __call__(self, name: str, *labels: str) -> None:
        """Count under a metric's name."""


class Outcomes(Protocol):
    """Who judges a bucket by how it answers."""

    def answered(self, place: str, key: str | None) -> None:
        """It did; ``key`` was there, where one is given."""

    def failed(self, place: str, why: str) -> None:
        """It did not."""


class Looks(Protocol):
    """Who asks a bucket."""

    place: str

    async def look(self, key: str) -> Held:
        """What is held under a key; an ``OriginError`` where that is not said."""


class Entry(NamedTuple):
    """One object of one bucket, and the monotonic time at which that was so."""

    held: Held
    seen: float


_Kept = tuple[int, str, str | None, float]
"""An entry as it is kept. A plain tuple of plain values, since the garbage collector does not
look at those: 200,000 of anything else would hold the loop for 50 ms at each full collection."""


class Shelf:
    """What is known of one bucket, and who asks it now.

    Attributes:
        failing: Whether the last question was not answered.
    """

    __slots__ = ("_bound", "_old", "failing", "flights", "looker", "slots", "young")

    def __init__(self, looker: Looks, bound: Callable[[], None]) -> None:
        self.looker = looker
        self.young: dict[str, _Kept] = {}
        self._old: dict[str, _Kept] = {}
        self._bound = bound
        self.failing = False
        # of each bucket: one that hangs must not keep the others from being asked
        self.flights: dict[str, asyncio.Task[None]] = {}
        self.slots = asyncio.Semaphore(_AT_ONCE)

    def get(self, key: str) -> Entry | None:
        """What is known of a key."""
        found = self.young.get(key)
        if found is None:
            found = self._old.pop(key, None)
            if found is None:
                return None
            self._keep(key, found)
        size, etag, sums, seen = found
        return Entry(Held(size, etag, sums), seen)

    def put(self, key: str, entry: Entry) -> None:
        """Take note, unless something newer is known; what was asked for stays known."""
        known = self.get(key)
        held = entry.held
        if known is not None:
            if known.seen > entry.seen:
                return
            if held.sums is None and known.held[:2] == held[:2]:
                held = known.held
        self._keep(key, (*held, entry.seen))

    def _keep(self, key: str, kept: _Kept) -> None:
        self.young[key] = kept
        self._bound()

    def age(self) -> None:
        """Forget what was not used since the last time."""
        let_go(self._old)
        self._old, self.young = self.young, {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)


class Catalog:
    """What one worker knows.

    Attributes:
        shelves: Place of a bucket to what is known of it.
    """

    def __init__(self, count: Counts, outcomes: Outcomes, changed: Callable[[], None]) -> None:
        """Args: who counts what is found; who judges the buckets; called when an object changed."""
        self.shelves: dict[str, Shelf] = {}
        self._count = count
        self._outcomes = outcomes
        self._changed = changed
        self._entries = 0
        self._held_back: dict[tuple[str, str], float] = {}

    def use(self, lookers: Iterable[Looks], entries: int) -> None:
        """Ask these buckets from now on; what is known of them stays.

        Args:
            lookers: One for each bucket.
            entries: How many objects may be known of.
        """
        shelves = {}
        for looker in lookers:
            shelf = self.shelves.get(looker.place)
            if shelf is None:  # an empty one is false
                shelf = Shelf(looker, self._bound)
            shelf.looker = looker
            shelves[looker.place] = shelf
        self.shelves = shelves
        self._entries = entries
        while len(self) > entries:
            self._age()

    def learn(self, place: str, objects: Iterable[tuple[str, int, str]], seen: float) -> None:
        """Take what a listing said.

        Args:
            place: The bucket; one that nobody needs is passed over.
            objects: Key, size and ETag of each.
            seen: Monotonic time of the listing.
        """
        shelf = self.shelves.get(place)
        if shelf is not None:
            for key, size, etag in objects:
                shelf.put(key, Entry(Held(size, etag, None), seen))

    def __len__(self) -> int:
        return sum(map(len, self.shelves.values()))

    def _bound(self) -> None:
        if sum([len(shelf.young) for shelf in self.shelves.values()]) >= self._entries // 2:
            self._age()

    def _age(self) -> None:
        for shelf in self.shelves.values():
            shelf.age()

    def ask(self, shelf: Shelf, key: str, *, renews: bool = False) -> asyncio.Task[None] | None:
        """Ask the bucket, unless it is being asked: the one question there is.

        Args:
            shelf: The bucket.
            key: The object.
            renews: Whether an answer is known, which must not be lost to a crowd of new ones.

        Returns:
            What to wait for; None where asking now would be of no use.
        """
        flights = shelf.flights
        flight = flights.get(key)
        if flight is not None:
            return flight
        held_back = self._held_back.get((shelf.looker.place, key), 0)
        if (len(flights) >= _MOST_FLIGHTS and not renews) or held_back > monotonic():
            return None
        flight = flights[key] = asyncio.create_task(self._look(shelf, key))
        flight.add_done_callback(lambda _: flights.pop(key, None))
        return flight

    async def _look(self, shelf: Shelf, key: str) -> None:
        looker = shelf.looker
        async with shelf.slots:
            asked = monotonic()  # what changes while S3 answers was not seen
            try:
                held = await looker.look(key)
            except Exception as error:
                if not isinstance(error, OriginError):
                    _log.exception("a question to %s", looker.place)
                shelf.failing = True
                self._held_back[looker.place, key] = monotonic() + HOLD
                self._count("nearbucket_checks_total", "failed")
                self._outcomes.failed(looker.place, str(error))
                return
        self._count("nearbucket_checks_total", "absent" if held == ABSENT else "present")
        self._outcomes.answered(looker.place, None if held == ABSENT else key)
        known, shelf.failing = shelf.get(key), False
        shelf.put(key, Entry(held, asked))
        if known is not None and known.held[:2] != held[:2]:
            self._changed()

    def tick(self, now: float) -> None:
        """Once a second: forget which questions were not answered."""
        if self._held_back:
            self._held_back = {mark: until for mark, until in self._held_back.items()
                               if until > now}  # fmt: skip

    async def close(self) -> None:
        """Ask nothing more."""
        flights = [flight for shelf in self.shelves.values() for flight in shelf.flights.values()]
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)
