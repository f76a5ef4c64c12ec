"""A client of one bucket that lists and copies without the AWS SDK, with the SDK's interface.

Listings and the requests for single objects are signed by ``s3/sigv4.py`` and sent by aiohttp, in
a quarter to a half of the CPU time that the SDK needs (docs/design.md, "Objects are copied without
the SDK"). Arguments, responses, exceptions and retries are those of the SDK's client. That client
makes all other requests; it is loaded for the first of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from http.client import responses
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    HTTPClientError,
    ReadTimeoutError,
    SSLError,
)
from yarl import URL

from nearbucket.s3.credentials import ANONYMOUS, SdkCredentials
from nearbucket.s3.http_session import client_session, timeout_of
from nearbucket.s3.sdk.light_request import (
    BEGIN,
    COPY,
    COPY_PART,
    HEAD,
    LIST,
    TAGS,
    Answer,
    read,
    request_of,
)
from nearbucket.s3.sdk.sdk_client import (
    ATTEMPTS,
    NoDocumentError,
    keys_of,
    opened,
    read_seconds,
    sdk_credentials,
)
from nearbucket.s3.sigv4 import Signer, SigningScope, sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from nearbucket.config.buckets import Bucket
    from nearbucket.s3.bucket_location import BucketLocation
    from nearbucket.s3.sdk.light_request import Operation

_ELSEWHERE = {301, 307, 400}
_AGAIN = {200, 429, 500, 502, 503, 504, 509}
_LATE = "RequestTimeout"
"""Statuses of error responses, and an error code, for which the SDK retries (mode ``legacy``)."""


class LightClient:
    """A client of one bucket; its methods have the names, arguments and results of the SDK's.

    Attributes:
        date: The Date field of the latest response; empty before the first.
    """

    def __init__(
        self,
        location: BucketLocation,
        session: aiohttp.ClientSession,
        sdk: Callable[[], AbstractAsyncContextManager[Any]],
        attempts: int,
    ) -> None:
        """Prepare for requests.

        Args:
            location: The bucket.
            session: From ``client_session``.
            sdk: Opens the SDK's client.
            attempts: How often a request is sent before its error is raised.
        """
        self._location, self._session, self._attempts = location, session, attempts
        self._open, self._opened, self._opening = sdk, AsyncExitStack(), asyncio.Lock()
        self._sdk: Any = None
        self.date = ""
        self._aim(location.entry)

    async def close(self) -> None:
        """Close the SDK's client, if there is one."""
        await self._opened.aclose()

    def _aim(self, entry: Bucket) -> None:
        base = urlsplit(entry.url())
        self._base, self._path = f"{base.scheme}://{base.netloc}", base.path
        self._host = URL(self._base).host_port_subcomponent or base.netloc
        self._signer = Signer(
            self._location.credentials, entry.region, ambient=SdkCredentials(sdk_credentials)
        )

    def __getattr__(self, operation: str) -> Callable[..., Awaitable[Any]]:
        """A method of the SDK's client, for requests that have no method here."""

        async def request(**asked: Any) -> Any:
            async with self._opening:
                self._sdk = self._sdk or await self._opened.enter_async_context(self._open())
            return await getattr(self._sdk, operation)(**asked)

        return request

    async def list_objects_v2(self, **asked: Any) -> dict[str, Any]:
        """ListObjectsV2; the response has a ``ListPage`` under ``PAGE``."""
        return await self._ask(LIST, asked)

    async def copy_object(
        self, fields: Mapping[str, str] = {}, size: int = 0, **asked: Any
    ) -> dict[str, Any]:
        """CopyObject of ``size`` bytes; ``fields`` are those of the new object, for ``REPLACE``."""
        return await self._ask(COPY, asked, fields, size)

    async def upload_part_copy(self, size: int = 0, **asked: Any) -> dict[str, Any]:
        """UploadPartCopy of ``size`` bytes."""
        return await self._ask(COPY_PART, asked, copied=size)

    async def create_multipart_upload(
        self, fields: Mapping[str, str], **asked: Any
    ) -> dict[str, Any]:
        """CreateMultipartUpload; ``fields`` are header fields of the object."""
        return await self._ask(BEGIN, asked, fields)

    async def head_object(self, **asked: Any) -> dict[str, Any]:
        """HeadObject; the response has only the members that callers use."""
        return await self._ask(HEAD, asked)

    async def get_object_tagging(self, **asked: Any) -> dict[str, Any]:
        """GetObjectTagging."""
        return await self._ask(TAGS, asked)

    async def _ask(
        self,
        operation: Operation,
        asked: Mapping[str, Any],
        fields: Mapping[str, str] = {},
        copied: int = 0,
    ) -> dict[str, Any]:
        """Send a request that copies so many bytes, with retries; the response as the SDK has it.

        Raises:
            BotoCoreError: S3 could not be reached, did not respond, or sent no whole document.
            ClientError: The response is an error.
        """
        target, sent = request_of(operation, asked, fields)
        seconds = read_seconds(copied)
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            try:
                answer = await self._once(operation, *target, sent, seconds)
                if answer.is_good:
                    return read(operation, answer)
            except NoDocumentError:
                if last:
                    raise
            except UnicodeError as error:
                raise HTTPClientError(error=error) from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                if last:
                    raise self._unreachable(error) from error
            else:
                if not (self._is_elsewhere(answer) or _may_pass(answer)) or last:
                    raise _error(operation.name, answer)
            await asyncio.sleep(random.random() * 2 ** (attempt - 1))  # noqa: S311  # no secret
        raise AssertionError

    async def _once(
        self,
        operation: Operation,
        key: str,
        query: str,
        fields: Mapping[str, str],
        seconds: float,
    ) -> Answer:
        credentials = self._signer.current() or await keys_of(self._signer, self._location)
        # from here on nothing waits, so that host and region are of one region
        path, region = self._path + key, self._signer.region
        headers = {"host": self._host, **self._location.entry.request_fields, **fields}
        if credentials is not None and credentials is not ANONYMOUS:
            scope = SigningScope.of(credentials, region, time.time())
            headers = sign(scope, operation.method, path, headers, query)
        timeout = timeout_of(seconds)
        url = URL(f"{self._base}{path}?{query}" if query else self._base + path, encoded=True)
        async with self._session.request(
            operation.method, url, headers=headers, allow_redirects=False, timeout=timeout
        ) as response:
            body = await response.read()
        shown = {name.decode().lower(): value.decode() for name, value in response.raw_headers}
        self.date = shown.get("date", "")
        return Answer(response.status, shown, body.strip(), region)  # blanks may come before <?xml

    def _is_elsewhere(self, answer: Answer) -> bool:
        """Whether the bucket is in another region, by S3's response; later requests go there."""
        region = answer.fields.get("x-amz-bucket-region")
        if answer.status not in _ELSEWHERE or region in {None, answer.region}:
            return False
        if region != self._signer.region:  # not yet by the response to another request
            self._aim(self._location.entry.model_copy(update={"region": region}))
        return True

    def _unreachable(self, error: Exception) -> BotoCoreError:
        """The SDK's exception for a request without a response."""
        kind = ConnectionClosedError
        if isinstance(error, aiohttp.ClientSSLError):
            kind = SSLError
        elif isinstance(error, TimeoutError):
            kind = ReadTimeoutError
        elif isinstance(error, aiohttp.ClientConnectorError):
            kind = EndpointConnectionError
        return kind(endpoint_url=self._base, error=error)


def _may_pass(answer: Answer) -> bool:
    """Whether a retry may help after this error."""
    return answer.status in _AGAIN or _LATE in [each.get("Code") for each in answer.texts("Error")]


def _error(operation: str, answer: Answer) -> ClientError:
    """The SDK's exception for a response; without an error document, its code is the status."""
    usual = {"Code": str(answer.status), "Message": responses.get(answer.status, "")}
    error = next(iter(answer.texts("Error")), usual)
    return ClientError({"Error": error, **answer.metadata}, operation)


@asynccontextmanager
async def opened_light(
    location: BucketLocation, connections: int = 1, *, attempts: int = ATTEMPTS
) -> AsyncIterator[LightClient]:
    """Open a client for one bucket, for listings and for many requests for single objects.

    Args:
        location: The bucket.
        connections: How many requests of the SDK may be under way at once.
        attempts: How often a request is sent before its error is raised.

    Raises:
        ProxyError: The certificate authorities cannot be read.
    """
    async with client_session(grows=True) as session:
        sdk = partial(opened, location, connections, attempts=attempts)
        client = LightClient(location, session, sdk, attempts)
        try:
            yield client
        finally:
            await client.close()
