"""One response of S3 as a client may see it: status, header fields and body.

The client gets all bytes or an error, never a short body that looks complete. When S3 drops a body,
the rest of the same version is requested and the body goes on.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Self

import aiohttp

from nearbucket.errors import OriginError
from nearbucket.origin.failover.resume_budget import ATTEMPTS, ResumeBudget
from nearbucket.origin.response_headers import (
    UNTYPED,
    VISIBLE,
    VISIBLE_304,
    body_position,
    visible_fields,
)
from nearbucket.s3.receive_buffer import fix_receive_buffer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from nearbucket.origin.failover.rest_of_body import RestResponse
    from nearbucket.origin.response_headers import ResponseHead

    Again = Callable[[int, dict[str, str]], Awaitable[RestResponse]]
    """Requests the rest of a body: attempt (from 1) and extra headers -> S3's response."""

BROKEN = (aiohttp.ClientError, TimeoutError, OSError)
"""Exceptions of a connection to S3 that fails."""


class ObjectResponse:
    """S3's response to one request; use it in ``async with``, or call ``close``.

    Attributes:
        status: 200, 206, 304, 403 (archived), 404, 412 or 416.
        headers: Name and value of every header that a client may see, with the Content-Length of
            a 200 or 206.
        length: Content-Length of a 200 or 206, also for HEAD; otherwise 0.
        etag: ETag of a 200, 206 or 304; empty if there is none.
        total: Bytes of the object; None if the response does not say.
        modified: Last-Modified of a 200, 206 or 304; empty if there is none.
        failover: The failover bucket that it comes from; empty if it is the first origin's.
        again: Requests the rest if S3 drops the body.
    """

    again: Again

    def __init__(self, status: int, headers: list[tuple[str, str]] | None = None) -> None:
        """Make a response without a body."""
        self.status = status
        self.headers = headers or []
        self.length = 0
        self._left = 0
        self._response: aiohttp.ClientResponse | None = None
        self.etag = self.modified = ""
        self.total: int | None = None
        self._end = 0
        self._why = self.failover = ""

    @classmethod
    def unchanged(cls, response: aiohttp.ClientResponse) -> ObjectResponse:
        """Make a 304 with the validators of ``response``, which is released."""
        response.release()
        answer = cls(304, visible_fields(response.headers, VISIBLE_304))
        answer._take_validators(response)
        return answer

    @classmethod
    def with_object(
        cls, response: aiohttp.ClientResponse, again: Again, *, has_body: bool
    ) -> ObjectResponse:
        """Make the response with an object or a range of it.

        Args:
            response: A 200 or 206, which is released with this one.
            again: Requests the rest if S3 drops the body.
            has_body: False for the response to HEAD.

        Raises:
            OriginError: 502, because length or range are missing or do not fit.
        """
        answer = cls(response.status, visible_fields(response.headers, VISIBLE))
        if not any(name == "Content-Type" for name, _ in answer.headers):
            answer.headers.insert(0, ("Content-Type", UNTYPED))
        length = response.content_length
        if length is None:
            raise OriginError(502, f"S3 answered {response.status} without Content-Length")
        position = body_position(response.status, response.headers.get("Content-Range", ""), length)
        if position is None and length:  # no Content-Range can describe a range of no bytes
            raise OriginError(502, "S3 answered 206 without a Content-Range that fits")
        answer.length = length
        answer._response, answer.again = response, again
        answer._take_validators(response)
        answer._left = length if has_body else 0
        answer._end, answer.total = position or (0, None)
        return answer

    @classmethod
    def rest(cls, again: Again, dropped: ResponseHead, left: int) -> ObjectResponse:
        """Make the response with the rest of a body that broke off in the streaming lane.

        Args:
            again: Requests the rest.
            dropped: Head of the response that broke off.
            left: Bytes of its body that did not come.
        """
        answer = cls(dropped.status)
        answer.length = answer._left = left
        answer.again, answer.etag = again, dropped.etag
        answer._end, answer.total = dropped.end, dropped.total
        return answer

    def _take_validators(self, response: aiohttp.ClientResponse) -> None:
        self.etag = response.headers.get("ETag", "")
        self.modified = response.headers.get("Last-Modified", "")

    async def body(self) -> AsyncIterator[bytes]:
        """The body in pieces as they come, ``length`` bytes in all; nothing for HEAD.

        No more than aiohttp's read buffer is held, however slowly the pieces are taken.

        Raises:
            OriginError: S3 dropped the body and the rest cannot be had. The caller has to break
                the client's connection, which has only a part of the object.
        """
        budget: ResumeBudget | None = None
        while self._left:
            piece, problem, began = b"", "it ended early", monotonic()
            try:
                if self._response is not None:
                    piece = await self._response.content.readany()
            except BROKEN as error:
                problem = repr(error)
                if self._response is not None:
                    piece = _unread(self._response.content, error)
            if budget is not None:
                budget.waited(monotonic() - began)
            if not piece:
                budget = budget or ResumeBudget(self._left)
                await self._resume(budget, problem)
                continue
            if len(piece) > self._left:
                raise OriginError(502, f"S3 sent more than the {self.length} bytes announced")
            self._left -= len(piece)
            yield piece

    def fix_receive_buffer(self, *, fixed: bool) -> None:
        """Keep the receive buffer of the connection from growing, or let it grow again."""
        connection = None if self._response is None else self._response.connection
        if connection is not None and connection.transport is not None:
            fix_receive_buffer(connection.transport.get_extra_info("socket"), fixed=fixed)

    def close(self) -> None:
        """Return the connection to aiohttp, which closes it if the body was not read to its end."""
        if self._response is not None:
            self._response.release()
            self._response = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    async def _resume(self, budget: ResumeBudget, problem: str) -> None:
        """Request the rest of the body; returns with it, or to be called once more."""
        if self._response is not None:
            self._response.close()
        first = self._end - self._left
        broken = f"S3 dropped the body at byte {first} of {self.total} ({problem})"
        if not self.etag.startswith('"'):
            raise OriginError(502, f"{broken}; without a strong ETag it cannot be resumed")
        attempt, began = budget.next_attempt(self._left), monotonic()
        if not attempt:
            failed = f"gave up after {ATTEMPTS} attempts or a minute of little progress{self._why}"
            raise OriginError(502, f"{broken}; {failed}")
        response = await self._rest_from(first, attempt)
        budget.waited(monotonic() - began)
        if response is None:
            return
        same = response.headers.get("ETag") == self.etag
        span = f"bytes {first}-{self._end - 1}/{self.total}"
        if response.status != 206 or not same or response.headers.get("Content-Range") != span:  # noqa: PLR2004
            response.close()
            why = f"asked for the rest of {self.etag}, S3 answered {response.status}"
            raise OriginError(502, f"{broken}; {why}")
        self._response = response

    async def _rest_from(self, first: int, attempt: int) -> aiohttp.ClientResponse | None:
        """S3's response; None, with the reason in ``_why``, if another attempt may help."""
        self._why = ""
        wanted = {"range": f"bytes={first}-{self._end - 1}", "if-match": self.etag}
        try:
            response, self.failover = await self.again(attempt, wanted)
        except OriginError as error:
            self._why = f", at last because {error.detail}"
            return None
        return response


def _unread(content: aiohttp.StreamReader, error: BaseException) -> bytes:
    """What came of a body before its connection broke; aiohttp would raise the error again."""
    content.set_exception(None)  # type: ignore[arg-type]  # the only way to what is there
    try:
        return content.read_nowait()
    finally:
        content.set_exception(error)
