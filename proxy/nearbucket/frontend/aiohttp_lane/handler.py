"""The aiohttp lane's handler: carries out the decision on each request that the lane gets."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING, assert_never

from aiohttp import web

from nearbucket.errors import OriginError
from nearbucket.frontend.aiohttp_lane.preflight import PREFLIGHT, cors_answer
from nearbucket.frontend.aiohttp_lane.protocol import AiohttpConnection
from nearbucket.frontend.aiohttp_lane.request_validation import Incoming, incoming, is_last, refused
from nearbucket.frontend.aiohttp_lane.responses import (
    TOO_MANY_OF_NETWORK,
    TOO_MANY_STREAMS,
    decorate,
    instead,
    kept_fields,
    listing,
    redirection,
    refusal,
    unchanged,
)
from nearbucket.frontend.limits.client_pace import LEAST, LIMITED
from nearbucket.frontend.returning_clients.recent_redirects import STREAMED_INSTEAD
from nearbucket.origin.error_response import ErrorResponse
from nearbucket.origin.missing_objects import MissingName
from nearbucket.policy.client_address import client_network
from nearbucket.policy.model import Reason, RedirectTo, Refuse, Request, Stream
from nearbucket.policy.object_keys import split_target

if TYPE_CHECKING:
    from nearbucket.frontend.cached_decision import CachedDecision
    from nearbucket.frontend.client_connection import ClientConnection
    from nearbucket.frontend.limits.stream_limit import StreamLimit
    from nearbucket.frontend.worker_context import WorkerContext
    from nearbucket.origin.missing_objects import Fields
    from nearbucket.origin.object_response import ObjectResponse
    from nearbucket.policy.model import Decision

CONDITIONS = (
    "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
)  # fmt: skip
_TELLING = STREAMED_INSTEAD | {Reason.CAME_BACK, Reason.TARGET_DOWN}
"""Reasons of streams that tell whether the client's redirects fail (``returning_clients/``)."""


