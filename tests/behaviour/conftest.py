"""Every behaviour is tested through both lanes and on both event loops."""

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


@pytest.fixture(params=[True, False], ids=["fast-lane", "aiohttp"])
def serve(request: pytest.FixtureRequest) -> Callable[..., AbstractAsyncContextManager[Served]]:
    """``serving``, through this lane."""

    def start(*arguments: Any, **options: Any) -> AbstractAsyncContextManager[Served]:
        return serving(*arguments, fast_lane=request.param, **options)

    return start
