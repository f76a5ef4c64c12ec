"""What listings must not do: count HEADs that are sent all the same, or fill the queue of checks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nearbucket.replicas import bucket_cache
from nearbucket.replicas.bucket_cache import BucketCache, CachedObject
from nearbucket.replicas.object_version import ObjectVersion

if TYPE_CHECKING:
    from collections.abc import Callable

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


async def test_a_head_does_not_count_itself_as_spared() -> None:
    cache = confirmed_cache()
    assert await cache.ask("a") == (KNOWN, pytest.approx(bucket_cache.monotonic(), abs=60))
    assert cache.spared == 0
