"""Signs requests without a body to S3 (AWS Signature Version 4).

The rules are AWS's: "Signature Version 4 signing process" and, for S3, "Authenticating Requests:
Using the Authorization Header" and "... Using Query Parameters". S3 signs the path exactly as it is
sent. docs/design.md, "A signer of our own", says why botocore's is not used.
"""

from __future__ import annotations

import hmac
import time
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, NamedTuple, Self
from urllib.parse import quote

from nearbucket.config.buckets import KeyFiles
from nearbucket.s3.credentials import ANONYMOUS, Credentials, FileCredentials, SdkCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

EMPTY_PAYLOAD = sha256(b"").hexdigest()
"""Hash of an empty body. Botocore sends it too; UNSIGNED-PAYLOAD would let a body be added
on the way over plain HTTP."""

_UNSIGNED = "UNSIGNED-PAYLOAD"
"""Stands for the hash in a signed URL, whose payload is not known."""


class SigningScope(NamedTuple):
    """What all requests to one region are signed with in one second.

    Attributes:
        credentials: The credentials that sign.
        stamp: Time of the request, as ``x-amz-date`` has it.
        name: Day, region and service: the credential scope.
        key: Signing key of that scope.
    """

    credentials: Credentials
    stamp: str
    name: str
    key: bytes

    @classmethod
    def of(cls, credentials: Credentials, region: str, when: float) -> Self:
        """Make the scope of a bucket's region at a Unix time."""
        stamp = _stamp(int(when))
        key = _signing_key(credentials.secret_key, stamp[:8], region)
        return cls(credentials, stamp, f"{stamp[:8]}/{region}/s3/aws4_request", key)


@lru_cache(maxsize=4)
def _stamp(second: int) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))


PAYER = "x-amz-request-payer"
"""Field or argument by which the requester agrees to pay (S3 user guide, "Requester Pays")."""


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    """The key of one day and region: four HMACs, made once instead of once a request."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _signature(scope: SigningScope, *request: str) -> str:
    """Signature of a canonical request: method, path, query, headers, their names, payload."""
    digest = sha256("\n".join(request).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{scope.stamp}\n{scope.name}\n{digest}"
    return hmac.digest(scope.key, text.encode(), "sha256").hex()


def sign(
    scope: SigningScope, method: str, path: str, headers: Mapping[str, str], query: str = ""
) -> dict[str, str]:
    """Sign one request without body.

    Args:
        scope: Credentials, region and time.
        method: Such as ``GET``.
        path: Encoded path as it is sent; it is not normalised.
        headers: Lower-case name to value of every header to sign; ``host`` must be one.
        query: Canonical query string: encoded, sorted.

    Returns:
        ``headers`` and those that signing adds, ``authorization`` among them, to be sent
        as they are.
    """
    credentials = scope.credentials
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


def presign(  # noqa: PLR0913, PLR0917  # the parts of a URL
    scope: SigningScope, method: str, path: str, host: str, expires: int, payer: str = ""
) -> str:
    """Make the query of a signed URL, which allows one request to its holder until it expires.

    Only Host is signed: the holder may add Range and conditions.

    Args:
        scope: Credentials, region, and the time from which on the URL is valid.
        method: The method that the URL is valid for.
        path: Encoded path as it is sent.
        host: Host header as it will be sent: the port only where it is not the scheme's own.
        expires: Seconds for which the URL is valid, up to 604,800 (seven days).
        payer: Value of ``PAYER``, as an argument of the query.

    Returns:
        A query without ``?``, its signature last.
    """
    credentials = scope.credentials
    start = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Credential={_quoted(f'{credentials.access_key}/{scope.name}')}"
        f"&X-Amz-Date={scope.stamp}&X-Amz-Expires={expires}"
    )
    token = f"&X-Amz-Security-Token={_quoted(credentials.token)}" if credentials.token else ""
    names = "&X-Amz-SignedHeaders=host"
    # sorted by name for the signature; sent in the order of botocore and of AWS's examples
    paid = f"&{PAYER}={payer}" if payer else ""
    query = f"{start}{token}{names}{paid}"
    signature = _signature(scope, method, path, query, f"host:{host}\n", "host", _UNSIGNED)
    return f"{start}{names}{token}{paid}&X-Amz-Signature={signature}"


def canonical(query: Sequence[tuple[str, str]]) -> str:
    """A query as SigV4 signs it and as it is sent: encoded, then sorted."""
    pairs = [(quote(name, safe=""), quote(value, safe="")) for name, value in query]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


@lru_cache(maxsize=64)
def _quoted(value: str) -> str:
    """For a query; cached, because quoting a session token costs more than signing."""
    return quote(value, safe="-_.~")


class Signer:
    """Signs the requests to one bucket.

    Attributes:
        region: Region of the bucket.
        payer: Value of ``PAYER``; empty if the bucket's owner pays.
    """

    def __init__(
        self,
        credentials: Literal["ambient", "anonymous"] | KeyFiles,
        region: str,
        *,
        ambient: SdkCredentials | None = None,
        also: Mapping[str, str] | None = None,
    ) -> None:
        """Bind credentials to a bucket.

        Args:
            credentials: The setting of the bucket.
            region: Region of the bucket.
            ambient: The SDK's credential chain, when buckets share one.
            also: More ``x-amz-*`` fields of every request; of signed URLs only the one that says
                which account pays.
        """
        self._source: SdkCredentials | FileCredentials | None = None
        if isinstance(credentials, KeyFiles):
            self._source = FileCredentials(credentials)
        elif credentials == "ambient":
            self._source = ambient or SdkCredentials()
        self.region = region
        self._extra = dict(also or {})
        self.payer = self._extra.get(PAYER, "")

    async def credentials(self) -> Credentials | None:
        """Credentials to sign with now; None if requests are anonymous.

        Raises:
            OriginError: As ``headers``.
        """
        return None if self._source is None else await self._source.get()

    def current(self) -> Credentials | None:
        """Credentials to sign with now, without waiting; None if ``headers`` would have to wait.

        ``ANONYMOUS`` if requests are not signed.
        """
        return ANONYMOUS if self._source is None else self._source.current()

    async def headers(self, method: str, host: str, target: str) -> dict[str, str]:
        """Headers that make S3 accept a request: a new mapping, names in lower case.

        The client's Range and If-* fields are not signed: S3 wants only host and x-amz-* signed,
        and so one signature serves for all of them.

        Args:
            method: ``GET`` or ``HEAD``.
            host: Host as in the URL, with the port where it is not the scheme's own.
            target: Encoded path, and a canonical query behind ``?`` where there is one.

        Raises:
            OriginError: No credentials (502), or no fresh ones (503); the detail names the fix.
        """
        return self.headers_by(await self.credentials() or ANONYMOUS, method, host, target)

    def headers_by(
        self, credentials: Credentials, method: str, host: str, target: str
    ) -> dict[str, str]:
        """The same headers, signed with these credentials."""
        headers = {"host": host, **self._extra}
        if credentials is ANONYMOUS:
            return headers
        path, _, query = target.partition("?")
        scope = SigningScope.of(credentials, self.region, time.time())
        return sign(scope, method, path, headers, query)
