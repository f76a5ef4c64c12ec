"""A configuration in S3: ``serve --config s3://bucket/key``.

An upload is then a reload, and the kill switch. What is asked is ``GetObject`` alone, so the right
``s3:GetObject`` is enough.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aiohttp
from botocore.exceptions import ClientError

from nearbucket.config.buckets import S3_SCHEME
from nearbucket.config.file import ConfigObject
from nearbucket.errors import ConfigError, OriginError
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.ambient_bucket import ambient_bucket, ambient_error
from nearbucket.s3.sdk.sdk_client import FAULTS, code_of, kind_of, opened

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.s3.bucket_location import BucketLocation

_ATTEMPTS = 3
_PATIENCE = 20.0
"""Seconds for all attempts: a start that hangs would look like a server that works."""

_MOST = 4 << 20
"""Bytes of a configuration. 28 regions for two hosts take 4 KB."""

_NOT_MODIFIED = 304

_CURES: dict[ErrorKind | None, str] = {
    # S3's answer for a missing object too, without the right to list the bucket
    ErrorKind.NOT_ALLOWED: "not allowed, or missing; this process needs s3:GetObject on it",
    ErrorKind.NO_OBJECT: "there is no such object; upload it, or correct the URL",
}


async def fetch(url: str) -> ConfigObject:
    """Read a configuration.

    Args:
        url: ``s3://bucket/key``.

    Raises:
        ConfigError: It is no such URL, or the object is missing, cannot be read or is too large.
        OriginError: S3 cannot be reached, or it has an error of its own.
    """
    return await _ask(url)


async def fetch_changed(known: ConfigObject) -> ConfigObject | None:
    """Read a configuration again, if the object has another ETag than the known one.

    Raises:
        ProxyError: As ``fetch``.
    """
    try:
        return await _ask(known.name, IfNoneMatch=known.etag)
    except _NotModifiedError:
        return None


class _NotModifiedError(Exception):
    """S3 says that the object has the known ETag."""


async def _ask(url: str, **condition: str) -> ConfigObject:
    bucket, _, key = url.removeprefix(S3_SCHEME).partition("/")
    if not bucket or not key or key.endswith("/"):
        raise ConfigError(f"{url}: is not the URL of an object; write s3://BUCKET/KEY")
    location = ambient_bucket(bucket)
    try:
        async with asyncio.timeout(_PATIENCE), opened(location, attempts=_ATTEMPTS) as client:
            return await _get(client, location, key, condition)
    except TimeoutError:
        raise OriginError(
            503, f"{url}: no answer within {_PATIENCE:.0f} s; is S3 reachable from here?"
        ) from None
    except FAULTS as error:
        if (cure := _CURES.get(kind_of(error))) is not None:
            raise ConfigError(f"{url}: {code_of(error)}: {cure}") from None
        raise ambient_error(error, location, url) from None
    except (aiohttp.ClientError, LookupError, ValueError) as error:  # what the SDK lets through
        raise OriginError(503, f"{url}: no usable answer: {error!r}") from None


async def _get(
    client: Any, location: BucketLocation, key: str, condition: Mapping[str, str]
) -> ConfigObject:
    try:
        found = await client.get_object(**location.arguments(key), **condition)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == _NOT_MODIFIED:
            raise _NotModifiedError from None
        raise
    name = f"{location.name}/{key}"
    async with found["Body"] as body:
        if found["ContentLength"] > _MOST:
            raise ConfigError(f"{name}: is larger than {_MOST >> 20} MiB, so no configuration")
        return ConfigObject(name, await body.read(), found["ETag"])
