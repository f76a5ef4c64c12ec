"""Log files in S3: lists and reads ``s3://bucket/prefix`` with the SDK's own credentials.

The SDK is asynchronous, and files are read in threads: one event loop in a thread of its own serves
them all.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

import aiohttp

from nearbucket.analysis.reading.log_blocks import open_file
from nearbucket.analysis.reading.sources import LogSource, hour_of
from nearbucket.config.buckets import S3_SCHEME
from nearbucket.errors import ConfigError
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.ambient_bucket import ambient_bucket, ambient_error, ambient_meaning
from nearbucket.s3.sdk.bucket_listing import objects_of, pages_of
from nearbucket.s3.sdk.sdk_client import FAULTS, kind_of, opened

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from nearbucket.analysis.reading.sources import Period
    from nearbucket.s3.bucket_location import BucketLocation

_FIRST_ATTEMPTS, _FIRST_SECONDS = 2, 4
"""The first request for a bucket fails within ten seconds: later ones are made again for minutes,
which is right for a long run, but not where a wrong endpoint is waited for."""
_PATTERN = re.compile(r"[*?\[]")
_BROKEN = (TimeoutError, *FAULTS, aiohttp.ClientError, OSError)
"""What a request for an object, or its body, can end with."""


class S3Logs:
    """Reads log files of buckets, and local ones; a context manager.

    Attributes:
        outside: The first and the last file of each listing that is outside its period.
    """

    def __init__(self, connections: int) -> None:
        """Take how many files are read at once."""
        self.outside: list[LogSource] = []
        self._connections = connections
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="s3-logs", daemon=True)
        self._stack = AsyncExitStack()
        self._clients: dict[str, tuple[Any, BucketLocation]] = {}

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """Close the connections, and end the thread."""
        self.wait(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What a coroutine gives that runs in the thread of the clients."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def sources(self, url: str, period: Period) -> list[LogSource]:
        """The files below a URL that may have requests of a period, in order.

        Raises:
            ProxyError: The bucket cannot be listed, or no object's key begins with it.
        """
        bucket, _, prefix = url.removeprefix(S3_SCHEME).partition("/")
        found: list[LogSource] = self.wait(self._listed(bucket, prefix, period))
        return found

    def opened(self, source: LogSource) -> Any:
        """A file, opened for reading; a context manager.

        Raises:
            OSError: S3 does not give it.
        """
        return _S3File(self, source) if source.name.startswith(S3_SCHEME) else open_file(source)

    async def _listed(self, bucket: str, prefix: str, period: Period) -> list[LogSource]:
        location = ambient_bucket(bucket)
        try:
            await _reach(location, prefix)
            client, _ = await self._client(bucket)
        except FAULTS as error:
            raise ambient_error(error, location) from error
        found: list[LogSource] = []
        outside: list[LogSource] = []
        is_there = False
        async for page in pages_of(client, location, ambient_error, Prefix=prefix):
            for each in objects_of(page, location):
                is_there = True
                source = LogSource(f"{S3_SCHEME}{bucket}/{each.key}", each.size, each.etag)
                if each.size and period.may_hold(source.name):
                    found.append(source)
                elif each.size:
                    outside = _first_and_last([*outside, source])
        if not is_there:
            hint = "; patterns are for local files only" if _PATTERN.search(prefix) else ""
            raise ConfigError(
                f"{S3_SCHEME}{bucket}/{prefix}: no object's key begins with this{hint}"
            )
        self.outside += outside
        return found

    async def _client(self, bucket: str) -> tuple[Any, BucketLocation]:
        """The client for a bucket, made once."""
        if bucket not in self._clients:
            location = ambient_bucket(bucket)
            client = await self._stack.enter_async_context(opened(location, self._connections))
            self._clients[bucket] = client, location
        return self._clients[bucket]

    async def body(self, source: LogSource) -> Any:
        """The body of an object, which is read in pieces.

        Raises:
            OSError: S3 does not give it.
        """
        bucket, _, key = source.name.removeprefix(S3_SCHEME).partition("/")
        try:
            client, _ = await self._client(bucket)
            found = await client.get_object(Bucket=bucket, Key=key)
        except _BROKEN as error:
            raise OSError(ambient_meaning(error)) from error
        return found["Body"]


def _first_and_last(sources: Sequence[LogSource]) -> list[LogSource]:
    """The files with the first and the last hour in their names."""
    hours = {each: found.hour for each in sources if (found := hour_of(each.name))}
    return list({min(hours, key=hours.__getitem__), max(hours, key=hours.__getitem__)})


async def _reach(location: BucketLocation, prefix: str) -> None:
    """Ask for the first object of a listing; a server that answers that it is busy is reached.

    Raises:
        ClientError, BotoCoreError: There is no answer within ten seconds, or it is another error.
    """
    async with opened(location, attempts=_FIRST_ATTEMPTS, seconds=_FIRST_SECONDS) as client:
        try:
            await client.list_objects_v2(**location.arguments(), Prefix=prefix, MaxKeys=1)
        except FAULTS as error:
            if kind_of(error) is not ErrorKind.BUSY:
                raise


class _S3File:
    """An object, read as a file is."""

    def __init__(self, logs: S3Logs, source: LogSource) -> None:
        self._logs, self._source = logs, source
        self._body: Any = None
        self._failure: OSError | None = None

    def __enter__(self) -> Self:
        self._body = self._logs.wait(self._logs.body(self._source))
        return self

    def __exit__(self, *_error: object) -> None:
        self._body.close()

    def read(self, size: int) -> bytes:
        """Up to ``size`` bytes; fewer only at the end."""
        return bytes(self._logs.wait(self._read(size)))

    async def _read(self, size: int) -> bytes:
        """What comes before a failure is given first; the failure, at the next call."""
        if self._failure is not None:
            raise self._failure
        parts: list[bytes] = []
        try:
            while size > 0 and (part := await self._body.read(size)):
                parts.append(part)
                size -= len(part)
        except _BROKEN as error:
            why = str(error) or type(error).__name__
            self._failure = OSError(f"the connection to S3 failed: {why}")
            if not parts:
                raise self._failure from error
        return b"".join(parts)
