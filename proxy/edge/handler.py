"""The aiohttp lane: everything that is not a simple redirect.

In: whatever the fast lane handed over. Out: answers, streamed objects, and text for
people. Refuses to decide: it asks the same engine, and only acts.
"""

from __future__ import annotations

import asyncio
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, assert_never

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.decide.model import Action, OriginError, Reason, Redirect, Refuse, Request, Stream
from proxy.decide.wire import SERVER, reason_value, redirect_body, redirect_fields

if TYPE_CHECKING:
    from aiohttp import StreamReader

    from proxy.decide.model import Decision
    from proxy.edge.fastlane import FastLane
    from proxy.edge.state import WorkerState
    from proxy.storage.answer import Answer

_log = logging.getLogger(__name__)

ALLOW = "GET, HEAD, OPTIONS"
CONDITIONS = (
    "Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since",
)  # fmt: skip
_FOREVER = 1e7  # seconds; the fast lane owns the timeouts of its connections
_SHORT = "public, max-age=10"  # CloudFront's own default for errors: a new object shows soon

TEXT = {
    204: "",
    400: "This path or request is not one that an object could be served for.",
    403: "This request did not come through the expected front.",
    404: "There is no such object.",
    405: f"Only {ALLOW} are answered here.",
    412: "The object does not meet the request's conditions.",
    416: "The object has no such range of bytes.",
    421: "This server does not serve that host.",
    502: "The origin gave no usable answer; try again.",
    503: "The origin is overloaded; try again.",
    504: "The origin did not answer in time; try again.",
}


