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
from nearbucket.frontend.limits.client_pace import FIRST_STEP, LEAST, LIMITED, STEP
from nearbucket.frontend.response_heads import head_of
from nearbucket.frontend.streaming.origin_exchange import OriginExchange
from nearbucket.origin.missing_objects import MissingName

if TYPE_CHECKING:
    from nearbucket.frontend.cached_decision import CachedDecision
    from nearbucket.frontend.handoff import Downstream, OriginAttempt
    from nearbucket.frontend.limits.client_pace import ClientPace
    from nearbucket.frontend.limits.stream_limit import StreamLimit
    from nearbucket.frontend.streaming.client_writer import ClientWriter
    from nearbucket.frontend.worker_context import WorkerContext
    from nearbucket.origin.error_response import ErrorResponse
    from nearbucket.origin.object_response import ObjectResponse
    from nearbucket.origin.pool.signed_requests import SignedRequestCache
    from nearbucket.origin.response_headers import ResponseHead


class Relay:
    """Answers one request with the object that S3 sends, and records the answer.

    It ends with one call of the client's ``complete``, ``abort_response`` or ``hand_back``, or with
    ``client_lost``.
    """

    __slots__ = (
        "_cached", "_chunk", "_client", "_context", "_exchange", "_failover", "_head",
        "_keep_alive", "_limit", "_measure_at", "_measured", "_pace", "_signed_requests",
        "_started", "_task", "_writer",
    )  # fmt: skip

    def __init__(
        self,
        context: WorkerContext,
        signed_requests: SignedRequestCache,
        limit: StreamLimit,
        writer: ClientWriter,
        client: Downstream,
    ) -> None:
        """Relay from the bucket of ``signed_requests``, within its limit, to this client."""
        self._context = context
        self._signed_requests = signed_requests
        self._limit = limit
        self._writer = writer
        self._client = client
        self._chunk: bytes
        self._cached: CachedDecision
        self._started: float
        self._exchange: OriginExchange
        self._keep_alive: bool
        self._pace: ClientPace | None = None  # None: the body is too short
        self._measured = 0  # bytes that were still to come at the last measurement
        self._measure_at = 0  # bytes still to come, below which the client's speed is measured
        self._head = b""  # of the answer, until it is written
        self._failover = signed_requests.failover  # the bucket that its bytes come from
        self._task: asyncio.Task[None] | None = None

    def start(self, chunk: bytes, cached: CachedDecision, started: float) -> bool:
        """Ask S3; False if this lane cannot, and nothing has begun.

        Args:
            chunk: The bytes of the request, for aiohttp if the streaming lane cannot answer.
            cached: Cache entries of its client and its object.
            started: Monotonic time at which it came.
        """
        client_entry, object_entry = cached
        name = (client_entry.site, object_entry.key, (), None)  # a MissingName, made in less time
        if self._context.missing_objects.get(name, started) is not None:
            return False
        signed = self._signed_requests.get(object_entry.key, started)
        if signed is None or not self._begin(client_entry.network):
            return False
        self._chunk, self._cached, self._started = chunk, cached, started
        self._keep_alive = client_entry.keep_alive
        self._exchange = OriginExchange(self._signed_requests, signed, client_entry.range, self)
        self._exchange.start(started)
        return True

    def _begin(self, network: bytes) -> bool:
        """Count the stream, unless there are too many from this origin or for this network."""
        if not self._limit.begin():
            return False
        if network and not self._context.client_limit.begin(network):
            self._limit.end()
            return False
        return True

    def _count_end(self) -> None:
        self._limit.end()
        if network := self._cached[0].network:
            self._context.client_limit.end(network)

    def on_new_head(self, response: ResponseHead) -> None:
        """Learn which version of the object the origin has."""
        replicas = self._context.decider.replicas
        client_entry, object_entry = self._cached
        self._context.missing_objects.forget(MissingName(client_entry.site, object_entry.key))
        if replicas is not None and not self._failover:
            replicas.origin_versions.on_response(
                client_entry.site, object_entry.key, response, self._started
            )

    def on_response(self, response: ResponseHead) -> int:
        """S3 has the object: make the head of the answer."""
        context, client_entry = self._context, self._cached[0]
        context.counters.streams += 1
        if client_entry.recent_redirects is not None:
            context.recorder.stream_began(self._cached, monotonic())
        keep_alive = self._keep_alive = self._keep_alive and not context.draining
        self._head = head_of(response, client_entry.own_fields, context.date, keep_alive)
        if response.length <= LIMITED:
            return 0
        pace = self._pace = self._client.begin_pace()
        self._measured = response.length
        self._measure_at = response.length - FIRST_STEP
        return pace.limit

    def on_body(self, data: memoryview) -> None:
        """Write bytes of the body, behind the head of the answer the first time."""
        head, self._head = self._head, b""
        waiting = self._writer.send(head, data)
        if waiting is None:
            self._abort("client-gone")
        elif not self._exchange.left:
            self._complete()
        else:
            if waiting:
                self._exchange.pause()
            if self._exchange.left < self._measure_at:
                self._measure()

    def _measure(self) -> None:
        """Measure the client's speed, and let the kernel keep as much for it."""
        if self._pace is not None:
            left = self._exchange.left
            self._exchange.on_limit(self._pace.measure(self._measured - left))
            self._measured, self._measure_at = left, left - STEP

    def resume_writing(self) -> None:
        """The client has taken what waited."""
        self._exchange.resume()
        self._writer.resume_writing()

    def check(self, now: float) -> None:
        """Once a second: give up if S3 is silent; find out if the client has become slow."""
        pace = self._pace
        if pace is not None and pace.is_late(now):
            self._measure()
        self._exchange.check(now)

    def _complete(self) -> None:
        now = monotonic()
        self._count_end()
        self._exchange.finish(now)
        counters = self._context.counters
        counters.streams -= 1
        counters.complete.value += 1
        if self._cached[0].recent_redirects is not None:
            self._context.recorder.stream_completed(self._cached, now)
        self._record(now, complete=True)
        self._client.complete(now, keep_alive=self._keep_alive)

    def on_hand_back(self, outcome: OriginAttempt | ErrorResponse) -> None:
        """S3 has no object to pass on, and nothing is sent yet: the aiohttp lane answers."""
        self._count_end()
        asked = self._signed_requests.origin
        self._client.hand_back(self._chunk, HandedBackRequest(outcome, self._started, asked))

    def on_lost(self, error: Exception | None, rest: ObjectResponse) -> None:
        """S3 dropped the body: write the rest as it comes through the aiohttp client."""
        trouble = repr(error) if error else "it ended early"
        self._task = asyncio.create_task(self._pass_rest(rest, trouble))

    async def _pass_rest(self, rest: ObjectResponse, trouble: str) -> None:
        try:
            async with rest:
                async for piece in rest.body():
                    self._failover = rest.failover
                    self._exchange.left -= len(piece)
                    await self._writer.write(piece)
                    if self._pace is not None and self._exchange.left < self._measure_at:
                        self._measure()
                        rest.fix_receive_buffer(fixed=self._pace.limit == LEAST)
        except OriginError as failure:
            self._task = None
            client_entry, object_entry = self._cached
            site, key = client_entry.site, object_entry.key
            self._context.warnings.warn(
                f"origin of {site}, {key!r} mid-body: {trouble}; {failure.detail}"
            )
            self._abort("origin-failed")
        else:
            self._task = None
            self._complete()

    def client_lost(self, how: str = "client-gone") -> None:
        """The client's connection is closed."""
        if self._exchange.response is None:
            self._count_end()
            self._exchange.close()
            self._record(monotonic(), complete=False)
        else:
            self._end(how)

    def _abort(self, how: str) -> None:
        self._end(how)
        self._client.abort_response()

    def _end(self, how: str) -> None:
        self._count_end()
        self._exchange.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        counters = self._context.counters
        counters.streams -= 1
        counters.add("nearbucket_stream_ends_total", how)
        self._record(monotonic(), complete=False)

    def _record(self, now: float, *, complete: bool) -> None:
        response = self._exchange.response
        status = sent = 0
        if response is not None:
            status, sent = response.status, response.length - self._exchange.left
        self._context.recorder.record(
            self._cached, status, sent, self._started, now, complete, self._failover
        )
