"""Looks at the files of ``listen.tls``: a new certificate, a broken one, one that expires."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from nearbucket.errors import ConfigError, ProxyError
from nearbucket.supervisor.reload_history import APPLIED, REFUSED
from nearbucket.supervisor.sockets.listener_tls import read_key_pair
from nearbucket.telemetry.utc_text import utc_text

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nearbucket.config.settings import Tls
    from nearbucket.supervisor.sockets.listener_tls import KeyPair
    from nearbucket.telemetry.metrics import Values

INTERVAL = 1.0  # seconds between two looks at the files
LONGEST_PAUSE = 32.0  # seconds, while a worker cannot apply what they hold: all forget decisions
EXPIRES_SOON = 7 * 86400.0  # seconds; certificates of 90 days are renewed a month before

_log = logging.getLogger(__name__)


class CertificateWatch:
    """The files, and which certificate is in use.

    What the files hold is compared, not when they were written. A pair that cannot be used is
    refused when it is the same a second later: programs that renew certificates write one file
    after the other.
    """

    def __init__(self, settings: Tls, in_use: KeyPair) -> None:
        """Take the pair that was read at the start as the one in use."""
        self._settings = settings
        self._counts = Counter({APPLIED: 0, REFUSED: 0})
        self._problem: str | None = None
        self._seen: str | None = None
        self._expiry: str | None = None
        self._use(in_use)

    def _use(self, pair: KeyPair) -> None:
        self._in_use, self._dates = pair, pair.dates

    async def run(self, use: Callable[[KeyPair], Awaitable[None]]) -> None:
        """Have each new pair used. ``use`` raises ``ProxyError`` if a worker cannot apply it."""
        pause = INTERVAL
        while True:
            await asyncio.sleep(pause)
            try:
                if pair := self.look(time.time()):
                    await use(pair)
                    self.applied(pair)
                pause = INTERVAL
            except ProxyError as error:
                pause = min(2 * pause, LONGEST_PAUSE)
                self._refuse(str(error))
            except Exception:
                _log.exception("whether the certificate has changed is not known")

    def look(self, now: float) -> KeyPair | None:
        """A new pair that is to be used; ``now`` is the Unix time."""
        self._note_expiry(now)
        try:
            pair = self._read(now)
        except ConfigError as error:
            self._refuse(str(error))
            return None
        if pair != self._in_use:
            return pair
        self._seen = self._problem = None
        return None

    def _read(self, now: float) -> KeyPair:
        """What the files hold; ``ConfigError`` if the one in use is better."""
        pair = read_key_pair(self._settings, self._in_use)
        why = pair.dates.fault(now)
        if why and pair != self._in_use and not self._dates.fault(now):
            raise ConfigError(
                f"listen.tls: {self._settings.certificate} {why}; write one that is valid"
            )
        return pair

    def _refuse(self, why: str) -> None:
        before, self._seen = self._seen, why
        if before == why != self._problem:
            self._problem = why
            self._counts[REFUSED] += 1
            _log.error("certificate not reloaded, the old one stays in use: %s", why)

    def applied(self, pair: KeyPair) -> None:
        """All workers use the pair."""
        self._use(pair)
        self._seen = self._problem = None
        self._counts[APPLIED] += 1
        _log.info(
            "certificate reloaded from %s: valid until %s",
            self._settings.certificate,
            utc_text(self._dates.end),
        )

    def _note_expiry(self, now: float) -> None:
        before, self._expiry = self._expiry, None
        if now > self._dates.end - EXPIRES_SOON:
            verb = "has expired" if now > self._dates.end else "expires"
            self._expiry = (
                f"listen.tls: {self._settings.certificate} {verb} at {utc_text(self._dates.end)}; "
                "write a new certificate and its key into the files, which are loaded by themselves"
            )
        if self._expiry not in {None, before}:
            _log.log(
                logging.ERROR if now > self._dates.end else logging.WARNING, "%s", self._expiry
            )

    @property
    def warnings(self) -> list[str]:
        """What is wrong with the files, and with the certificate in use."""
        refused = self._problem and f"certificate not reloaded: {self._problem}"
        return [each for each in (refused, self._expiry) if each]

    def figures(self, now: float) -> Values:
        """Its metrics at a Unix time."""
        return {
            "nearbucket_certificate_valid_seconds": {(): self._dates.end - now},
            "nearbucket_certificate_reloads_total": {
                (result,): count for result, count in self._counts.items()
            },
        }
