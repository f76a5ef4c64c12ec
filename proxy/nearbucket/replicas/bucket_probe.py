"""HEAD requests to one bucket: which version of an object it has, and whether it can be used.

The SDK is not used: a HEAD by the session of the data path costs a tenth, and importing the SDK
would cost each worker more memory than its whole object cache (docs/design.md, "The buckets are
asked without the SDK").
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from enum import Enum
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from nearbucket.errors import OriginError
from nearbucket.origin.client import OriginClient
from nearbucket.replicas.health.canaries import Sighting
from nearbucket.replicas.object_version import ABSENT, DENIED, LOCKED, ObjectVersion
from nearbucket.s3.copy_mark import TAG, etag_in_metadata, marked_etag
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sigv4 import Signer
from nearbucket.s3.unreadable import SOON, Unreadable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp
    from multidict import CIMultiDictProxy

    from nearbucket.config.buckets import Bucket
    from nearbucket.replicas.health.canaries import Canaries
    from nearbucket.s3.credentials import SdkCredentials

HEAD_TIMEOUT = 2.0
"""Seconds that S3 may take to answer a HEAD; it takes tens of milliseconds."""

_CHECKSUMS = {"x-amz-checksum-mode": "ENABLED"}
_MARK = re.compile(rf"<Key>{TAG}</Key>\s*<Value>([^<]*)</Value>".encode())
_MOVED = frozenset({301, 302, 303, 307, 308})
_SERVER_ERROR = 500


class BucketHealth(Enum):
    """What a response says of a bucket."""

    GOOD = "good"
    FAILED = "failed"
    """No response, or an error of S3's, which may pass."""
    REFUSED = "refused"
    """S3 does not accept the credentials, or their files cannot be read."""
    WRONG = "wrong"
    """Not there, of another owner, or in another region: this does not pass by itself."""
    FORBIDDEN = "forbidden"
    """403: all access is denied, or only listing."""
    UNASKED = "unasked"
    """There are no credentials to ask with, and redirects need none."""


class ProbeResult(NamedTuple):
    """The result of one probe.

    Attributes:
        health: Whether the bucket can be used.
        text: The cause, for the log.
        changed: Keys of objects that have changed in a bucket that is the same.
        replaced: Whether the bucket may be another one than before.
    """

    health: BucketHealth
    text: str = ""
    changed: tuple[str, ...] = ()
    replaced: bool = False


_FINAL = {BucketHealth.FAILED, BucketHealth.REFUSED, BucketHealth.WRONG}
"""Results after which the probe asks for no other object."""


