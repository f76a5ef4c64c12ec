"""Lists a bucket with ListObjectsV2, page by page. Everything that lists a bucket does so here.

While a caller works on one page, the next is being fetched.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from nearbucket.s3.listing.list_page import ListedObject
from nearbucket.s3.sdk.sdk_client import FAULTS, as_ours

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from nearbucket.errors import ProxyError
    from nearbucket.s3.bucket_location import BucketLocation

__all__ = ["ListedObject", "objects_of", "pages_of"]


async def pages_of(
    client: Any,
    location: BucketLocation,
    error_of: Callable[[Exception, BucketLocation], ProxyError] = as_ours,
    **arguments: str,
) -> AsyncGenerator[tuple[float, Any]]:
    """Every page of a listing, as the SDK gives it, and the Unix time of its request.

    Args:
        client: A client of ``sdk_client.opened``.
        location: The bucket; below its prefix unless ``arguments`` have another.
        error_of: Makes the error that is raised of one of the SDK's.
        arguments: More arguments of ListObjectsV2.

    Raises:
        ProxyError: The bucket cannot be listed.
    """
    request = {"Prefix": location.entry.prefix, **location.arguments(), **arguments}

    def fetch(**token: str) -> tuple[float, asyncio.Task[Any]]:
        return time.time(), asyncio.ensure_future(client.list_objects_v2(**request, **token))

    requested, response = fetch()
    try:
        while True:
            seen, page = requested, await response
            token = page.get("NextContinuationToken") if page.get("IsTruncated") else None
            if token:
                requested, response = fetch(ContinuationToken=token)
            yield seen, page
            if not token:
                return
    except FAULTS as error:
        raise error_of(error, location) from error
    finally:
        response.cancel()


def objects_of(page: Any, location: BucketLocation) -> Iterator[ListedObject]:
    """The objects of a page, without the entry that consoles make for a folder itself."""
    prefix = location.entry.prefix
    for item in page.get("Contents", ()):
        if item["Key"] != prefix:
            key, etag = item["Key"].removeprefix(prefix), item["ETag"].strip('"')
            storage_class = item.get("StorageClass", "")
            yield ListedObject(key, item["Size"], etag, item["LastModified"], storage_class)
