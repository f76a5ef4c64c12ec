"""A bucket that fails on demand: HEAD and GET of objects in memory, and of the bucket itself.

It closes, forbids, moves, hangs and comes back when a test wants it, as no real server does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

from aiohttp import web

from tests.build import open_bucket

if TYPE_CHECKING:
    from collections.abc import Callable

BUCKET = "bucket"
LONG_AGO = {"Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT"}
"""So that what is known of an object holds for ``verify_ttl``."""


class BucketServer:
    """One bucket, path-style.

    Attributes:
        objects: Key to its content and ETag.
        headers: Key to further fields of its answers. Last-Modified is years ago by default.
        mode: ``fine``, ``forbidden`` (403), ``moved`` (301), ``gone`` (404 for everything),
            ``failing`` (503), or ``hanging``.
        owner: Account that it belongs to, if any; requests that expect another get 403.
        statuses: Method and key to the status of what was fine otherwise.
        errors: The same, to status and S3's error code.
        asked: Method and key, empty for the bucket, to how often that was asked.
        gate: Answers wait for it.
        head_gate: Answers to HEAD wait for it.
        head_delay: Seconds that an answer to HEAD takes.
    """

    def __init__(self, **objects: bytes) -> None:
        self.objects = {key: (data, f"etag-{len(data)}") for key, data in objects.items()}
        self.headers: dict[str, dict[str, str]] = {}
        self.mode = "fine"
        self.owner = ""
        self.statuses: dict[tuple[str, str], int] = {}
        self.errors: dict[tuple[str, str], tuple[int, str]] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.gate = asyncio.Event()
        self.gate.set()
        self.head_gate = asyncio.Event()
        self.head_gate.set()
        self.head_delay = 0.0
        self.port = 0
        self._released = asyncio.Event()
        self._runner: web.ServerRunner | None = None

    @property
    def endpoint(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.port}"

    def entry(self, **more: Any) -> dict[str, Any]:
        """The bucket's entry in a configuration."""
        return open_bucket(self.endpoint, **{"bucket": BUCKET, **more})

    async def open(self) -> None:
        """Listen; on the same port as before, if there was one."""
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def close(self) -> None:
        """Close the port and every connection."""
        self._released.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.gate.set()
        self.head_gate.set()
        await self.close()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        key = request.path.removeprefix(f"/{BUCKET}").removeprefix("/")
        self.asked[request.method, key] += 1
        await self.gate.wait()
        if request.method == "HEAD":
            await self.head_gate.wait()
            await asyncio.sleep(self.head_delay)
        statuses = {"moved": 301, "gone": 404, "failing": 503}
        if self.mode == "hanging":
            await self._released.wait()
        if self.mode in statuses:
            moved = {"x-amz-bucket-region": "eu-west-1"} if self.mode == "moved" else {}
            return web.Response(status=statuses[self.mode], headers=moved)
        if (refused := self._refusal(request, key)) is not None:
            return refused
        if not key:
            return web.Response(headers={"x-amz-bucket-region": "us-east-1"})
        if key not in self.objects:
            return web.Response(status=404)
        data, etag = self.objects[key]
        fields = LONG_AGO | {"ETag": f'"{etag}"', **self.headers.get(key, {})}
        if request.headers.get("If-None-Match") == fields["ETag"]:
            return web.Response(status=304, headers=fields)
        return web.Response(body=data, headers=fields)

    def _refusal(self, request: web.BaseRequest, key: str) -> web.Response | None:
        expected = request.headers.get("x-amz-expected-bucket-owner", self.owner)
        if self.mode == "forbidden" or (self.owner and expected != self.owner):
            return denied(request)
        if error := self.errors.get((request.method, key)):
            return failure(request, *error)
        status = self.statuses.get((request.method, key), 0)
        if status == 403:
            return denied(request)
        return web.Response(status=status) if status else None


def failure(request: web.BaseRequest, status: int, code: str) -> web.Response:
    """S3's error with this code; the answer to a HEAD has no body."""
    document = f"<Error><Code>{code}</Code><Message>{TEXTS.get(code, 'no')}</Message></Error>"
    text = None if request.method == "HEAD" else document
    return web.Response(status=status, text=text, content_type="application/xml")


def denied(request: web.BaseRequest) -> web.Response:
    """403 AccessDenied."""
    return failure(request, 403, "AccessDenied")


TEXTS = {
    "InvalidRequest": "The object was stored using a form of Server Side Encryption. The correct "
    "parameters must be provided to retrieve the object."
}


async def until(holds: Callable[[], bool], patience: float = 15.0) -> float:
    """Wait for something to hold; how long that took, in seconds."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.timeout(patience):
        while not holds():  # noqa: ASYNC110  # plain state of another task
            await asyncio.sleep(0.02)
    return loop.time() - began
