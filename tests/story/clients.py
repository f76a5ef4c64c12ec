"""Clients of the story: they follow redirects as real ones do, and keep account of every byte."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from tests.story.doors import CLIENT_FIELD, Head, read_head

if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 30.0
"""Seconds that a client waits for an answer."""

REDIRECTS = frozenset({301, 302, 303, 307, 308})
FAILURES = (OSError, EOFError, TimeoutError, ValueError)
"""What a connection that fails raises."""

CURL = "curl/8.5.0"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request got, redirect included.

    Attributes:
        began: When it was sent, monotonic.
        host_status: Status of the product's answer; 0 if there was none.
        reason: The product's reason.
        status: Status of the last answer; 0 if the last connection failed.
        body: Body of the last answer.
        etag: ETag of the last answer.
        redirected: Whether it was redirected, and followed that.
        total: Bytes of the whole object, where the last answer has some of it.
    """

    began: float
    host_status: int = 0
    reason: str = ""
    status: int = 0
    body: bytes = field(default=b"", repr=False)
    etag: str = ""
    redirected: bool = False
    total: int = 0

    @property
    def good(self) -> bool:
        """Whether it has bytes of an object."""
        return self.status in {200, 206}

    @property
    def dead(self) -> bool:
        """Whether it was redirected to where the object could not be had."""
        return self.redirected and self.status not in {200, 206, 304}


@dataclass(slots=True)
class Client:
    """One machine, or many behind one address.

    Attributes:
        port: Port of the product.
        host: Host that it asks for.
        address: By which the product knows it.
        turns: How many requests of all clients may be under way at a time.
        agent: Its User-Agent.
        fields: Further fields of each request.
        follows: Whether it follows redirects; a script without ``curl -L`` does not.
        blocked: Seconds after which a connection to S3 fails, where a firewall keeps it from S3.
        keeps: Whether it keeps its connections, as a browser does.
        takes: Bytes of a body after which its connection breaks; None to take all.
    """

    port: int
    host: str
    address: str
    turns: asyncio.Semaphore
    agent: str = CURL
    fields: Mapping[str, str] = field(default_factory=dict)
    follows: bool = True
    blocked: float | None = None
    keeps: bool = False
    takes: int | None = None
    _kept: dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(
        default_factory=dict
    )

    async def get(
        self, key: str, fields: Mapping[str, str] | None = None, *, method: str = "GET"
    ) -> Answer:
        """Ask the product for an object, and follow where it redirects to.

        Args:
            key: The object.
            fields: Further fields of this request, such as Range; they go to S3 as well.
            method: GET or HEAD.
        """
        own = {**self.fields, **(fields or {})}
        url = f"http://127.0.0.1:{self.port}/{quote(key)}"
        named = {**own, "Host": self.host, "X-Forwarded-For": self.address}
        async with self.turns:
            began = time.monotonic()
            try:
                head, data = await self._ask(url, method, named)
            except FAILURES:
                return Answer(began)
        if head.status not in REDIRECTS or not self.follows:
            return _answer(began, head, head, data)
        return await self._follow(began, head, method, own)

    async def _follow(
        self, began: float, head: Head, method: str, own: Mapping[str, str]
    ) -> Answer:
        failed = Answer(began, head.status, _reason(head), redirected=True)
        if self.blocked is not None:
            await asyncio.sleep(self.blocked)
            return failed
        location = head.fields["location"]
        # as curl does: credentials and cookies stay with the host that they are for
        passed = {k: v for k, v in own.items() if k.lower() not in {"cookie", "authorization"}}
        host = urlsplit(location).netloc
        async with self.turns:
            try:
                last, data = await self._ask(location, method, {**passed, "Host": host})
            except FAILURES:
                return failed
        return _answer(began, head, last, data, redirected=True)

    async def _ask(self, url: str, method: str, fields: Mapping[str, str]) -> tuple[Head, bytes]:
        parts = urlsplit(url)
        lines = [f"{method} {parts.path} HTTP/1.1", f"User-Agent: {self.agent}", "Accept: */*"]
        if parts.netloc != f"127.0.0.1:{self.port}":
            lines.append(f"{CLIENT_FIELD}: 1")
        if not self.keeps:
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in fields.items()]
        raw = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        async with asyncio.timeout(PATIENCE):
            kept = self._kept.pop(parts.netloc, None)
            if kept is not None:
                try:
                    return await self._exchange(parts.netloc, kept, method, raw)
                except FAILURES:  # it was closed meanwhile: a new connection, as browsers do
                    pass
            new = await asyncio.open_connection(parts.hostname, parts.port)
            return await self._exchange(parts.netloc, new, method, raw)

    async def _exchange(
        self,
        netloc: str,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        method: str,
        raw: bytes,
    ) -> tuple[Head, bytes]:
        reader, writer = streams
        keep = False
        try:
            writer.write(raw)
            head = await read_head(reader)
            if head is None:
                raise EOFError("no answer")
            bodiless = method == "HEAD" or head.status in {204, 304}
            length = 0 if bodiless else int(head.fields.get("content-length", "0"))
            data = await reader.readexactly(min(length, self.takes or length))
            keep = (
                self.keeps
                and len(data) == length
                and head.fields.get("connection", "").lower() != "close"
            )
        finally:
            if not keep:
                writer.transport.abort()
        if keep:
            self._kept[netloc] = streams
        return head, data

    def close(self) -> None:
        """Close the kept connections."""
        for _, writer in self._kept.values():
            writer.transport.abort()
        self._kept.clear()


def _reason(head: Head) -> str:
    return head.fields.get("x-nearbucket", "").rpartition("=")[2]


def _answer(
    began: float, first: Head, last: Head, data: bytes, *, redirected: bool = False
) -> Answer:
    span = last.fields.get("content-range", "").rpartition("/")[2]
    return Answer(
        began,
        first.status,
        _reason(first),
        last.status,
        data,
        last.fields.get("etag", ""),
        redirected,
        int(span) if span.isdigit() else len(data),
    )
