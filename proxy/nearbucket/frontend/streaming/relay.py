"""One answer of the streaming lane: S3's bytes are written to the client as they come.

What arrives is written at once, head and body in one call. While the client has not taken it, S3
is not read.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING

from nearbucket.errors import OriginError
from nearbucket.frontend.handoff import HandedBackRequest
from nearbucket.frontend.response_heads import head_of
from nearbucket.frontend.streaming.origin_exchange import OriginExchange

if TYPE_CHECKING:
    from nearbucket.frontend.handoff import Downstream, OriginAttempt, RelayRequest
    from nearbucket.frontend.streaming.client_writer import ClientWriter
    from nearbucket.frontend.worker_context import WorkerContext
    from nearbucket.origin.error_response import ErrorResponse
    from nearbucket.origin.object_response import ObjectResponse
    from nearbucket.origin.response_headers import ResponseHead


class Relay:
    """Answers one request with the object that S3 sends, and records the answer.

    It ends with one call of the client's ``complete``, ``abort_response`` or ``hand_back``, or with
    ``client_lost``.
    """

    __slots__ = (
        "_client", "_context", "_exchange", "_keep_alive", "_request", "_task", "_writer",
    )  # fmt: skip

    def __init__(
        self,
        context: WorkerContext,
        request: RelayRequest,
        writer: ClientWriter,
        client: Downstream,
    ) -> None:
        self._context = context
        self._request = request
        self._writer = writer
        self._client = client
        self._exchange = OriginExchange(request, self)
        self._keep_alive = request.keep_alive
        self._task: asyncio.Task[None] | None = None

    def start(self) -> bool:
        """Ask S3; False if this lane cannot, and nothing has begun."""
        return self._exchange.start()

    def on_new_head(self, response: ResponseHead) -> None:
        """Learn which version of the object the origin has."""
        replicas, request = self._context.decider.replicas, self._request
        if replicas is not None:
            client_entry, object_entry = request.cached
            replicas.origin_versions.on_response(
                client_entry.site, object_entry.key, response, request.started
            )

    def on_response(self, response: ResponseHead, data: memoryview) -> None:
        """S3 has the object: write the head of the answer, and the first bytes of the body."""
        context, cached = self._context, self._request.cached
        context.counters.streams += 1
        context.recorder.stream_began(cached, monotonic())
        keep_alive = self._keep_alive = self._keep_alive and not context.draining
        self.on_body(data, head_of(response, cached[0].own_fields, context.date, keep_alive))

    def on_body(self, data: memoryview, head: bytes = b"") -> None:
        """Write bytes of the body, behind the head of the answer the first time."""
        waiting = self._writer.send(head, data)
        if waiting is None:
            self._abort("client-gone")
        elif not self._exchange.left:
            self._complete()
        elif waiting:
            self._exchange.pause()

    def resume_writing(self) -> None:
        """The client has taken what waited."""
        self._exchange.resume()
        self._writer.resume_writing()

    def check(self, now: float) -> None:
        """Once a second: give up if S3 is silent."""
        self._exchange.check(now)

    def _complete(self) -> None:
        now = monotonic()
        self._exchange.finish(now)
        counters = self._context.counters
        counters.streams -= 1
        counters.complete.value += 1
        self._context.recorder.stream_completed(self._request.cached, now)
        self._record(now)
        self._client.complete(now, keep_alive=self._keep_alive)

    def on_hand_back(self, outcome: OriginAttempt | ErrorResponse) -> None:
        """S3 has no object to pass on, and nothing is sent yet: the aiohttp lane answers."""
        request = self._request
        self._client.hand_back(request.chunk, HandedBackRequest(outcome, request.started))

    def on_lost(self, error: Exception | None, rest: ObjectResponse) -> None:
        """S3 dropped the body: write the rest as it comes through the aiohttp client."""
        trouble = repr(error) if error else "it ended early"
        self._task = asyncio.create_task(self._pass_rest(rest, trouble))

    async def _pass_rest(self, rest: ObjectResponse, trouble: str) -> None:
        try:
            async with rest:
                async for piece in rest.body():
                    self._exchange.left -= len(piece)
                    await self._writer.write(piece)
        except OriginError as failure:
            self._task = None
            client_entry, object_entry = self._request.cached
            site, key = client_entry.site, object_entry.key
            self._context.warnings.warn(
                f"origin of {site}, {key!r} mid-body: {trouble}; {failure.detail}"
            )
            self._abort("origin-failed")
        else:
            self._task = None
            self._complete()

    def client_lost(self) -> None:
        """The client's connection is closed."""
        if self._exchange.response is None:
            self._exchange.close()
            self._record(monotonic())
        else:
            self._end("client-gone")

    def _abort(self, how: str) -> None:
        self._end(how)
        self._client.abort_response()

    def _end(self, how: str) -> None:
        self._exchange.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        counters = self._context.counters
        counters.streams -= 1
        counters.add("nearbucket_stream_ends_total", how)
        self._record(monotonic())

    def _record(self, now: float) -> None:
        request, response = self._request, self._exchange.response
        status = sent = 0
        if response is not None:
            status, sent = response.status, response.length - self._exchange.left
        self._context.recorder.record(request.cached, status, sent, request.started, now)
