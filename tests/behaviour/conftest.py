"""Every behaviour is tested through all lanes, with each off, and on both event loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import uvloop

from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.serving import Served


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops: the one that serves, and the standard library's."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


LANES = {"all-lanes": (True, True), "no-relay": (True, False), "aiohttp": (False, False)}
"""Whether there are a fast lane and a relay beside aiohttp."""


@pytest.fixture(params=LANES)
def serve(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[Served]]:
    """``serving``, through these lanes."""

    def start(*arguments: Any, **options: Any) -> AbstractAsyncContextManager[Served]:
        fast_lane, relay = LANES[request.param]
        return serving(*arguments, fast_lane=fast_lane, relay=relay, **options)

    return start
