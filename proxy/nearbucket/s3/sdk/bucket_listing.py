"""Lists a bucket with ListObjectsV2, page by page. Everything that lists a bucket does so here.

While a caller works on one page, the next is being fetched. Pages are read by
``s3/listing/list_page.py``, also with the SDK's client: its own parsers take eight times as long.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from nearbucket.errors import OriginError
from nearbucket.s3.listing.list_page import ListedObject, ListPage
from nearbucket.s3.sdk.sdk_client import FAULTS, PAGE, as_ours

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from nearbucket.errors import ProxyError
    from nearbucket.s3.bucket_location import BucketLocation

_NO_PAGE = ListPage([], [], "")
_TWICE = (
    "the server sent the same page of the listing twice, as one does that gets no "
    "continuation-token; update it, and let no proxy before it drop query arguments"
)


async def pages_of(
    client: Any,
    location: BucketLocation,
    error_of: Callable[[Exception, BucketLocation], ProxyError] = as_ours,
    **arguments: str,
) -> AsyncGenerator[ListPage]:
    """Every page of a listing.

    Args:
        client: A client of ``sdk_client.opened`` or ``light_client.opened_light``.
        location: The bucket; below its prefix unless ``arguments`` have another.
        error_of: Makes the error that is raised of one of the SDK's.
        arguments: More arguments of ListObjectsV2.

    Raises:
        ProxyError: The bucket cannot be listed.
    """
    request = {"Prefix": location.entry.prefix, **location.arguments(), **arguments}

    def fetch(**token: str) -> asyncio.Task[Any]:
        return asyncio.ensure_future(client.list_objects_v2(**request, **token))

    response, before = fetch(), _NO_PAGE
    try:
        while True:
            page: ListPage = (await response)[PAGE]
            if _repeats(page, before):
                raise OriginError(502, f"{location.name}: bucket {location}: {_TWICE}")
            if page.next_token:
                response = fetch(ContinuationToken=page.next_token)
            yield page
            if not page.next_token:
                return
            before = page
    except FAULTS as error:
        raise error_of(error, location) from error
    finally:
        response.cancel()


def _repeats(page: ListPage, before: ListPage) -> bool:
    """Whether it begins with the same key as the page before, or has the same next page."""
    if page.objects and before.objects and page.objects[0].key == before.objects[0].key:
        return True
    return page.next_token != "" and page.next_token == before.next_token


def objects_of(page: ListPage, location: BucketLocation) -> list[ListedObject]:
    """The objects of a page by their keys without the prefix of the bucket's entry.

    The entry that consoles make for that folder itself is left out.
    """
    prefix = location.entry.prefix
    if not prefix:
        return page.objects
    begin = len(prefix)
    return [
        ListedObject(key[begin:], size, etag, modified, storage_class)
        for key, size, etag, modified, storage_class in page.objects
        if key != prefix
    ]
