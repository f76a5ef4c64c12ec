"""Pairs of two listings, in any order that servers have."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.config.buckets import Bucket
from nearbucket.errors import ConfigError
from nearbucket.replication.listing_merge import listed, matched, merged
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.listing.list_page import ListedObject, ListPage
from nearbucket.s3.sdk.sdk_client import PAGE, opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from nearbucket.replication.listing_merge import Pair
    from tests.replication.conftest import World

KEYS = st.sets(st.text("ab/-.é\U0001f600", min_size=1, max_size=6), max_size=20)
WRITTEN = datetime.now(UTC)


def by_folder(key: str) -> list[bytes]:
    return [name.encode() for name in key.split("/")]


def by_bytes(key: str) -> bytes:
    return key.encode()


def by_length(key: str) -> tuple[int, str]:
    return len(key), key


async def listing(keys: Iterable[str]) -> AsyncIterator[ListedObject]:
    for key in keys:
        yield ListedObject(key, 1, "etag", WRITTEN)


async def keys_of(pairs: AsyncIterator[Pair]) -> list[tuple[str | None, str | None]]:
    return [(one and one.key, two and two.key) async for one, two in pairs]


@given(
    KEYS,
    KEYS,
    st.sampled_from(
        [(by_bytes, merged), (by_bytes, matched), (by_folder, matched), (by_length, matched)]
    ),
)
def test_every_key_comes_once_with_its_partner_if_it_has_one(
    origin: set[str], target: set[str], rule: tuple[Callable[[str], Any], Callable[..., Any]]
) -> None:
    order, pairs_of = rule
    pairs = pairs_of(listing(sorted(origin, key=order)), listing(sorted(target, key=order)))
    found = asyncio.run(keys_of(pairs))
    expected = {
        (key if key in origin else None, key if key in target else None) for key in origin | target
    }
    assert len(found) == len(expected)
    assert set(found) == expected


async def test_merging_gives_a_difference_before_it_reads_on() -> None:
    """So it holds one object of each listing, however many there are."""
    read = 0

    async def counted(keys: Iterable[str]) -> AsyncIterator[ListedObject]:
        nonlocal read
        async for each in listing(keys):
            read += 1
            yield each

    pairs = merged(counted("abcdef"), counted("defghi"))
    assert await anext(aiter(pairs)) == (ListedObject("a", 1, "etag", WRITTEN), None)
    assert read == 2


class OnePage:
    """Stands for a client: its buckets list these keys, in this order."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    async def list_objects_v2(self, **_: str) -> dict[str, Any]:
        return {
            PAGE: ListPage([ListedObject(key, 1, "etag", WRITTEN) for key in self.keys], [], "")
        }


def at(endpoint: str | None) -> BucketLocation:
    entry = Bucket(bucket="downloads", region="us-east-1", endpoint=endpoint)
    return BucketLocation("sites.0.origin", entry, "anonymous")


@pytest.mark.parametrize("endpoint", [None, "https://s3.us-east-1.amazonaws.com"])
@pytest.mark.parametrize("keys", [("b", "a"), ("a/b", "a-b"), ("a", "a")])
async def test_a_listing_of_aws_that_is_not_sorted_by_bytes_is_refused(
    endpoint: str | None, keys: tuple[str, str]
) -> None:
    refused = rf"^sites\.0\.origin: bucket downloads: .* '{keys[1]}' comes after '{keys[0]}'"
    with pytest.raises(ConfigError, match=refused):
        _ = [each async for each in listed(OnePage(*keys), at(endpoint))]


async def test_another_server_may_sort_as_it_likes() -> None:
    found = [each async for each in listed(OnePage("b", "a"), at("https://s3.example.com"))]
    assert [each.key for each in found] == ["b", "a"]


async def test_a_listing_of_several_pages_comes_whole_and_without_the_folder(world: World) -> None:
    keys = [f"{number:04}.gz" for number in range(1003)]
    await world.put("")  # the folder's own entry, as consoles make it
    await world.put_all(keys)
    async with opened(world.origin) as client:
        found = [one async for one in listed(client, world.origin)]
    assert [one.key for one in found] == keys
    assert {(one.size, one.etag) for one in found} == {(1, "9dd4e461268c8034f5c8564e155c67a6")}
    assert sum(asked.name == "GET List" for asked in world.watched.asked) == 2
