"""A proxy before a real S3 server: records requests, and can refuse, hold or cut them off."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COPIES = {"CopyObject", "UploadPartCopy"}


@dataclass(frozen=True)
class Asked:
    """One request: S3's name for it, path-style bucket and key, and the part's number or 0."""

    name: str
    bucket: str
    key: str
    part: int = 0


class WatchedS3:
    """Forwards requests unchanged; the signature covers this server's own Host.

    Attributes:
        answered: Requests that S3 answered with success, in that order.
        asked: All requests, in the order they came.
        most: Highest number of copies under way at once.
    """

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.endpoint = ""
        self.asked: list[Asked] = []
        self.answered: list[Asked] = []
        self.most = 0
        self.refuse: Callable[[Asked], str | None] = lambda _: None
        """Gives the error code of a request that is not forwarded; after ": " S3's message."""
        self.cut: Callable[[Asked], int | None] = lambda _: None
        """Gives the bytes of a body after which the connection is closed."""
        self.alter: Callable[[Asked, dict[str, str]], None] = lambda _asked, _fields: None
        """Changes the header fields of a response."""
        self.before: Callable[[Asked], Awaitable[None]] | None = None
        """Awaited before a request is forwarded."""
        self._busy = 0
        self._serving: set[asyncio.Task[object]] = set()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=None),
            connector=aiohttp.TCPConnector(limit=0),
        )
        self._runner = web.ServerRunner(web.Server(self._serve), shutdown_timeout=0.01)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.endpoint = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._serving:  # requests that a gate holds for good
            task.cancel()
        await self._runner.cleanup()
        await self._session.close()

    def forget(self) -> None:
        """Empty the records."""
        self.asked, self.answered, self.most = [], [], 0

    def copies(self) -> list[Asked]:
        """Copies and copies of parts that S3 made."""
        return [asked for asked in self.answered if asked.name in COPIES]

    def count(self, name: str) -> int:
        """How many requests of a name S3 answered with success."""
        return sum(asked.name == name for asked in self.answered)

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = _named(request)
        self.asked.append(asked)
        code = self.refuse(asked)
        if code is not None:
            return _error(code, head=request.method == "HEAD")
        self._busy += asked.name in COPIES
        self.most = max(self.most, self._busy)
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            if self.before is not None:
                await self.before(asked)
            return await self._passed_on(request, asked)
        finally:
            self._serving.discard(task)
            self._busy -= asked.name in COPIES

    async def _passed_on(self, request: web.BaseRequest, asked: Asked) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in {"content-length", "transfer-encoding"}
        }
        url = URL(self.upstream + request.raw_path, encoded=True)
        body = await request.read()
        async with self._session.request(
            request.method, url, headers=headers, data=body, skip_auto_headers=("Accept-Encoding",)
        ) as answer:
            if answer.ok:
                self.answered.append(asked)
            kept = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in {"transfer-encoding", "connection"}
            }
            self.alter(asked, kept)
            if request.method != "HEAD":
                body = await answer.read()
                whole = self.cut(asked)
                if whole is not None and whole < len(body):
                    return await _cut_off(request, answer.status, kept, body[:whole])
                return web.Response(status=answer.status, headers=kept, body=body)
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            await response.write_eof()
            return response


async def _cut_off(
    request: web.BaseRequest, status: int, headers: dict[str, str], body: bytes
) -> web.StreamResponse:
    response = web.StreamResponse(status=status, headers=headers)
    await response.prepare(request)
    await response.write(body)
    assert request.transport is not None
    request.transport.close()
    return response


def _named(request: web.BaseRequest) -> Asked:
    query, headers = request.query, request.headers
    _, bucket, *rest = request.raw_path.partition("?")[0].split("/", 2)
    key = unquote(rest[0]) if rest else ""
    method = request.method
    if method == "PUT" and "x-amz-copy-source" in headers:
        part = int(query.get("partNumber", 0))
        return Asked("UploadPartCopy" if part else "CopyObject", bucket, key, part)
    for argument, name in (
        ("list-type", "List"),
        ("tagging", "Tagging"),
        ("uploads", "Uploads"),
        ("uploadId", "Upload"),
    ):
        if argument in query:
            return Asked(f"{method} {name}", bucket, key)
    return Asked(method, bucket, key)


def _error(code: str, *, head: bool) -> web.Response:
    code, _, said = code.partition(": ")
    status = {"SlowDown": 503, "AccessDenied": 403, "InvalidObjectState": 403}.get(code, 400)
    text = f"<Error><Code>{code}</Code><Message>{said or 'told to'}</Message></Error>"
    return web.Response(status=status, text="" if head else text, content_type="application/xml")


class Gate:
    """Lets some requests through and holds all later ones for good.

    Attributes:
        held: Number of held requests.
        reached: Set when it holds the first.
    """

    def __init__(
        self,
        after: int,
        holds: Callable[[Asked], bool],
        enough: Callable[[], bool] = lambda: True,
    ) -> None:
        """Let ``after`` of the requests pass that ``holds`` selects, or more until ``enough``."""
        self._left, self._holds, self._enough = after, holds, enough
        self.held = 0
        self.reached = asyncio.Event()

    async def __call__(self, asked: Asked) -> None:
        if not self._holds(asked):
            return
        self._left -= 1
        if self._left >= 0 or not self._enough():
            return
        self.held += 1
        self.reached.set()
        await asyncio.Event().wait()  # until the server ends
