"""Signs GET and HEAD requests to S3 (AWS Signature Version 4).

In: method, host and encoded path of a request, and where credentials come from. Out: the
headers, or the query of a URL, that make S3 accept it. Refuses to know what a query asks,
request bodies and answers.

Our own signer, because botocore's costs a request object, two header maps and a debug log a
call; a property test holds it to botocore's output, byte for byte.

Source of the rules: AWS, "Signature Version 4 signing process" and, for S3, "Authenticating
Requests: Using the Authorization Header" and "... Using Query Parameters". S3 signs the path
exactly as it is on the wire.
"""

from __future__ import annotations

import hmac
import time
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, NamedTuple
from urllib.parse import quote

from nearbucket.config.buckets import KeyFiles
from nearbucket.s3.credentials import ANONYMOUS, Credentials, FileCredentials, SdkCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EMPTY_PAYLOAD = sha256(b"").hexdigest()
"""Hash of no body. Not UNSIGNED-PAYLOAD: this costs nothing for a constant, holds over plain
http too, nobody on the way can add a body, and it is what botocore sends."""


_UNSIGNED = "UNSIGNED-PAYLOAD"
"""What stands for the hash in a URL: whoever signs it does not know the payload."""


class _Scope(NamedTuple):
    """When, where and with what key a signature is made."""

    stamp: str
    name: str
    key: bytes


