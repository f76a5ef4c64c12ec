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
from nearbucket.frontend.streaming.read_sizing import LARGE, ReadSizer
from nearbucket.origin.error_response import DOCUMENT_TIMEOUT, ErrorResponseReader, means_no_object
from nearbucket.origin.pool.response_head import MAX_HEAD, read_response, status_of, take_head
from nearbucket.s3.http_session import READ

if TYPE_CHECKING:
    from nearbucket.frontend.handoff import RelayRequest
    from nearbucket.origin.error_response import ErrorResponse
    from nearbucket.origin.object_response import ObjectResponse
    from nearbucket.origin.pool.connection import UpstreamConnection
    from nearbucket.origin.pool.signed_requests import SignedRequest
    from nearbucket.origin.response_headers import ResponseHead


class ExchangeOwner(Protocol):
    """What an exchange reports to."""

    def on_new_head(self, response: ResponseHead) -> None:
        """The head differs from the last one for the object; ``on_response`` follows."""

    def on_response(self, response: ResponseHead, data: memoryview) -> None:
        """S3 has the object: the head of its response, and the first bytes of the body."""

    def on_body(self, data: memoryview) -> None:
        """More bytes of the body; they are there until this returns."""

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
        "_error_reader", "_head", "_key", "_owner", "_range", "_read_sizer", "_signed_request",
        "_signed_requests", "_since", "_task", "_upstream", "_used", "left", "response",
    )  # fmt: skip

    def __init__(self, request: RelayRequest, owner: ExchangeOwner) -> None:
        client_entry, object_entry = request.cached
        self._owner: ExchangeOwner | None = owner
        self._signed_requests = request.signed_requests
        self._key = object_entry.key
        self._range = client_entry.range
        self._since = request.started  # when the connection to S3 was last seen to work
        self._signed_request: SignedRequest
        self._upstream: UpstreamConnection | None = None
        self._used = False
        self._task: asyncio.Task[None] | None = None
        self._head = b""  # what has come of it
        self._error_reader: ErrorResponseReader | None = None
        self._read_sizer: ReadSizer | None = None
        self.response: ResponseHead | None = None
        self.left = 0

    def start(self) -> bool:
        """Send the request; False if it cannot be signed without waiting."""
        signed_requests = self._signed_requests
        signed = signed_requests.get(self._key, self._since)
        if signed is None:
            return False
        self._signed_request = signed
        request = signed.request if self._range is None else signed.for_range(self._range)
        upstream = signed_requests.take()
        if upstream is None:
            self._task = asyncio.create_task(self._connect(request))
        else:
            self._upstream = upstream
            self._used = upstream.used
            upstream.send(request, self)
        return True

    async def _connect(self, request: bytes) -> None:
        try:
            upstream = await self._signed_requests.connect()
        except (OSError, ValueError):  # ValueError: no certificate can name such a host
            upstream = None
        self._task = None
        if upstream is None or upstream.closing():
            self._hand_back(OriginAttempt.FAILED)  # aiohttp tries again, and logs why it fails
        else:
            self._upstream = upstream
            upstream.send(request, self)

    def received(self, data: memoryview) -> None:
        """S3 sent bytes."""
        if self.response is None:
            self._read(data)
        elif self._owner is not None:
            self._owner.on_body(self._count(data))

    def _read(self, data: memoryview) -> None:
        """Bytes of an error document, or of a head and perhaps the body behind it."""
        if self._error_reader is not None:
            self._read_error(self._error_reader, data)
            return
        template = self._signed_request.head_template
        if template is not None and self._range is None and not self._head:
            response = template.match(data)
            if response is not None:
                self._begin_body(response, data[template.length :])
                return
        self._read_head(data)

    def _read_head(self, data: memoryview) -> None:
        before = len(self._head)
        head, whole = take_head(self._head, data)
        if not whole:
            self._head = head
            if len(head) >= MAX_HEAD:
                self._hand_back(OriginAttempt.NOT_COUNTED)
            return
        self._head = b""
        response = read_response(head)
        if response is None or (response.status == 206 and self._range is None):  # noqa: PLR2004
            self._not_an_object(head, data[len(head) - before :])
            return
        if self._range is None:
            self._signed_request.remember_head(head, response)
        if self._owner is not None:
            self._owner.on_new_head(response)
        self._begin_body(response, data[len(head) - before :])

    def _begin_body(self, response: ResponseHead, data: memoryview) -> None:
        self.response = response
        self.left = response.length
        self._signed_requests.on_status(response.status)
        if response.length > len(data) and self._upstream is not None:
            if response.length > LARGE:
                self._read_sizer = ReadSizer(self._upstream, response.length)
            else:
                data = self._upstream.read_now(data)
        if self._owner is not None:
            self._owner.on_response(response, self._count(data))

    def _count(self, data: memoryview) -> memoryview:
        """Count bytes of the body; without those behind its end, which belong to no request."""
        size, left = len(data), self.left
        if size > left:
            data, size = data[:left], left
            if self.response is not None:
                self.response = self.response._replace(reusable=False)
        self.left = left = left - size
        if self._read_sizer is not None:
            self._read_sizer.on_passed(left)
        return data

    def _not_an_object(self, head: bytes, data: memoryview) -> None:
        status = status_of(head)
        self._signed_requests.on_status(status)
        if means_no_object(status):
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
            self._signed_requests.forget(self._key)
            self._hand_back(OriginAttempt.NOT_COUNTED)
            return
        if reader.reusable() and self._upstream is not None:
            self._upstream.release(monotonic())
            self._upstream = None
        self._hand_back(error)

    def lost(self, error: Exception | None) -> None:
        """The connection to S3 is closed."""
        self._upstream = None
        if self.response is not None:
            if self._owner is not None:
                path = self._signed_request.path
                rest = self._signed_requests.resume(path, self.response, self.left)
                self._owner.on_lost(error, rest)
        elif self._error_reader is not None:
            self._end_with_error(self._error_reader)
        else:
            stale = self._used and not self._head
            self._hand_back(OriginAttempt.NOT_COUNTED if stale else OriginAttempt.FAILED)

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
        elif now - self._since > READ:
            upstream.close()
            if self.response is None:
                self._signed_requests.on_status(0)
                self._hand_back(OriginAttempt.TIMED_OUT)
            else:
                self.lost(TimeoutError(f"nothing for {READ:g} s"))

    def pause(self) -> None:
        """Read nothing from S3 until ``resume``: the client is slower."""
        if self._upstream is not None:
            self._upstream.pause()
            if self._read_sizer is not None:
                self._read_sizer.on_backpressure(self.left)

    def resume(self) -> None:
        """Read from S3 again."""
        if self._upstream is not None:
            self._upstream.resume()

    def finish(self, now: float) -> None:
        """The body is complete: the connection is free from this monotonic time on."""
        if self._upstream is not None and self.response is not None and self.response.reusable:
            self._upstream.release(now)
            self._upstream = None
        self.close()

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
