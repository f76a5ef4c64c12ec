"""The relay writes past the event loop's transports: its tests run on each loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.serving import LOOPS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping

    import pytest


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops for the relay, the standard library's for the rest."""
    if item.path.name == "test_relay.py":
        return LOOPS
    return {"asyncio": LOOPS["asyncio"]}
