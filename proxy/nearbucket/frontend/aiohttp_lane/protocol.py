"""aiohttp's protocol of one client connection, and the answers to bytes that are not a request."""

from __future__ import annotations

import asyncio
import logging
import re
from http import HTTPStatus
from time import monotonic
from typing import TYPE_CHECKING

from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from nearbucket.frontend.aiohttp_lane.responses import refusal
from nearbucket.frontend.aiohttp_lane.unparsed import UnparsedBytes
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
_NOT_A_HEAD = b"\0"
"""What no head may contain, at any place: with it aiohttp's parser ends."""
_FOREVER = 1e7  # seconds; ``ClientConnection`` has the timeouts


class AiohttpConnection(RequestHandler):
    """aiohttp's protocol; tells the client connection when an answer is complete."""

    __slots__ = (
        "_answered", "_body", "_body_left", "_context", "_held", "_is_done", "_last",
        "_outside_body", "_too_large", "_unparsed", "client",
    )  # fmt: skip

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
        self._unparsed = UnparsedBytes()
        self._held = False  # nothing is read: too much waits for an answer to be complete
        self._answered = 0
        self._is_done = False  # the connection is closed after the last answer
        self._last: StreamReader | None = None
        self._body: StreamReader | None = None  # of the message that was read last
        self._body_left: int | None = 0  # its bytes that have not come; None if only aiohttp knows
        self._outside_body = 0  # bytes of chunked framing and trailers since its last byte
        self._too_large = False  # whether the message is a head over ``limits.header_size``

    @property
    def unanswered(self) -> int:
        """Requests that will still be answered if the client sends nothing more.

        None while aiohttp waits for the rest of the body of one it has answered.
        """
        if self._last is not None and not self._last.is_eof():
            return 0
        return self._request_count - self._answered

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client.

        aiohttp calls it without any to go on with a body.
        """
        if not data:
            super().data_received(data)
        self._unparsed.add(data)
        self._parse()

    def _parse(self) -> None:
        """Parse what has come: the rest of a body, and the next head if no other is answered."""
        unparsed = self._unparsed
        while len(unparsed):
            if self._body is not None and not self._body.is_eof():
                if self._body_left == 0:
                    break  # aiohttp has all of it, and its reader has not
                self._parse_body(self._body, self._body_left)
            elif self._is_done or self._body_left is None:
                unparsed.clear()  # nothing behind a chunked body is answered
            elif self.unanswered:
                break
            else:
                self._parse_head()
        self._hold()

    def _parse_head(self) -> None:
        count = self._request_count
        taken = self._unparsed.take_head(self._context.settings.limits.header_size, MAX_LINE)
        self._too_large = not taken
        super().data_received(taken or _NOT_A_HEAD)
        if self._request_count == count:
            return
        self._unparsed.begin_head()
        message, self._body = self._messages[-1]
        self._body_left = self._outside_body = 0
        if isinstance(message, RawRequestMessage) and not self._body.is_eof():
            framed = not message.chunked and message.method != "CONNECT"
            self._body_left = int(message.headers.get("Content-Length", 0)) if framed else None

    def _parse_body(self, body: StreamReader, left: int | None) -> None:
        """Pass on bytes of a body; too many of chunked framing or trailers end the connection."""
        taken, before = self._unparsed.take(left), body.total_bytes
        if left is not None:
            self._body_left = left - len(taken)
        else:
            self._unparsed.start = None
        super().data_received(taken)
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            # it is invalid: that is answered in place of the request, if no answer has begun
            while len(self._messages) > 1:
                self._messages.popleft()
                self._request_count -= 1
        self._outside_body = 0 if body.total_bytes != before else self._outside_body + len(taken)
        if left is None and self._outside_body > self._context.settings.limits.header_size:
            self.client.abort()

    def _hold(self) -> None:
        """Read no more while too much waits."""
        held, self._held = self._held, len(self._unparsed) > MAX_LINE
        if self.transport is None or held is self._held:
            pass
        elif self._held:
            self.transport.pause_reading()
        elif not self._reading_paused:  # by aiohttp, for a body that is not read
            self.transport.resume_reading()

    def _resume_transport_reading(self) -> None:
        """Aiohttp has read a body: read from the client again, unless too much waits behind it."""
        if not self._held:
            super()._resume_transport_reading()

    @property
    def is_head(self) -> bool:
        """Whether the message that was read last began like a HEAD: its answer has no body."""
        start = self._unparsed.start
        return start is not None and start.startswith(b"HEAD ")

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Write the answer, then tell the client connection."""
        resp, reset = await super().finish_response(request, resp, start_time)
        self._answered += 1
        self._last = request.content
        self._is_done = not resp.keep_alive
        if not reset:
            self._parse()
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
        decision = Refuse(431 if self._too_large else _too_large(exc) or status, Reason.BAD_REQUEST)
        start = self._unparsed.start or b""
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
