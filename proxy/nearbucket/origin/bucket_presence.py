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
"""Seconds for which the response NoSuchBucket, or none, to one GET stands for all keys."""


class BucketPresence:
    """Whether one bucket exists."""

    __slots__ = ("_asking", "_bucket_error", "_failure", "_until")

    def __init__(self, bucket_error: Callable[[str], Awaitable[OriginError | None]]) -> None:
        """Know nothing yet.

        Args:
            bucket_error: Sends a GET of an object, by its encoded path; returns the error of a
                bucket that does not exist, None if it exists; raises ``OriginError`` if the
                response does not tell, or there is none.
        """
        self._bucket_error = bucket_error
        self._asking = asyncio.Lock()  # one GET, however many HEADs are answered 404 at a time
        self._failure: OriginError | None = None
        self._until = 0.0

    async def require(self, path: str) -> None:
        """Return unless it is known that the bucket does not exist.

        Args:
            path: Encoded path of an object for which a HEAD was answered 404.

        Raises:
            OriginError: There is no such bucket.
        """
        async with self._asking:
            if monotonic() >= self._until:
                self._until = monotonic() + await self._ask(path)
            failure = self._failure
        if failure is not None:
            raise OriginError(failure.status, failure.detail)

    async def _ask(self, path: str) -> float:
        """Send the GET; returns for how many seconds its result stands."""
        try:
            self._failure = await self._bucket_error(path)
        except OriginError:  # S3 did answer the HEAD: its 404 stands, and so does what was known
            return FAILED
        return FAILED if self._failure else KNOWN
