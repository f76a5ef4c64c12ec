"""The AWS SDK's client for one bucket, and its errors in words that name the fix.

For commands and other control requests. Clients get their objects through ``origin/client.py``.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import cache, lru_cache, partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore import UNSIGNED
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004  # botocore's own
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ProfileNotFound,
    SSLError,
)

from nearbucket import __version__
from nearbucket.errors import ConfigError, OriginError, ProxyError
from nearbucket.s3.credentials import GIVE_KEYS, OR_CONFIGURE, chain_files
from nearbucket.s3.error_codes import ErrorKind, kind_of_error
from nearbucket.s3.listing.list_page import parse_page
from nearbucket.s3.sigv4 import PAYER, Signer
from nearbucket.s3.tls_trust import REMEDY, authorities, complaint, trusted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from ssl import SSLContext

    from nearbucket.s3.bucket_location import BucketLocation
    from nearbucket.s3.credentials import Credentials

_CONNECT_SECONDS = 10
READ_SECONDS = 60.0
"""The SDK's default. While S3 completes an upload in parts, it sends blanks (API reference,
"CompleteMultipartUpload")."""

_COPIED = 6_000_000
"""Bytes that S3 copies in a second at least; it answers when the copy is done."""

ATTEMPTS = 8
"""With pauses of up to 127 s in total. The SDK's mode is ``legacy``, because ``standard`` has a
retry quota and gives up when many requests at once are told to slow down."""

PAGE = "ListPage"
"""Key of the ``ListPage`` in a client's response to ListObjectsV2, without the SDK's members."""

_OK, _SERVER_ERROR, _NO_KEYS = 200, 500, 502


class NoMemberError(HTTPClientError):  # type: ignore[misc]
    """A whole response with a good status that lacks what it must have."""

    fmt = "{error}"


class NoDocumentError(NoMemberError):
    """A response with a good status and without a whole document, which may come if asked again."""


def identified(head: Mapping[str, Any]) -> Mapping[str, Any]:
    """A response to HeadObject that has ETag and date, which not every server sends.

    Raises:
        NoMemberError: One of them is missing.
    """
    for name, field in (("ETag", "ETag"), ("LastModified", "Last-Modified")):
        if name not in head:
            why = (
                f"the response to a HEAD has no {field}; update the server, or the proxy before it"
            )
            raise NoMemberError(error=why)
    return head


def _read_page(
    operation_model: Any,
    response_dict: dict[str, Any],
    customized_response_dict: dict[str, Any],
    **_event: Any,
) -> None:
    """Read a page of a listing in place of the SDK's parsers, which take eight times as long.

    Raises:
        NoDocumentError: It is no listing, or is incomplete.
    """
    if operation_model.name == "ListObjectsV2" and response_dict["status_code"] == _OK:
        try:
            customized_response_dict[PAGE] = parse_page(response_dict["body"])
        except ValueError as error:
            raise NoDocumentError(error=error) from error
        response_dict["body"] = b"<ListBucketResult/>"


def _pay(params: dict[str, Any], **_event: Any) -> None:
    """Agree to pay for a request; not every operation has an argument for it."""
    params["headers"][PAYER] = "requester"


def _stay(request_dict: dict[str, Any], response: Any, **_event: Any) -> None:
    """Keep the SDK from asking without end for the region of a bucket, as it does by HeadBucket.

    A server that redirects to another URL, such as that of HTTPS, names none.
    """
    if response is not None and "x-amz-bucket-region" not in response[0].headers:
        request_dict["context"]["s3_redirect"]["redirected"] = True


def read_seconds(copied: int = 0) -> float:
    """Seconds without a byte from S3 after which a request has failed that copies so many bytes."""
    return READ_SECONDS + copied / _COPIED


@asynccontextmanager
async def opened(
    location: BucketLocation,
    connections: int = 1,
    *,
    attempts: int = ATTEMPTS,
    seconds: float | None = None,
) -> AsyncIterator[Any]:
    """Open an aiobotocore client for one bucket.

    Args:
        location: The bucket.
        connections: How many requests may be under way at once.
        attempts: How often a request is made before its error counts.
        seconds: How long each may take to connect, and how long nothing may come of an answer.

    Raises:
        ProxyError: Its credentials or the certificate authorities cannot be read.
    """
    from aiobotocore.config import AioConfig  # noqa: PLC0415  # a third of a second, as below

    entry = location.entry
    style = {None: "auto", True: "path", False: "virtual"}[entry.path_style]
    if entry.path_style is None and entry.endpoint is not None:
        style = "path"
    settings = AioConfig(
        connect_timeout=seconds or _CONNECT_SECONDS,
        read_timeout=seconds or read_seconds(),
        max_pool_connections=connections,
        retries={"mode": "legacy", "total_max_attempts": attempts},
        # the hosts are those of the configuration, whatever a profile says (see direct_access)
        proxies={},
        ignore_configured_endpoint_urls=True,
        use_fips_endpoint=False,
        use_dualstack_endpoint=False,
        # us-east-1 like any other region, and no checksums on copies that the origin has not
        s3={
            "addressing_style": style,
            "us_east_1_regional_endpoint": "regional",
            "use_accelerate_endpoint": False,
            "use_dualstack_endpoint": False,
        },
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra=f"nearbucket/{__version__}",
        signature_version=UNSIGNED if location.credentials == "anonymous" else "s3v4",
        http_session_cls=_http_session(),
    )
    trusted()  # its errors are ours, before the SDK makes others of them
    keys = await _keys(location)
    async with _session().create_client(
        "s3",
        region_name=entry.region,
        endpoint_url=entry.endpoint,
        config=settings,
        verify=authorities(),
        **keys,
    ) as client:
        # before the SDK's handler of the same name, which looks for errors in the whole document
        client.meta.events.register_first("before-parse.s3.*", _read_page)
        client.meta.events.register("needs-retry.s3.HeadBucket", _stay)
        if entry.request_payer:
            client.meta.events.register("before-call.s3", _pay)
        yield client


@cache
def _http_session() -> type[Any]:
    """The SDK's HTTP session with our TLS context, which is made once in a process.

    Its own context reads the authorities for each client: 30 ms of CPU time. And its own session
    follows redirects, without the signature: the error would be that access is denied.
    """
    from aiobotocore.httpsession import AIOHTTPSession  # noqa: PLC0415  # as above

    class HTTPSession(AIOHTTPSession):  # type: ignore[misc]  # it has no types
        def _build_verify_context(self) -> SSLContext:
            return trusted()

        async def _get_session(self, proxy_url: str | None) -> Any:
            session = await super()._get_session(proxy_url)
            return SimpleNamespace(request=partial(session.request, allow_redirects=False))

    return HTTPSession


def _session() -> Any:
    """One for all clients while the SDK's files do not change: each reads the API's description."""
    return _session_of(chain_files())


@lru_cache(1)
def _session_of(_files: object) -> Any:
    from aiobotocore.session import get_session  # noqa: PLC0415

    return get_session()


async def sdk_credentials() -> Any:
    """The credentials that the SDK finds; one chain for all clients."""
    return await _session().get_credentials()


async def _keys(location: BucketLocation) -> dict[str, str]:
    """Static keys from files; the SDK's chain finds all others."""
    if isinstance(location.credentials, str):
        return {}
    known = await keys_of(Signer(location.credentials, location.entry.region), location)
    if known is None:
        return {}
    return {"aws_access_key_id": known.access_key, "aws_secret_access_key": known.secret_key}