class Handler:
    """Answers requests of one worker through aiohttp."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._server = web.Server(self._answer, request_factory=incoming, handler_cancellation=True)

    def connection(self, client: ClientConnection) -> AiohttpConnection:
        """The aiohttp protocol of one client connection."""
        return AiohttpConnection(client, self._context, self._server)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        protocol = request.protocol
        if not isinstance(protocol, AiohttpConnection) or not isinstance(request, Incoming):
            raise TypeError("a request of another server")
        protocol.client.answering()
        exchange = _Exchange(self._context, request, protocol.client)
        try:
            return await exchange.answer()
        except Exception:
            exchange.failed()
            raise
        finally:
            exchange.record()


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, context: WorkerContext, incoming: Incoming, client: ClientConnection
    ) -> None:
        self._context = context
        self._incoming = incoming
        self._client = client
        # Taken, because it is about this request alone.
        attempt, client.handed_back = client.handed_back, None
        self._earlier = None if attempt is None else attempt.earlier()
        self._failover = ""
        self._started = attempt.started if attempt else monotonic()
        self._request = _request(incoming)
        self._decision: Decision = refused(incoming) or context.decider.decide(self._request)
        self._network: bytes | None = None  # in which it counts; None until it does
        self._missing = False
        self._status = 0
        self._sent = 0
        self._broke_off = False

    async def answer(self) -> web.StreamResponse:
        """Carry out the decision."""
        context = self._context
        reason_header = context.settings.log.reason_header
        response: web.StreamResponse
        if (refused := self._over_limit(self._decision)) is not None:
            return refused
        match self._decision:
            case Stream(reason=Reason.UNVERIFIED) as undecided:
                await self._settle(undecided)
        match self._decision:
            case RedirectTo() as decision:
                response = redirection(decision, reason_header=reason_header)
            case Refuse() as decision:
                response = refusal(decision, reason_header=reason_header)
                if decision.reason is Reason.WELL_KNOWN:
                    response = listing(self._hosts(), reason_header=reason_header)
                if decision.status == HTTPStatus.NO_CONTENT:
                    asked = _named(self._incoming, PREFLIGHT)
                    response.headers.extend(await cors_answer(context, self._request, asked))
            case Stream(reason=Reason.NOT_MODIFIED) as decision:
                private = context.origins[decision.site].is_private(decision.key)
                response = unchanged(decision, private=private, reason_header=reason_header)
            case Stream() as decision:
                return await self._stream(decision)
            case _:
                assert_never(self._decision)
        return self._finish(response)

    def _over_limit(self, decision: Decision) -> web.StreamResponse | None:
        """429 if the request needs S3, and its client's network is at ``limits.per_client``."""
        context = self._context
        if not isinstance(decision, Stream) or decision.reason is Reason.NOT_MODIFIED:
            return None
        if self._network is not None or context.client_limit.most is None:
            return None
        network = client_network(decision.client)
        if self._earlier is not None:  # the streaming lane had begun it
            context.client_limit.begin_again(network)
        elif not context.client_limit.begin(network):
            context.counters.add("nearbucket_client_limit_total")
            return self._instead(decision, HTTPStatus.TOO_MANY_REQUESTS, text=TOO_MANY_OF_NETWORK)
        self._network = network
        return None

    def _hosts(self) -> list[str]:
        """Hosts to which the site of the request may redirect; those of other sites are private."""
        asked = self._request
        policy = self._context.decider.engine.site_of(asked, split_target(asked.target)[0])
        return [] if policy is None else list(policy.sent_to)

    async def _settle(self, undecided: Stream) -> None:
        """Wait for the check of the copy, at most ``catalog.wait``, and decide again."""
        decider = self._context.decider
        if decider.replicas is not None:
            self._missing = await decider.replicas.settle(
                undecided.site,
                undecided.region or "",
                undecided.key,
                client_network(undecided.client),
            )
            self._decision = await decider.decide_later(self._request, self._started)

    def failed(self) -> None:
        """Note an error of our own: unless an answer has begun, the client gets 500."""
        self._status = self._status or HTTPStatus.INTERNAL_SERVER_ERROR.value

    def record(self) -> None:
        """Count and log the answer, also if it was not completed."""
        if self._network:
            self._context.client_limit.end(self._network)
        complete = self._status != 0 and not self._broke_off
        self._context.recorder.record(
            self._entries(),
            self._status,
            self._sent,
            self._started,
            monotonic(),
            complete,
            self._failover,
        )

    def _entries(self) -> CachedDecision:
        version = self._incoming.version
        protocol = f"HTTP/{version.major}.{version.minor}"
        return self._context.entries.build(self._request, self._decision, protocol=protocol)

    async def _stream(self, decision: Stream) -> web.StreamResponse:
        """Stream within ``limits.max_streams``; a HEAD has a connection to S3, too."""
        limit = self._context.stream_limits.by_site[decision.site]
        if self._earlier is not None:  # the streaming lane had begun it
            limit.begin_again()
        elif not limit.begin():
            return self._too_many(decision, limit)
        try:
            return await self._stream_within_limit(decision)
        finally:
            limit.end()

    def _too_many(self, decision: Stream, limit: StreamLimit) -> web.StreamResponse:
        context = self._context
        context.counters.add("nearbucket_streams_refused_total", decision.site)
        context.warnings.warn(
            f"origin of {decision.site}: {limit.count} objects are being streamed "
            f"(limits.max_streams, {limit.most}): 503"
        )
        return self._instead(decision, HTTPStatus.SERVICE_UNAVAILABLE, text=TOO_MANY_STREAMS)

    async def _stream_within_limit(self, decision: Stream) -> web.StreamResponse:
        earlier, what = self._earlier, f"origin of {decision.site}, {decision.key!r}"
        if (known := self._known_missing(decision)) is not None:
            return self._not_found(decision, known)
        told = earlier is not None and isinstance(earlier.outcome, ErrorResponse)
        asked = self._started if told else monotonic()
        try:
            answer = await self._context.origins[decision.site].open(
                self._request.method,
                decision.key,
                _named(self._incoming, CONDITIONS),
                query=decision.query,
                cors_origin=self._incoming.headers.get("Origin"),
                earlier=earlier,
            )
        except OriginError as error:
            self._context.warnings.warn(f"{what}: {error.detail}")
            return self._instead(decision, error.status)
        self._learn(decision, answer, asked)
        async with answer:
            if await self._belongs_to_older_copy(decision):
                return await self.answer()
            await self._context.decider.until_told(self._request, decision)
            if answer.status >= HTTPStatus.BAD_REQUEST:
                if answer.status == HTTPStatus.NOT_FOUND:
                    return self._not_found(decision, answer.headers)
                if answer.status == HTTPStatus.FORBIDDEN:
                    self._context.warnings.warn(f"{what}: archived, or encrypted with another key")
                return self._instead(decision, answer.status, answer.headers)
            counters = self._context.counters
            counters.streams += 1
            how = "client-gone"
            try:
                response = await self._send(decision, answer)
                how = "complete"
            except OriginError as error:
                how = "origin-failed"
                self._context.warnings.warn(f"{what} mid-body: {error.detail}")
                self._client.abort()
                raise ConnectionResetError("the origin failed mid-body") from error
            finally:
                if how == "client-gone" and self._client.is_too_slow:
                    how = "client-slow"
                counters.streams -= 1
                counters.add("nearbucket_stream_ends_total", how)
                self._failover = answer.failover
                self._broke_off = how != "complete"
        return response

    def _known_missing(self, decision: Stream) -> Fields | None:
        """Fields of a 404 that stands for S3's: of a HEAD just now, or of an earlier request."""
        if self._earlier is not None:
            return None
        missing, name = self._context.missing_objects, self._missing_name(decision)
        if self._missing and decision.reason is Reason.ABSENT and name.cors_origin is None:
            # That HEAD was sent after this request came. A browser gets S3's own response to a
            # GET, which has CORS fields.
            missing.put(name, [], self._started)
            return []
        return missing.get(name, monotonic())

    def _missing_name(self, decision: Stream) -> MissingName:
        origin = self._incoming.headers.get("Origin")
        return MissingName(decision.site, decision.key, decision.query, origin)

    def _not_found(self, decision: Stream, fields: Fields) -> web.StreamResponse:
        if decision.reason is Reason.NOT_REPLICATED:
            decision = self._decision = replace(decision, reason=Reason.ABSENT)
        if decision.reason in STREAMED_INSTEAD and self._request.method != "HEAD":
            self._context.recorder.stream_began(self._entries(), monotonic())
        return self._instead(decision, HTTPStatus.NOT_FOUND, fields)

    def _learn(self, decision: Stream, answer: ObjectResponse, asked: float) -> None:
        """Learn which version of the object the origin has, unless a query may name another one.

        A failover bucket shows nothing about the origin.
        """
        if answer.failover:
            return
        if answer.status == HTTPStatus.NOT_FOUND:
            name, fields = self._missing_name(decision), kept_fields(answer.headers)
            self._context.missing_objects.put(name, fields, asked)
        else:
            self._context.missing_objects.forget(self._missing_name(decision))
        replicas = self._context.decider.replicas
        if replicas is None or decision.query:
            return
        if answer.status == HTTPStatus.NOT_FOUND:
            replicas.origin_versions.on_missing(decision.site, decision.key, asked)
        else:
            replicas.origin_versions.on_response(decision.site, decision.key, answer, asked)

    async def _belongs_to_older_copy(self, decision: Stream) -> bool:
        """Whether a range is to be redirected after all, as the rest of its download was.

        The check of the copy took too long, but the response of the origin has shown that it has
        another version now. Nothing else is decided again: that would count as another request.
        """
        if decision.reason is not Reason.UNVERIFIED or "Range" not in self._incoming.headers:
            return False
        self._decision = await self._context.decider.with_siblings(
            self._request, decision, self._started
        )
        if isinstance(self._decision, RedirectTo):
            return True
        self._decision = decision
        return False

    async def _send(self, decision: Stream, answer: ObjectResponse) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        for name, value in answer.headers:
            response.headers.add(name, value)
        decorate(response, decision, reason_header=self._context.settings.log.reason_header)
        self._finish(response)
        await response.prepare(self._incoming)
        tells_of_client = (
            decision.reason in _TELLING
            and self._request.method != "HEAD"
            and answer.status != HTTPStatus.NOT_MODIFIED  # of which the client has the object
        )
        if tells_of_client:
            self._context.recorder.stream_began(self._entries(), monotonic())
        await self._send_body(response, answer)
        await response.write_eof()
        if tells_of_client:
            self._context.recorder.stream_completed(self._entries(), monotonic())
        return response

    async def _send_body(self, response: web.StreamResponse, answer: ObjectResponse) -> None:
        """Pass the body on; the kernel keeps as much of it as the client's speed is worth."""
        pace = self._client.begin_pace() if answer.length > LIMITED else None
        if pace is not None:
            answer.fix_receive_buffer(fixed=pace.limit == LEAST)
        unmeasured = 0
        async for chunk in answer.body():
            await response.write(chunk)
            self._sent += len(chunk)
            unmeasured += len(chunk)
            if pace is not None and pace.is_due(unmeasured):
                answer.fix_receive_buffer(fixed=pace.measure(unmeasured) == LEAST)
                unmeasured = 0

    def _instead(
        self,
        decision: Stream,
        status: int,
        fields: Fields | None = None,
        text: str | None = None,
    ) -> web.StreamResponse:
        kept = kept_fields(fields or [])
        reason_header = self._context.settings.log.reason_header
        return self._finish(instead(decision, status, kept, reason_header=reason_header, text=text))

    def _finish(self, response: web.StreamResponse) -> web.StreamResponse:
        """Note the status, and close the connection while draining."""
        self._status = response.status
        if isinstance(response, web.Response) and self._request.method != "HEAD":
            self._sent = response.content_length or 0
        if self._context.draining or is_last(self._incoming):
            response.force_close()
        return response


def _request(incoming: web.BaseRequest) -> Request:
    """The request as the engine reads it: raw target, raw fields joined in order."""
    fields: dict[bytes, bytes] = {}
    for name, value in incoming.raw_headers:
        key = name.lower()
        fields[key] = fields[key] + b", " + value if key in fields else value
    peer = incoming.transport.get_extra_info("peername") if incoming.transport else None
    address = peer[0] if isinstance(peer, tuple) else None
    return Request(incoming.method, incoming.raw_path, fields, address)


def _named(incoming: web.BaseRequest, names: tuple[str, ...]) -> dict[str, str]:
    """The named fields that the request has."""
    headers = incoming.headers
    return {name: ", ".join(headers.getall(name)) for name in names if name in headers}
