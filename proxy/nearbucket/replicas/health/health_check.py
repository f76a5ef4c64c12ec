"""Health checks: probes every target each few seconds, and says which are down.

A target is down at once if its bucket does not exist, denies access or is in another region. For
what may pass (no connection, no response, 5xx) it is down after the second failure in a row,
``RETRY_INTERVAL`` seconds later, so that clients are sent elsewhere within 10 s. It is up again
after three good probes in a row, or after ten if it was down before within the last minutes.

What was known of its objects is forgotten when it is up again, and at once if a probe shows that
the bucket may have been replaced (``canaries.py``).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from nearbucket.replicas.bucket_probe import BucketHealth, ProbeResult
from nearbucket.replicas.health.canaries import Canaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nearbucket.replicas.object_version import ObjectVersion

INTERVAL = 3.0
"""Seconds between two probes."""
RETRY_INTERVAL = 1.0
"""Seconds to the next probe after a failure."""
RISE, SLOW_RISE = 3, 10
"""Good probes in a row after which a target is up again: usually, and when it was down shortly
before. One each ``RISE_INTERVAL`` seconds: 6 s and 20 s."""
RISE_INTERVAL = 2.0
FALL = 2
"""Failures in a row after which a target is down."""
SLOW_RISE_WINDOW = 300.0
"""Seconds for which going down makes the next recovery slow."""

_log = logging.getLogger(__name__)


class _Probe(Protocol):  # ``BucketProbe``, as far as it is needed here
    base_url: str

    async def probe(self, canaries: Canaries) -> ProbeResult: ...


@dataclass(slots=True)
class _CheckedTarget:
    probe: _Probe
    text: str
    """Sites, regions and bucket, for the log."""
    up: bool = True
    readable: bool = False
    """Whether it could be read once: then a 403 means that access is denied."""
    canaries: Canaries = field(default_factory=Canaries)
    failures: int = 0
    successes: int = 0
    rise: int = RISE
    fell: float = -SLOW_RISE_WINDOW
    why: str = ""
    replaces_down: bool = False
    """Whether a reload has put it in the place of a target that was down: the log says that it is
    up when it is."""
    soon: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None


class HealthChecker:
    """The targets of one worker.

    Attributes:
        down: ``object_base_url`` of each target that is down, and why.
    """

    def __init__(
        self, changed: Callable[[], None], forget: Callable[[str, Iterable[str] | None], None]
    ) -> None:
        """Begin without targets.

        Args:
            changed: Called whenever ``down`` has changed, or objects were forgotten.
            forget: Called with the ``object_base_url`` of a bucket and the keys of objects that
                have to be checked again; None stands for all of them.
        """
        self.down: dict[str, str] = {}
        self._changed = changed
        self._forget = forget
        self._targets: dict[str, _CheckedTarget] = {}

    def use(self, probes: Iterable[tuple[_Probe, str]]) -> None:
        """Check these targets from now on; what is known of them stays.

        Args:
            probes: The probe of each target, and how the log names it.
        """
        targets, known = {}, self._targets
        wanted = {probe.base_url: (probe, text) for probe, text in probes}
        replaces_down = any(base_url not in wanted for base_url in self.down)
        for base_url, (probe, text) in wanted.items():
            target = known.pop(base_url, None)
            if target is None:
                target = _CheckedTarget(probe, text, replaces_down=replaces_down)
            target.probe, target.text = probe, text
            targets[base_url] = target
            if target.task is None:
                target.task = asyncio.create_task(self._keep_probing(target))
        for target in known.values():
            if target.task is not None:
                target.task.cancel()
        self._targets = targets
        self.down = {base_url: why for base_url, why in self.down.items() if base_url in targets}

    def answered(self, base_url: str, key: str, version: ObjectVersion | None) -> None:
        """Note that an object is there; ``version`` is from a HEAD, None if from a listing."""
        target = self._targets.get(base_url)
        if target is not None:
            target.readable = True
            target.canaries.note(key, version)

    def known_keys(self, base_url: str) -> tuple[str, ...]:
        """Keys of objects that were in a bucket at its last probes."""
        target = self._targets.get(base_url)
        return () if target is None else target.canaries.keys

    def requested(self, base_url: str, key: str) -> None:
        """Note that a client asked for an object of a target that is down.

        The known objects may be deleted while it is down; then this one shows that it can be read.
        """
        target = self._targets.get(base_url)
        if target is not None and not target.up:
            target.canaries.note_key(key)

    def failed(self, base_url: str, why: str) -> None:
        """Note that a HEAD of an object failed, and probe the bucket soon."""
        target = self._targets.get(base_url)
        if target is not None and target.up:
            target.why = why
            target.soon.set()

    async def _keep_probing(self, target: _CheckedTarget) -> None:
        while True:
            began, readable = monotonic(), target.readable
            self._apply(target, await self._probe(target), readable=readable)
            pause = INTERVAL if target.up else RISE_INTERVAL
            if target.up and target.failures:
                pause = RETRY_INTERVAL
            try:
                async with asyncio.timeout(
                    pause - min(monotonic() - began, pause - RETRY_INTERVAL)
                ):
                    await target.soon.wait()
            except TimeoutError:
                continue
            target.soon.clear()
            await asyncio.sleep(max(0.0, RETRY_INTERVAL - (monotonic() - began)))

    @staticmethod
    async def _probe(target: _CheckedTarget) -> ProbeResult:
        try:
            return await target.probe.probe(target.canaries)
        except Exception as error:
            _log.exception("probe of %s", target.probe.base_url)
            return ProbeResult(BucketHealth.FAILED, repr(error))

    def _apply(self, target: _CheckedTarget, result: ProbeResult, *, readable: bool) -> None:
        """Act on a probe; ``readable`` is whether the target could be read before it."""
        health = result.health
        if health is BucketHealth.UNASKED:
            return
        self._doubt(target.probe.base_url, result)
        if health is BucketHealth.FORBIDDEN:
            health = BucketHealth.WRONG if readable else BucketHealth.GOOD
        elif health is BucketHealth.GOOD:
            target.readable = True
        if health is BucketHealth.GOOD:
            target.failures, target.successes = 0, target.successes + 1
            if not target.up and target.successes >= target.rise:
                self._rise(target)
            elif target.replaces_down:
                _log.info("target up: %s", target.text)
            target.replaces_down = False
            return
        target.failures, target.successes, target.why = target.failures + 1, 0, result.text
        if target.up and (health is BucketHealth.WRONG or target.failures >= FALL):
            self._fall(target, health)

    def _doubt(self, base_url: str, result: ProbeResult) -> None:
        if result.replaced:
            _log.warning(
                "%s: all objects that were probed before have changed or are gone, as in a bucket "
                "that was created anew (or because they were overwritten, as by sync); every copy "
                "is checked again before it is used",
                base_url,
            )
        if result.replaced or result.changed:
            self._forget(base_url, None if result.replaced else result.changed)
            self._changed()

    def _fall(self, target: _CheckedTarget, health: BucketHealth) -> None:
        now = monotonic()
        target.rise = SLOW_RISE if now - target.fell < SLOW_RISE_WINDOW else RISE
        target.up, target.fell = False, now
        self.down = {**self.down, target.probe.base_url: target.why}
        text = "target down, clients are no longer redirected to it: %s: %s"
        _log.error(text, target.text, target.why)
        if health is BucketHealth.WRONG:
            # After other failures only when it is up again: while an origin does not answer,
            # its last answers stay valid (``replica_rule.OUTAGE``).
            self._forget(target.probe.base_url, None)
        self._changed()

    def _rise(self, target: _CheckedTarget) -> None:
        up = target.probe.base_url
        target.up = True
        self._forget(up, None)
        self.down = {base_url: why for base_url, why in self.down.items() if base_url != up}
        _log.info("target up again: %s", target.text)
        self._changed()

    async def close(self) -> None:
        """Stop all checks."""
        tasks = [target.task for target in self._targets.values() if target.task is not None]
        self.use(())
        await asyncio.gather(*tasks, return_exceptions=True)
