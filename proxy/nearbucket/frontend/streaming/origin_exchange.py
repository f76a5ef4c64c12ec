"""The streaming lane's first half: S3 is asked for an object, and what it says is read.

In: a simple GET that is to be streamed. Out: S3's 200 or 206 and the bytes behind its head, to
whoever passes them on (``relay.py``); or the request back, untouched, with what S3 said instead.
Refuses to judge that, and to know conditions and other methods: those are aiohttp's.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING

from nearbucket.frontend.handoff import HandedBackRequest, OriginAttempt
from nearbucket.frontend.streaming.client_writer import ClientWriter
from nearbucket.origin.error_response import ErrorResponseReader, means_no_object
from nearbucket.origin.pool.response_head import MAX_HEAD, read_response, status_of, take_head

if TYPE_CHECKING:
    from nearbucket.frontend.decision_cache import CachedDecision
    from nearbucket.frontend.handoff import Downstream
    from nearbucket.frontend.worker_context import WorkerContext
    from nearbucket.origin.error_response import ErrorResponse
    from nearbucket.origin.pool.connection import UpstreamConnection
    from nearbucket.origin.pool.signed_requests import SignedRequest, SignedRequestCache
    from nearbucket.origin.response_headers import ResponseHead


class OriginExchange(ClientWriter, ABC):
    """One request on its way to S3."""

    __slots__ = (
        "_cached", "_context", "_downstream", "_error_reader", "_head", "_response",
        "_signed_request", "_signed_requests", "_started", "_task", "_upstream", "_used",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917  # one request, one call
        self, context: WorkerContext, signed_requests: SignedRequestCache, cached: CachedDecision,
        downstream: Downstream, transport: asyncio.Transport, file: int, started: float,
    ) -> None:  # fmt: skip
        """As of ``Relay``."""
        super().__init__(transport, file)
        self._context = context
        self._signed_requests = signed_requests
        self._cached = cached
        self._downstream = downstream
        self._started = started
        self._signed_request: SignedRequest
        self._upstream: UpstreamConnection | None = None
        self._response: ResponseHead | None = None
        self._error_reader: ErrorResponseReader | None = None
        self._task: asyncio.Task[None] | None = None
        self._used = False
        self._head = b""

    def start(self) -> bool:
        """Ask S3; False when this lane cannot."""
        client_entry, object_entry = self._cached
        signed_requests = self._signed_requests
        signed = signed_requests.get(object_entry.key, self._started)
        if signed is None:
            return False
        self._signed_request = signed
        range_ = client_entry.range
        request = signed.request if range_ is None else signed.for_range(range_)
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
        except (OSError, ValueError):  # the latter of a host that no certificate can name
            upstream = None
        self._task = None
        if upstream is None or upstream.closing():
            self._hand_back(OriginAttempt.FAILED)  # aiohttp finds out as well, and says so
        else:
            self._upstream = upstream
            upstream.send(request, self)

    def received(self, data: memoryview) -> None:
        """S3 sent bytes."""
        if self._response is not None:
            self._pass_on(b"", data)
            return
        if self._error_reader is not None:
            self._read_error(self._error_reader, data)
            return
        template = self._signed_request.head_template
        if template is None or self._head or self._cached.client.range is not None:
            self._read(data)
            return
        response = template.match(data)
        if response is None:
            self._read(data)
        else:
            self._begin_body(response, data[template.length :])

    def _read(self, data: memoryview) -> None:
        """Bytes of a head, and perhaps of the body behind it."""
        before = len(self._head)
        head, whole = take_head(self._head, data)
        if not whole:
            self._head = head
            if len(head) >= MAX_HEAD:
                self._hand_back(OriginAttempt.NOT_COUNTED)
            return
        self._head = b""
        response = read_response(head)
        range_ = self._cached.client.range
        if response is None or (response.status == 206 and range_ is None):  # noqa: PLR2004
            self._not_an_object(head, data[len(head) - before :])
            return
        if range_ is None:
            self._signed_request.remember_head(head, response)
        self._begin_body(response, data[len(head) - before :])

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
        """S3 has said, or left unsaid, why there is no object: aiohttp's lane answers."""
        error = reader.response()
        if error is None or not error.final:
            self._signed_requests.forget(self._cached.object.key)
            self._hand_back(OriginAttempt.NOT_COUNTED)
            return
        if reader.reusable() and self._upstream is not None:
            self._upstream.release(monotonic())
            self._upstream = None
        self._hand_back(error)

    def lost(self, error: Exception | None) -> None:  # noqa: ARG002  # as of ``Receiver``
        """S3's connection is gone."""
        self._upstream = None
        if self._error_reader is not None:
            self._end_with_error(self._error_reader)
        else:
            stale = self._used and not self._head
            self._hand_back(OriginAttempt.NOT_COUNTED if stale else OriginAttempt.FAILED)

    @abstractmethod
    def _begin_body(self, response: ResponseHead, data: memoryview) -> None:
        """S3 has the object: this is what its head says, and what came behind it."""

    @abstractmethod
    def _pass_on(self, head: bytes, data: memoryview) -> None:
        """More of the object came."""

    def _hand_back(self, outcome: OriginAttempt | ErrorResponse) -> None:
        """Not this lane's to answer, and nothing is sent yet."""
        self._release()
        self._downstream.hand_back(HandedBackRequest(outcome, self._started))

    def _release(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
