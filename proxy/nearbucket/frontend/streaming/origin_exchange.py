"""One request to S3 and its response, on a connection of the worker's own pool.

The head of the response is compared with the last one for the same object, or read line by line.
If S3 has the object (200 or 206), the body goes to the exchange's owner (``relay.py``). If it has
not, the error document is read, from which the aiohttp lane answers.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from nearbucket.frontend.handoff import OriginAttempt
from nearbucket.frontend.limits.client_pace import LEAST
from nearbucket.frontend.streaming.read_sizing import LARGE, ReadSizer
from nearbucket.origin.error_response import DOCUMENT_TIMEOUT, ErrorResponseReader, means_no_object
from nearbucket.origin.pool.response_head import MAX_HEAD, read_response, status_of, take_head
from nearbucket.s3.http_session import READ

if TYPE_CHECKING:
    from nearbucket.origin.error_response import ErrorResponse
    from nearbucket.origin.object_response import ObjectResponse
    from nearbucket.origin.pool.connection import UpstreamConnection
    from nearbucket.origin.pool.signed_requests import SignedRequest, SignedRequestCache
    from nearbucket.origin.response_headers import ResponseHead


class ExchangeOwner(Protocol):
    """What an exchange reports to."""

    def on_new_head(self, response: ResponseHead) -> None:
        """The head differs from the last one for the object; ``on_response`` follows."""

    def on_response(self, response: ResponseHead) -> int:
        """S3 has the object: the head of its response; ``on_body`` follows.

        Returns how many bytes the kernel may keep for the client, if that is limited.
        """

    def on_body(self, data: memoryview) -> None:
        """Bytes of the body, the first time perhaps none; they are there until this returns."""

    def on_lost(self, error: Exception | None, rest: ObjectResponse) -> None:
        """S3 dropped the body; ``rest`` asks for the bytes that are missing."""

    def on_hand_back(self, outcome: OriginAttempt | ErrorResponse) -> None:
        """There is no object to pass on, and the exchange is over."""


class OriginExchange:
    """Asks S3 for one object, reads the head of the response, and gives its owner the body.

    Attributes:
        response: The head of the response; None until it has come with status 200 or 206.
        left: Bytes of the body that have not come.
    """

    __slots__ = (
        "_error_reader", "_head", "_owner", "_range", "_read_sizer", "_reusable",
        "_signed_request", "_signed_requests", "_since", "_task", "_upstream", "left", "response",
    )  # fmt: skip

    def __init__(
        self,
        signed_requests: SignedRequestCache,
        signed_request: SignedRequest,
        range_: str | None,
        owner: ExchangeOwner,
    ) -> None:
        """Ask for the object of a signed request, or for a canonical range of it."""
        self._owner: ExchangeOwner | None = owner
        self._signed_requests = signed_requests
        self._signed_request = signed_request
        self._range = range_
        self._since: float  # when the connection to S3 was last seen to work
        self._upstream: UpstreamConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._head = b""  # what has come of it
        self._error_reader: ErrorResponseReader | None = None
        self._read_sizer: ReadSizer | None = None
        self._reusable = False  # whether the connection to S3 stays open after the body
        self.response: ResponseHead | None = None
        self.left = 0

    def start(self, now: float) -> None:
        """Send the request, at this monotonic time."""
        self._since = now
        signed, range_ = self._signed_request, self._range
        request = signed.request if range_ is None else signed.for_range(range_)
        upstream = self._upstream = self._signed_requests.take()
        if upstream is None:
            self._task = asyncio.create_task(self._connect(request))
        else:
            upstream.send(request, self)

    async def _connect(self, request: bytes) -> None:
        try:
            upstream = await self._signed_requests.connect()
        except TimeoutError:
            self._no_response(OriginAttempt.TIMED_OUT)
        except (OSError, ValueError):  # ValueError: no certificate can name such a host
            self._no_response(OriginAttempt.FAILED)  # aiohttp tries again, and logs why it fails
        else:
            self._task = None
            if upstream.closing():
                self._no_response(OriginAttempt.FAILED)
            else:
                self._upstream = upstream
                upstream.send(request, self)

    def _no_response(self, outcome: OriginAttempt) -> None:
        self._task = None
        self._signed_requests.origin.on_no_response(timed_out=outcome is OriginAttempt.TIMED_OUT)
        self._hand_back(outcome)

    def received(self, data: memoryview) -> None:
        """S3 sent bytes: of the body, without those behind its end, they go to the owner."""
        if self.response is None:
            body = self._read(data)
            if body is None:
                return
            data = body
        left = self.left - len(data)
        if left < 0:  # what is behind the body belongs to no request
            data, left = data[:left], 0
            self._reusable = False
        self.left = left
        if self._read_sizer is not None:
            self._read_sizer.on_passed(left)
        if self._owner is not None:
            self._owner.on_body(data)

    def _read(self, data: memoryview) -> memoryview | None:
        """Read an error document or a head; returns what has come of the body behind a head."""
        if self._error_reader is not None:
            self._read_error(self._error_reader, data)
            return None
        template = self._signed_request.head_template
        if template is not None and self._range is None and not self._head:
            response = template.match(data)
            if response is not None:
                return self._begin_body(response, data[template.length :])
        return self._read_head(data)

    def _read_head(self, data: memoryview) -> memoryview | None:
        before = len(self._head)
        head, whole = take_head(self._head, data)
        if not whole:
            self._head = head
            if len(head) >= MAX_HEAD:
                self._hand_back(OriginAttempt.NOT_COUNTED)
            return None
        self._head = b""
        behind = data[len(head) - before :]
        response = read_response(head, private=self._signed_request.private)
        if response is None or (response.status == 206 and self._range is None):  # noqa: PLR2004
            self._not_an_object(head, behind)
            return None
        accepts = self._signed_requests.accepts
        if accepts is not None and not accepts(self._signed_request.key, response):
            self._hand_back(OriginAttempt.NOT_COUNTED)
            return None
        if self._range is None:
            self._signed_request.remember_head(head, response)
        if self._owner is not None:
            self._owner.on_new_head(response)
        return self._begin_body(response, behind)

    def _begin_body(self, response: ResponseHead, data: memoryview) -> memoryview:
        """S3 has the object; returns ``data``, and behind it what has come meanwhile."""
        self.response = response
        self.left = length = response.length
        self._reusable = response.reusable
        self._signed_requests.on_status(response.status)
        limit = 0 if self._owner is None else self._owner.on_response(response)
        if length > len(data) and self._upstream is not None:
            if length <= LARGE:
                return self._upstream.read_now(data)
            self._read_sizer = ReadSizer(self._upstream, limit)
        return data

    def _not_an_object(self, head: bytes, data: memoryview) -> None:
        status = status_of(head)
        self._signed_requests.on_status(status)
        # a failover bucket may lack objects that the origin has
        if means_no_object(status) and not self._signed_requests.failover:
            self._error_reader = reader = ErrorResponseReader()
            self._read_error(reader, head + data)
        else:
            self._hand_back(
                OriginAttempt.FAILED if status in {500, 503} else OriginAttempt.NOT_COUNTED
            )

    def _read_error(self, reader: ErrorResponseReader, data: bytes | memoryview) -> None:
        if reader.read(data):
            self._end_with_error(reader)

    def _end_with_error(self, reader: ErrorResponseReader) -> None:
        """The error document is complete, or no more of it will come."""
        error = reader.response()
        if error is None or not error.final:
            self._signed_requests.forget(self._signed_request.key)
            self._hand_back(OriginAttempt.NOT_COUNTED)
            return
        if reader.reusable() and self._upstream is not None:
            self._upstream.release(monotonic())
            self._upstream = None
        self._hand_back(error)

    def lost(self, error: Exception | None) -> None:
        """The connection to S3 is closed."""
        upstream, self._upstream = self._upstream, None
        if self.response is not None:
            if self._owner is not None:
                key = self._signed_request.key
                rest = self._signed_requests.resume(key, self.response, self.left)
                self._owner.on_lost(error, rest)
        elif self._error_reader is not None:
            self._end_with_error(self._error_reader)
        else:
            stale = upstream is not None and upstream.used and not self._head
            if stale:
                self._hand_back(OriginAttempt.NOT_COUNTED)
            else:
                self._no_response(OriginAttempt.FAILED)

    def check(self, now: float) -> None:
        """Once a second: S3 may not be silent for long while bytes of it are wanted."""
        upstream = self._upstream
        if self._error_reader is not None and now - self._error_reader.began > DOCUMENT_TIMEOUT:
            self._end_with_error(self._error_reader)
        elif upstream is None or upstream.paused:
            self._since = now
        elif upstream.moved:
            self._since, upstream.moved = now, False
        elif self._read_sizer is not None and self._read_sizer.read_immediately():
            pass  # S3 is slow: the bytes that are there must not wait for more
        elif self.response is None:
            if now - self._since > self._signed_requests.patience:
                upstream.close()
                self._no_response(OriginAttempt.TIMED_OUT)
        elif now - self._since > READ:
            upstream.close()
            self.lost(TimeoutError(f"nothing for {READ:g} s"))

    def pause(self) -> None:
        """Read nothing from S3 until ``resume``: the client is slower."""
        if self._upstream is not None:
            self._upstream.pause()

    def resume(self) -> None:
        """Read from S3 again."""
        if self._upstream is not None:
            self._upstream.resume()

    def on_limit(self, limit: int) -> None:
        """The kernel may keep so many bytes for the client."""
        if self._read_sizer is not None:
            self._read_sizer.on_limit(limit, self.left)
        elif self._upstream is not None and limit > LEAST:
            self._upstream.fix_receive_buffer(fixed=False)

    def finish(self, now: float) -> None:
        """The body is complete: the connection is free from this monotonic time on."""
        upstream, self._upstream, self._owner = self._upstream, None, None
        if upstream is None:
            pass
        elif self._reusable:
            upstream.release(now)
        else:
            upstream.close()

    def close(self) -> None:
        """The response is not wanted any more: report nothing from here on."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._owner = None  # it refers to this exchange: the pair would wait for the collector

    def _hand_back(self, outcome: OriginAttempt | ErrorResponse) -> None:
        owner = self._owner
        self.close()
        if owner is not None:
            owner.on_hand_back(outcome)
