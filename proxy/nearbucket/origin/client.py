"""Opens objects of one bucket through aiohttp, and turns S3's errors into the client's.

The AWS SDK is not used: it takes 700 us of CPU time a request, aiohttp and a signature of our own
115 (docs/design.md, "Objects are not fetched through the SDK").
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from yarl import URL

from nearbucket.errors import OriginError
from nearbucket.origin.bucket_presence import BucketPresence
from nearbucket.origin.conditional_request import read_conditions
from nearbucket.origin.error_answer import response_to
from nearbucket.origin.error_response import DOCUMENT, DOCUMENT_TIMEOUT, ErrorResponse
from nearbucket.origin.failover.rest_of_body import RestOfBody
from nearbucket.origin.object_response import BROKEN, ObjectResponse
from nearbucket.origin.origin_counters import NotCounted
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
    from nearbucket.origin.failover.origin_breaker import OriginBreaker
    from nearbucket.origin.origin_counters import OriginCounters

_READABLE = frozenset({200, 206, 416})
"""Statuses of an object that can be read; the last is that of an empty one."""
_UNTOLD = frozenset({400, 403, 404})
"""Statuses of a HEAD that a GET explains."""


class OriginClient:
    """Opens the objects of one bucket.

    Attributes:
        host: Host header of requests.
        bucket_path: Encoded path of the bucket, with a slash at its end.
        signer: Signs the requests.
        counters: Counts the responses.
        breaker: Whether it is asked before other origins of the site; None if there are none.
        failover: Name of the bucket, if it is asked only when another origin fails; else empty.
        on_failover: Counts a request that it answers instead of another origin.
        presence: Tells a missing object from a missing bucket.
    """

    def __init__(  # noqa: PLR0913  # one origin, one call
        self,
        entry: buckets.Bucket,
        session: aiohttp.ClientSession,
        *,
        signer: Signer | None = None,
        counters: OriginCounters | None = None,
        pause: float = 0.1,
        breaker: OriginBreaker | None = None,
        failover: str = "",
        patience: float | None = None,
        fresh: aiohttp.ClientSession | None = None,
    ) -> None:
        """Bind a bucket to its session and signer.

        Args:
            entry: The bucket as configured.
            session: From ``client_session``; the caller closes it.
            signer: By default one made for ``entry``.
            counters: Counts the responses; by default, nothing does.
            pause: Seconds before a request is repeated.
            breaker: Notes its responses, where the site has other origins.
            failover: Name of the bucket, unless it is the site's first.
            patience: Seconds for a connection and the head of a response, if less than the
                session's.
            fresh: A session that keeps no connections, for what is requested again because a
                connection broke: others that were kept may have broken with it. By default
                ``session``.
        """
        base = urlsplit(entry.url())
        self._entry = entry
        self._base = f"{base.scheme}://{base.netloc}"
        self.host = URL(self._base).host_port_subcomponent or base.netloc
        self.bucket_path = f"{base.path}/"
        self._session, self._fresh = session, fresh or session
        self.signer = signer or Signer(entry.credentials, entry.region, also=entry.request_fields)
        self.counters: OriginCounters = counters or NotCounted()
        self.on_failover = self.counters.on_failover
        self._pause = pause
        self.breaker, self.failover, self.patience = breaker, failover, patience
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

    @property
    def is_down(self) -> bool:
        """Whether other origins of the site are asked before it."""
        return self.breaker is not None and self.breaker.why != ""

    def on_status(self, status: int) -> None:
        """Count a response by its status; 0 if there was none."""
        self.counters.on_status(status)
        if self.breaker is not None:
            self.breaker.on_status(status)

    def on_no_response(self, *, timed_out: bool) -> None:
        """Count a request without a response."""
        self.on_status(0)
        if timed_out and self.breaker is not None:
            self.breaker.on_timeout()

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
        asked = {"host": self.host, **fields}
        response = await self._request("OPTIONS", path, asked, self._session)
        await _error_document(response)
        if response.status != 200:  # noqa: PLR2004  # OK
            return ObjectResponse(403)
        return ObjectResponse(200, cors_fields(response.headers))

    async def _send_twice(
        self, method: str, path: str, extra: dict[str, str], *, again: bool = True
    ) -> aiohttp.ClientResponse:
        """Send a request; if it fails and that may be temporary, once more."""
        session = self._session
        try:
            response = await self._send(method, path, extra)
        except _UnreachableError:
            if not again:
                raise
            session = self._fresh
        else:
            if response.status not in {500, 503} or not again:
                return response
            response.release()
        await asyncio.sleep(self._pause)
        return await self._send(method, path, extra, session)

    async def _send(
        self,
        method: str,
        path: str,
        extra: dict[str, str],
        session: aiohttp.ClientSession | None = None,
    ) -> aiohttp.ClientResponse:
        try:
            headers = await self.signer.headers(method, self.host, path)
        except OriginError:
            self.on_no_response(timed_out=False)
            raise
        headers.update(extra)
        return await self._request(method, path, headers, session or self._session)

    async def _request(
        self, method: str, path: str, headers: dict[str, str], session: aiohttp.ClientSession
    ) -> aiohttp.ClientResponse:
        headers["via"] = "1.1 nearbucket"
        url = URL(self._base + path, encoded=True)
        try:
            async with asyncio.timeout(self.patience):
                response = await session.request(
                    method, url, headers=headers, allow_redirects=False
                )
        except TimeoutError as error:
            self.on_no_response(timed_out=True)
            raise OriginError(504, f"{self._base} did not answer in time: {error!r}") from error
        except (*BROKEN, UnicodeError) as error:  # UnicodeError: the host cannot be encoded
            self.on_no_response(timed_out=False)
            raise _UnreachableError(502, f"{self._base} {complaint(error)}") from error
        self.on_status(response.status)
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
                return self._with_object(path, response, has_body=method != "HEAD")
            case 206 if "range" in prepared.headers:
                return self._with_object(path, response, has_body=True)
            case 304 if prepared.may_be_304:
                answer = ObjectResponse.unchanged(response)
                answer.failover = self.failover
                return answer
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

    def _with_object(
        self, path: str, response: aiohttp.ClientResponse, *, has_body: bool
    ) -> ObjectResponse:
        rest = RestOfBody([(self, path)])
        answer = ObjectResponse.with_object(response, rest, has_body=has_body)
        answer.failover = self.failover
        return answer

    async def rest(self, path: str, wanted: dict[str, str]) -> aiohttp.ClientResponse:
        """S3's response to one GET for the rest of a body; the caller closes it.

        Raises:
            OriginError: There was no response.
        """
        self.counters.on_resume()
        return await self._send("GET", path, wanted, self._fresh)

    def response_to(self, error: ErrorResponse, query: str = "") -> ObjectResponse:
        """The client's 403, 404 or 416 for an error of S3; 403 if no request can read the object.

        Raises:
            OriginError: The error is none of the client's; 502, or 503 if S3 is busy.
        """
        return response_to(error, query, self._entry)


def _is_archived(fields: Mapping[str, str]) -> bool:
    """Whether a GET would be answered 403 InvalidObjectState, though the HEAD was answered 200."""
    return unreadable_by_head(fields, lasting=0.0) is Unreadable.ARCHIVED


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
