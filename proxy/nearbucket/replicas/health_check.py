"""Which targets can be used now: asked every few seconds, and judged by what they answer.

In: a ``Looker`` a target; how the catalogue's own questions went. Out: the places that are down,
and a call when that changes. Refuses to know sites, and to give up: whatever is down is asked
until it is up.

What is wrong for good (no such bucket, closed, another region) is down at once; what may be of
the moment (no connection, no answer, 5xx) by the second time in a row, ``AGAIN`` seconds later,
so that within 10 s of a failure nobody is sent there. What is down comes back after three good
answers in a row; after ten, where it was down before within the last minutes.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from nearbucket.replicas.bucket_probe import Finding, Health

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

EVERY = 3.0
"""Seconds between two questions."""
AGAIN = 1.0
"""Seconds to the next question after a failure."""
RISE, SLOW_RISE = 3, 10
"""Good answers in a row after which a target is up again: usually, and when it was down shortly
before. Asked every ``RISING`` seconds: 6 s and 20 s."""
RISING = 2.0
FALL = 2
"""Failures in a row after which it is down."""
KNOWN = 4
"""Keys that are asked for where a bucket may not be listed."""
RESTLESS = 300.0
"""Seconds for which a fall makes the next rise slow."""

_log = logging.getLogger(__name__)


class Probes(Protocol):
    """Who asks a bucket."""

    place: str

    async def probe(self, known: str | None, *, deep: bool = False) -> Finding:
        """Whether it can be used; ``known`` is a key that was there; deep, that is asked for."""


@dataclass(slots=True)
class _Target:
    looker: Probes
    up: bool = True
    readable: bool = False
    """Whether it ever could be read: then a 403 means that it is closed."""
    known: tuple[str, ...] = ()
    """Keys that were there, the last first."""
    asked: tuple[str, ...] = ()
    """Keys that clients asked for last while it is down."""
    suspect: bool = False
    """Whether a question about an object failed, and no deep answer was good since."""
    failures: int = 0
    successes: int = 0
    rise: int = RISE
    fell: float = -RESTLESS
    why: str = ""
    soon: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class Watch:
    """All targets of one worker.

    Attributes:
        down: Places that nobody is to be sent to, and why.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        """Args: called whenever ``down`` has changed."""
        self.down: dict[str, str] = {}
        self._changed = changed
        self._targets: dict[str, _Target] = {}

    def use(self, lookers: Iterable[Probes]) -> None:
        """Watch these places from now on; what is known of them stays."""
        targets = {}
        for looker in lookers:
            target = self._targets.pop(looker.place, None) or _Target(looker)
            target.looker = looker
            targets[looker.place] = target
            if target.task is None:
                target.task = asyncio.create_task(self._keep_asking(target))
        for target in self._targets.values():
            if target.task is not None:
                target.task.cancel()
        self._targets = targets
        self.down = {place: why for place, why in self.down.items() if place in targets}

    def answered(self, place: str, key: str | None) -> None:
        """A question about an object was answered; ``key`` was there, where one is given."""
        target = self._targets.get(place)
        if target is not None and key is not None:
            target.readable = True
            if key not in target.known:
                target.known = (key, *target.known)[:KNOWN]

    def wanted(self, place: str, key: str) -> None:
        """A client asked for an object of a target that is down.

        What was there may be deleted while it is down: then only this tells that it is open.
        """
        target = self._targets.get(place)
        if target is not None and not target.up and key not in (*target.known, *target.asked):
            target.asked = (key, *target.asked)[:KNOWN]

    def failed(self, place: str, why: str) -> None:
        """A question about an object was not answered: ask about the bucket now."""
        target = self._targets.get(place)
        if target is not None and target.up:
            target.why, target.suspect = why, True
            target.soon.set()

    async def _keep_asking(self, target: _Target) -> None:
        while True:
            began = monotonic()
            self._judge(target, await self._asked(target))
            pause = EVERY if target.up else RISING
            if target.up and target.failures:
                pause = AGAIN
            try:
                async with asyncio.timeout(pause - min(monotonic() - began, pause - AGAIN)):
                    await target.soon.wait()
            except TimeoutError:
                continue
            target.soon.clear()
            await asyncio.sleep(max(0.0, AGAIN - (monotonic() - began)))

    @staticmethod
    async def _asked(target: _Target) -> Finding:
        """One key may have been deleted since, which S3 tells the same way."""
        first, *others = (*target.known, *target.asked) or (None,)
        try:
            found = await target.looker.probe(first, deep=target.suspect)
            for key in others:
                if found.health is Health.FORBIDDEN:
                    found = await target.looker.probe(key)
        except Exception as error:
            _log.exception("a question to %s", target.looker.place)
            found = Finding(Health.FAILED, repr(error))
        return found

    def _judge(self, target: _Target, finding: Finding) -> None:
        health = finding.health
        if health is Health.UNASKED:
            return
        if health is Health.FORBIDDEN:
            health = Health.WRONG if target.readable else Health.GOOD
        elif health is Health.GOOD:
            target.readable = True
        if health is Health.GOOD:
            target.failures, target.successes = 0, target.successes + 1
            target.suspect = False
            if not target.up and target.successes >= target.rise:
                self._rise(target)
            return
        target.failures, target.successes, target.why = target.failures + 1, 0, finding.text
        if target.up and (health is Health.WRONG or target.failures >= FALL):
            self._fall(target)

    def _fall(self, target: _Target) -> None:
        now = monotonic()
        target.rise = SLOW_RISE if now - target.fell < RESTLESS else RISE
        target.up, target.fell = False, now
        self.down = {**self.down, target.looker.place: target.why}
        _log.error("target down, nobody is sent there: %s", target.why)
        self._changed()

    def _rise(self, target: _Target) -> None:
        target.up, target.asked = True, ()
        self.down = {place: why for place, why in self.down.items()
                     if place != target.looker.place}  # fmt: skip
        _log.info("target up again: %s", target.looker.place)
        self._changed()

    async def close(self) -> None:
        """Ask nothing more."""
        tasks = [target.task for target in self._targets.values() if target.task is not None]
        self.use(())
        await asyncio.gather(*tasks, return_exceptions=True)
