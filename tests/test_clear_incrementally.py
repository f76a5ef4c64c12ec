"""Caches are emptied whole, and the event loop is never held for long."""

from __future__ import annotations

import asyncio
import weakref
from typing import TYPE_CHECKING, Any, cast

from nearbucket.event_loop import clear_incrementally
from nearbucket.frontend.decision_cache import DecisionCache
from nearbucket.replicas.bucket_cache import BucketCache

if TYPE_CHECKING:
    from collections.abc import Callable


class Kept:
    """A value that weakref can watch."""


async def test_everything_goes_a_little_in_each_turn_of_the_loop() -> None:
    count = 5000
    one = {number: Kept() for number in range(count)}
    two = {"last": Kept()}
    gone = [0]
    for each in (*one.values(), *two.values()):
        weakref.finalize(each, lambda: gone.__setitem__(0, gone[0] + 1))
    del each
    clear_incrementally(one, {}, two)
    steps = []
    while gone[0] <= count:
        before = gone[0]
        await asyncio.sleep(0)
        steps.append(gone[0] - before)
        assert len(steps) < count
    assert max(steps) <= 300
    assert not one
    assert not two


def test_where_no_loop_runs_nobody_waits() -> None:
    kept = Kept()
    gone = weakref.ref(kept)
    held = {"one": kept}
    clear_incrementally(held)
    del kept, held
    assert gone() is None


async def test_what_a_memo_forgets_is_no_longer_there_and_goes_later() -> None:
    cache = DecisionCache()
    parts: list[dict[Any, Any]] = [cache._sections, cache._clients, {}]
    cache._objects["site", None] = parts[-1]
    await forgotten(parts, cache.clear)
    assert cache.get(None, b"GET /a HTTP/1.1\r\n\r\n", 0.0) is None


async def test_the_old_half_of_a_catalogue_goes_later() -> None:
    shelf = BucketCache(cast("Any", None), lambda: None)
    await forgotten([shelf._old], shelf.age)


async def forgotten(parts: list[dict[Any, Any]], forget: Callable[[], None]) -> None:
    """See that the parts are emptied, but not while ``forget`` runs."""
    for part in parts:
        part["something"] = None
    forget()
    assert all(parts), "it goes later"
    for _ in parts:
        await asyncio.sleep(0)
    assert not any(parts)
