"""Opens objects of one bucket through aiohttp, and turns S3's errors into the client's.

The AWS SDK is not used: it takes 700 us of CPU time a request, aiohttp and a signature of our own
115 (docs/design.md, "Objects are not fetched through the SDK").
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from yarl import URL

from nearbucket.errors import OriginError
from nearbucket.origin.bucket_presence import BucketPresence
from nearbucket.origin.conditional_request import read_conditions
from nearbucket.origin.error_response import DOCUMENT, DOCUMENT_TIMEOUT, UNREADABLE, ErrorResponse
from nearbucket.origin.object_response import BROKEN, ObjectResponse
from nearbucket.origin.response_headers import cors_fields
from nearbucket.policy.object_keys import MAX_KEY, encode_key
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sigv4 import Signer, canonical
from nearbucket.s3.tls_trust import complaint
from nearbucket.s3.unreadable import Unreadable, unreadable_by_head

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

    from nearbucket.config import buckets
    from nearbucket.origin.conditional_request import Conditions
    from nearbucket.origin.object_response import Again

_READABLE = frozenset({200, 206, 416})
"""Statuses of an object that can be read; the last is that of an empty one."""
_UNTOLD = frozenset({400, 403, 404})
"""Statuses of a HEAD that a GET explains."""
_SIZE = re.compile(rb"<ActualObjectSize>([0-9]+)</ActualObjectSize>")


class OriginCounters(Protocol):
    """Counts responses of S3."""

    def on_status(self, status: int) -> None:
        """Count a response by its HTTP status; 0 if there was none."""

    def on_resume(self) -> None:
        """Count a request for the rest of a body that broke off."""


class _NotCounted:
    def on_status(self, status: int) -> None:
        pass

    def on_resume(self) -> None:
        pass


class OriginClient:
    """Opens the objects of one bucket.

    Attributes:
        host: Host header of requests.
        bucket_path: Encoded path of the bucket, with a slash at its end.
        signer: Signs the requests.
        counters: Counts the responses.
        presence: Tells a missing object from a missing bucket.
    """

    def __init__(
        self,
        entry: buckets.Bucket,
        session: aiohttp.ClientSession,
        *,
        signer: Signer | None = None,
        counters: OriginCounters | None = None,
        pause: float = 0.1,
    ) -> None:
        """Bind a bucket to its session and signer.

        Args:
            entry: The bucket as configured.
            session: From ``client_session``; the caller closes it.
            signer: By default one made for ``entry``.
            counters: Counts the responses; by default, nothing does.
            pause: Seconds before a request is repeated.
        """
        base = urlsplit(entry.url())
        self._entry = entry
        self._base = f"{base.scheme}://{base.netloc}"
        self.host = URL(self._base).host_port_subcomponent or base.netloc
        self.bucket_path = f"{base.path}/"
        self._session = session
        self.signer = signer or Signer(entry.credentials, entry.region, also=entry.request_fields)
        self.counters: OriginCounters = counters or _NotCounted()
        self._pause = pause
        self.presence = BucketPresence(self._bucket_error)

    async def open(  # noqa: PLR0913  # each is a part of a client's request, but for again
        self,
        method: str,
        key: str,
        conditions: Mapping[str, str],
        *,
        query: Sequence[tuple[str, str]] = (),
        cors_origin: str | None = None,
        again: bool = True,
    ) -> ObjectResponse:
        """Request an object.

        Args:
            method: ``GET`` or ``HEAD``.
            key: Object key, decoded, without the bucket's prefix.
            conditions: The client's Range, If-Match, If-None-Match, If-Modified-Since,
                If-Unmodified-Since and If-Range, as sent.
            query: Arguments that ``origin.query`` allows, decoded. No others may reach S3, which
                takes some for commands.
            cors_origin: The client's Origin field, for the bucket's CORS rules.
            again: Whether a failure that may be temporary is tried once more.

        Returns:
            200, 206, 304, 403, 404, 412 or 416. The caller closes it.

        Raises:
            OriginError: S3 refused the request, failed, or could not be reached.
        """
        path = self.path_of(key)
        if path is None:
            return ObjectResponse(404)
        if query:
            path += f"?{canonical(query)}"
        prepared = read_conditions(method, conditions)
        cors = {} if cors_origin is None else {"origin": cors_origin}
        response = await self._send_twice(method, path, prepared.headers | cors, again=again)
        try:
            modified = response.headers.get("Last-Modified", "")
            if prepared.whole is not None and not prepared.if_range_holds(
                response.status, modified
            ):
                await _error_document(response)
                response = await self._send_twice(method, path, prepared.whole | cors)
            return await self._object_response(method, path, prepared, response)
        except BaseException:
            response.release()
            raise

    def path_of(self, key: str) -> str | None:
        """Encoded path of an object; None if no object can have the key."""
        full = self._entry.prefix + key
        if not full or len(full.encode()) > MAX_KEY:
            return None  # a GET of the empty key would list the bucket
        return self.bucket_path + encode_key(full)

    async def head(self, path: str) -> aiohttp.ClientResponse:
        """S3's response to one HEAD, with any status; the caller releases it.

        Raises:
            OriginError: There was no response.
        """
        return await self._send("HEAD", path, {})

    async def error_of(self, path: str) -> ErrorResponse | None:
        """S3's error for a GET of an object's first byte; None if there is none.

        A HEAD is answered 403 for a missing key that may not be listed, and also if S3 refuses the
        keys or the whole bucket; only the response to a GET has a code that tells which.

        Raises:
            OriginError: There was no response.
        """
        response = await self._send("GET", path, {"range": "bytes=0-0"})
        if response.status in _READABLE:
            response.close()  # a server that ignores Range sends the whole object
            return None
        return ErrorResponse(response.status, response.headers, await _error_document(response))

    async def tagging(self, path: str) -> tuple[int, bytes]:
        """Status and document of S3's response to one GetObjectTagging.

        Raises:
            OriginError: There was no response, or it broke off.
        """
        response = await self._send("GET", f"{path}?tagging=", {})
        try:
            return response.status, await response.read()
        except BROKEN as error:
            raise _UnreachableError(502, f"{self._base} {complaint(error)}") from error
        finally:
            response.release()

    async def preflight(self, key: str, fields: Mapping[str, str]) -> ObjectResponse:
        """Send a browser's CORS preflight to S3.

        Args:
            key: Object key, decoded, without the bucket's prefix.
            fields: The client's Origin and Access-Control-Request-* fields.

        Returns:
            200 with the Access-Control-* fields of the bucket's CORS rules, or 403.

        Raises:
            OriginError: S3 could not be reached.
        """
        path = self.bucket_path + encode_key(self._entry.prefix + key)
        response = await self._request("OPTIONS", path, {"host": self.host, **fields})
        await _error_document(response)
        if response.status != 200:  # noqa: PLR2004  # OK
            return ObjectResponse(403)
        return ObjectResponse(200, cors_fields(response.headers))

    async def _send_twice(
        self, method: str, path: str, extra: dict[str, str], *, again: bool = True
    ) -> aiohttp.ClientResponse:
        """Send a request; if it fails and that may be temporary, once more."""
        try:
            response = await self._send(method, path, extra)
        except _UnreachableError:
            if not again:
                raise
        else:
            if response.status not in {500, 503} or not again:
                return response
            response.release()
        await asyncio.sleep(self._pause)
        return await self._send(method, path, extra)

    async def _send(self, method: str, path: str, extra: dict[str, str]) -> aiohttp.ClientResponse:
        try:
            headers = await self.signer.headers(method, self.host, path)
        except OriginError:
            self.counters.on_status(0)
            raise
        headers.update(extra)
        return await self._request(method, path, headers)

    async def _request(
        self, method: str, path: str, headers: dict[str, str]
    ) -> aiohttp.ClientResponse:
        headers["via"] = "1.1 nearbucket"
        url = URL(self._base + path, encoded=True)
        try:
            response = await self._session.request(
                method, url, headers=headers, allow_redirects=False
            )
        except TimeoutError as error:
            self.counters.on_status(0)
            raise OriginError(504, f"{self._base} did not answer in time: {error!r}") from error
        except (*BROKEN, UnicodeError) as error:  # UnicodeError: the host cannot be encoded
            self.counters.on_status(0)
            raise _UnreachableError(502, f"{self._base} {complaint(error)}") from error
        self.counters.on_status(response.status)
        return response

    async def _object_response(
        self, method: str, path: str, prepared: Conditions, response: aiohttp.ClientResponse
    ) -> ObjectResponse:
        """The client's response to a response of S3."""
        status = response.status
        if status in {200, 206, 304}:
            status = prepared.verdict(response.headers.get("ETag", "")) or status
        query = path.partition("?")[2]
        match status:
            case 200:
                if method == "HEAD" and _is_archived(response.headers):
                    refused = await self.error_of(path)  # not by every server
                    if refused is not None:
                        response.release()
                        return self.response_to(refused, query)
                return ObjectResponse.with_object(
                    response, self.resumer(path), has_body=method != "HEAD"
                )
            case 206 if "range" in prepared.headers:
                return ObjectResponse.with_object(response, self.resumer(path), has_body=True)
            case 304:
                return ObjectResponse.unchanged(response)
            case 412:
                await _error_document(response)
                return ObjectResponse(412, cors_fields(response.headers))
            case _ if method == "HEAD" and status in _UNTOLD:
                response.release()
                return await self._response_to_head(path, query, response)
            case _:
                error = ErrorResponse(status, response.headers, await _error_document(response))
                return self.response_to(error, query)

    async def _response_to_head(
        self, path: str, query: str, response: aiohttp.ClientResponse
    ) -> ObjectResponse:
        """The client's response to a HEAD of which the status alone does not tell the cause."""
        if response.status == 404:  # noqa: PLR2004  # Not Found
            await self.presence.require(path)
            return ObjectResponse(404, cors_fields(response.headers))
        told = await self.error_of(path)
        if told is None:
            raise OriginError(502, f"S3 answered {response.status} to a HEAD, and GET can read it")
        return self.response_to(told, query)

    async def _bucket_error(self, path: str) -> OriginError | None:
        """The error of a GET in a bucket that does not exist; None if it exists.

        Raises:
            OriginError: The response does not tell, or there was none.
        """
        error = await self.error_of(path)
        try:
            if error is not None:
                self.response_to(error, path.partition("?")[2])
        except OriginError as failure:
            if error is not None and error.kind is ErrorKind.NO_BUCKET:
                return failure
            raise
        return None

    def resumer(self, path: str) -> Again:
        """The function that requests the rest of this object's body."""
        return partial(self._rest, path)

    async def _rest(self, path: str, attempt: int, extra: dict[str, str]) -> aiohttp.ClientResponse:
        """Request the rest of a body: at once, and after 0.1, 0.2, 0.4, 0.8, 1, 1 and 1 s."""
        if attempt > 1:
            await asyncio.sleep(self._pause * min(2 ** (attempt - 2), 10))
        self.counters.on_resume()
        return await self._send("GET", path, extra)

    def response_to(self, error: ErrorResponse, query: str = "") -> ObjectResponse:
        """The client's 403, 404 or 416 for an error of S3; 403 if no request can read the object.

        Raises:
            OriginError: The error is none of the client's; 502, or 503 if S3 is busy.
        """
        headers = error.headers
        if error.status == 416:  # noqa: PLR2004  # Range Not Satisfiable
            size = _SIZE.search(error.document)
            known = f"bytes */{size[1].decode()}" if size else ""
            span = headers.get("Content-Range", known)
            fields = [("Content-Range", span)] if span else []
            return ObjectResponse(416, [*fields, *cors_fields(headers)])
        if _is_missing(error, query):
            return ObjectResponse(404, cors_fields(headers))
        if error.kind in UNREADABLE:
            return ObjectResponse(403, cors_fields(headers))
        status = 503 if error.status in {429, 503} or error.kind is ErrorKind.BUSY else 502
        region = headers.get("x-amz-bucket-region")
        elsewhere = region and region != self._entry.region
        raise OriginError(
            status,
            f"S3 answered {error.status} {error.code or '(no code)'} for bucket "
            f"{self._entry.bucket} in {self._entry.region}"
            f"{f'; it is in {region}' if elsewhere else ''}",
        )


