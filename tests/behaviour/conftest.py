"""Every behaviour is tested through all lanes, with each off, and on both event loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import LOOPS, serving

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from tests.serving import Served


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops of every test here."""
    return LOOPS


LANES = {"all-lanes": (True, True), "no-relay": (True, False), "aiohttp": (False, False)}
"""Whether there are a fast lane and a relay beside aiohttp."""


@pytest.fixture(params=LANES)
def serve(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[Served]]:
    """``serving``, through these lanes."""

    def start(*arguments: Any, **options: Any) -> AbstractAsyncContextManager[Served]:
        fast_lane, relay = LANES[request.param]
        return serving(*arguments, fast_lane=fast_lane, relay=relay, **options)

    return start
