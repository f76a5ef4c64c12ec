"""Signs GET and HEAD requests to S3 (AWS Signature Version 4 in the Authorization header).

In: method, host and encoded path of a request, and where credentials come from. Out: the
headers that make S3 accept it. Refuses to know queries, request bodies and answers.

Our own signer, because botocore's costs a request object, two header maps and a debug log a
call; a property test holds it to botocore's output, byte for byte.

Source of the rules: AWS, "Signature Version 4 signing process" and, for S3, "Authenticating
Requests: Using the Authorization Header". S3 signs the path exactly as it is on the wire.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import time
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

from proxy.buckets import KeyFiles
from proxy.decide.model import OriginError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

EMPTY_PAYLOAD = sha256(b"").hexdigest()
"""Hash of no body. Not UNSIGNED-PAYLOAD: this costs nothing for a constant, holds over plain
http too, nobody on the way can add a body, and it is what botocore sends."""

_HOLD = 1.0
"""Seconds for which an answer of the credential chain, good or bad, is not asked for again."""
_GOOD = 540.0
"""Seconds for which credentials serve after the chain last vouched for them, whatever a refresh
does: it hands out none with less than 10 minutes left (``_mandatory_refresh_timeout``)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who signs.

    Attributes:
        access_key: Access key id.
        secret_key: Secret access key.
        token: Session token of temporary credentials, or None.
    """

    access_key: str
    secret_key: str
    token: str | None = None


@lru_cache(maxsize=64)
def _signing_key(secret_key: str, day: str, region: str) -> bytes:
    """The key of one day and region: four HMACs, made once instead of once a request."""
    key = f"AWS4{secret_key}".encode()
    for part in (day, region, "s3", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


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
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(when))
    sent = {**headers, "x-amz-content-sha256": EMPTY_PAYLOAD, "x-amz-date": stamp}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    names = sorted(sent)
    signed = ";".join(names)
    lines = "".join([f"{name}:{' '.join(sent[name].split())}\n" for name in names])
    request = f"{method}\n{path}\n{query}\n{lines}\n{signed}\n{EMPTY_PAYLOAD}"
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = _signing_key(credentials.secret_key, stamp[:8], region)
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    sent["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={signed}, Signature={signature}"
    )
    return sent


class Ambient:
    """The AWS SDK's own credential chain, asked at most once a second and never twice at once.

    Requests do not wait for a refresh while the credentials they have are still good, so two
    hundred of them cause one, and a metadata service that is down delays none of them.
    """

    def __init__(self, load: Callable[[], Awaitable[Any]] | None = None) -> None:
        """Take the chain's first step: a coroutine that finds botocore credentials, or None."""
        self._load = load or _load_chain
        self._chain: Any = None
        self._known: Credentials | None = None
        self._trouble = (503, "AWS credentials were not asked for")
        self._asked = self._vouched = -_GOOD
        self._flight: asyncio.Task[None] | None = None

    async def get(self) -> Credentials:
        """Credentials to sign with now.

        Raises:
            OriginError: There are none (502), or they could not be renewed (503).
        """
        now = time.monotonic()
        if now - self._asked > _HOLD:
            flight = self._flight
            if flight is None:
                flight = self._flight = asyncio.create_task(self._ask())
            if now - self._vouched > _GOOD:
                # one client going away must not end the refresh for the others
                await asyncio.shield(flight)
        if self._known is None or time.monotonic() - self._vouched > _GOOD:
            raise OriginError(*self._trouble)
        return self._known

    async def _ask(self) -> None:
        try:
            self._known = await self._current()
            self._vouched = time.monotonic()
        except OriginError as error:
            self._trouble = (error.status, error.detail)
        finally:
            self._asked, self._flight = time.monotonic(), None

    async def _current(self) -> Credentials:
        try:
            self._chain = self._chain or await self._load()
            frozen = self._chain and await self._chain.get_frozen_credentials()
        except Exception as error:
            # botocore lets errors of files, HTTP, JSON and processes through as they are
            raise OriginError(503, f"AWS credentials could not be renewed: {error!r}") from error
        if not frozen:
            raise OriginError(
                502,
                "no AWS credentials found: give the task or instance a role, set "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or set origin.credentials "
                "to anonymous or to key files",
            )
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token)


async def _load_chain() -> Any:
    # in a thread: importing botocore takes a third of a second, which is long for an event loop
    return await (await asyncio.to_thread(_session)).get_credentials()


def _session() -> Any:
    from aiobotocore.session import get_session  # noqa: PLC0415 - slow, and not always needed

    return get_session()


class _Files:
    """Credentials of two files (a mounted secret), read again when either changes."""

    def __init__(self, files: KeyFiles) -> None:
        self._files = {
            "access_key_file": files.access_key_file,
            "secret_key_file": files.secret_key_file,
        }
        self._mark: object = None
        self._known = Credentials("", "")

    async def get(self) -> Credentials:
        """Credentials as the files have them now.

        Raises:
            OriginError: A file cannot be read, or holds no key (502).
        """
        mark = [self._stat(name, path) for name, path in self._files.items()]
        if mark != self._mark:
            self._known = Credentials(*(self._read(*item) for item in self._files.items()))
            # taken before reading: a file that changed meanwhile is read again next time
            self._mark = mark
        return self._known

    @staticmethod
    def _stat(name: str, path: Path) -> tuple[int, int, int]:
        try:
            found = os.stat(path)  # noqa: PTH116 - half the cost of Path.stat, twice a request
        except OSError as error:
            raise OriginError(502, f"origin.credentials.{name}: {error}") from error
        return found.st_mtime_ns, found.st_ino, found.st_size

    @staticmethod
    def _read(name: str, path: Path) -> str:
        try:
            value = path.read_text("ascii").strip()
        except (OSError, ValueError) as error:
            raise OriginError(502, f"origin.credentials.{name}: {path}: {error}") from error
        if not value or len(value.split()) > 1:
            raise OriginError(502, f"origin.credentials.{name}: {path} does not hold one key")
        return value


class Signer:
    """Makes the headers with which one bucket is asked."""

    def __init__(
        self,
        credentials: Literal["ambient", "anonymous"] | KeyFiles,
        region: str,
        *,
        expected_owner: str | None = None,
        ambient: Ambient | None = None,
    ) -> None:
        """Bind credentials to a bucket.

        Args:
            credentials: As configured for the bucket.
            region: Region of the bucket.
            expected_owner: Account id that must own the bucket, checked by S3.
            ambient: The chain, when buckets share one; by default one of its own.
        """
        self._source: Ambient | _Files | None = None
        if isinstance(credentials, KeyFiles):
            self._source = _Files(credentials)
        elif credentials == "ambient":
            self._source = ambient or Ambient()
        self._region = region
        self._extra = {"x-amz-expected-bucket-owner": expected_owner} if expected_owner else {}

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
        headers = {"host": host, **self._extra}
        credentials = await self.credentials()
        if credentials is None:
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
