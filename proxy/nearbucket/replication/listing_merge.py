"""Pairs the objects of two buckets by key, from two listings that are read side by side.

AWS sorts a listing by the UTF-8 bytes of its keys (API reference, "ListObjectsV2"), which is how
Python compares text, so two listings are merged in constant memory. Other servers may sort
otherwise: in SeaweedFS's listings ``a/b`` precedes ``a-b``. There an object waits in a dictionary
until the other listing has its key, or has ended.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from nearbucket.errors import ConfigError
from nearbucket.s3.listing.list_page import ListedObject
from nearbucket.s3.sdk.bucket_listing import objects_of, pages_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from nearbucket.s3.bucket_location import BucketLocation

Pair = tuple[ListedObject | None, ListedObject | None]
"""The origin's and the target's object of one key; one of them may be absent."""


async def listed(client: Any, location: BucketLocation) -> AsyncGenerator[ListedObject]:
    """Every object of a bucket, below the prefix of its entry.

    Raises:
        ProxyError: The bucket cannot be listed, or AWS does not sort its listing by bytes.
    """
    before = ""
    async with aclosing(pages_of(client, location)) as pages:
        async for page in pages:
            for each in objects_of(page, location):
                if location.on_aws and each.key <= before:
                    raise ConfigError(
                        f"{location.name}: bucket {location}: the listing is not sorted: "
                        f"{each.key!r} comes after {before!r}; directory buckets cannot be kept "
                        "in step"
                    )
                before = each.key
                yield each


async def merged(
    origin: AsyncIterator[ListedObject], target: AsyncIterator[ListedObject]
) -> AsyncIterator[Pair]:
    """Pairs of two listings that are sorted by bytes, in that order."""
    one, two = await anext(origin, None), await anext(target, None)
    while one is not None or two is not None:
        if two is None or (one is not None and one.key < two.key):
            yield one, None
            one = await anext(origin, None)
        elif one is None or two.key < one.key:
            yield None, two
            two = await anext(target, None)
        else:
            yield one, two
            one, two = await anext(origin, None), await anext(target, None)


async def matched(
    origin: AsyncIterator[ListedObject], target: AsyncIterator[ListedObject]
) -> AsyncIterator[Pair]:
    """Pairs of two listings in any order; holds the objects that differ between them so far."""
    origins: dict[str, ListedObject] = {}
    targets: dict[str, ListedObject] = {}
    one, two = await anext(origin, None), await anext(target, None)
    while one is not None and two is not None:
        origins[one.key], targets[two.key] = one, two
        for key in {one.key, two.key}:
            if key in origins and key in targets:
                yield origins.pop(key), targets.pop(key)
        one, two = await anext(origin, None), await anext(target, None)
    while one is not None:
        yield one, targets.pop(one.key, None)
        one = await anext(origin, None)
    while two is not None:
        yield origins.pop(two.key, None), two
        two = await anext(target, None)
    for one in origins.values():
        yield one, None
    for two in targets.values():
        yield None, two
