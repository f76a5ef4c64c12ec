"""One answer of S3, as clients may see it: status, headers, and a body that is whole or breaks.

In: aiohttp's response to our request, and a way to ask for the rest of it. Out: an
``ObjectResponse``. Refuses to know conditions, credentials and error documents.

Law of storage: the client sees all the bytes or an error, never a short body that looks
whole. When S3 drops a body, the rest of the same version is asked for and the body goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import aiohttp

from nearbucket.errors import OriginError
from nearbucket.origin.response_headers import CONTENT_RANGE, VISIBLE, VISIBLE_304, visible_fields

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from types import TracebackType

    from nearbucket.origin.response_headers import ResponseHead

    Again = Callable[[int, dict[str, str]], Awaitable[aiohttp.ClientResponse]]
    """Attempt number (from 1) and extra headers -> S3's response to the same request."""

_ATTEMPTS = 3
"""Attempts to go on with a body that gain no byte, before it is given up."""

BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
"""What a connection to S3 that fails raises."""


class ObjectResponse:
    """S3's answer to one request; use it in ``async with``, or call ``close``.

    Attributes:
        status: 200, 206, 304, 404, 412 or 416.
        headers: Name and value of every header that a client may see, Content-Length of a
            200 or 206 included.
        length: Bytes of the body that ``headers`` announce, also for HEAD; 0 for a status
            without a body.
    """

    __slots__ = (
        "_again", "_etag", "_left", "_response", "_where", "_why", "headers", "length", "status",
    )  # fmt: skip

    def __init__(self, status: int, headers: list[tuple[str, str]] | None = None) -> None:
        """Make an answer without a body."""
        self.status = status
        self.headers = headers or []
        self.length = 0
        self._left = 0
        self._response: aiohttp.ClientResponse | None = None
        self._again: Again | None = None
        self._etag = ""
        self._where = (0, 0)
        self._why = ""

    @classmethod
    def unchanged(cls, response: aiohttp.ClientResponse) -> ObjectResponse:
        """A 304 with the validators of ``response``, which is not needed any longer."""
        response.release()
        return cls(304, visible_fields(response.headers, VISIBLE_304))

    @classmethod
    def whole(
        cls, response: aiohttp.ClientResponse, again: Again, *, has_body: bool
    ) -> ObjectResponse:
        """The object or a part of it.

        Args:
            response: A 200 or 206; the answer owns it from now on.
            again: Asks for the rest, when S3 drops the body.
            has_body: False for the answer to HEAD.

        Raises:
            OriginError: The length is not announced (502): neither could the client's be.
        """
        answer = cls(response.status, visible_fields(response.headers, VISIBLE))
        length = response.content_length
        if length is None:
            raise OriginError(502, f"S3 answered {response.status} without Content-Length")
        first, total = 0, length
        if response.status == 206:  # noqa: PLR2004 - Partial Content
            found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            first, last, total = map(int, found.groups()) if found else (0, -1, 0)
            if last - first + 1 != length:
                raise OriginError(502, "S3 answered 206 without a Content-Range that fits")
        answer.length = length
        answer._response, answer._again = response, again
        answer._etag = response.headers.get("ETag", "")
        answer._left = length if has_body else 0
        answer._where = (first + length, total)
        return answer

    @classmethod
    def rest(cls, again: Again, dropped: ResponseHead, left: int) -> ObjectResponse:
        """What is left of a body that S3 dropped on another connection.

        Args:
            again: Asks for the rest.
            dropped: The head of the response that was dropped.
            left: Bytes of its body that did not come.
        """
        answer = cls(dropped.status)
        answer.length = answer._left = left
        answer._again, answer._etag = again, dropped.etag
        answer._where = (dropped.end, dropped.total)
        return answer

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces as they come, ``length`` bytes in all; nothing for HEAD.

        No more than aiohttp's read buffer is held, however slowly the pieces are taken.

        Raises:
            OriginError: S3 dropped the body and the rest cannot be had. The caller has to
                break the client's connection: what was sent is not the object.
        """
        fruitless = 0
        while self._left and self._again is not None:
            piece, trouble = b"", "it ended early"
            try:
                if self._response is not None:
                    piece = await self._response.content.readany()
            except BROKEN as error:
                trouble = repr(error)
            if not piece:
                fruitless += 1
                await self._resume(fruitless, trouble)
                continue
            if len(piece) > self._left:
                raise OriginError(502, f"S3 sent more than the {self.length} bytes announced")
            self._left -= len(piece)
            fruitless = 0
            yield piece

    def close(self) -> None:
        """Give the connection back, or close it when the body was not read to its end."""
        if self._response is not None:
            # aiohttp keeps only connections whose response was read to its end
            self._response.release()
            self._response = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def _resume(self, attempt: int, trouble: str) -> None:
        """Ask for the rest of the body; returns with it, or to be called once more."""
        if self._again is None:
            return
        if self._response is not None:
            self._response.close()
        end, total = self._where
        first = end - self._left
        broken = f"S3 dropped the body at byte {first} of {total} ({trouble})"
        etag = self._etag
        if not etag.startswith('"'):
            raise OriginError(502, f"{broken}; without a strong ETag it cannot be resumed")
        if attempt > _ATTEMPTS:
            tried = f"gave up after {_ATTEMPTS} attempts to resume{self._why}"
            raise OriginError(502, f"{broken}; {tried}")
        self._why = ""
        wanted = {"range": f"bytes={first}-{end - 1}", "if-match": etag}
        try:
            response = await self._again(attempt, wanted)
        except OriginError as error:
            self._why = f", at last because {error.detail}"
            return
        if response.status == 429 or response.status >= 500:  # noqa: PLR2004 - not now
            self._why = f", at last because S3 answered {response.status}"
            response.close()
            return
        same = response.headers.get("ETag") == etag
        span = response.headers.get("Content-Range") == f"bytes {first}-{end - 1}/{total}"
        if response.status != 206 or not same or not span:  # noqa: PLR2004 - Partial Content
            response.close()
            raise OriginError(
                502, f"{broken}; asked for the rest of {etag}, S3 answered {response.status}"
            )
        self._response = response
