"""The object cache never exceeds its bound, and drops nothing that was used lately."""

from __future__ import annotations

import gc
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st

from nearbucket.replicas.bucket_cache import CachedObject
from nearbucket.replicas.object_cache import ObjectCache
from nearbucket.replicas.object_version import ObjectVersion


class Bucket:
    """A bucket that gets no request."""

    def __init__(self, place: str) -> None:
        self.base_url, self.barriers = place, frozenset[str]()

    async def head_object(self, key: str) -> ObjectVersion:
        raise AssertionError(f"asked about {key}")


class _Nobody:
    def answered(self, place: str, key: str, version: ObjectVersion | None) -> None:
        """Does nothing."""

    def failed(self, place: str, why: str) -> None:
        """Does nothing."""


def cache_of(entries: int) -> ObjectCache:
    made = ObjectCache(lambda *_: None, _Nobody(), lambda: None, lambda *_: None)
    made.use(made.prepare([Bucket("east"), Bucket("west")]), entries)
    return made


def knows(one: ObjectCache, place: str, key: str) -> bool:
    """Whether an object is cached, without using it."""
    bucket_cache = one.buckets[place]
    return key in bucket_cache.young or key in bucket_cache._old


ENTRIES = 10
PLACES = st.sampled_from(["east", "west"])
KEYS = st.integers(0, 24).map(str)
STEPS = st.lists(
    st.tuples(st.just("use"), PLACES, st.lists(KEYS, min_size=1, max_size=30))
    | st.tuples(st.just("learn"), PLACES, st.lists(KEYS, min_size=1, max_size=30)),
    max_size=30,
)


class Model:
    """A cache, and as a model of it a list of used objects, the latest last."""

    def __init__(self) -> None:
        self.one = cache_of(ENTRIES)
        self.used: list[tuple[str, str]] = []

    def step(self, what: str, place: str, key: str, now: float) -> None:
        """Use or put an object in the cache and in the model."""
        if what == "learn":
            self.one.learn(place, [(key, 1, "e", 0.0)], now)
        elif self.one.buckets[place].get(key) is None:
            return
        if (place, key) in self.used:
            self.used.remove((place, key))
        self.used.append((place, key))


@settings(max_examples=2 * settings().max_examples)
@given(STEPS)
def test_it_keeps_to_its_bound_and_what_was_used_among_the_last_half_of_it(
    steps: list[tuple[str, str, list[str]]],
) -> None:
    model = Model()
    for now, (what, place, keys) in enumerate(steps):
        for key in keys:
            model.step(what, place, key, float(now))
            assert len(model.one) <= ENTRIES
            assert all(knows(model.one, *used) for used in model.used[-(ENTRIES // 2) :])


@given(st.lists(st.tuples(PLACES, st.lists(KEYS, max_size=40, unique=True)), max_size=10))
def test_it_keeps_to_its_bound_whatever_a_listing_holds(
    pages: list[tuple[str, list[str]]],
) -> None:
    one = cache_of(ENTRIES)
    for number, (place, keys) in enumerate(pages):
        one.learn(place, [(key, 1, "e", 0.0) for key in keys], float(number))
        assert len(one) <= ENTRIES


def test_using_all_that_is_known_while_new_objects_come_does_not_make_it_grow() -> None:
    one = cache_of(1000)
    for number in range(10_000):
        one.learn("east", [(str(number), 1, "e", 0.0)], 1.0)
        if number % 400 == 0:
            for known in range(number):
                one.buckets["east"].get(str(known))
        assert len(one) <= 1000


MOMENTS = st.integers(0, 5).map(float)
SEEN = st.lists(st.tuples(MOMENTS, st.booleans()), min_size=1, max_size=8)


@given(SEEN)
def test_the_newest_that_was_seen_is_what_is_known(seen: list[tuple[float, bool]]) -> None:
    one = cache_of(ENTRIES)
    bucket_cache = one.buckets["east"]
    for number, (moment, listed) in enumerate(seen):
        if listed:
            one.learn("east", [("a", number, "e", 0.0)], moment)
        else:
            bucket_cache.put("a", CachedObject.of(ObjectVersion(number, "e"), moment))
    best = max((moment, number) for number, (moment, _) in enumerate(seen))
    entry = bucket_cache.get("a")
    assert entry is not None
    assert (entry.seen, entry.version.size) == best


def test_a_listing_takes_no_checksum_away() -> None:
    one = cache_of(ENTRIES)
    bucket_cache = one.buckets["east"]
    bucket_cache.put("a", CachedObject.of(ObjectVersion(1, "e-2", "crc32=x"), 1.0))
    one.learn("east", [("a", 1, "e-2", 0.0)], 2.0)
    assert bucket_cache.get("a") == CachedObject(ObjectVersion(1, "e-2", "crc32=x"), 2.0, 1.0)
    one.learn("east", [("a", 2, "e-2", 0.0)], 3.0)
    assert bucket_cache.get("a") == CachedObject(ObjectVersion(2, "e-2", None), 3.0, 3.0)


def test_a_listing_of_a_bucket_that_nobody_needs_is_passed_over() -> None:
    one = cache_of(ENTRIES)
    one.learn("north", [("a", 1, "e", 0.0)], 1.0)
    assert len(one) == 0


def entry(number: int, sums: str) -> CachedObject:
    """A version as a HEAD makes it: it shares no value with another bucket's."""
    held = ObjectVersion(1_000_000 + number, f"{number:032x}", sums and f"{sums}={number:011x}=")
    return CachedObject(held, 1000.0 + number, 500.0 + number)


def bytes_an_entry(sums: str) -> float:
    """Bytes for each entry: keys of 60 characters, each in two buckets, checked by HEAD."""
    objects = 3125  # 50,000 fill the dictionaries as far, and cost the same bytes an entry
    one = cache_of(4 * objects)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(objects):
            key = f"releases/stable/x86_64/libexample-devel-{number:07}-1.el9.tar.xz"
            for place in ("east", "west"):
                one.buckets[place].put(key, entry(number, sums))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(one) == 2 * objects
    return taken / len(one)


def test_an_entry_costs_what_the_settings_page_says() -> None:
    assert bytes_an_entry("") < 420
    assert bytes_an_entry("crc64nvme") < 512
