"""One client connection: answers plain redirects itself, and chooses the lane of other requests.

A chunk from the client that is exactly one plain GET or HEAD request, while no other is being
answered, goes to one of three lanes:

* The fast lane, here: the answer is a redirect, and is written at once.
* The streaming lane (``streaming/``): a GET without conditions is to be streamed from the origin.
* The aiohttp lane (``aiohttp_lane/``) gets the bytes of all other requests unchanged. Then the fast
  lane reads on: a load balancer sends the requests of many clients through one connection.

After any other chunk the connection belongs to aiohttp until it ends. Timeouts, the connection
limit and the drain are handled here for all lanes.
"""

from __future__ import annotations

from enum import Enum, auto
from time import monotonic
from typing import TYPE_CHECKING, Final, cast

from nearbucket.frontend.decision_cache import is_cacheable
from nearbucket.frontend.handoff import TOO_MANY_CONNECTIONS, AiohttpProtocol, peer_address
from nearbucket.frontend.limits.client_pace import ClientPace
from nearbucket.frontend.limits.connection_timeouts import BUSY, HEAD, IDLE, ConnectionTimeouts
from nearbucket.frontend.limits.gone_client import is_gone
from nearbucket.frontend.limits.minimum_rate import GRACE, ClientCredit
from nearbucket.frontend.limits.unread_bytes import unread_bytes
from nearbucket.frontend.request_parser import MAX_REQUEST_HEAD, PlainRequest, RequestHead
from nearbucket.frontend.streaming.client_writer import ClientWriter
from nearbucket.frontend.streaming.relay import Relay
from nearbucket.policy.model import Reason, Refuse, Stream
from nearbucket.telemetry.metrics import HandoffReason

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from nearbucket.config.settings import Limits
    from nearbucket.frontend.cached_decision import CachedDecision
    from nearbucket.frontend.decision_cache import KnownClient
    from nearbucket.frontend.handoff import HandedBackRequest
    from nearbucket.frontend.worker_context import WorkerContext


class ConnectionState(Enum):
    """Where bytes from the client go."""

    READING = auto()
    """They are read here, and the lane of the request is chosen."""
    STREAMING = auto()
    """They wait until the client has taken the streaming lane's answer."""
    AIOHTTP_ONE_REQUEST = auto()
    """To aiohttp, from then on; if none come before its answer is complete, READING is next."""
    AIOHTTP_UNTIL_CLOSE = auto()
    """To aiohttp."""
    CLOSING = auto()
    """They are dropped: the last answer is written, or the connection is cut."""


_NOT_RELAYED = frozenset({Reason.UNVERIFIED, Reason.NOT_MODIFIED})
"""UNVERIFIED has to wait for S3, NOT_MODIFIED is answered without it."""

# Member access through the class is slow in Python 3.11.
READING: Final = ConnectionState.READING
STREAMING: Final = ConnectionState.STREAMING
AIOHTTP_ONE_REQUEST: Final = ConnectionState.AIOHTTP_ONE_REQUEST
AIOHTTP_UNTIL_CLOSE: Final = ConnectionState.AIOHTTP_UNTIL_CLOSE
CLOSING: Final = ConnectionState.CLOSING