class _Connection(RequestHandler):
    """aiohttp's protocol, telling its lane when a request begins and its answer is whole."""

    __slots__ = ("_answered", "_last", "_state", "lane")

    def __init__(self, lane: FastLane, state: WorkerState, server: web.Server) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_FOREVER,
            access_log=None,  # type: ignore[arg-type]  # aiohttp tests it for None
            auto_decompress=False,
        )
        self.lane = lane
        self._state = state
        self._answered = 0
        self._last: StreamReader | None = None

    @property
    def unanswered(self) -> int:
        """Requests that will still be answered if the client sends nothing more.

        None while aiohttp waits for the rest of the body of one it has answered.
        """
        if self._last is not None and not self._last.is_eof():
            return 0
        return self._request_count - self._answered

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer, then give the connection back to its lane."""
        resp, reset = await super().finish_response(request, resp, start_time)
        self._answered += 1
        self._last = request.content
        if not reset:
            self.lane.answered(keep_alive=bool(resp.keep_alive))
        return resp, reset

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's signature
    ) -> web.StreamResponse:
        """What aiohttp could not parse, or what failed in the handler."""
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("failed while answering", exc_info=exc)
        decision = Refuse(status, Reason.BAD_REQUEST)
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:  # else the exchange has its own record
            unread = Request("-", "-", {}, request.remote)
            self._state.record(unread, decision, status=status, sent=0, seconds=0.0)
        return _refusal(decision, close=True, reason_header=self._state.settings.log.reason_header)


class Handler:
    """Answers requests of one worker through aiohttp."""

    def __init__(self, state: WorkerState) -> None:
        self._state = state
        self._server = web.Server(self._answer, handler_cancellation=True)

    def connection(self, lane: FastLane) -> _Connection:
        """A protocol for a connection that the fast lane hands over."""
        return _Connection(lane, self._state, self._server)

    async def _answer(self, incoming: web.BaseRequest) -> web.StreamResponse:
        protocol = incoming.protocol
        if not isinstance(protocol, _Connection):
            raise TypeError("a connection without a lane")
        protocol.lane.answering()
        exchange = _Exchange(self._state, incoming, protocol.lane)
        try:
            return await exchange.answer()
        finally:
            exchange.record()


class _Exchange:
    """One request and its answer."""

    def __init__(self, state: WorkerState, incoming: web.BaseRequest, lane: FastLane) -> None:
        self._state = state
        self._incoming = incoming
        self._lane = lane
        self._started = asyncio.get_running_loop().time()
        self._request = _request(incoming)
        self._decision: Decision = state.engine.decide(self._request)
        self._status = 0
        self._sent = 0
        self._streamed = 0

    async def answer(self) -> web.StreamResponse:
        """Act on the decision."""
        reason_header = self._state.settings.log.reason_header
        response: web.StreamResponse
        match self._decision:
            case Redirect() as decision:
                response = _redirection(decision, reason_header=reason_header)
            case Refuse() as decision:
                response = _refusal(decision, reason_header=reason_header)
            case Stream() as decision:
                return await self._stream(decision)
            case _:
                assert_never(self._decision)
        return self._finish(response)

    def record(self) -> None:
        """Count and log, whatever became of it."""
        version = self._incoming.version
        self._state.record(
            self._request,
            self._decision,
            status=self._status,
            sent=self._sent + self._streamed,
            seconds=asyncio.get_running_loop().time() - self._started,
            streamed=self._streamed,
            protocol=f"HTTP/{version.major}.{version.minor}",
        )

    async def _stream(self, decision: Stream) -> web.StreamResponse:
        counters = self._state.counters
        conditions = {
            name: self._incoming.headers[name]
            for name in CONDITIONS
            if name in self._incoming.headers
        }
        origin = self._state.origins[decision.site]
        try:
            answer = await origin.open(self._request.method, decision.key, conditions)
        except OriginError as error:
            _log.warning("origin of %s: %s", decision.site, error.detail)
            return self._finish(self._text(decision, error.status, retry=True))
        async with answer:
            if answer.status >= HTTPStatus.BAD_REQUEST:
                return self._finish(self._text(decision, answer.status, answer.headers))
            counters.streams += 1
            how = "client-gone"
            try:
                response = await self._send(decision, answer)
                how = "complete"
            except OriginError as error:
                how = "origin-failed"
                _log.warning("origin of %s, mid-body: %s", decision.site, error.detail)
                self._lane.abort()
                raise ConnectionResetError("the origin failed mid-body") from error
            finally:
                counters.streams -= 1
                counters.add("nearbucket_stream_ends_total", how)
        return response

    async def _send(self, decision: Stream, answer: Answer) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status)
        for name, value in answer.headers:
            response.headers.add(name, value)
        self._decorate(response, decision)
        self._finish(response)
        await response.prepare(self._incoming)
        if self._request.method != "HEAD":
            async for chunk in answer.body():
                await response.write(chunk)
                self._streamed += len(chunk)
        await response.write_eof()
        return response

    def _text(
        self,
        decision: Stream,
        status: int,
        headers: list[tuple[str, str]] | None = None,
        *,
        retry: bool = False,
    ) -> web.Response:
        """A short text in place of what S3 said, with the fields that still belong."""
        response = _plain(status)
        for name, value in headers or ():
            if name.lower() in {"content-range", "etag", "last-modified"}:
                response.headers[name] = value
        missing = status == HTTPStatus.NOT_FOUND  # 412 and 416 depend on this request alone
        response.headers["Cache-Control"] = _SHORT if missing else "no-store"
        if retry:
            response.headers["Retry-After"] = "5"
        self._decorate(response, decision)
        return response

    def _decorate(self, response: web.StreamResponse, decision: Stream) -> None:
        response.headers["Server"] = SERVER
        if self._state.settings.log.reason_header:
            response.headers["X-Nearbucket"] = reason_value(
                Action.STREAM.value, decision.region, decision.reason.value
            )

    def _finish(self, response: web.StreamResponse) -> web.StreamResponse:
        """Note the status, and close the connection while draining."""
        self._status = response.status
        if isinstance(response, web.Response) and self._request.method != "HEAD":
            self._sent = response.content_length or 0
        if self._state.draining:
            response.force_close()
        return response


def _request(incoming: web.BaseRequest) -> Request:
    """What the engine needs of aiohttp's request: raw target, raw fields joined in order."""
    fields: dict[bytes, bytes] = {}
    for name, value in incoming.raw_headers:
        key = name.lower()
        fields[key] = fields[key] + b", " + value if key in fields else value
    peer = incoming.transport.get_extra_info("peername") if incoming.transport else None
    address = peer[0] if isinstance(peer, tuple) else None
    return Request(incoming.method, incoming.raw_path, fields, address)


def _redirection(decision: Redirect, *, reason_header: bool) -> web.Response:
    response = web.Response(status=decision.status, body=redirect_body(decision.location))
    for name, value in redirect_fields(decision, reason_header=reason_header):
        response.headers[name] = value
    return response


def _plain(status: int) -> web.Response:
    if status == HTTPStatus.NO_CONTENT:
        return web.Response(status=status)
    text = TEXT.get(status, HTTPStatus(status).phrase + ".")
    return web.Response(status=status, text=text + "\n")


def _refusal(decision: Refuse, *, reason_header: bool, close: bool = False) -> web.Response:
    response = _plain(decision.status)
    response.headers["Server"] = SERVER
    response.headers["Cache-Control"] = "no-store"
    if decision.reason is Reason.METHOD:
        response.headers["Allow"] = ALLOW
    if reason_header:
        response.headers["X-Nearbucket"] = reason_value(
            Action.REFUSE.value, None, decision.reason.value
        )
    if close:
        response.headers["Connection"] = "close"
        response.force_close()
    return response
