"""What two buckets hold, side by side, however much that is.

In: two listings. Out: pairs of entries with the same key, in the server's order, or halves of
pairs. Refuses to know what is done about a difference, and holds two pages a bucket at most.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from nearbucket.errors import ConfigError
from nearbucket.s3.bucket_listing import ListedObject, objects_of, pages_of
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk_client import FAULTS, kind_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from nearbucket.s3.bucket_location import BucketLocation


Pair = tuple[ListedObject | None, ListedObject | None]
"""Origin and target of one key; one of them may be absent."""


class ListingOrder:
    """How a server sorts its listings.

    AWS sorts by UTF-8 bytes (API reference, "ListObjectsV2"), which is how Python compares
    text. SeaweedFS goes folder by folder, so that ``a/b`` precedes ``a-b`` although ``-`` is
    the smaller byte. Which one it is shows in the first neighbours that the two rules sort
    differently; a listing that follows neither (S3 Express) cannot be merged.
    """

    def __init__(self, *, bytewise: bool) -> None:
        """Args: whether the order is known to be that of bytes."""
        self._by_folder = False if bytewise else None

    def learn(self, before: str, after: str) -> None:
        """Take note of two keys in the order in which the server has them.

        Raises:
            ConfigError: No order has them this way round.
        """
        by_bytes = before < after
        if by_bytes and self._by_folder is False:
            return
        by_folder = _folders(before) < _folders(after)
        if self._by_folder is None and by_bytes != by_folder:
            self._by_folder = by_folder
        if not (by_folder if self._by_folder else by_bytes):
            raise ConfigError(
                f"the listing is not sorted: {after!r} comes after {before!r}; directory buckets "
                "cannot be kept in step"
            )

    def precedes(self, one: str, two: str) -> bool | None:
        """Whether ``one`` comes first; None where that depends on what is not known yet."""
        by_bytes = one < two
        if self._by_folder is False:
            return by_bytes
        by_folder = _folders(one) < _folders(two)
        if self._by_folder is None and by_bytes != by_folder:
            return None
        return by_folder


def _folders(key: str) -> str:
    """A key in a form whose bytes sort folder by folder."""
    return key.replace("/", "\0")


async def listed(
    client: Any, location: BucketLocation, order: ListingOrder
) -> AsyncGenerator[ListedObject]:
    """Every object below the location's folder; the next page is asked for while one is used.

    Raises:
        ProxyError: The bucket cannot be listed.
    """
    before = ""
    async with aclosing(pages_of(client, location)) as pages:
        async for _, page in pages:
            for each in objects_of(page, location):
                try:
                    order.learn(before, each.key)
                except ConfigError as error:
                    raise ConfigError(f"{location.name}: bucket {location}: {error}") from None
                before = each.key
                yield each


async def merged(
    origin: AsyncIterator[ListedObject],
    target: AsyncIterator[ListedObject],
    order: ListingOrder,
    holds: Callable[[str], Awaitable[bool]],
) -> AsyncIterator[Pair]:
    """Both listings by key.

    Args:
        origin: Listing of the origin, or a part of it.
        target: Listing of the target.
        order: What both are sorted by.
        holds: Asks the target for a key, where the order does not say whether it will come.
    """
    one, two = await anext(origin, None), await anext(target, None)
    while one is not None or two is not None:
        if one is not None and two is not None and one.key == two.key:
            yield one, two
            one, two = await anext(origin, None), await anext(target, None)
        elif one is not None and (two is None or await _first(one, two, order, holds)):
            yield one, None
            one = await anext(origin, None)
        else:
            yield None, two
            two = await anext(target, None)


async def _first(
    one: ListedObject,
    two: ListedObject,
    order: ListingOrder,
    holds: Callable[[str], Awaitable[bool]],
) -> bool:
    """Whether the origin's entry is the next of both."""
    known = order.precedes(one.key, two.key)
    if known is not None:
        return known
    if await holds(one.key):
        order.learn(two.key, one.key)  # it is still to come in the target's listing
        return False
    return True


async def is_there(client: Any, location: BucketLocation, key: str) -> bool:
    """Whether a bucket holds a key; raises botocore's errors where it does not say."""
    try:
        await client.head_object(**location.arguments(key))
    except FAULTS as error:
        if kind_of(error) is not ErrorKind.NO_OBJECT:
            raise
        return False
    return True
