"""Client checks: can clients read the targets? The proxy's own, signed requests do not show that.

A bucket policy, Block Public Access or a condition on VPC endpoints may close a bucket to clients,
but not to the proxy's role. So every ``INTERVAL`` seconds one object that the role can read is
requested as clients request it: the first byte of its Location, without a signature. A target is
*down for clients* when an object that could be read this way cannot be read any more, though it is
still there. A target of which no object could ever be read this way stays in use: clients may be
allowed by an address or a VPC endpoint that the proxy does not have.

A target is also down for clients when a circuit breaker opens: redirects of many clients fail, for
example because their own network does not allow them.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nearbucket.errors import OriginError
from nearbucket.replicas.health.circuit_breaker import CircuitBreaker
from nearbucket.replicas.object_version import ABSENT
from nearbucket.s3.client_request import request_byte

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp

    from nearbucket.replicas.health.client_target import ClientTarget, TargetUse
    from nearbucket.telemetry.metrics import Counters

INTERVAL = 30.0
"""Seconds between two checks."""
RETRY_INTERVAL = 5.0
"""Seconds to the next check while a target cannot be read, or no object of it is known."""
TIMEOUT = 5.0
"""Seconds that a target may take to answer."""
FALL, RISE = 2, 2
"""Checks in a row after which a target is down for clients, and up again."""
READABLE = 4
"""Number of keys in ``_Checked.readable``."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Checked:
    target: ClientTarget
    use: TargetUse
    readable: list[str] = field(default_factory=list)
    """Keys that could be read as clients read them, the latest last."""
    saved: dict[tuple[str, str], float] = field(default_factory=dict)
    """The counters of saved bytes when a key could be read last, by site and region."""
    refusals: int = 0
    successes: int = 0
    warned: bool = False
    refused: str = ""
    """Why the target is down by its answers; empty if it is not."""
    tripped: str = ""
    """Why it is down by the circuit breaker; empty if it is not."""
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    task: asyncio.Task[None] | None = None


