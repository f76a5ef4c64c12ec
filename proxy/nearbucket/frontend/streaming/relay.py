"""The streaming lane: an object's bytes from the origin's socket straight to the client's.

In: a simple GET that is to be streamed. Out: S3's 200 or 206 as the client may see it, byte by
byte. Refuses to know conditions, errors of S3 and other methods: those are aiohttp's, and so is
the rest of a body that S3 drops. How S3 is asked is ``origin_exchange.py``.

Nothing is kept on the way: what arrives is written at once, head and body in one call, and what
the client does not take (``client_writer.py``) keeps S3 from being read any further.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from nearbucket.errors import OriginError
from nearbucket.frontend.handoff import OriginAttempt
from nearbucket.frontend.response_heads import head_of
from nearbucket.frontend.streaming.origin_exchange import OriginExchange
from nearbucket.frontend.streaming.read_sizing import LARGE, ReadSizer
from nearbucket.origin.error_response import DOCUMENT_TIMEOUT
from nearbucket.s3.http_session import READ

if TYPE_CHECKING:
    from nearbucket.frontend.decision_cache import CachedDecision
    from nearbucket.frontend.handoff import Downstream
    from nearbucket.frontend.worker_context import WorkerContext
    from nearbucket.origin.object_response import ObjectResponse
    from nearbucket.origin.pool.signed_requests import SignedRequestCache
    from nearbucket.origin.response_headers import ResponseHead


class Relay(OriginExchange):
    """One request on its way.

    It ends with one call of its downstream's ``complete``, ``abort_response`` or ``hand_back``, or
    with ``client_lost``.
    """

    __slots__ = ("_keep_alive", "_left", "_read_sizer", "_since")

    def __init__(  # noqa: PLR0913, PLR0917  # one request, one call
        self, context: WorkerContext, signed_requests: SignedRequestCache, cached: CachedDecision,
        downstream: Downstream, transport: asyncio.Transport, file: int, started: float, *,
        keep_alive: bool,
    ) -> None:  # fmt: skip
        """Begin nothing yet.

        Args:
            context: What the worker's lanes share.
            signed_requests: The bucket.
            cached: Who asks, and what for.
            downstream: The client's connection, which is told how the answer ended.
            transport: Its connection.
            file: The descriptor of that, to be written to directly; -1 under TLS.
            started: Monotonic time at which the request came.
            keep_alive: Whether the connection stays open.
        """
        super().__init__(context, signed_requests, cached, downstream, transport, file, started)
        self._since = started
        self._keep_alive = keep_alive
        self._read_sizer: ReadSizer | None = None
        self._left = 0

    def _begin_body(self, response: ResponseHead, data: memoryview) -> None:
        """S3 has the object: head of the answer, and what there is of its body."""
        self._response = response
        self._left = response.length
        self._signed_requests.on_status(response.status)
        context, (client_entry, object_entry) = self._context, self._cached
        context.counters.streams += 1
        if client_entry.came_back_for is not None:
            client_entry.came_back_for.forget(client_entry.mark ^ object_entry.mark)
        if response.length > len(data) and self._upstream is not None:
            if response.length > LARGE:
                self._read_sizer = ReadSizer(self._upstream, response.length)
            else:
                data = self._upstream.read_now(data)
        keep_alive = self._keep_alive = self._keep_alive and not context.draining
        self._pass_on(head_of(response, client_entry.own_fields, context.date, keep_alive), data)

    def _pass_on(self, head: bytes, data: memoryview) -> None:
        """Pass bytes of the body on, behind the answer's head the first time."""
        size, left = len(data), self._left
        if size > left:  # nobody asked for what is behind the body
            data, size = data[:left], left
            self._do_not_reuse()
        self._left = left = left - size
        if self._read_sizer is not None:
            self._read_sizer.on_passed(left)
        if not self._send(head, data):
            self._abort("client-gone")
        elif not left:
            self._complete()

    def _do_not_reuse(self) -> None:
        if self._response is not None:
            self._response = self._response._replace(reusable=False)

    def _on_backpressure(self) -> None:
        if self._upstream is not None:
            self._upstream.pause()
            if self._read_sizer is not None:
                self._read_sizer.on_backpressure(self._left)

    def resume_writing(self) -> None:
        """The client has taken what waited."""
        if self._upstream is not None:
            self._upstream.resume()
        super().resume_writing()

    def _complete(self) -> None:
        now = monotonic()
        upstream, self._upstream = self._upstream, None
        response, counters = self._response, self._context.counters
        if upstream is not None and response is not None:
            if response.reusable:
                upstream.release(now)
            else:
                upstream.close()
        counters.streams -= 1
        counters.complete.value += 1
        self._record(now)
        self._downstream.complete(now, keep_alive=self._keep_alive)

    def lost(self, error: Exception | None) -> None:
        """S3's connection is gone."""
        if self._response is None:
            super().lost(error)
        else:
            self._upstream = None
            trouble = repr(error) if error else "it ended early"
            self._task = asyncio.create_task(self._resume(self._response, trouble))

    async def _resume(self, response: ResponseHead, trouble: str) -> None:
        """Go on by way of aiohttp."""
        context = self._context
        answer: ObjectResponse = self._signed_requests.resume(
            self._signed_request.path, response, self._left
        )
        try:
            async with answer:
                async for piece in answer.body():
                    self._left -= len(piece)
                    await self._write(piece)
        except OriginError as failure:
            self._task = None
            site, key = self._cached.client.decision.site, self._cached.object.key
            context.complain(f"origin of {site}, {key!r} mid-body: {trouble}; {failure.detail}")
            self._abort("origin-failed")
        else:
            self._task = None
            self._complete()

    def check(self, now: float) -> None:
        """Once a tick: S3 may not be silent for long while bytes of it are wanted."""
        upstream = self._upstream
        if self._error_reader is not None and now - self._error_reader.began > DOCUMENT_TIMEOUT:
            self._end_with_error(self._error_reader)
        elif upstream is None or upstream.paused or upstream.moved:
            self._since = now
            if upstream is not None:
                upstream.moved = False
        elif self._read_sizer is not None and self._read_sizer.read_immediately():
            pass  # S3 is slow: what there is must not wait for more
        elif now - self._since > READ:
            upstream.close()
            if self._response is None:
                self._signed_requests.on_status(0)
                self._hand_back(OriginAttempt.TIMED_OUT)
            else:
                self.lost(TimeoutError(f"nothing for {READ:g} s"))

    def client_lost(self) -> None:
        """The client's connection is gone."""
        if self._response is None:
            self._release()
            self._record(monotonic())
        else:
            self._ended("client-gone")

    def _abort(self, how: str) -> None:
        """What was sent is not the object: the client must not take it for one."""
        self._ended(how)
        self._downstream.abort_response()

    def _ended(self, how: str) -> None:
        self._release()
        counters = self._context.counters
        counters.streams -= 1
        counters.add("nearbucket_stream_ends_total", how)
        self._record(monotonic())

    def _record(self, now: float) -> None:
        client_entry, object_entry = self._cached
        response, context = self._response, self._context
        status = sent = 0
        if response is not None:
            status, sent = response.status, response.length - self._left
        client_entry.record(context.log, object_entry, status, sent, started=self._started, now=now)
