"""aiohttp's protocol of one client connection, and the answers to bytes that are not a request."""

from __future__ import annotations

import asyncio
import logging
import re
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING

from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.web_protocol import RequestHandler

from nearbucket.frontend.aiohttp_lane.responses import refusal
from nearbucket.policy.model import Reason, Refuse, Request

if TYPE_CHECKING:
    from aiohttp import StreamReader, web

    from nearbucket.frontend.client_connection import ClientConnection
    from nearbucket.frontend.worker_context import WorkerContext

_log = logging.getLogger(__name__)

MAX_LINE = 8190  # bytes of a request target: over the 8,000 of RFC 9112 section 3
MAX_FIELD = 8191  # bytes of a field; not MAX_LINE, so that aiohttp's error tells which it was
MAX_FIELDS = 128
_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/1\.[01]\r\n")
_ANSWERED = {b"GET", b"HEAD", b"OPTIONS"}
_FOREVER = 1e7  # seconds; ``ClientConnection`` has the timeouts


class AiohttpConnection(RequestHandler):
    """aiohttp's protocol; tells the client connection when an answer is complete."""

    __slots__ = ("_answered", "_body", "_context", "_last", "_start", "_unread", "client")

    def __init__(
        self, client: ClientConnection, context: WorkerContext, server: web.Server
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=_FOREVER,
            access_log=None,  # type: ignore[arg-type]  # aiohttp tests it for None
            auto_decompress=False,
            max_line_size=MAX_LINE,
            max_field_size=MAX_FIELD,
            max_headers=MAX_FIELDS,
        )
        self.client = client
        self._context = context
        self._answered = 0
        self._last: StreamReader | None = None
        self._body: StreamReader | None = None  # of the message that was read last
        # Of the message that is being read, or was read last. None if it is not known where that
        # begins: in bytes that follow the end of a body.
        self._start: bytes | None = b""
        self._unread = False  # whether the end of its head has not come yet

    @property
    def unanswered(self) -> int:
        """Requests that will still be answered if the client sends nothing more.

        None while aiohttp waits for the rest of the body of one it has answered.
        """
        if self._last is not None and not self._last.is_eof():
            return 0
        return self._request_count - self._answered

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client; keep the first line, for the answer if they are no request."""
        if self._body is not None and not self._body.is_eof():
            self._start = None
        elif not self._unread:
            self._start = b""
        if self._start is not None and b"\n" not in self._start:
            self._start = (self._start + data)[:MAX_LINE]
        count = self._request_count
        super().data_received(data)
        self._unread = self._request_count == count
        if not self._unread:
            self._body = self._messages[-1][1]

    @property
    def is_head(self) -> bool:
        """Whether the message that was read last began like a HEAD: its answer has no body."""
        return self._start is not None and self._start.startswith(b"HEAD ")

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer, then tell the client connection."""
        resp, reset = await super().finish_response(request, resp, start_time)
        self._answered += 1
        self._last = request.content
        if not reset:
            self.client.answered(
                keep_alive=bool(resp.keep_alive), had_body=bool(request.body_exists)
            )
        return resp, reset

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's signature
    ) -> web.StreamResponse:
        """The answer to bytes that aiohttp cannot parse, or after a failure in the handler."""
        # A connection that broke is no fault of ours; if S3's did, a warning has been logged.
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR and not isinstance(exc, ConnectionError):
            _log.error("failed while answering", exc_info=exc)
        if request.writer.output_size > 0:
            # Part of an answer is sent: another one behind it would look like its body.
            self.client.abort()
            raise ConnectionResetError("failed in the middle of an answer")
        unread = Request("-", "-", {}, request.remote)
        decision = Refuse(_too_large(exc) or status, Reason.BAD_REQUEST)
        start = self._start or b""
        line = _REQUEST_LINE.match(start) if isinstance(exc, BadHttpMethod) else None
        if line is not None and line[1] not in _ANSWERED:  # those are followed by a bad request
            # a method that llhttp does not know; methods have case (RFC 9110 section 9.1)
            unread = Request(line[1].decode(), line[2].decode(), {}, request.remote)
            decision = Refuse(HTTPStatus.METHOD_NOT_ALLOWED, Reason.METHOD)
        if status < HTTPStatus.INTERNAL_SERVER_ERROR:  # the handler records the others
            now = monotonic()
            cached = self._context.entries.build(unread, decision)
            self._context.recorder.record(cached, decision.status, 0, now, now)
        return refusal(decision, close=True, reason_header=self._context.settings.log.reason_header)


def _too_large(error: BaseException | None) -> int | None:
    """414 or 431 for a head that is over a limit (RFC 9110 section 15.5.15, RFC 6585)."""
    if isinstance(error, LineTooLong):
        return 414 if error.args[1] == MAX_LINE else 431
    if error is not None and "Too many headers" in str(error):
        return 431
    return None
