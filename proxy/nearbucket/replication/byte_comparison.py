"""Finds out by reading whether a copy with another ETag has the bytes of the origin's object.

Only the copy is read where that is enough: if the ETag computed from the MD5 sums of the origin's
parts of it is the origin's ETag, the bytes are equal. So the origin's bytes cross no region, which
would cost as much as a new copy. Both objects are read and compared, up to the first difference, if
the computed ETag differs, if the origin's is not made of MD5 sums (KMS, some servers), or if its
parts are not known.

Bodies are not kept: each request under way takes the buffers of one connection. A body that breaks
off is continued where it ended.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from hashlib import blake2b, md5
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from botocore.exceptions import HTTPClientError, IncompleteReadError, ResponseStreamingError

from nearbucket.replication.comparison import has_md5_etag
from nearbucket.replication.multipart_copy import (
    MIB,
    etag_of,
    head_of_part,
    layout_at,
    parts_of,
    together,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from nearbucket.s3.bucket_location import BucketLocation, CopyEndpoints
    from nearbucket.s3.listing.list_page import ListedObject

    Count = Callable[[int], None]

_SPAN = 64 * MIB
"""Bytes of both objects that are compared at once."""
_PIECE = 256 * 1024
_STALLED = 60.0
"""Seconds without a byte after which a body has broken off."""
_ATTEMPTS = 5
"""Attempts in a row without a byte after which the object counts as failed."""
_PAUSE = 0.5
"""Seconds before the second attempt; one more before each further one."""

_BROKEN = (IncompleteReadError, HTTPClientError, aiohttp.ClientError, TimeoutError, OSError)


class _DifferentBytesError(Exception):
    """Two objects differ."""


class _Source(NamedTuple):
    """One version of an object: the client that reads it, and the arguments of GetObject."""

    client: Any
    arguments: dict[str, str]


class ByteComparison:
    """Compares copies with objects of the origin by their bytes."""

    def __init__(self, endpoints: CopyEndpoints, parallel: int) -> None:
        """Read with up to ``parallel`` requests at once, of all objects together."""
        self._endpoints, self._parallel = endpoints, parallel
        self._gate = asyncio.Semaphore(parallel)

    async def equal(self, origin: ListedObject, copy: ListedObject, count: Count) -> bool:
        """Whether two objects of one size have the same bytes.

        Args:
            origin: The origin's object.
            copy: The target's.
            count: Called with the number of bytes of the copy that were read; with a negative
                number before they are read again.

        Raises:
            botocore's errors: One of them cannot be read, or has changed.
        """
        if origin.size == 0:
            return True
        ours = _source(self._endpoints.target_client, self._endpoints.target, copy)
        if sizes := await self._layout(origin):
            etag = await self._etag(ours, sizes, count, whole=parts_of(origin.etag) is None)
            if etag == origin.etag:
                return True
            count(-copy.size)
        theirs = _source(self._endpoints.origin_client, self._endpoints.origin, origin)
        try:
            await self._compare(theirs, ours, origin.size, count)
        except _DifferentBytesError:
            return False
        return True

    async def _layout(self, origin: ListedObject) -> Sequence[int]:
        """Sizes of the parts whose MD5 sums the origin's ETag is made of; empty if not known."""
        head = await head_of_part(self._endpoints, origin, 1)
        if not has_md5_etag(head):
            return ()
        parts = parts_of(origin.etag)
        if parts is None:
            return (origin.size,)
        known = parts == 1 or head.get("PartsCount") == parts
        return await layout_at(self._endpoints, origin, head) if known else ()

    async def _etag(
        self, source: _Source, sizes: Sequence[int], count: Count, *, whole: bool
    ) -> str | None:
        """The ETag that the object has if it is uploaded in these parts, or as a ``whole``."""
        ends = list(accumulate(sizes))
        sums = [""] * len(sizes)

        async def read(number: int) -> None:
            span = ends[number] - sizes[number], ends[number]
            found = md5(usedforsecurity=False)
            await self._read(source, span, found.update, count)
            sums[number] = found.hexdigest()

        await self._each(len(sizes), read)
        return sums[0] if whole else etag_of(sums)

    async def _compare(self, theirs: _Source, ours: _Source, size: int, count: Count) -> None:
        """Read both objects and compare their bytes.

        Raises:
            _DifferentBytesError: They differ.
        """

        async def compare(number: int) -> None:
            span = number * _SPAN, min((number + 1) * _SPAN, size)
            one, two = blake2b(), blake2b()
            reads = (
                self._read(theirs, span, one.update, lambda _: None),
                self._read(ours, span, two.update, count),
            )
            await together(reads)
            if one.digest() != two.digest():
                raise _DifferentBytesError

        await self._each(-(-size // _SPAN), compare)

    async def _each(self, many: int, work: Callable[[int], Awaitable[None]]) -> None:
        """Do the work for each number below ``many``, in parallel."""
        numbers = iter(range(many))

        async def turn() -> None:
            for number in numbers:
                await work(number)

        await together(turn() for _ in range(min(self._parallel, many)))

    async def _read(
        self, source: _Source, span: tuple[int, int], take: Callable[[bytes], None], count: Count
    ) -> None:
        async with self._gate, aclosing(_pieces(source, *span)) as pieces:
            async for piece in pieces:
                take(piece)
                count(len(piece))


def _source(client: Any, location: BucketLocation, what: ListedObject) -> _Source:
    return _Source(client, {"IfMatch": f'"{what.etag}"', **location.arguments(what.key)})


async def _pieces(source: _Source, first: int, end: int) -> AsyncGenerator[bytes]:
    """The bytes from ``first`` up to ``end``; a body that breaks off is requested again."""
    failed = 0
    while first < end:
        answer = await source.client.get_object(
            Range=f"bytes={first}-{end - 1}", **source.arguments
        )
        try:
            async with answer["Body"] as body:
                while piece := await _next(body):
                    first, failed = first + len(piece), 0
                    yield piece
            if first < end:
                raise IncompleteReadError(actual_bytes=first, expected_bytes=end)
        except _BROKEN as error:
            failed += 1
            if failed == _ATTEMPTS:
                raise ResponseStreamingError(error=error) from error
            await asyncio.sleep(_PAUSE * failed)


async def _next(body: Any) -> bytes:
    async with asyncio.timeout(_STALLED):
        return bytes(await body.read(_PIECE))
