"""Two listings side by side, in whichever order the server has."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearbucket.errors import ConfigError
from nearbucket.replication.listing_merge import ListingOrder, listed, merged
from nearbucket.s3.bucket_listing import ListedObject
from nearbucket.s3.sdk_client import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from tests.replication.conftest import World

KEYS = st.sets(st.text("ab/-.é\U0001f600", min_size=1, max_size=6), max_size=20)


def by_folder(key: str) -> list[bytes]:
    return [name.encode() for name in key.split("/")]


def by_bytes(key: str) -> bytes:
    return key.encode()


async def listing(keys: Iterable[str], order: ListingOrder) -> AsyncIterator[ListedObject]:
    """Entries as ``listed`` gives them."""
    before = ""
    for key in keys:
        if before:
            order.learn(before, key)
        before = key
        yield ListedObject(key, 1, "etag", datetime.now(UTC))


async def pairs(
    origin: set[str], target: set[str], sort: Callable[[str], object], *, bytewise: bool
) -> list[tuple[str | None, str | None]]:
    order = ListingOrder(bytewise=bytewise)

    async def holds(key: str) -> bool:
        return key in target

    found = merged(
        listing(sorted(origin, key=sort), order),  # type: ignore[arg-type]
        listing(sorted(target, key=sort), order),  # type: ignore[arg-type]
        order,
        holds,
    )
    return [(one and one.key, two and two.key) async for one, two in found]


@given(KEYS, KEYS, st.sampled_from([(by_bytes, True), (by_bytes, False), (by_folder, False)]))
def test_every_key_comes_once_with_its_partner_if_it_has_one(
    origin: set[str], target: set[str], rule: tuple[Callable[[str], object], bool]
) -> None:
    found = asyncio.run(pairs(origin, target, rule[0], bytewise=rule[1]))
    expected = {
        (key if key in origin else None, key if key in target else None) for key in origin | target
    }
    assert len(found) == len(expected)
    assert set(found) == expected


@pytest.mark.parametrize("bytewise", [True, False])
def test_a_listing_that_is_not_sorted_is_refused(*, bytewise: bool) -> None:
    order = ListingOrder(bytewise=bytewise)
    with pytest.raises(ConfigError, match="'a' comes after 'b'"):
        order.learn("b", "a")


def test_a_listing_that_changes_its_order_is_refused() -> None:
    order = ListingOrder(bytewise=False)
    order.learn("x-y", "x/1")
    with pytest.raises(ConfigError, match="not sorted"):
        order.learn("a/1", "a-y")


async def test_a_listing_of_several_pages_comes_whole_and_without_the_folder(world: World) -> None:
    keys = [f"{number:04}.gz" for number in range(1003)]
    many = asyncio.Semaphore(32)

    async def put(key: str) -> None:
        async with many:
            await world.put(key)

    await world.put("")  # the folder's own entry, as consoles make it
    await asyncio.gather(*map(put, keys))
    async with opened(world.origin) as client:
        order = ListingOrder(bytewise=False)
        found = [one async for one in listed(client, world.origin, order)]
    assert [one.key for one in found] == keys
    assert {(one.size, one.etag) for one in found} == {(1, "9dd4e461268c8034f5c8564e155c67a6")}
    assert sum(asked.name == "GET List" for asked in world.watched.asked) == 2
