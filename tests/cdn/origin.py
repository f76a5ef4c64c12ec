"""An origin that answers as a test says, and keeps what it was asked."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import ClientSession, web
from multidict import CIMultiDict, CIMultiDictProxy

from tests.cdn.distribution import Behaviour, CustomOrigin, Distribution
from tests.cdn.edge import Edge

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BODY = bytes(range(256)) * 4


class ScriptedOrigin:
    """An origin.

    Attributes:
        status: Status of its answers.
        fields: Their header fields.
        body: Their body; with ``ranges`` also in parts.
        ranges: Whether it answers ranges and conditions, as S3 does.
        gate: Answers wait for it.
        asked: The requests, in order.
        port: Where it listens.
    """

    def __init__(self) -> None:
        """One that answers 200 without any header field of its own."""
        self.status = 200
        self.fields: dict[str, str] = {}
        self.body = BODY
        self.ranges = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.asked: list[web.BaseRequest] = []
        self.port = 0
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0)

    @property
    def last(self) -> CIMultiDictProxy[str]:
        """Header fields of the last request."""
        return self.asked[-1].headers

    async def open(self) -> None:
        """Listen."""
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Close the port and all connections: from then on it cannot be reached."""
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        await self.gate.wait()
        fields = CIMultiDict(self.fields)
        known = fields.get("ETag")
        if self.ranges and known and request.headers.get("If-None-Match") == known:
            return web.Response(status=304, headers=fields)
        if self.ranges and "Range" in request.headers:
            span = request.http_range
            part = self.body[span]
            first = span.start or 0
            fields["Content-Range"] = f"bytes {first}-{first + len(part) - 1}/{len(self.body)}"
            return web.Response(status=206, headers=fields, body=part)
        return web.Response(status=self.status, headers=fields, body=self.body)


class Viewer:
    """A viewer of a distribution in front of the origin, and a clock that a test moves.

    Attributes:
        origin: The origin.
        edge: The distribution's edge.
        now: What the edge's clock says.
    """

    def __init__(self, origin: ScriptedOrigin, session: ClientSession, edge: Edge) -> None:
        """See ``viewing``."""
        self.origin = origin
        self.edge = edge
        self.now = 0.0
        self._session = session

    async def get(
        self, path: str = "/a", *, method: str = "GET", address: str = "192.0.2.1", **fields: str
    ) -> Got:
        """One request; ``_`` in names of header fields stands for ``-``."""
        sent = {name.replace("_", "-"): value for name, value in fields.items()}
        async with self._session.request(
            method,
            self.edge.url + path,
            headers={"X-Viewer": address, **sent},
            allow_redirects=False,
        ) as answer:
            return Got(answer.status, CIMultiDict(answer.headers), await answer.read())


class Got:
    """What a viewer got."""

    def __init__(self, status: int, fields: CIMultiDict[str], body: bytes) -> None:
        """Status, header fields, body."""
        self.status = status
        self.fields = fields
        self.body = body

    @property
    def cache(self) -> str:
        """The first word of X-Cache."""
        return self.fields["X-Cache"].split()[0]


@asynccontextmanager
async def viewing(
    *behaviours: Behaviour,
    errors: dict[int, float] | None = None,
    block: int = 0,
    secret: dict[str, str] | None = None,
) -> AsyncIterator[Viewer]:
    """A viewer of a distribution with these behaviours, whose origin is named ``origin``."""
    origin = ScriptedOrigin()
    await origin.open()
    made = CustomOrigin(f"http://127.0.0.1:{origin.port}", secret or {})
    distribution = Distribution(
        {"origin": made}, behaviours or (Behaviour("origin"),), errors or {}, block
    )
    viewer: Viewer
    async with Edge(distribution, lambda: viewer.now) as edge, ClientSession() as session:
        viewer = Viewer(origin, session, edge)
        yield viewer
    await origin.close()