async def keys_of(signer: Signer, location: BucketLocation) -> Credentials | None:
    """Credentials to sign with now; None if requests are anonymous.

    Raises:
        ConfigError: The bucket's credential files hold none.
        BotoCoreError: The SDK finds none.
    """
    try:
        return await signer.credentials()
    except OriginError as error:
        if location.credentials != "ambient":
            raise ConfigError(f"{location.name}.{error.detail}") from None
        if error.status == _NO_KEYS:
            raise NoCredentialsError from None
        raise CredentialRetrievalError(provider="AWS", error_msg=error.detail) from None


FAULTS = (BotoCoreError, ClientError)
"""What an aiobotocore client raises."""
_OF_BUCKETS = {"HeadBucket", "ListObjectsV2"}
"""Operations of which a 404 without a code says that there is no bucket."""
NO_DOCUMENT = "400"
"""The code of a HEAD that is answered 400, as one of an object under a customer's key is."""


def code_of(error: Exception) -> str:
    """S3's code of an error, or the response's status; without one, the name of its class."""
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", "unknown")
        return str(error.response.get("Error", {}).get("Code") or status)
    return type(error).__name__


def kind_of(error: Exception) -> ErrorKind | None:
    """What S3's error means; None where its code is not in the table, or there is none."""
    text = (
        error.response.get("Error", {}).get("Message", "") if isinstance(error, ClientError) else ""
    )
    kind = kind_of_error(code_of(error), text)
    if kind is ErrorKind.NO_OBJECT and getattr(error, "operation_name", "") in _OF_BUCKETS:
        return ErrorKind.NO_BUCKET
    return kind


