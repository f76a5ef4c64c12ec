"""The relay writes past the event loop's transports: its tests run on each loop.

And workers' lanes without sockets, for the tests of the decision cache.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.frontend.socketless_lane import Serving
from tests.serving import LOOPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.frontend.socketless_lane import Serve


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Both loops for the relay, the standard library's for the rest."""
    if item.path.name == "test_relay.py":
        return LOOPS
    return {"asyncio": LOOPS["asyncio"]}


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Makes lanes of workers with a decision cache, and closes their logs."""
    made: list[Serving] = []

    def make(form: str = "off", **more: Any) -> Serving:
        made.append(Serving(form, forgetful=False, **{"percent": 100, **more}))
        return made[-1]

    yield make
    for serving in made:
        asyncio.run(serving.log())
