"""The HEAD that asks an origin which is down whether it answers again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from nearbucket.errors import OriginError
from nearbucket.origin import registry
from nearbucket.origin.failover.origin_breaker import OriginBreaker
from nearbucket.origin.registry import OriginRegistry
from tests import build
from tests.origin.opening import Counted
from tests.scripteds3 import Say, ScriptedS3
from tests.serving import PATIENCE

LATER = 1e12
"""A monotonic time after any pause."""


class Origin:
    """An origin of which every HEAD fails, or has one status."""

    bucket_path = "/downloads"

    def __init__(self, result: int | Exception) -> None:
        self._result = result

    async def head(self, _path: str) -> Any:
        if isinstance(self._result, Exception):
            raise self._result
        return self

    @property
    def status(self) -> Any:
        return self._result

    def release(self) -> None:
        pass


@pytest.mark.parametrize(
    ("result", "is_down"),
    [(200, False), (403, False), (404, False), (500, True), (503, True),
     (OriginError(502, "no connection"), True), (TimeoutError(), True)],
    ids=str,
)  # fmt: skip
async def test_an_origin_is_down_until_it_answers_the_probe(
    result: int | Exception, *, is_down: bool
) -> None:
    breaker = OriginBreaker(lambda: None)
    breaker.on_timeout()
    assert breaker.begin_probe(LATER)
    origin: Any = Origin(result)
    await registry._probe(origin, breaker)
    assert bool(breaker.why) == is_down
    assert breaker.begin_probe(LATER) == is_down, "the next one is sent"


async def test_a_worker_ends_while_a_probe_is_not_answered() -> None:
    async with ScriptedS3(Say(b"", "hang")) as server:
        place = {"region": "us-east-1", "endpoint": server.endpoint, "credentials": "anonymous"}
        origins = {"origin": {"bucket": "one", **place}, "failover": [{"bucket": "two", **place}]}
        made = OriginRegistry(lambda _site: Counted())
        made.prepare(build.settings(site=origins).sites)()
        first, _ = made._breakers.values()
        first.on_timeout()
        made.check(LATER)
        async with asyncio.timeout(PATIENCE):
            await server.arrived.wait()
            await made.close()
            await server.left.wait()
