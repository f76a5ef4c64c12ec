"""What listings must not do, such as count HEADs that are sent all the same."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from nearbucket.event_loop import CpuShare
from nearbucket.replicas import bucket_cache, list_verification
from nearbucket.replicas.bucket_cache import BucketCache, CachedObject
from nearbucket.replicas.list_verification import ListVerification
from nearbucket.replicas.object_version import CatalogBatch, ObjectVersion
from tests import build

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

KNOWN = ObjectVersion(7, "e", "", unreadable="")
WRITTEN, SEEN, LISTED = 1_000.0, 5_000.0, 6_000.0
VERIFY_TTL = 600.0


class Probe:
    """Sends nothing to a bucket, and finds the known version there."""

    base_url, barriers = "", frozenset[str]()

    async def head_object(self, key: str) -> ObjectVersion:
        return KNOWN if key else ObjectVersion(-1, "")


def confirmed_cache() -> BucketCache:
    """A cache with an object that a listing has renewed."""
    made = BucketCache(Probe(), lambda: None)
    made.longest = VERIFY_TTL
    made.put("a", CachedObject(KNOWN, SEEN, WRITTEN))
    made.confirm("a", 7, "e", WRITTEN, LISTED)
    return made


@pytest.mark.parametrize(("later", "spared"), [(440.0, 1), (460.0, 0)])
def test_a_head_that_is_due_in_spite_of_the_listing_is_not_spared(
    later: float, spared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_cache, "monotonic", lambda: LISTED + later)
    cache = confirmed_cache()
    assert cache.get("a") == CachedObject(KNOWN, LISTED, WRITTEN)
    assert cache.spared == spared


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda cache: cache.peek("a"), id="peek"),
        pytest.param(lambda cache: cache.make_younger("a", WRITTEN), id="make younger"),
        pytest.param(
            lambda cache: cache.put("a", CachedObject(KNOWN, LISTED - 1, WRITTEN)), id="put"
        ),
    ],
)
def test_only_look_ups_of_requests_count_as_spared_heads(
    use: Callable[[BucketCache], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_cache, "monotonic", lambda: LISTED)
    cache = confirmed_cache()
    use(cache)
    assert cache.spared == 0
    cache.get("a")
    assert cache.spared == 1


async def test_a_head_does_not_count_itself_as_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_cache, "monotonic", lambda: LISTED)
    cache = confirmed_cache()
    assert await cache.ask("a") == (KNOWN, LISTED)
    assert cache.spared == 0


class Source:
    """A bucket whose listing has pages without objects."""

    verify_ttl = VERIFY_TTL
    location = SimpleNamespace(entry=SimpleNamespace(inventory=None, object_base_url="url"))

    def __init__(self, pages: int) -> None:
        self.left, self.read = pages, 0

    async def listing(self) -> AsyncIterator[CatalogBatch]:
        while self.left:
            self.left, self.read = self.left - 1, self.read + 1
            yield CatalogBatch("url", (), 0.0, renews=True)


class Turns:
    """Wakes a task that sleeps for a number of turns, in each of which workers count HEADs."""

    def __init__(self, counted: int, *each_turn: int) -> None:
        self.heads, self._left, self.over = counted, [*each_turn], asyncio.Event()

    async def sleep(self, _: float) -> None:
        if not self._left:
            self.over.set()
            await asyncio.Event().wait()
        self.heads += self._left.pop(0)

    async def renewals(self) -> dict[tuple[str, ...], float]:
        return {("url", "head"): self.heads, ("url", "list"): 0}


async def read_in(turns: Turns, sources: list[Source], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_verification, "sources_of", lambda *_: sources)
    told = lambda _: None, lambda: None, turns.renewals, turns.sleep
    running = asyncio.create_task(ListVerification(build.settings(), *told).run())
    async with asyncio.timeout(10):
        await turns.over.wait()
    running.cancel()


@pytest.mark.parametrize("before", [0, 1_000_000])
async def test_heads_that_workers_have_counted_before_a_reload_pay_for_no_listing(
    before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Source(pages=50)
    await read_in(Turns(1 + before, 250), [source], monkeypatch)
    assert source.read == 11  # ten pages cost half of these HEADs; the next one is too many


async def test_listings_of_several_buckets_rest_in_turn_also_after_pages_without_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resting, together, rests = 0, 0, 0

    async def rest(_: CpuShare) -> None:
        nonlocal resting, together, rests
        resting, rests = resting + 1, rests + 1
        together = max(together, resting)
        await asyncio.sleep(0)
        resting -= 1

    monkeypatch.setattr(CpuShare, "rest", rest)
    await read_in(Turns(1, 0, 10_000, 0), sources := [Source(5), Source(5)], monkeypatch)
    assert [each.read for each in sources] == [5, 5]
    assert (rests, together) == (10, 1)