def meaning(error: Exception) -> str:
    """What an error means, and what helps, in one line."""
    if isinstance(error, ClientError):
        said = error.response.get("Error", {}).get("Message", "")
        return f"{code_of(error)}: {kind_of(error) or said or 'no reason given'}"
    if isinstance(error, NoCredentialsError):
        return f"no AWS credentials found; {GIVE_KEYS}"
    if isinstance(error, ProfileNotFound):
        return f"{error}; correct AWS_PROFILE, or add the profile with `aws configure --profile`"
    if isinstance(error, SSLError):
        return no_tls(error)
    return str(error)


def no_tls(error: SSLError) -> str:
    """The server, what is wrong with its TLS, and behind a semicolon what helps."""
    cause = error.kwargs.get("error")
    if isinstance(cause, OSError):  # one of aiohttp
        return f"{error.kwargs['endpoint_url']} {complaint(cause)}"
    return f"{error}; {REMEDY}"


async def told_by_get(client: Any, arguments: Mapping[str, Any], error: Exception) -> Exception:
    """The error that says why a HEAD failed: a 400 to it has no document, so a GET of a byte tells.

    Args:
        client: Asks for the object.
        arguments: Bucket, key and condition, as for the HEAD.
        error: What the HEAD raised; also the result if there is none that says more.
    """
    if code_of(error) != NO_DOCUMENT:
        return error
    try:
        answer = await client.get_object(Range="bytes=0-0", **arguments)
        answer["Body"].close()
    except FAULTS as found:
        error = found
    return error


def is_unreachable(error: Exception) -> bool:
    """Whether an error is that S3 gave no answer at all, or none that is whole."""
    unsafe = isinstance(error, SSLError)
    return isinstance(error, HTTPClientError | ConnectionError) and not unsafe


def as_ours(error: Exception, location: BucketLocation) -> ProxyError:
    """The error of ours for a bucket that cannot be used: ``OriginError`` if S3 is at fault."""
    text = f"{location.name}: bucket {location}: {meaning(error)}"
    if isinstance(error, NoCredentialsError):
        text += f", {OR_CONFIGURE}"
    if location.owner and kind_of(error) is ErrorKind.NOT_ALLOWED:
        text += f", and if the bucket is not of account {location.owner}, correct expected_owner"
    if isinstance(error, SSLError):
        return OriginError(503, text)
    if is_unreachable(error):
        return OriginError(503, f"{text}; is the endpoint right, and reachable from here?")
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return OriginError(503, text) if status >= _SERVER_ERROR else ConfigError(text)
    return ConfigError(text)
