"""What a listing confirms of an object that is known, and what it does not."""

from __future__ import annotations

import pytest

from nearbucket.replicas import bucket_cache
from nearbucket.replicas.bucket_cache import CLOCK_SKEW, BucketCache, CachedObject
from nearbucket.replicas.object_version import ABSENT, LOCKED, ObjectVersion

KNOWN = ObjectVersion(7, "e", "crc32=x", unreadable="")
WRITTEN, SEEN, LISTED = 1_000.0, 5_000.0, 6_000.0


class Probe:
    """Sends nothing."""

    base_url, barriers = "", frozenset[str]()

    async def head_object(self, key: str) -> ObjectVersion:
        raise AssertionError(key)


def cache_with(version: ObjectVersion = KNOWN) -> BucketCache:
    made = BucketCache(Probe(), lambda: None)
    made.put("a", CachedObject(version, SEEN, WRITTEN))
    return made


@pytest.mark.parametrize(
    ("since", "seen", "until"),
    [
        pytest.param(WRITTEN, LISTED, LISTED, id="the same"),
        pytest.param(WRITTEN + 1.5, LISTED, LISTED, id="a listing has milliseconds"),
        pytest.param(WRITTEN, SEEN, SEEN, id="the listing began when it was seen"),
        pytest.param(WRITTEN, SEEN - 1, SEEN, id="the listing began before"),
        pytest.param(SEEN + 1, LISTED, SEEN, id="written again since it was seen"),
        pytest.param(SEEN - CLOCK_SKEW + 1, LISTED, SEEN, id="perhaps, by another clock"),
        pytest.param(SEEN - CLOCK_SKEW - 1, LISTED, LISTED, id="written again before it was seen"),
    ],
)
def test_the_known_version_is_renewed_if_it_was_surely_not_written_again(
    since: float, seen: float, until: float
) -> None:
    cache = cache_with()
    assert not cache.confirm("a", 7, "e", since, seen)
    assert cache.get("a") == CachedObject(KNOWN, until, WRITTEN)


@pytest.mark.parametrize(("size", "etag"), [(8, "e"), (7, "f")])
def test_another_version_is_told_and_renews_nothing(size: int, etag: str) -> None:
    cache = cache_with()
    assert cache.confirm("a", size, etag, WRITTEN, LISTED)
    assert not cache.confirm("a", size, etag, WRITTEN, SEEN)  # seen after the listing began
    assert cache.get("a") == CachedObject(KNOWN, SEEN, WRITTEN)


@pytest.mark.parametrize("version", [ABSENT, LOCKED])
def test_what_is_missing_or_locked_is_left_to_heads(version: ObjectVersion) -> None:
    cache = cache_with(version)
    assert not cache.confirm("a", 7, "e", WRITTEN, LISTED)
    entry = cache.get("a")
    assert entry is not None
    assert entry.seen == SEEN


def test_unknown_objects_stay_unknown_and_old_ones_old() -> None:
    cache = cache_with()
    assert not cache.confirm("b", 7, "e", WRITTEN, LISTED)
    assert cache.get("b") is None
    cache.age()
    cache.confirm("a", 7, "e", WRITTEN, LISTED)
    assert (len(cache), cache.young) == (1, {})
    cache.age()
    assert len(cache) == 0


def test_a_head_is_spared_once_for_each_listing_and_only_if_a_request_needs_the_object() -> None:
    cache = cache_with()
    for number in range(1, 4):
        cache.confirm("a", 7, "e", WRITTEN, LISTED + number)
        assert cache.spared == number - 1
        cache.get("a")
        cache.get("a")
        assert cache.spared == number
    cache.confirm("a", 7, "e", WRITTEN, LISTED + 9)
    assert cache.spared == 3


@pytest.mark.parametrize(
    ("upload", "since"),
    [
        pytest.param(SEEN + 600, SEEN + 600, id="two fifths of the age"),
        pytest.param(SEEN + 500, SEEN + 500, id="half the age"),
        pytest.param(SEEN + 499, SEEN, id="more than half of it"),
        pytest.param(SEEN - 1, SEEN, id="it would be older"),
    ],
)
def test_an_upload_counts_if_it_makes_the_version_half_as_old(
    monkeypatch: pytest.MonkeyPatch, upload: float, since: float
) -> None:
    cache = BucketCache(Probe(), lambda: None)
    cache.put("a", CachedObject(KNOWN, LISTED, SEEN))
    monkeypatch.setattr(bucket_cache, "monotonic", lambda: SEEN + 1000)
    assert cache.make_younger("a", upload) is (since != SEEN)
    assert cache.get("a") == CachedObject(KNOWN, LISTED, since)
