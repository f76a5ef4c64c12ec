"""The server: one edge location of a distribution."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from tests.cdn.entry import Entry, Reply, widened
from tests.cdn.forwarding import VIEWER, from_origin, to_origin, to_viewer
from tests.cdn.lifetime import ERROR_TTL, lifetime, may_be_stale

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cdn.distribution import Behaviour, Distribution

METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CONDITIONS = ("If-None-Match", "If-Modified-Since")
PAST_THE_CACHE = ("If-Match", "If-Unmodified-Since")
"""Conditions that are left to the origin."""
FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
PIECE = 1 << 16

Key = tuple[str, ...]


@dataclass(slots=True)
class _Visit:
    """One request of a viewer, and the behaviour that it falls under."""

    request: web.BaseRequest
    behaviour: Behaviour
    address: str
    key: Key
    stale: Entry | None = None
    fields: CIMultiDict[str] = field(default_factory=CIMultiDict)

    @property
    def head(self) -> bool:
        return self.request.method == "HEAD"


class Edge:
    """One edge location.

    Attributes:
        distribution: Its settings; another one may be put here, and what is kept stays.
        results: How often each X-Cache was given: ``Hit``, ``Miss``, ``RefreshHit``, ``Error``.
        requests: Requests of viewers.
        asked: Requests that were sent to each origin, by name.
        port: Where it listens.
    """

    def __init__(
        self, distribution: Distribution, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """An edge with an empty cache; ``clock`` counts seconds."""
        self.distribution = distribution
        self.results: Counter[str] = Counter()
        self.requests = 0
        self.asked: Counter[str] = Counter()
        self.port = 0
        self._clock = clock
        self._entries: dict[Key, Entry] = {}
        self._flights: dict[Key, asyncio.Event] = {}
        self._runner = web.ServerRunner(
            web.Server(self._handle, auto_decompress=False), shutdown_timeout=0
        )
        self._session: aiohttp.ClientSession

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    async def open(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            connector=aiohttp.TCPConnector(limit=0),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_read=30),
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Close the port and all connections."""
        await self._runner.cleanup()
        await self._session.close()

    def invalidate(self) -> None:
        """Forget all that is kept, as an invalidation of ``/*`` does."""
        self._entries.clear()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        if request.method not in METHODS:
            return web.Response(status=403, text="This distribution does not allow the method.\n")
        behaviour = self.distribution.behaviour(request.raw_path)
        visit = _Visit(request, behaviour, _address(request), _key(request, behaviour))
        past = any(name in request.headers for name in PAST_THE_CACHE)
        if request.method == "OPTIONS" or past:
            return await self._fetch(visit)
        return self._cached(visit) or await self._collapsed(visit)

    def _cached(self, visit: _Visit) -> web.StreamResponse | None:
        """The answer from the cache, if there is one."""
        entry = self._entries.get(visit.key)
        if entry is None:
            return None
        if self._clock() >= entry.until:
            visit.stale = entry if entry.status == 200 else None
            return None
        reply = entry.reply(visit.request.headers, head=visit.head)
        said = "Hit" if entry.status < 400 else "Error"
        return None if reply is None else self._send(reply, said, entry)

    async def _collapsed(self, visit: _Visit) -> web.StreamResponse:
        """Ask the origin; requests for the same wait for the first one's answer, if they may."""
        if visit.behaviour.cache.disabled:
            return await self._fetch(visit)
        flight = (*visit.key, visit.request.method, visit.request.headers.get("Range", ""))
        if first := self._flights.get(flight):
            await first.wait()
            return self._cached(visit) or await self._fetch(visit)
        landed = self._flights[flight] = asyncio.Event()
        try:
            return await self._fetch(visit, landed)
        finally:
            self._land(flight, landed)

    def _land(self, flight: Key, landed: asyncio.Event) -> None:
        landed.set()
        if self._flights.get(flight) is landed:
            del self._flights[flight]

    async def _fetch(
        self, visit: _Visit, landed: asyncio.Event | None = None
    ) -> web.StreamResponse:
        """Ask the origin, keep its response if it may be kept, and pass it on."""
        behaviour, request = visit.behaviour, visit.request
        origin = self.distribution.origins[behaviour.origin]
        visit.fields = to_origin(request.headers.items(), visit.address, behaviour, origin)
        self._ask_for_more(visit)
        self._revalidate(visit)
        policy = behaviour.request
        query = request.raw_path.partition("?")[2] if policy.query or behaviour.cache.query else ""
        path = request.raw_path.partition("?")[0]
        url = URL(origin.url.rstrip("/") + path + (f"?{query}" if query else ""), encoded=True)
        self.asked[behaviour.origin] += 1
        try:
            response = await self._session.request(
                request.method, url, headers=visit.fields, allow_redirects=False
            )
        except FAILURES:
            return self._failed(visit, 502)
        async with response:
            return await self._received(visit, response, landed)

    def _ask_for_more(self, visit: _Visit) -> None:
        if "Range" in visit.fields and not visit.behaviour.cache.disabled:
            visit.fields["Range"] = widened(visit.fields["Range"], self.distribution.block)

    def _revalidate(self, visit: _Visit) -> None:
        """Ask whether what is kept is still current, in place of the viewer's own conditions."""
        stale = visit.stale
        if stale is None or "Range" in visit.fields:
            return
        for condition, validator in zip(CONDITIONS, ("ETag", "Last-Modified"), strict=True):
            visit.fields.popall(condition, None)
            if validator in stale.fields:
                visit.fields[condition] = stale.fields[validator]

    async def _received(
        self, visit: _Visit, response: aiohttp.ClientResponse, landed: asyncio.Event | None
    ) -> web.StreamResponse:
        status, fields = response.status, from_origin(response.headers.items())
        policy = visit.behaviour.cache
        if status == 304:
            return await self._not_modified(visit, fields)
        if status >= 500 and visit.stale is not None and may_be_stale(visit.stale.fields):
            return self._failed(visit, status)
        seconds = lifetime(status, fields, policy, self.distribution)
        sliced = visit.fields.get("Range") != visit.request.headers.get("Range")
        if visit.request.method == "OPTIONS" or (not seconds and not (sliced and status == 206)):
            if landed is not None:
                landed.set()
            return await self._pass_on(visit, response, fields)
        try:
            body = await response.read()
        except FAILURES:  # a body that is shorter than Content-Length is not kept
            return self._failed(visit, 502)
        entry = Entry.of(status, fields, body, head=visit.head)
        if seconds:
            self._keep(visit.key, entry, seconds)
        reply = entry.reply(visit.request.headers, head=visit.head)
        if reply is None:
            reply = Reply(status, fields, body)
        return self._send(reply, "Miss" if status < 400 else "Error")

    def _keep(self, key: Key, entry: Entry, seconds: float) -> None:
        """Store an entry; parts of the version that is there already are added to that."""
        known = self._entries.get(key)
        entry.stored = self._clock()
        entry.until = entry.stored + seconds
        if known is not None and known.status == entry.status == 200 and known.same_version(entry):
            entry.add(known.parts)
        self._entries[key] = entry

    async def _not_modified(self, visit: _Visit, fields: CIMultiDict[str]) -> web.StreamResponse:
        """A 304: of what is kept, or of what the viewer has."""
        entry = visit.stale
        if entry is None or "Range" in visit.fields:
            return self._send(Reply(304, fields, b""), "Miss")
        entry.fields.update({k: v for k, v in fields.items() if k.lower() != "content-length"})
        seconds = lifetime(200, entry.fields, visit.behaviour.cache, self.distribution)
        entry.stored = self._clock()
        entry.until = entry.stored + seconds
        reply = entry.reply(visit.request.headers, head=visit.head)
        if reply is None:  # the origin confirmed a part, and the viewer wants more
            visit.stale = None
            return await self._fetch(visit)
        return self._send(reply, "RefreshHit", entry)

    def _failed(self, visit: _Visit, status: int) -> web.StreamResponse:
        """When the origin fails: what is kept, though its time is over, else an error."""
        entry = visit.stale
        pause = self.distribution.errors.get(status, ERROR_TTL)
        if entry is not None and may_be_stale(entry.fields):
            reply = entry.reply(visit.request.headers, head=visit.head)
            if reply is not None:
                entry.until = self._clock() + pause
                return self._send(reply, "Hit", entry)
        entry = Entry.of(status, {"Content-Type": "text/plain"}, b"Bad Gateway\n", head=visit.head)
        if pause:
            self._keep(visit.key, entry, pause)
        return self._send(Reply(status, entry.fields, b"Bad Gateway\n"), "Error")

    def _send(self, reply: Reply, said: str, entry: Entry | None = None) -> web.StreamResponse:
        self.results[said] += 1
        age = None if entry is None else self._clock() - entry.stored
        fields = to_viewer(reply.fields, said, age)
        return web.Response(status=reply.status, headers=fields, body=reply.body or None)

    async def _pass_on(
        self, visit: _Visit, response: aiohttp.ClientResponse, fields: CIMultiDict[str]
    ) -> web.StreamResponse:
        """Pass on a response that is not kept, as it comes; one that breaks off stays broken."""
        said = "Miss" if response.status < 400 else "Error"
        self.results[said] += 1
        answer = web.StreamResponse(status=response.status, headers=to_viewer(fields, said, None))
        await answer.prepare(visit.request)
        if not visit.head:
            try:
                async for piece in response.content.iter_chunked(PIECE):
                    await answer.write(piece)
            except FAILURES:
                if visit.request.transport is not None:
                    visit.request.transport.abort()
                return answer
        await answer.write_eof()
        return answer


def _address(request: web.BaseRequest) -> str:
    """The viewer's address and port."""
    host, port = request.get_extra_info("peername")[:2]
    return f"{request.headers.get(VIEWER, host)}:{port}"


def _key(request: web.BaseRequest, behaviour: Behaviour) -> Key:
    """The cache key: the path, and what the policy adds. Neither the client nor Host are in it."""
    path, _, query = request.raw_path.partition("?")
    policy = behaviour.cache
    parts = [path, query if policy.query else ""]
    parts += [request.headers.get(name, "") for name in policy.headers]
    if policy.cookies:
        parts.append(request.headers.get("Cookie", ""))
    return tuple(parts)
