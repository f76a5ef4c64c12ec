"""The control plane of a bucket: who lists, describes and copies, and what S3's errors mean.

In: a bucket entry. Out: an aiobotocore client, and errors in words that name the fix. Refuses
to know what is asked, and the data path: clients get objects through ``origin/client.py``.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore import UNSIGNED
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's own, of whoever was not reached
    HTTPClientError,
    NoCredentialsError,
    SSLError,
)

from nearbucket import __version__
from nearbucket.errors import ConfigError, OriginError, ProxyError
from nearbucket.s3.error_codes import ErrorKind, kind_of_code
from nearbucket.s3.sigv4 import Signer
from nearbucket.s3.tls_trust import REMEDY, authorities

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nearbucket.s3.bucket_location import BucketLocation

_CONNECT_SECONDS = 10
_READ_SECONDS = 900
"""A copy of 5 GiB within S3 takes minutes, and S3 answers when it is done (API reference,
"CopyObject": the connection is kept alive meanwhile)."""

ATTEMPTS = 8
"""Backs off for up to 127 s in total. The SDK's ``legacy`` mode and not ``standard``: that one
stops trying at all when many requests at once are told to slow down (its retry quota)."""

_SERVER_ERROR = 500


@asynccontextmanager
async def opened(
    location: BucketLocation, connections: int = 1, *, attempts: int = ATTEMPTS
) -> AsyncIterator[Any]:
    """An aiobotocore client for one bucket.

    Args:
        location: The bucket.
        connections: How many requests may be under way at once.
        attempts: How often a request is made before its error counts.

    Raises:
        ProxyError: Its credentials cannot be had, or there is nobody to trust.
    """
    entry = location.entry
    style = {None: "auto", True: "path", False: "virtual"}[entry.path_style]
    if entry.path_style is None and entry.endpoint is not None:
        style = "path"
    settings = AioConfig(
        connect_timeout=_CONNECT_SECONDS,
        read_timeout=_READ_SECONDS,
        max_pool_connections=connections,
        retries={"mode": "legacy", "total_max_attempts": attempts},
        # us-east-1 as any other region, and no checksums of an SDK's choosing on the copies
        s3={"addressing_style": style, "us_east_1_regional_endpoint": "regional"},
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra=f"nearbucket/{__version__}",
        signature_version=UNSIGNED if location.credentials == "anonymous" else "s3v4",
    )
    keys = await _keys(location)
    async with _session().create_client(
        "s3",
        region_name=entry.region,
        endpoint_url=entry.endpoint,
        config=settings,
        verify=authorities(),
        **keys,
    ) as client:
        yield client


@cache
def _session() -> Any:
    """One for all clients: it holds the parsed description of the API, half a second's work."""
    return get_session()


async def _keys(location: BucketLocation) -> dict[str, str]:
    """Static keys of files; the SDK's own chain finds all others."""
    if isinstance(location.credentials, str):
        return {}
    try:
        known = await Signer(location.credentials, location.entry.region).credentials()
    except OriginError as error:
        detail = error.detail.removeprefix("origin.")
        raise ConfigError(f"{location.name}.{detail}") from None
    if known is None:
        return {}
    return {"aws_access_key_id": known.access_key, "aws_secret_access_key": known.secret_key}


FAULTS = (BotoCoreError, ClientError)
"""What an aiobotocore client raises."""


def code_of(error: Exception) -> str:
    """S3's code of an error, or the kind of failure where S3 gave no answer."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "unknown"))
    return type(error).__name__


def kind_of(error: Exception) -> ErrorKind | None:
    """What S3's code of an error means; None where there is none, or it is not in the table."""
    is_bucket = isinstance(error, ClientError) and error.operation_name == "HeadBucket"
    code = code_of(error)
    return kind_of_code("NoSuchBucket" if is_bucket and code == "404" else code)


def meaning(error: Exception) -> str:
    """What an error means, and what helps."""
    if isinstance(error, ClientError):
        said = error.response.get("Error", {}).get("Message", "")
        return f"{code_of(error)}: {kind_of(error) or said or 'no reason given'}"
    if isinstance(error, NoCredentialsError):
        return "no AWS credentials found; give this process a role, keys, or credentials: files"
    if isinstance(error, SSLError):
        return f"{error}; {REMEDY}"
    return str(error)


def as_ours(error: Exception, location: BucketLocation) -> ProxyError:
    """An error about a whole bucket: the operator's to mend, or S3's."""
    text = f"{location.name}: bucket {location}: {meaning(error)}"
    if isinstance(error, SSLError):
        return OriginError(503, text)
    if isinstance(error, HTTPClientError | ConnectionError):
        return OriginError(503, f"{text}; is the endpoint right, and reachable from here?")
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return OriginError(503, text) if status >= _SERVER_ERROR else ConfigError(text)
    return ConfigError(text)
