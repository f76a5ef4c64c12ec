"""How often, and for how long, the rest of one body is requested after S3 has dropped it."""

from __future__ import annotations

SHARE = 64 * 1024
"""Bytes of progress that pay for ``ATTEMPTS``; of a small body, an eighth of it."""

ATTEMPTS = 8
"""Requests for the rest in which a body has to get on by its share: of 3 connections that are cut
at random within their first 256 KiB, all bring less once in 400 times, of 8 once in 10^9."""

SECONDS = 60.0
"""Seconds of waiting for S3 in which a body has to get on by its share."""

_PARTS = 8


class ResumeBudget:
    """The attempts and the time that one body has left."""

    __slots__ = ("_attempts", "_left", "_share", "_waited")

    def __init__(self, left: int) -> None:
        """Start when ``left`` bytes have not come."""
        self._share = min(SHARE, max(1, left // _PARTS))
        self._left = left
        self._attempts = 0
        self._waited = 0.0

    def waited(self, seconds: float) -> None:
        """Note how long S3 took; while the client takes no bytes, no time passes here."""
        self._waited += seconds

    def next_attempt(self, left: int) -> int:
        """Spend an attempt.

        Args:
            left: Bytes that have not come.

        Returns:
            Its number since the body last got on by its share, from 1; 0 if none is left.
        """
        if self._left - left >= self._share:
            self._left, self._attempts, self._waited = left, 0, 0.0
        if self._attempts >= ATTEMPTS or self._waited >= SECONDS:
            return 0
        self._attempts += 1
        return self._attempts
