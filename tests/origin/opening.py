"""Opens objects on a real and on a scripted S3 server, for the tests of ``origin/``."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nearbucket.config import buckets
from nearbucket.origin.client import OriginClient
from tests.scripteds3 import ETAG, Say, ScriptedS3, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

TEXT = b"Hello, nearbucket!\n"
"""Content of the sample text.txt."""


@dataclass
class Counted:
    """Counters that remember."""

    statuses: list[int] = field(default_factory=list)
    resumes: int = 0
    failovers: int = 0

    def on_status(self, status: int) -> None:
        self.statuses.append(status)

    def on_resume(self) -> None:
        self.resumes += 1

    def on_failover(self) -> None:
        self.failovers += 1


@dataclass
class Seen:
    """A response read to its end."""

    status: int
    headers: dict[str, str]
    length: int
    body: bytes


def held(session: ClientSession) -> int:
    """Connections that are still in use."""
    assert session.connector is not None
    return len(session.connector._acquired)


async def fetch(origin: OriginClient, key: str, method: str = "GET", **conditions: str) -> Seen:
    """Open and read; ``If_Match`` is the header If-Match."""
    named = {name.replace("_", "-"): value for name, value in conditions.items()}
    async with await origin.open(method, key, named) as answer:
        body = b"".join([piece async for piece in answer.body()])
    assert len(dict(answer.headers)) == len(answer.headers)
    return Seen(answer.status, dict(answer.headers), answer.length, body)


@asynccontextmanager
async def scripted(
    session: ClientSession, *script: Say, pause: float = 0, **more: Any
) -> AsyncIterator[tuple[OriginClient, ScriptedS3, Counted]]:
    """A bucket on a scripted server; by default without pauses between attempts."""
    async with ScriptedS3(*script) as server:
        values = {"bucket": "bkt", "region": "us-east-1", "credentials": "anonymous", **more}
        entry = buckets.Origin.model_validate({"endpoint": server.endpoint, **values})
        counted = Counted()
        yield OriginClient(entry, session, counters=counted, pause=pause), server, counted


OK = Say(reply("200 OK", TEXT, f"ETag: {ETAG}"))
