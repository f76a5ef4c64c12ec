"""What a bucket holds, page by page, as it lists itself.

In: a location. Out: pages of keys, sizes and ETags, each with the time it speaks of. Refuses to
know who wants them, and to sort them: ``replication/listing_merge.py`` compares two buckets key by
key.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from nearbucket.errors import ConfigError
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk_client import FAULTS, as_ours, code_of, kind_of, opened

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from nearbucket.s3.bucket_location import BucketLocation

Item = tuple[str, int, str]
"""Key without the bucket's folder, size in bytes, ETag without quotes."""

_FIX = (
    "its credentials need s3:ListBucket (and expected_owner has to be right), or "
    "inventory: an S3 Inventory report of the bucket"
)


class ListingPage(NamedTuple):
    """Some of the objects of a bucket, in the order in which they were found.

    Attributes:
        seen: Unix time after which changes may be missing: when the page was asked for, or
            when S3 began to write the report.
        objects: Keys, sizes and ETags.
    """

    seen: float
    objects: list[Item]


async def listing_of(location: BucketLocation) -> AsyncGenerator[ListingPage]:
    """Every object below the location's folder, as ListObjectsV2 has them.

    Raises:
        ProxyError: The bucket cannot be listed.
    """
    prefix, more = location.entry.prefix, dict[str, str]()
    async with opened(location) as client:
        while True:
            seen = time.time()
            page = await page_of(client, location, Prefix=prefix, **more)
            yield ListingPage(seen, list(_objects(page, prefix)))
            if not (more := next_token(page)):
                return


async def page_of(client: Any, location: BucketLocation, **asked: str) -> Any:
    """One answer of ListObjectsV2.

    Raises:
        ProxyError: The bucket cannot be listed.
    """
    try:
        return await client.list_objects_v2(**location.arguments(), **asked)
    except FAULTS as error:
        if kind_of(error) is not ErrorKind.NOT_ALLOWED:
            raise as_ours(error, location) from error
        what = f"{location.name}: bucket {location} cannot be listed"
        raise ConfigError(f"{what}: {code_of(error)}; {_FIX}") from error


def next_token(page: Any) -> dict[str, str]:
    """Argument that asks for the page after this; empty after the last."""
    token = page.get("NextContinuationToken") if page.get("IsTruncated") else None
    return {"ContinuationToken": token} if token else {}


def _objects(page: Any, prefix: str) -> Iterator[Item]:
    for item in page.get("Contents", ()):
        if item["Key"] != prefix:  # the folder's own entry
            yield item["Key"].removeprefix(prefix), item["Size"], item["ETag"].strip('"')
