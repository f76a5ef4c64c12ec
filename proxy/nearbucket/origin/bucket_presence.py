"""Tells a missing object from a missing bucket, after a HEAD was answered 404.

That response has no body, and so no code that tells NoSuchKey from NoSuchBucket (API reference,
"HeadObject"). A GET of the same object has one; it is sent once in a while, for all keys.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from nearbucket.errors import OriginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KNOWN = 10.0
"""Seconds for which a bucket that has answered a GET is taken to exist."""

FAILED = 1.0
"""Seconds for which the failure of one GET stands for all keys."""


class BucketPresence:
    """Whether one bucket exists."""

    __slots__ = ("_asking", "_confirm", "_failure", "_until")

    def __init__(self, confirm: Callable[[str], Awaitable[None]]) -> None:
        """Know nothing yet.

        Args:
            confirm: Sends a GET of an object, by its encoded path; raises ``OriginError`` unless
                the object is there, or only the object is missing.
        """
        self._confirm = confirm
        self._asking = asyncio.Lock()  # one GET, however many HEADs are answered 404 at a time
        self._failure: OriginError | None = None
        self._until = 0.0

    async def require(self, path: str) -> None:
        """Return if the bucket exists.

        Args:
            path: Encoded path of an object for which a HEAD was answered 404.

        Raises:
            OriginError: There is no such bucket, or S3 failed.
        """
        async with self._asking:
            if monotonic() >= self._until:
                self._failure = await self._failure_of(path)
                self._until = monotonic() + (FAILED if self._failure else KNOWN)
            failure = self._failure
        if failure is not None:
            raise OriginError(failure.status, failure.detail)

    async def _failure_of(self, path: str) -> OriginError | None:
        try:
            await self._confirm(path)
        except OriginError as failure:
            return failure
        return None
