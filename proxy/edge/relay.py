"""The streaming lane: an object's bytes from the origin's socket straight to the client's.

In: a simple GET that is to be streamed. Out: S3's 200 or 206 as the client may see it, byte by
byte; or the request back, untouched, when S3 says anything else. Refuses to know conditions,
errors of S3 and other methods: those are aiohttp's, and so is the rest of a body that S3 drops.

Nothing is kept on the way. What arrives is written to the client's socket at once, head and
body in one call; only what that does not take is copied, and then S3 is not read any further
until the client has taken it.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from proxy.decide.model import OriginError
from proxy.edge.between import Tried, head_of, tail_of
from proxy.storage.response import status_of
from proxy.storage.session import READ

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.edge.between import Client
    from proxy.edge.memo import Known
    from proxy.edge.state import WorkerState
    from proxy.storage.answer import Answer
    from proxy.storage.direct import Direct
    from proxy.storage.pool import Upstream
    from proxy.storage.response import Response

_USUAL_HEAD = 2048  # bytes: enough to find the end of S3's heads without copying more
_MAX_HEAD = 16 * 1024  # bytes of a response's head; S3's have one


class Relay:
    """One request on its way.

    It ends by one call of its client's, ``done``, ``broken`` or ``undone``, or by ``gone``.
    """

    __slots__ = (
        "_client", "_direct", "_file", "_head", "_keep_alive", "_known", "_left", "_path",
        "_response", "_since", "_started", "_state", "_streamed", "_task", "_transport",
        "_upstream", "_used", "_written",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913, PLR0917  # one request, one call
        self, state: WorkerState, direct: Direct, known: Known, client: Client,
        transport: asyncio.Transport, file: int, started: float, *, keep_alive: bool,
    ) -> None:  # fmt: skip
        """Begin nothing yet.

        Args:
            state: What the worker's lanes share.
            direct: The bucket.
            known: Who asks, and what for.
            client: Who waits for the answer.
            transport: Its connection.
            file: The descriptor of that, to be written to directly; -1 under TLS.
            started: Monotonic time at which the request came.
            keep_alive: Whether the connection stays open.
        """
        self._state = state
        self._direct = direct
        self._known = known
        self._client = client
        self._transport = transport
        self._started = started
        self._keep_alive = keep_alive
        self._file = file
        self._upstream: Upstream | None = None
        self._response: Response | None = None
        self._task: asyncio.Task[None] | None = None
        self._written: asyncio.Event | None = None
        self._used = False
        self._head = b""
        self._path = ""
        self._left = 0
        self._streamed = 0
        self._since = started

    def start(self) -> bool:
        """Ask S3; False when this lane cannot."""
        visitor, wanted = self._known
        made = self._direct.request(wanted.key, visitor.part)
        if made is None:
            return False
        request, self._path = made
        upstream = self._direct.take()
        if upstream is None:
            self._task = asyncio.create_task(self._connect(request))
        else:
            self._upstream = upstream
            self._used = upstream.used
            upstream.ask(request, self)
        return True

    async def _connect(self, request: bytes) -> None:
        try:
            self._upstream = await self._direct.connect()
        except OSError:
            self._task = None
            self._undone(Tried.FAILED)  # aiohttp finds out as well, and says so
            return
        self._task = None
        self._upstream.ask(request, self)

    def received(self, data: memoryview) -> None:
        """S3 sent bytes."""
        if self._response is None:
            self._begin(data)
        else:
            self._go_on(data)

    def _begin(self, data: memoryview) -> None:
        """Bytes of a head, and perhaps of the body behind it."""
        before = len(self._head)
        head = self._head + data[: _MAX_HEAD - before if before else _USUAL_HEAD]
        end = head.find(b"\r\n\r\n")
        if end < 0 and not before and len(data) > _USUAL_HEAD:
            head = bytes(data[:_MAX_HEAD])
            end = head.find(b"\r\n\r\n")
        if end < 0:
            self._head = head
            if len(head) >= _MAX_HEAD:
                self._undone(Tried.NOT)
            return
        head, self._head = head[: end + 4], b""
        response = self._direct.responses.read(head)
        if response is None or (response.status == 206 and self._known.visitor.part is None):  # noqa: PLR2004
            self._direct.answered(status_of(head))
            self._undone(Tried.FAILED if status_of(head) in {500, 503} else Tried.NOT)
            return
        self._response = response
        self._left = response.length
        self._direct.answered(response.status)
        self._state.counters.streams += 1
        self._known.visitor.began(self._known.wanted)
        self._keep_alive = self._keep_alive and not self._state.draining
        stamp = self._known.visitor.stamp
        head = head_of(response, stamp, self._state.date, keep_alive=self._keep_alive)
        self._go_on(data[end + 4 - before :], head)

    def _go_on(self, data: memoryview, head: bytes = b"") -> None:
        """Pass bytes of the body on, behind the answer's head the first time."""
        size = len(data)
        if size > self._left:  # nobody asked for what is behind the body
            data, size = data[: self._left], self._left
            self._spoil()
        self._left -= size
        self._streamed += size
        if not self._send((head, data) if head else (data,)):
            self._broken("client-gone")
        elif not self._left:
            self._complete()

    def _spoil(self) -> None:
        if self._response is not None:
            self._response = self._response._replace(reusable=False)

    def _send(self, pieces: Sequence[bytes | memoryview]) -> bool:
        """Write to the client; what its socket does not take waits, and S3 with it."""
        transport = self._transport
        if transport.is_closing():  # its descriptor may be somebody else's by now
            return False
        if self._file < 0 or transport.get_write_buffer_size():
            transport.write(b"".join(pieces))
        else:
            try:
                sent = os.writev(self._file, pieces)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False
            left = sum(map(len, pieces)) - sent
            if left:
                transport.write(tail_of(pieces, left))
        if transport.get_write_buffer_size() and self._upstream is not None:
            transport.set_write_buffer_limits(high=0)  # ask to be told when it has gone
            self._upstream.pause()
        return True

    def caught_up(self) -> None:
        """The client has taken what waited."""
        if self._upstream is not None:
            self._upstream.resume()
        if self._written is not None:
            self._written.set()

    def _complete(self) -> None:
        upstream, self._upstream = self._upstream, None
        response, state = self._response, self._state
        if upstream is not None and response is not None:
            if response.reusable:
                upstream.free()
            else:
                upstream.close()
        state.counters.streams -= 1
        state.counters.complete.value += 1
        self._record(response.status if response else 0)
        self._client.done(keep_alive=self._keep_alive)

    def lost(self, error: Exception | None) -> None:
        """S3's connection is gone."""
        self._upstream = None
        if self._response is None:
            stale = self._used and not self._head
            self._undone(Tried.NOT if stale else Tried.FAILED)
        else:
            trouble = repr(error) if error else "it ended early"
            self._task = asyncio.create_task(self._resume(self._response, trouble))

    async def _resume(self, response: Response, trouble: str) -> None:
        """Go on by way of aiohttp."""
        state = self._state
        answer: Answer = self._direct.rest(self._path, response, self._left)
        self._written = asyncio.Event()
        try:
            async with answer:
                async for piece in answer.body():
                    self._left -= len(piece)
                    self._streamed += len(piece)
                    self._transport.write(piece)
                    await self._room()
        except OriginError as failure:
            self._task = None
            site = self._known.visitor.decision.site
            state.complain(f"origin of {site}, mid-body: {trouble}; {failure.detail}")
            self._broken("origin-failed")
        else:
            self._task = None
            self._complete()

    async def _room(self) -> None:
        while self._transport.get_write_buffer_size() and self._written is not None:
            self._written.clear()
            self._transport.set_write_buffer_limits(high=0)
            await self._written.wait()

    def check(self, now: float) -> None:
        """Once a tick: S3 may not be silent for long while bytes of it are wanted."""
        upstream = self._upstream
        if upstream is None or not upstream.waiting or upstream.moved:
            self._since = now
            if upstream is not None:
                upstream.moved = False
        elif now - self._since > READ:
            upstream.close()
            if self._response is None:
                self._undone(Tried.SILENT)
            else:
                self.lost(TimeoutError(f"nothing for {READ:g} s"))

    def gone(self) -> None:
        """The client's connection is gone."""
        if self._response is None:
            self._let_go()
            self._record(0)
        else:
            self._left = max(self._left, 1)
            self._ended("client-gone")

    def _undone(self, tried: Tried) -> None:
        """Not this lane's to answer, and nothing is sent yet."""
        self._let_go()
        self._client.undone(tried)

    def _let_go(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.close()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def _broken(self, how: str) -> None:
        """What was sent is not the object: the client must not take it for one."""
        self._ended(how)
        self._client.broken()

    def _ended(self, how: str) -> None:
        self._let_go()
        counters = self._state.counters
        counters.streams -= 1
        counters.add("nearbucket_stream_ends_total", how)
        self._record(self._response.status if self._response else 0)

    def _record(self, status: int) -> None:
        visitor, wanted = self._known
        state = self._state
        visitor.record(
            state.log, wanted, status, self._streamed, started=self._started, offset=state.offset
        )