def _scope(credentials: Credentials, region: str, when: float) -> _Scope:
    stamp = _stamp(int(when))
    day = stamp[:8]
    key = _signing_key(credentials.secret_key, day, region)
    return _Scope(stamp, f"{day}/{region}/s3/aws4_request", key)


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    """The key of one day and region: four HMACs, made once instead of once a request."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _signature(scope: _Scope, *request: str) -> str:
    """Signature of a canonical request: method, path, query, headers, their names, payload."""
    digest = sha256("\n".join(request).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{scope.stamp}\n{scope.name}\n{digest}"
    return hmac.digest(scope.key, text.encode(), "sha256").hex()


def sign(  # noqa: PLR0913 - each is one input of the published algorithm
    method: str,
    path: str,
    headers: Mapping[str, str],
    *,
    region: str,
    credentials: Credentials,
    when: float,
    query: str = "",
) -> dict[str, str]:
    """Sign one request without body.

    Args:
        method: ``GET`` or ``HEAD``.
        path: Path as it goes out, encoded already; nothing in it is normalised.
        headers: Lower-case name to value of every header to sign; ``host`` must be one.
        region: Region of the bucket.
        credentials: Who signs.
        when: Time of the request, in seconds since the epoch.
        query: Canonical query string: encoded, sorted.

    Returns:
        ``headers`` and those that signing adds, ``authorization`` among them, to be sent
        as they are.
    """
    scope = _scope(credentials, region, when)
    sent = {**headers, "x-amz-content-sha256": EMPTY_PAYLOAD, "x-amz-date": scope.stamp}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    names = sorted(sent)
    signed = ";".join(names)
    lines = "".join([f"{name}:{' '.join(sent[name].split())}\n" for name in names])
    signature = _signature(scope, method, path, query, lines, signed, EMPTY_PAYLOAD)
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope.name}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return sent


def presign(  # noqa: PLR0913 - as sign
    method: str,
    path: str,
    host: str,
    *,
    region: str,
    credentials: Credentials,
    when: float,
    expires: int,
) -> str:
    """The query that signs a URL: whoever has it may send that one request until it expires.

    Only Host is signed, so the holder may ask for parts and set conditions.

    Args:
        method: ``GET`` or ``HEAD``; the other one is refused.
        path: As for ``sign``.
        host: Host header as it will be sent: the port only where it is not the scheme's own.
        region: Region of the bucket.
        credentials: Who signs.
        when: From when on it holds, in seconds since the epoch.
        expires: How long it holds in seconds, up to 604,800 (seven days).

    Returns:
        A query without ``?``, its signature last.
    """
    scope = _scope(credentials, region, when)
    start = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Credential={_quoted(f'{credentials.access_key}/{scope.name}')}"
        f"&X-Amz-Date={scope.stamp}&X-Amz-Expires={expires}"
    )
    token = f"&X-Amz-Security-Token={_quoted(credentials.token)}" if credentials.token else ""
    names = "&X-Amz-SignedHeaders=host"
    # sorted by name for the signature; sent in the order of botocore and of AWS's examples
    query = f"{start}{token}{names}"
    signature = _signature(scope, method, path, query, f"host:{host}\n", "host", _UNSIGNED)
    return f"{start}{names}{token}&X-Amz-Signature={signature}"


def canonical(query: Sequence[tuple[str, str]]) -> str:
    """A query as SigV4 signs it and as it goes out: encoded, then sorted."""
    pairs = [(quote(name, safe=""), quote(value, safe="")) for name, value in query]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


@lru_cache(maxsize=64)
def _quoted(value: str) -> str:
    """For a query; remembered, because quoting a session token costs more than signing."""
    return quote(value, safe="-_.~")


class Signer:
    """Makes the headers, and the queries of signed URLs, with which one bucket is asked."""

    def __init__(
        self,
        credentials: Literal["ambient", "anonymous"] | KeyFiles,
        region: str,
        *,
        expected_owner: str | None = None,
        ambient: SdkCredentials | None = None,
        also: Mapping[str, str] | None = None,
    ) -> None:
        """Bind credentials to a bucket.

        Args:
            credentials: As configured for the bucket.
            region: Region of the bucket.
            expected_owner: Account id that must own the bucket, checked by S3.
            ambient: The chain, when buckets share one; by default one of its own.
            also: Further ``x-amz-*`` fields of every request.
        """
        self._source: SdkCredentials | FileCredentials | None = None
        if isinstance(credentials, KeyFiles):
            self._source = FileCredentials(credentials)
        elif credentials == "ambient":
            self._source = ambient or SdkCredentials()
        self._region = region
        owner = {"x-amz-expected-bucket-owner": expected_owner} if expected_owner else {}
        self._extra = {**(also or {}), **owner}

    async def credentials(self) -> Credentials | None:
        """Who signs now; None where nothing is signed.

        Raises:
            OriginError: As ``headers``.
        """
        return None if self._source is None else await self._source.get()

    async def headers(
        self, method: str, host: str, target: str, *, when: float | None = None
    ) -> dict[str, str]:
        """Headers that make S3 accept a request: a new mapping, names in lower case.

        What the client asked (Range, If-*) is not signed: S3 wants only host and x-amz-*
        signed, and what may differ between two attempts then costs nothing.

        Args:
            method: ``GET`` or ``HEAD``.
            host: Host as in the URL, with the port where it is not the scheme's own.
            target: Encoded path, and a canonical query behind ``?`` where there is one.
            when: Seconds since the epoch; now by default.

        Raises:
            OriginError: No credentials (502), or no fresh ones (503); the detail names the fix.
        """
        credentials = await self.credentials() or ANONYMOUS
        return self.headers_by(credentials, method, host, target, when=when)

    def current(self) -> Credentials | None:
        """Who signs now, without waiting; None when ``headers`` has to be waited for.

        ``ANONYMOUS`` where nothing is signed.
        """
        return ANONYMOUS if self._source is None else self._source.current()

    def headers_by(
        self, credentials: Credentials, method: str, host: str, target: str, *,
        when: float | None = None,
    ) -> dict[str, str]:  # fmt: skip
        """The headers of ``headers``, by these credentials."""
        headers = {"host": host, **self._extra}
        if credentials is ANONYMOUS:
            return headers
        path, _, query = target.partition("?")
        return sign(
            method,
            path,
            headers,
            query=query,
            region=self._region,
            credentials=credentials,
            when=time.time() if when is None else when,
        )

    def query_by(  # noqa: PLR0913 - as presign, but for the region
        self, credentials: Credentials, method: str, host: str, path: str, *,
        expires: int, when: float,
    ) -> str:  # fmt: skip
        """The query that signs a URL of the bucket by these credentials: see ``presign``."""
        return presign(
            method,
            path,
            host,
            region=self._region,
            credentials=credentials,
            when=when,
            expires=expires,
        )
