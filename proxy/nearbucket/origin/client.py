"""Opens objects of one bucket: asks S3, judges what it says, and hands out the answer.

In: method, object key and the client's conditions. Out: an ``ObjectResponse`` that a client may
see, or an ``OriginError`` that says what the client is told and, for the log alone, why. Refuses to
know clients, redirects and other buckets.

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
from nearbucket.origin.conditional_request import read_conditions
from nearbucket.origin.error_response import DOCUMENT, DOCUMENT_TIMEOUT, ErrorResponse
from nearbucket.origin.object_response import BROKEN, ObjectResponse
from nearbucket.origin.response_headers import cors_fields
from nearbucket.policy.object_keys import MAX_KEY, encode_key
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sigv4 import Signer, canonical
from nearbucket.s3.tls_trust import complaint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

    from nearbucket.config import buckets
    from nearbucket.origin.conditional_request import Conditions
    from nearbucket.origin.object_response import Again

_SIZE = re.compile(rb"<ActualObjectSize>([0-9]+)</ActualObjectSize>")


class OriginCounters(Protocol):
    """Who counts what happens on the way to S3."""

    def on_status(self, status: int) -> None:
        """S3 answered with this HTTP status."""

    def on_resume(self) -> None:
        """S3 dropped a body, and the rest of it was asked for."""


class OriginClient:
    """One bucket, from which objects are opened; ``bucket_path`` is its own encoded path."""

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
            entry: Where the bucket is, and how it is opened.
            session: From ``client_session``; the caller closes it.
            signer: By default one made for ``entry``.
            counters: Told of every answer and resume of S3.
            pause: Seconds before a request is repeated.
        """
        base = urlsplit(entry.url())
        self._entry = entry
        self._base = f"{base.scheme}://{base.netloc}"
        self.host = URL(self._base).host_port_subcomponent or base.netloc
        self.bucket_path = f"{base.path}/"
        self._session = session
        self.signer = signer or Signer(
            entry.credentials, entry.region, expected_owner=entry.expected_owner
        )
        self.counters = counters
        self._pause = pause

    async def open(  # noqa: PLR0913 - each is one thing a client or the caller can ask for
        self,
        method: str,
        key: str,
        conditions: Mapping[str, str],
        *,
        query: Sequence[tuple[str, str]] = (),
        cors_origin: str | None = None,
        again: bool = True,
    ) -> ObjectResponse:
        """Ask for an object.

        Args:
            method: ``GET`` or ``HEAD``.
            key: Object key, decoded, without the bucket's prefix.
            conditions: The client's Range, If-Match, If-None-Match, If-Modified-Since,
                If-Unmodified-Since and If-Range, as sent.
            query: Arguments that the operator lets through, decoded. S3 takes a query for
                commands, so nothing else of the client's ever gets there.
            cors_origin: The client's Origin field, for the bucket's CORS rules.
            again: Whether a failure that may be one of the moment is tried once more.

        Returns:
            200, 206, 304, 404, 412 or 416. Close it.

        Raises:
            OriginError: S3 refused us, failed, or was not there.
        """
        path = self.path_of(key)
        if path is None:
            return ObjectResponse(404)
        if query:
            path += f"?{canonical(query)}"
        asked = read_conditions(method, conditions)
        cors = {} if cors_origin is None else {"origin": cors_origin}
        response = await self._ask(method, path, asked.headers | cors, again=again)
        try:
            modified = response.headers.get("Last-Modified", "")
            if asked.whole is not None and not asked.part_holds(response.status, modified):
                await _error_document(response)
                response = await self._ask(method, path, asked.whole | cors)
            return await self._object_response(method, path, asked, response)
        except BaseException:
            response.release()
            raise

    def path_of(self, key: str) -> str | None:
        """Encoded path of an object; None for a key that no object can have."""
        full = self._entry.prefix + key
        if not full or len(full.encode()) > MAX_KEY:
            return None  # the empty key would list the bucket
        return self.bucket_path + encode_key(full)

    async def head(self, path: str) -> aiohttp.ClientResponse:
        """S3's response to one HEAD, whatever it is; to be released.

        Raises:
            OriginError: There was none.
        """
        return await self._send("HEAD", path, {})

    async def preflight(self, key: str, fields: Mapping[str, str]) -> ObjectResponse:
        """Ask the bucket's CORS rules about a request that a browser would like to make.

        Args:
            key: Object key, decoded, without the bucket's prefix.
            fields: The client's Origin and Access-Control-Request-* fields.

        Returns:
            200 with the Access-Control-* fields that the rules give, or 403 without.

        Raises:
            OriginError: S3 failed, or was not there.
        """
        path = self.bucket_path + encode_key(self._entry.prefix + key)
        response = await self._request("OPTIONS", path, {"host": self.host, **fields})
        await _error_document(response)
        if response.status != 200:  # noqa: PLR2004 - OK
            return ObjectResponse(403)
        return ObjectResponse(200, cors_fields(response.headers))

    async def _ask(
        self, method: str, path: str, extra: dict[str, str], *, again: bool = True
    ) -> aiohttp.ClientResponse:
        """S3's response; a failure that may be one of the moment is tried once more."""
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
            self._count(0)
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
            self._count(0)
            raise OriginError(504, f"{self._base} did not answer in time: {error!r}") from error
        except (*BROKEN, UnicodeError) as error:  # a host of which no label can be encoded
            self._count(0)
            raise _UnreachableError(502, f"{self._base} {complaint(error)}") from error
        self._count(response.status)
        return response

    def _count(self, status: int) -> None:
        if self.counters is not None:
            self.counters.on_status(status)

    async def _object_response(
        self, method: str, path: str, asked: Conditions, response: aiohttp.ClientResponse
    ) -> ObjectResponse:
        """What a client may see of S3's response; anything else is an error of ours."""
        status = response.status
        if status in {200, 206, 304}:
            status = asked.verdict(response.headers.get("ETag", "")) or status
        match status:
            case 200:
                return ObjectResponse.whole(response, self.resumer(path), has_body=method != "HEAD")
            case 206 if "range" in asked.headers:
                return ObjectResponse.whole(response, self.resumer(path), has_body=True)
            case 304:
                return ObjectResponse.unchanged(response)
            case 412:
                await _error_document(response)
                return ObjectResponse(412, cors_fields(response.headers))
            case _:
                error = ErrorResponse(status, response.headers, await _error_document(response))
                return self.response_to(error, method, path.partition("?")[2])

    def resumer(self, path: str) -> Again:
        """How the rest of a body is asked for."""
        return partial(self._rest, path)

    async def _rest(self, path: str, attempt: int, extra: dict[str, str]) -> aiohttp.ClientResponse:
        """Ask for the rest of a body: at once, after half a second, after two and a half."""
        if attempt > 1:
            await asyncio.sleep(self._pause * 5 ** (attempt - 1))
        if self.counters is not None:
            self.counters.on_resume()
        return await self._send("GET", path, extra)

    def response_to(
        self, error: ErrorResponse, method: str = "GET", query: str = ""
    ) -> ObjectResponse:
        """A 404 or 416 that is the client's; raises the ``OriginError`` that is not."""
        (status, headers, document), kind = error, error.kind
        if status == 416:  # noqa: PLR2004 - Range Not Satisfiable
            size = _SIZE.search(document)
            known = f"bytes */{size[1].decode()}" if size else ""
            span = headers.get("Content-Range", known)
            fields = [("Content-Range", span)] if span else []
            return ObjectResponse(416, [*fields, *cors_fields(headers)])
        if status == 404 and kind is not ErrorKind.NO_BUCKET:  # noqa: PLR2004 - Not Found
            return ObjectResponse(404, cors_fields(headers))
        if status == 400 and query:  # noqa: PLR2004 - Bad Request
            return ObjectResponse(404, cors_fields(headers))  # no such version, or no such argument
        if status == 405 and "x-amz-delete-marker" in headers:  # noqa: PLR2004
            # versionId names a delete marker: no object (S3 user guide, "Delete markers")
            return ObjectResponse(404, cors_fields(headers))
        if status == 403 and (kind is ErrorKind.NOT_ALLOWED or method == "HEAD"):  # noqa: PLR2004
            # what S3 says of a missing key to those who may not list (GetObject, "403"), and
            # HEAD has no body to tell it from others
            return ObjectResponse(404, cors_fields(headers))
        told = 503 if status in {429, 503} or kind is ErrorKind.BUSY else 502
        region = headers.get("x-amz-bucket-region")
        elsewhere = region and region != self._entry.region
        raise OriginError(
            told,
            f"S3 answered {status} {error.code or '(no code)'} for bucket {self._entry.bucket} in "
            f"{self._entry.region}{f'; it is in {region}' if elsewhere else ''}",
        )


class _UnreachableError(OriginError):
    """No connection, or one that broke before an answer: worth one more try."""


async def _error_document(response: aiohttp.ClientResponse) -> bytes:
    """The start of an error's XML, which holds its code; never passed on.

    Read to its end, so that the connection can be used again.
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
