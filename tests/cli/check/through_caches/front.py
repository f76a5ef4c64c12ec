"""A CDN on loopback, as good or as bad as a test wants it, in front of a worker or a bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import aiohttp
from aiohttp import web

from tests.build import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Collection

OF_PROXY = ("X-Nearbucket", "Server")
"""Header fields by which the proxy shows itself."""


class Front:
    """Passes on requests.

    Attributes:
        origin: URL of the server behind it.
        client: The client's address that it names; empty to name none.
        forwards: Lower-case names of the fields that it passes on.
        forwards_host: Whether Host is among them.
        forwards_query: Whether the query is passed on.
        keeps: Whether it keeps every answer by its path, as with a minimum TTL above 0.
        strips: Names of fields that it removes from answers.
        adds: Fields that it sets in requests.
        says: Fields that it sets in answers.
        moves_to: URL to which it redirects every request; empty for none.
    """

    def __init__(self) -> None:
        self.origin = ""
        self.client = OUTSIDE
        self.forwards: Collection[str] = {"range", "x-no-redirect"}
        self.forwards_host = self.forwards_query = True
        self.keeps = False
        self.strips: Collection[str] = ()
        self.adds: dict[str, str] = {}
        self.says: dict[str, str] = {}
        self.moves_to = self.url = ""
        self._kept: dict[str, web.Response] = {}

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if self.moves_to:
            return web.Response(status=302, headers={"Location": self.moves_to})
        kept = self._kept.get(request.path)
        if kept is not None:
            return _copy(kept, {"X-Cache": "Hit from cloudfront", "Age": "1"})
        fields = {name: request.headers[name] for name in self.forwards if name in request.headers}
        fields["Host"] = request.host if self.forwards_host else "origin.example"
        if self.client:
            fields["X-Forwarded-For"] = self.client
        query = f"?{request.query_string}" if self.forwards_query and request.query_string else ""
        url = f"{self.origin}{request.path}{query}"
        async with self._session.get(
            url, headers=fields | self.adds, allow_redirects=False
        ) as answer:
            dropped = {*self.strips, "Date", "Content-Length", "Content-Type"}
            shown = {k: v for k, v in answer.headers.items() if k not in dropped}
            made = web.Response(
                status=answer.status, body=await answer.read(), headers=shown | self.says
            )
        if self.keeps:
            self._kept[request.path] = made
        return _copy(made, {"X-Cache": "Miss from cloudfront"})


def _copy(response: web.Response, more: dict[str, str]) -> web.Response:
    fields = {name: value for name, value in response.headers.items() if name != "Content-Length"}
    return web.Response(status=response.status, body=response.body, headers=fields | more)