class ClientChecker:
    """The targets of one worker, as clients see them.

    Attributes:
        down: Each target that is down for clients, and why.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        known_keys: Callable[[str], tuple[str, ...]],
        counters: Counters,
        changed: Callable[[], None],
    ) -> None:
        """Begin without targets.

        Args:
            session: From ``client_session``.
            known_keys: Gives keys that are in the bucket with this ``object_base_url``.
            counters: Metrics of the worker.
            changed: Called whenever ``down`` has changed.
        """
        self.down: dict[ClientTarget, str] = {}
        self._session = session
        self._known_keys = known_keys
        self._counters = counters
        self._changed = changed
        self._checked: dict[ClientTarget, _Checked] = {}

    def use(self, targets: Mapping[ClientTarget, TargetUse]) -> None:
        """Check these targets from now on; what is known of them stays."""
        before, self._checked = self._checked, {}
        for target, use in targets.items():
            checked = before.pop(target, None) or _Checked(target, use)
            checked.use = use
            if not use.requested:
                _stop(checked)
            elif checked.task is None:
                checked.task = asyncio.create_task(self._keep_checking(checked))
            self._checked[target] = checked
        for checked in before.values():
            _stop(checked)
        self._update()

    def _update(self) -> None:
        self.down = {
            target: checked.refused or checked.tripped
            for target, checked in self._checked.items()
            if checked.refused or checked.tripped
        }

    # Requests

    async def _keep_checking(self, checked: _Checked) -> None:
        pause = RETRY_INTERVAL
        while True:
            await asyncio.sleep(pause)
            try:
                settled = await self._check(checked)
            except Exception:
                _log.exception("client check of %s", checked.target.location)
                settled = False
            pause = INTERVAL if settled else RETRY_INTERVAL

    async def _check(self, checked: _Checked) -> bool:
        """Request objects until one can be read; return whether the next check may wait longer."""
        known = self._known_keys(checked.use.bucket.base_url)
        refusal = ""
        for key in dict.fromkeys((*known, *checked.readable)):
            url = checked.target.url(key)
            answer = await request_byte(self._session, url, TIMEOUT)
            if isinstance(answer, Exception) or answer.is_readable is None:
                return not checked.refused  # the health checks notice what the proxy cannot reach
            if answer.is_readable:
                return self._can_be_read(checked, key)
            refusal = refusal or f"{url} answers {answer.status} to a request without a signature"
        if not refusal:
            self._rise(checked)  # no object is known: as at the start
            return False
        return await self._cannot_be_read(checked, refusal, known)

    def _can_be_read(self, checked: _Checked, key: str) -> bool:
        checked.readable = [*(each for each in checked.readable if each != key), key][-READABLE:]
        checked.refusals, checked.successes = 0, checked.successes + 1
        checked.saved = self._saved(checked)
        if checked.successes >= RISE:
            self._rise(checked)
        return not checked.refused

    async def _cannot_be_read(
        self, checked: _Checked, refusal: str, known: tuple[str, ...]
    ) -> bool:
        """Judge a refusal: S3 also answers 403 to clients for an object that was deleted."""
        checked.successes = 0
        before = bool(checked.readable)
        if not before and checked.warned:
            return not checked.refused
        there = await self._there(checked, checked.readable or known)
        if there is None:
            return False
        checked.readable = there if before else []
        if before and there:
            checked.refusals += 1
            if checked.refusals >= FALL and not checked.refused:
                self._fall(checked, refusal)
        elif there and not checked.warned and not checked.refused:
            checked.warned = True
            _log.warning(
                "%s, and it may be that clients get no other answer; they are redirected there all "
                "the same. Allow s3:GetObject in the bucket policy, or set redirect.presign; if "
                "only clients can read the bucket, by a VPC endpoint or their address, set "
                "redirect.client_probe: false",
                refusal,
            )
        return not before and not checked.refused

    @staticmethod
    async def _there(checked: _Checked, keys: list[str] | tuple[str, ...]) -> list[str] | None:
        """Which of the keys are in the bucket and readable; None if S3 does not answer.

        An object that was archived or encrypted with a KMS key meanwhile is refused for itself, and
        requests for it are not redirected (reason ``unreadable``).
        """
        try:
            versions = {key: await checked.use.bucket.head_object(key) for key in keys}
        except OriginError:
            return None
        return [key for key, found in versions.items() if found != ABSENT and not found.unreadable]

    def _fall(self, checked: _Checked, refusal: str) -> None:
        checked.refused = f"{refusal}, though the object is there"
        for name, size in self._saved(checked).items():
            # below zero if more was taken back for clients that came back than was saved since
            self._counters.take_back(*name, max(0, int(size - checked.saved.get(name, size))))
        self._log_down(checked, checked.refused)
        self._update()
        self._changed()

    @staticmethod
    def _log_down(checked: _Checked, why: str) -> None:
        text = "target down for clients, they are no longer redirected: %s: %s"
        _log.error(text, checked.use.text, why)

    def _saved(self, checked: _Checked) -> dict[tuple[str, str], float]:
        metric = "nearbucket_redirected_bytes_total"
        return {name: self._counters.counter(metric, *name).value for name in checked.use.names}

    def took_back(self, target: ClientTarget) -> bool:
        """Whether a target is down by its own answers: then what was saved is taken back."""
        checked = self._checked.get(target)
        return checked is not None and bool(checked.refused)

    def _rise(self, checked: _Checked) -> None:
        if checked.refused:
            checked.refused = ""
            _log.info("target up again for clients: %s", checked.use.text)
            self._update()
            self._changed()

    # The circuit breaker

    def note(self, target: ClientTarget, *, got_through: bool, now: float) -> None:
        """Note whether a client got through to a target, at a monotonic time."""
        checked = self._checked.get(target)
        if checked is None:
            return
        redirects = self._redirects(checked)
        share = checked.breaker.note(failed=not got_through, attempts=redirects, now=now)
        if share:
            checked.tripped = (
                f"redirects of {share} clients with known results fail at {target.location}"
            )
            self._log_down(checked, checked.tripped)
            self._update()
            self._changed()

    def _redirects(self, checked: _Checked) -> float:
        metric = "nearbucket_redirects_total"
        return sum(self._counters.counter(metric, *name).value for name in checked.use.names)

    def tick(self, now: float) -> None:
        """Once a second: use targets again whose circuit breaker is no longer open."""
        for checked in self._checked.values():
            checked.breaker.advance(self._redirects(checked), now)
            if checked.tripped and not checked.breaker.is_open(now):
                checked.tripped = ""
                _log.info("target up again for clients, on trial: %s", checked.use.text)
                self._update()
                self._changed()

    async def close(self) -> None:
        """Stop all checks."""
        tasks = [checked.task for checked in self._checked.values() if checked.task is not None]
        self.use({})
        await asyncio.gather(*tasks, return_exceptions=True)


def _stop(checked: _Checked) -> None:
    """Stop the requests to a target."""
    if checked.task is not None:
        checked.task.cancel()
    checked.task, checked.refused = None, ""
