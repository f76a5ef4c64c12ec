"""Every behaviour is tested through all lanes, with each off, and on both event loops.

``make test`` has what serves, all lanes on uvloop, and the reference, aiohttp alone on uvloop, with
the first row of each test that has several. ``make test-long`` has the rest: the reference with
every row, the standard library's loop, on which nothing serves, and the fast lane without the
relay, of which each part is in one of the others. That all lanes answer alike, on both loops, is
tested by ``tests/equivalence/test_lanes.py`` each time.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.serving import LOOPS, serving

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from tests.serving import Serve, Served


def _long(config: pytest.Config) -> bool:
    """Whether long tests may be run: where not, two thirds of all tests here need not be made."""
    return "not long" not in config.getoption("markexpr")


def pytest_asyncio_loop_factories(
    config: pytest.Config,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loops of every test here."""
    return LOOPS if _long(config) else {"uvloop": LOOPS["uvloop"]}


LANES = {"all-lanes": (True, True), "no-relay": (True, False), "aiohttp": (False, False)}
"""Whether there are a fast lane and a relay beside aiohttp."""

STANDARD = LOOPS["asyncio"]


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what ``make test-long`` alone runs."""
    folder = Path(__file__).parent
    begun: set[object] = set()
    for item in items:
        if folder in item.path.parents and isinstance(item, pytest.Function):
            values = item.callspec.params if hasattr(item, "callspec") else {}
            lane, test = values.get("serve"), (item.cls, item.obj.__code__)
            further = lane == "aiohttp" and test in begun
            if lane == "no-relay" or further or STANDARD in values.values():
                item.add_marker(pytest.mark.long)
            elif lane == "aiohttp":
                begun.add(test)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The lanes of every test here that serves."""
    if "serve" in metafunc.fixturenames:
        lanes = [name for name in LANES if name != "no-relay" or _long(metafunc.config)]
        metafunc.parametrize("serve", lanes, indirect=True)


@pytest.fixture
def serve(request: pytest.FixtureRequest) -> Serve:
    """``serving``, through these lanes."""

    def start(*arguments: Any, **options: Any) -> AbstractAsyncContextManager[Served]:
        fast_lane, relay = LANES[request.param]
        return serving(*arguments, fast_lane=fast_lane, relay=relay, **options)

    return start