class BucketProbe:
    """Sends HEAD requests to one bucket.

    Attributes:
        base_url: ``Bucket.object_base_url``: its URL and prefix.
        barriers: What keeps clients from reading objects there; empty for an origin.
        signer: Signs the requests.
    """

    def __init__(  # noqa: PLR0913  # what the bucket is used for
        self,
        entry: Bucket,
        session: aiohttp.ClientSession,
        ambient: SdkCredentials,
        *,
        reads_marks: bool = False,
        needs_credentials: bool = True,
        barriers: frozenset[str] = frozenset(),
        lasting: float = SOON,
    ) -> None:
        """Prepare for requests.

        Args:
            entry: The bucket.
            session: From ``client_session``.
            ambient: The SDK's credential chain.
            reads_marks: Whether to read marks: metadata, and the tags of objects that have any.
            needs_credentials: Whether redirects depend on signed requests or URLs.
            barriers: What keeps clients from reading objects there; empty for an origin.
            lasting: Seconds for which a restored object has to stay readable.
        """
        self._needs_credentials = needs_credentials
        self._without_keys = BucketHealth.UNASKED
        if needs_credentials:  # that the AWS SDK finds none is told once, for all buckets
            chain = entry.credentials == "ambient"
            self._without_keys = BucketHealth.FAILED if chain else BucketHealth.REFUSED
        self._reads_marks = reads_marks
        self.barriers = barriers
        self._lasting = lasting
        self.signer = Signer(
            entry.credentials,
            entry.region,
            ambient=ambient,
            also=_CHECKSUMS | entry.request_fields,
        )
        self.base_url = entry.object_base_url
        self._region = entry.region
        self._named = f"bucket {entry.bucket} in {entry.region}"
        owner = entry.expected_owner
        self._denied = f", or does not belong to account {owner}" if owner else ""
        self._on_aws = entry.endpoint is None
        self._client = OriginClient(entry, session, signer=self.signer)

    async def head_object(self, key: str) -> ObjectVersion:
        """The version of an object.

        Returns:
            ``ABSENT`` for 404, ``DENIED`` for 403 AccessDenied: S3's response for a missing key
            without the right to list, and for an object that cannot be read (API reference,
            "GetObject"). ``LOCKED`` if the object is encrypted with a customer-provided key.

        Raises:
            OriginError: No response, or another status; S3 refuses the keys; or the bucket of an
                origin does not exist.
        """
        path = self._client.path_of(key)
        if path is None:
            return ABSENT
        status, fields = await self._head(path)
        if status == 404:  # noqa: PLR2004  # Not Found
            if not self.barriers:  # of a target, the copy is gone in both cases
                async with self._in_time():
                    await self._client.presence.require(path)
            return ABSENT
        if status in {400, 403}:
            return await self._refused(path, status)
        if status != 200:  # noqa: PLR2004  # OK
            raise OriginError(502, f"{self._named} answered {status} for an object")
        try:
            version = ObjectVersion.of(fields, self._lasting)
        except ValueError:
            raise OriginError(502, f"{self._named} sent no size of an object") from None
        if self._reads_marks and (etag := etag_in_metadata(fields)):
            return version.marked(etag)
        # AWS sends the number of tags only to those who may read them
        if self._reads_marks and "x-amz-tagging-count" in fields:
            return await self._marked(path, version)
        return version

    async def _refused(self, path: str, status: int) -> ObjectVersion:
        """What a HEAD with this status says of an object, by the response to a GET."""
        async with self._in_time():
            error = await self._client.error_of(path)
        if error is None:
            raise OriginError(
                502, f"{self._named} answered {status} to a HEAD of a readable object"
            )
        match error.kind:
            case ErrorKind.NOT_ALLOWED:
                return DENIED
            case ErrorKind.NO_OBJECT:
                return ABSENT
            case ErrorKind.CUSTOMER_KEY:
                return LOCKED
            case ErrorKind.ARCHIVED:  # a server that refuses the HEAD, too
                return LOCKED._replace(unreadable=str(Unreadable.ARCHIVED.value))
        why = f" {error.code}" if error.code else ""
        raise OriginError(502, f"{self._named} answered {error.status}{why} for an object")

    async def _marked(self, path: str, version: ObjectVersion) -> ObjectVersion:
        """The version with what its mark says, if it has one."""
        async with self._in_time():
            status, document = await self._client.tagging(path)
        if status >= _SERVER_ERROR or status == 429:  # noqa: PLR2004  # Too Many Requests
            raise OriginError(502, f"{self._named} answered {status} for an object's tags")
        mark = _MARK.search(document)
        etag = None if mark is None else marked_etag(mark[1].decode(errors="replace"), version.etag)
        return version if etag is None else version.marked(etag)

    async def probe(self, canaries: Canaries) -> ProbeResult:
        """Whether the bucket can be used, and is still the same.

        It takes one HEAD as long as the first of ``canaries`` is unchanged. Otherwise the others
        are asked, and then the bucket itself. A 403 alone shows little: S3 sends it if all access
        is denied, but also for a deleted object in a bucket that may not be listed.
        """
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                await self.signer.credentials()
        except (OriginError, TimeoutError) as error:
            why = str(error) or f"no credentials within {HEAD_TIMEOUT:g} s"
            return ProbeResult(self._without_keys, f"{self._named} cannot be asked: {why}")
        try:
            return await self._probe(canaries)
        except OriginError as error:
            return ProbeResult(BucketHealth.FAILED, error.detail)

    async def _probe(self, canaries: Canaries) -> ProbeResult:
        asked, seen = monotonic(), dict[str, Sighting | None]()
        readable = False
        for key in canaries.keys:
            found, seen[key] = await self._object(key)
            if found.health in _FINAL:
                return found
            readable |= found.health is BucketHealth.GOOD
            if canaries.is_same(key, seen):
                changed = canaries.changed(seen)
                canaries.confirm(key, seen, asked)
                return ProbeResult(BucketHealth.GOOD, changed=changed)
        found = await self._result(self._client.bucket_path)
        if found.health is BucketHealth.FORBIDDEN and not readable:
            found = await self._latest(canaries, seen, found)
        elif found.health is BucketHealth.FORBIDDEN:
            found = ProbeResult(BucketHealth.GOOD)
        if found.health is BucketHealth.FORBIDDEN and self._needs_credentials:
            return await self._explained(found)
        if found.health is not BucketHealth.GOOD:
            return found
        return ProbeResult(BucketHealth.GOOD, replaced=canaries.restart(seen))

    async def _explained(self, found: ProbeResult) -> ProbeResult:
        """Whether a bucket that denies access refuses the keys: a GET has a code that tells."""
        try:
            async with self._in_time():
                error = await self._client.error_of(self._client.bucket_path)
        except OriginError:
            return found
        kind = None if error is None else error.kind
        if error is None or kind is None or kind.subject != "credentials":
            return found
        return ProbeResult(BucketHealth.REFUSED, f"{self._named}: {kind.text} ({error.code})")

    async def _latest(
        self, canaries: Canaries, seen: dict[str, Sighting | None], found: ProbeResult
    ) -> ProbeResult:
        """Ask for other keys, because all canaries may have been deleted."""
        for key in canaries.latest:
            if found.health is not BucketHealth.FORBIDDEN:
                break
            found, seen[key] = await self._object(key)
        return found

    async def _object(self, key: str) -> tuple[ProbeResult, Sighting | None]:
        path = self._client.path_of(key)
        if path is None:
            return ProbeResult(BucketHealth.FORBIDDEN), None
        status, fields = await self._head(path)
        found = self._judged(path, status, fields)
        if status != 200:  # noqa: PLR2004  # OK
            return found, None
        size, etag = int(fields.get("Content-Length", "-1")), fields.get("ETag", "").strip('"')
        return found, Sighting(size, etag, fields.get("Last-Modified", ""))

    async def _result(self, path: str) -> ProbeResult:
        return self._judged(path, *await self._head(path))

    def _judged(self, path: str, status: int, fields: CIMultiDictProxy[str]) -> ProbeResult:
        region = fields.get("x-amz-bucket-region")
        if status in _MOVED or (self._on_aws and region not in {None, self._region}):
            elsewhere = f"redirects to another URL ({status}); correct its endpoint, or its region"
            text = f"{self._named} {f'is in {region}' if region else elsewhere}"
            return ProbeResult(BucketHealth.WRONG, text)
        if status == 404 and path == self._client.bucket_path:  # noqa: PLR2004
            return ProbeResult(BucketHealth.WRONG, f"there is no {self._named}")
        if status >= _SERVER_ERROR or status == 429:  # noqa: PLR2004
            return ProbeResult(BucketHealth.FAILED, f"{self._named} answered {status}")
        if status not in {200, 404}:
            text = f"{self._named} denies access ({status}){self._denied}"
            return ProbeResult(BucketHealth.FORBIDDEN, text)
        return ProbeResult(BucketHealth.GOOD)

    async def _head(self, path: str) -> tuple[int, CIMultiDictProxy[str]]:
        async with self._in_time():
            response = await self._client.head(path)
        response.release()
        return response.status, response.headers

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                yield
        except TimeoutError:
            raise OriginError(
                504, f"{self._named} did not answer within {HEAD_TIMEOUT:g} s"
            ) from None
