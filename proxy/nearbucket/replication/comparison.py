"""Decides whether a target's object equals the origin's, and what ``sync`` does about it.

ETags are MD5 sums, of the bytes or of the parts' sums, unless the object is encrypted with a KMS
key or a client's key; then they say nothing (API reference, "Object"). Such a copy can never have
the origin's ETag, so it gets a tag with that ETag: overwriting the copy drops the tag, and a
changed origin has another ETag. Other tools go by date (``aws s3 sync``), keep the ETag in
metadata that clients would see (rustfs/cli#351), or copy such objects again each time
(cobbzilla/s3s3mirror#64).
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nearbucket.replication.listing_merge import Pair
    from nearbucket.s3.bucket_listing import ListedObject
    from nearbucket.s3.bucket_location import CopyEndpoints

TAG = "nearbucket-copy-of"
"""Key of the tag; its value is the origin's ETag."""

_HEADERS = ("ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage",
            "CacheControl", "ExpiresString", "WebsiteRedirectLocation")  # fmt: skip
_CHECKSUMS = tuple(f"Checksum{name}" for name in ("CRC64NVME", "CRC32", "CRC32C", "SHA256", "SHA1"))


class Verdict(Enum):
    """What is to be done about a key, as far as is known."""

    SAME = "same"
    COPY = "copy"
    REMEMBER = "remember"
    """Equal bytes, but the ETags will never show it: tag the copy."""
    TAGGED = "read the tag"
    """Equal size, another ETag."""
    DESCRIBED = "read the headers"
    """Equal bytes, but the origin was written again after the copy."""
    DELETE = "delete"
    """The origin has no such key."""


def compare_listings(pair: Pair) -> Verdict:
    """The verdict of two listings."""
    origin, target = pair
    if origin is None:
        return Verdict.DELETE
    if target is None or origin.size != target.size:
        return Verdict.COPY
    if origin.etag != target.etag:
        return Verdict.TAGGED
    return Verdict.DESCRIBED if origin.modified > target.modified else Verdict.SAME


class VersionComparison:
    """Asks both buckets about a key for which the listings do not decide."""

    def __init__(self, endpoints: CopyEndpoints) -> None:
        self._origin, self._target, self._origin_client, self._target_client = endpoints

    async def settle(self, first: Verdict, origin: ListedObject) -> Verdict:
        """The final verdict."""
        if first not in {Verdict.TAGGED, Verdict.DESCRIBED}:
            return first
        key, sums = origin.key, {"ChecksumMode": "ENABLED"}
        if first is Verdict.TAGGED and (await self._target_tags(key)).get(TAG) == origin.etag:
            return Verdict.SAME
        theirs = await self._origin_client.head_object(**self._origin.arguments(key), **sums)
        ours = await self._target_client.head_object(**self._target.arguments(key), **sums)
        if description(theirs) != description(ours):
            return Verdict.COPY
        if first is Verdict.DESCRIBED:
            same = await self._target_tags(key) == await self.tags(key)
            return Verdict.SAME if same else Verdict.COPY
        return Verdict.REMEMBER if incomparable_but_equal(theirs, ours) else Verdict.COPY

    async def remember(self, origin: ListedObject) -> None:
        """Tag the copy with the origin's ETag, beside the origin's own tags."""
        tags = {**await self.tags(origin.key), TAG: origin.etag}
        await self._target_client.put_object_tagging(
            Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]},
            **self._target.arguments(origin.key),
        )

    async def tags(self, key: str) -> dict[str, str]:
        """The tags of the origin's object."""
        return _tags(await self._origin_client.get_object_tagging(**self._origin.arguments(key)))

    async def _target_tags(self, key: str) -> dict[str, str]:
        return _tags(await self._target_client.get_object_tagging(**self._target.arguments(key)))


def _tags(answer: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


def description(head: Mapping[str, Any]) -> dict[str, Any]:
    """Headers and metadata that a copy keeps, as arguments of CreateMultipartUpload."""
    found = {name: head[name] for name in _HEADERS if head.get(name)}
    if "ExpiresString" in found:  # the SDK fails to parse dates in other forms
        found["Expires"] = found.pop("ExpiresString")
    return found | ({"Metadata": head["Metadata"]} if head.get("Metadata") else {})


def has_md5_etag(head: Mapping[str, Any]) -> bool:
    """Whether the ETag is made of MD5 sums, by the object's encryption."""
    return (
        head.get("ServerSideEncryption") in {None, "AES256"} and "SSECustomerAlgorithm" not in head
    )


def incomparable_but_equal(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    """Whether ETags cannot show that two objects are equal, but a checksum of all bytes does.

    A checksum of the parts' checksums depends on where the parts end (API reference,
    "GetObjectAttributes": ChecksumType).
    """
    if has_md5_etag(one) and has_md5_etag(two):
        return False
    if "COMPOSITE" in {one.get("ChecksumType"), two.get("ChecksumType")}:
        return False
    return any(one.get(name) is not None and one.get(name) == two.get(name) for name in _CHECKSUMS)