def _is_archived(fields: Mapping[str, str]) -> bool:
    """Whether a GET would be answered 403 InvalidObjectState, though the HEAD was answered 200."""
    return unreadable_by_head(fields, lasting=0.0) is Unreadable.ARCHIVED


def _is_missing(error: ErrorResponse, query: str) -> bool:
    """Whether the error means that there is no such object."""
    match error.status:
        case 404:
            return error.kind is not ErrorKind.NO_BUCKET
        case 403:
            # S3's response for a missing key if the bucket may not be listed (GetObject, "403")
            return error.kind is ErrorKind.NOT_ALLOWED
        case 405:  # versionId names a delete marker (S3 user guide, "Delete markers")
            return "x-amz-delete-marker" in error.headers
        case 400:  # no such version, or no such argument
            return bool(query) and error.kind not in UNREADABLE
        case _:
            return False


class _UnreachableError(OriginError):
    """No connection, or one that broke before a response: worth another attempt."""


async def _error_document(response: aiohttp.ClientResponse) -> bytes:
    """The start of an error's XML, which has its code; never passed on.

    A short one is read to its end, so that the connection can be used again.
    """
    document = b""
    try:
        async with asyncio.timeout(DOCUMENT_TIMEOUT):
            while len(document) < DOCUMENT:
                piece = await response.content.read(DOCUMENT - len(document))
                if not piece:
                    break
                document += piece
    except BROKEN:
        pass
    finally:
        response.release()
    return document