class ClientConnection:
    """One client connection.

    Attributes:
        handed_back: What S3 said about the request that the streaming lane left to aiohttp.
        is_too_slow: Whether the connection is ended because of ``limits.min_rate``.
        state: Where bytes from the client go.
        timeouts: What the connection waits for, and since when.
    """

    __slots__ = (
        "_aiohttp", "_behind", "_build", "_context", "_credit", "_eof", "_held", "_is_cut",
        "_is_full", "_pace", "_peer", "_relay", "_transport", "_whole", "_writer", "handed_back",
        "is_too_slow", "state", "timeouts",
    )  # fmt: skip

    def __init__(
        self, context: WorkerContext, build: Callable[[ClientConnection], AiohttpProtocol]
    ) -> None:
        """``build`` makes the aiohttp lane's protocol when a request needs it."""
        self._context = context
        self._build = build
        # connection
        self._transport: asyncio.Transport
        self._peer: str | None = None
        self._eof = False  # the client has closed its side
        self._is_cut = False  # nothing waits for the client any more
        self._is_full = False  # the client has not taken its answers
        self._held = False  # nothing is read for that reason
        self._aiohttp: AiohttpProtocol | None = None  # made for the first request it gets
        self._pace: ClientPace | None = None  # made for the first long body
        self._writer: ClientWriter | None = None  # made for the first streamed object
        self._credit: ClientCredit | None = None  # made when bytes wait for the first time
        self.is_too_slow = False
        self.state = READING
        self.timeouts: ConnectionTimeouts
        # request
        self._relay: Relay | None = None
        self._behind: tuple[bytes, ...] = ()  # what came during a stream
        self._whole = True  # the last chunk for aiohttp did not end within a head
        self.handed_back: HandedBackRequest | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected; over ``limits.max_connections`` it gets 503 without being read."""
        self._transport = cast("asyncio.Transport", transport)
        self._peer = peer_address(self._transport)
        self.timeouts = ConnectionTimeouts()
        context = self._context
        context.connections.add(self)
        context.counters.connections += 1
        if len(context.connections) > context.max_connections:
            context.refuse_connection()
            self._transport.write(TOO_MANY_CONNECTIONS)
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._context.on_connection_lost(self, self._transport, is_cut=self._is_cut)
        if self._relay is not None:
            self._relay.client_lost()
        if self._aiohttp is not None:
            self._aiohttp.connection_lost(exc)

    def data_received(self, chunk: bytes) -> None:
        """Answer a request, or pass the bytes to the lane that is answering."""
        if self.state is READING:
            started = monotonic()
            cached = self._context.decision_cache.get(self._peer, chunk, started)
            if cached is None:
                self._read(chunk, started)
            else:
                self._respond(chunk, cached, started)
        elif self.state is STREAMING:
            self._behind += (chunk,)
            if sum(map(len, self._behind)) > MAX_REQUEST_HEAD:
                self._transport.pause_reading()
        elif not self._transport.is_closing():
            self.state = AIOHTTP_UNTIL_CLOSE
            self._pass_on(chunk)

    def _read(self, chunk: bytes, started: float) -> None:
        context = self._context
        if context.parser is None:
            self._hand_over(chunk, HandoffReason.UNUSUAL, AIOHTTP_UNTIL_CLOSE)
            return
        head = context.parser.split(chunk)
        if not isinstance(head, tuple):  # isinstance() with an Enum class is several times slower
            self._hand_over(chunk, head, AIOHTTP_UNTIL_CLOSE)
            return
        known = context.decision_cache.get_client(self._peer, head, chunk)
        cached = None if known is None else known.decision(head[0], started)
        if cached is not None:
            self._respond(chunk, cached, started)
            return
        found = context.parser.parse(head, self._peer, None if known is None else known.entry)
        if not isinstance(found, tuple):
            self._hand_over(chunk, found, AIOHTTP_UNTIL_CLOSE)
            return
        made = self._decide(head, found, known, started)
        if isinstance(made, tuple):
            self._respond(chunk, made, started)
        else:
            self._hand_over(chunk, made, AIOHTTP_ONE_REQUEST)

    def _decide(
        self, head: RequestHead, found: PlainRequest, known: KnownClient | None, now: float
    ) -> CachedDecision | HandoffReason:
        context, (request, keep_alive) = self._context, found
        decision = context.decider.decide(request)
        if isinstance(decision, Refuse):
            return HandoffReason.REFUSE
        if isinstance(decision, Stream) and (decision.query or decision.reason in _NOT_RELAYED):
            return HandoffReason.STREAM
        draining, engine = context.draining, context.decider.engine
        entry = None if known is None else known.entry_for(decision.reason)
        keep_alive = keep_alive and not draining
        cached = context.entries.build(request, decision, entry, keep_alive=keep_alive)
        if not draining and is_cacheable(engine, request, decision, now):
            context.decision_cache.put(self._peer, head, cached, known)
        return cached

    def _respond(self, chunk: bytes, cached: CachedDecision, started: float) -> None:
        client_entry, object_entry = cached
        text = client_entry.text
        if text is None:
            self._stream(chunk, cached, started)
            return
        context = self._context
        date = context.date
        of_text, of_date, answer, sent = object_entry.last_redirect
        if object_entry.head:
            answer, sent = text.fill_head(object_entry.path, date), 0
        # No ``==``: the date is the same object for a second, the text for all like clients.
        elif of_date is not date or of_text is not text:
            answer, sent = object_entry.redirect(text, date)
        self._transport.write(answer)
        self.timeouts.since = started
        context.recorder.record(cached, text.status, sent, started, monotonic())
        if not client_entry.keep_alive:
            self._close()

    def _stream(self, chunk: bytes, cached: CachedDecision, started: float) -> None:
        """Have the streaming lane answer, or aiohttp where that cannot."""
        context, (client_entry, object_entry) = self._context, cached
        signed_requests = context.signed_requests.get(client_entry.site)
        relay = None
        if signed_requests is not None and client_entry.streamable and not object_entry.head:
            self._writer = self._writer or ClientWriter(self._transport)
            limit = context.stream_limits.by_site[client_entry.site]
            relay = Relay(context, signed_requests, limit, self._writer, self)
        if relay is None or not relay.start(chunk, cached, started):
            self._hand_over(chunk, HandoffReason.STREAM, AIOHTTP_ONE_REQUEST)
            return
        self._relay = relay
        self.state = STREAMING
        self.timeouts.phase, self.timeouts.since = BUSY, started

    def begin_pace(self) -> ClientPace:
        """The speed of the client, to which a long body is sent from now on, in any lane."""
        pace = self._pace = self._pace or ClientPace(self._transport)
        pace.begin()
        return pace

    def complete(self, now: float, *, keep_alive: bool) -> None:
        """The streaming lane's answer is complete: read on when the client has taken it."""
        self._relay = None
        self.timeouts.phase, self.timeouts.since = IDLE, now
        if not keep_alive:
            self._close()
        elif not self._is_full:  # otherwise ``resume_writing`` reads on
            self._read_on()

    def _read_on(self) -> None:
        """Read what came during a stream, and then from the client again."""
        behind = self._take_behind() if self._behind else ()
        if self._eof and not behind:
            self._close()
            return
        self.state = READING
        for piece in behind:
            self.data_received(piece)
        if behind and self._eof and self.state is READING:
            self._close()

    def hand_back(self, chunk: bytes, attempt: HandedBackRequest) -> None:
        """The streaming lane cannot answer and has sent nothing: have aiohttp answer."""
        self.handed_back = attempt
        self._relay = None
        self.timeouts.enter(IDLE)
        behind = self._take_behind()
        until = AIOHTTP_UNTIL_CLOSE if behind else AIOHTTP_ONE_REQUEST
        self._hand_over(chunk, HandoffReason.STREAM, until)
        for piece in behind:
            self._pass_on(piece)

    def abort_response(self) -> None:
        """The streaming lane cannot complete its answer."""
        self._relay = None
        self.abort()

    def _take_behind(self) -> tuple[bytes, ...]:
        behind, self._behind = self._behind, ()
        if behind:  # reading may have been paused
            self._transport.resume_reading()
        return behind

    def _hand_over(self, chunk: bytes, cause: HandoffReason, state: ConnectionState) -> None:
        self._context.counters.add("nearbucket_handovers_total", cause.value)
        if self._aiohttp is None:
            self._aiohttp = self._build(self)
            self._aiohttp.connection_made(self._transport)
            if self._is_full:
                self._aiohttp.pause_writing()
        if self._held:  # the aiohttp lane itself stops reading when it has too much
            self._held = False
            self._transport.resume_reading()
        self.state = state
        self._pass_on(chunk)

    def _pass_on(self, chunk: bytes) -> None:
        self._whole = chunk.endswith(b"\r\n\r\n")
        if self.timeouts.phase is IDLE:
            self.timeouts.enter(HEAD)
        if self._aiohttp is not None:
            self._aiohttp.data_received(chunk)

    def answering(self) -> None:
        """The aiohttp lane has read a request and begins to answer."""
        self.timeouts.enter(BUSY)

    def answered(self, *, keep_alive: bool, had_body: bool) -> None:
        """The aiohttp lane's answer is complete."""
        # behind a body nothing shows whether another head has begun
        self.timeouts.enter(IDLE if self._whole or had_body else HEAD)
        if self._eof and not self._working():
            self._close()
        elif self.state is AIOHTTP_ONE_REQUEST and keep_alive:
            self.state = READING
            if self._is_full:
                self._hold()

    def check(self, now: float) -> None:
        """Once a second: end the connection if it waits for too long, or idles in a drain."""
        transport, limits = self._transport, self._context.settings.limits
        gone = self._eof and is_gone(transport, self._context.settings)
        if gone or self.timeouts.stalled(transport, now, limits.idle_timeout):
            self.abort()
        elif limits.min_rate and self._takes_too_little(now, limits):
            self._end_slow_client(limits.min_rate)
        elif transport.is_closing():
            pass
        elif self._relay is not None:
            self._relay.check(now)
        elif self.timeouts.expired(now, limits, closing_idle=self._context.closing_idle):
            self._close()

    @property
    def is_answering(self) -> bool:
        """Whether an answer is not complete, or the client has not all of it."""
        return self._working() or unread_bytes(self._transport) > 0

    def _takes_too_little(self, now: float, limits: Limits) -> bool:
        grace = GRACE * limits.idle_timeout
        if self._credit is None:
            if self._transport.get_write_buffer_size():
                self._credit = ClientCredit(self._transport, now, grace)
            return False
        return self._credit.used_up(self._transport, now, limits.min_rate, grace)

    def _end_slow_client(self, rate: int) -> None:
        self._context.warnings.warn(
            f"{self._peer} took less than limits.min_rate, {rate} bytes a second: disconnected"
        )
        self.is_too_slow = True
        if self._relay is not None:
            self._relay.client_lost("client-slow")
            self._relay = None
        self.abort()

    def abort(self) -> None:
        """Cut the connection: the client must not take what it got for a whole answer."""
        self.state = CLOSING
        self._is_cut = True
        self._transport.abort()

    def _close(self) -> None:
        """Send what waits, then close."""
        self.state = CLOSING
        self._transport.close()

    def eof_received(self) -> bool:
        """A half-closed client gets the answer that is on its way, unless S3 is silent."""
        self._eof, transport = True, self._transport
        tls = transport.get_extra_info("sslcontext")  # which has no half-closed connections
        return not (tls or is_gone(transport, self._context.settings)) and self._working()

    def _working(self) -> bool:
        aiohttp = self._aiohttp
        return self.state is STREAMING or (aiohttp is not None and aiohttp.unanswered > 0)

    def pause_writing(self) -> None:
        """The client is slower than its answers: read no more requests from it."""
        self._is_full = True
        if self._pace is not None:
            self._pace.wait()
        if self._aiohttp is not None:
            self._aiohttp.pause_writing()
        if self.state is READING:
            self._hold()

    def _hold(self) -> None:
        self._held = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has taken what waited. Answers come last: they may be too much again."""
        self._is_full = False
        if self._pace is not None:
            self._pace.caught_up()
        if self._aiohttp is not None:
            self._aiohttp.resume_writing()
        if self._held:
            self._held = False
            too_much = sum(map(len, self._behind)) > MAX_REQUEST_HEAD
            if self.state is not CLOSING and not too_much:
                self._transport.resume_reading()
        if self._relay is not None:
            self._relay.resume_writing()
        elif self.state is STREAMING:
            self._read_on()
