"""Decides whether a target's object equals the origin's, and what ``sync`` does about it.

ETags are MD5 sums, of the bytes or of the parts' sums, unless the object is encrypted with a KMS
key or a client's key; then they say nothing (API reference, "Object"). A copy that has another ETag
and was shown to be equal gets a mark (``s3/copy_mark.py``). Other tools go by date
(``aws s3 sync``), keep the ETag in metadata that clients would see (rustfs/cli#351), or copy such
objects again each time (cobbzilla/s3s3mirror#64).
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Any

from nearbucket.replication.multipart_copy import parts_of
from nearbucket.s3.copy_mark import FIELD, TAG, etag_in_metadata, mark_of, marked_etag
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.listing.list_page import ListedObject
from nearbucket.s3.sdk.sdk_client import FAULTS, code_of, identified, kind_of, told_by_get
from nearbucket.s3.unreadable import Unreadable, maybe_archived, unreadable_by_head

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nearbucket.replication.listing_merge import Pair
    from nearbucket.s3.bucket_location import BucketLocation, CopyEndpoints

    _Head = Mapping[str, Any]

NO_ETAG = "there is no ETag, so the version cannot be told"
NO_ETAG_REMEDY = "update the server, or upload the object again"

_FIELDS = {"content-type", "content-encoding", "content-disposition", "content-language",
           "cache-control", "expires"}  # fmt: skip
"""And no x-amz-website-redirect-location, which CopyObject does not copy (API reference)."""
_METADATA = "x-amz-meta-"
_CHECKSUMS = tuple(f"Checksum{name}" for name in ("CRC64NVME", "CRC32", "CRC32C", "SHA256", "SHA1"))


class Verdict(Enum):
    """What is to be done about a key, as far as is known."""

    SAME = "same"
    COPY = "copy"
    MARK = "mark"
    """Equal by a checksum of S3, but not by ETag: mark the copy."""
    OTHER_PARTS = "adopt"
    """Equal size, another ETag, and no checksum shows whether the bytes are equal."""
    TAGGED = "read the tag"
    """Equal size, another ETag."""
    DESCRIBED = "read the headers"
    """Equal bytes, but the origin was written again after the copy."""
    STORED = "read how it is stored"
    """Equal, but it may be archived."""
    ARCHIVED = "archived"
    """Clients cannot read the copy, nor can ``sync``: it is neither copied again nor up to date."""
    KMS = "kms"
    """Encrypted with a KMS key; likewise."""
    CUSTOMER_KEY = "customer key"
    """Encrypted with a key that S3 does not have; likewise."""
    DELETE = "delete"
    """The origin has no such key."""


UNREADABLE = {
    Unreadable.ARCHIVED: Verdict.ARCHIVED,
    Unreadable.KMS: Verdict.KMS,
    Unreadable.CUSTOMER_KEY: Verdict.CUSTOMER_KEY,
}
"""The verdicts about copies that clients cannot read."""

_MOST_TAGS = 10

_TAGLESS = {"NotImplemented", "MethodNotAllowed"}
"""Codes of servers without tags."""

_NO_TAG = {"BadRequest", "InvalidTag", *_TAGLESS}
"""Codes of a tag that is one too many (S3, SeaweedFS), and of servers without tags."""

_KEY_IS_MISSING = {"InvalidRequest", "InvalidArgument"}
"""Codes of a GET without the customer's key (S3, SeaweedFS); the response to a HEAD has none."""


def compare_listings(pair: Pair, known: Callable[[Pair], bool] = lambda _: False) -> Verdict:
    """The verdict of two listings.

    Args:
        pair: The two objects.
        known: Whether an earlier run has found these two to have equal headers, metadata and tags.
    """
    origin, target = pair
    if origin is None:
        return Verdict.DELETE
    if target is None or origin.size != target.size:
        return Verdict.COPY
    if origin.etag != target.etag or not origin.etag:
        return Verdict.TAGGED
    if origin.modified > target.modified and not known(pair):
        return Verdict.DESCRIBED
    return Verdict.STORED if maybe_archived(target.storage_class) else Verdict.SAME


def _is_replaced(origin: ListedObject, copy: ListedObject) -> bool:
    """Whether the origin's object was written after the copy, and both ETags may be MD5 sums."""
    newer = origin.modified > copy.modified
    return newer and parts_of(origin.etag) is None and parts_of(copy.etag) is None


_NOT_FINAL = {Verdict.TAGGED, Verdict.DESCRIBED, Verdict.STORED}


class VersionComparison:
    """Asks both buckets about a key for which the listings do not decide."""

    def __init__(
        self, endpoints: CopyEndpoints, barriers: Collection[Unreadable] = frozenset()
    ) -> None:
        """Prepare to ask.

        Args:
            endpoints: Origin and target.
            barriers: What keeps the site's clients from reading a copy.
        """
        self._origin, self._target, self._origin_client, self._target_client = endpoints
        self._barriers = barriers
        self._etags_are_sums: bool | None = None
        self._first = asyncio.Lock()

    async def settle(self, first: Verdict, pair: Pair) -> Verdict:
        """The final verdict about two objects; ``first`` is that of their listings.

        The first pair whose origin was written again shows whether ETags are MD5 sums in both
        buckets. If they are, different ETags mean different bytes, and all further such pairs are
        copied without a request for comparison.

        Raises:
            botocore's errors: One of them cannot be asked for, or has changed since.
        """
        origin, copy = pair
        if origin is None or copy is None or first not in _NOT_FINAL:
            return first
        if first is Verdict.TAGGED and _is_replaced(origin, copy):
            async with self._first:
                if self._etags_are_sums is None:
                    return await self._settle(first, origin, copy)
            if self._etags_are_sums:
                return Verdict.COPY
        return await self._settle(first, origin, copy)

    def note_copy(self, origin: ListedObject, etag: str) -> None:
        """Note the ETag of a new copy; if it is not the origin's, ETags are not MD5 sums (KMS)."""
        if origin.etag != etag and parts_of(origin.etag) is None and parts_of(etag) is None:
            self._etags_are_sums = False

    async def _settle(self, first: Verdict, origin: ListedObject, copy: ListedObject) -> Verdict:
        marked, untold = None, None
        if first is Verdict.TAGGED:
            try:
                marked = await self._marked(copy)
            except FAULTS as error:
                if not cannot_tag(error):
                    raise
                untold = error
        if first is Verdict.STORED or marked == origin.etag:
            return await self.stored(copy)
        theirs, ours = await self._heads_or_none(origin, copy)
        if ours is None:
            return Verdict.CUSTOMER_KEY
        if self._etags_are_sums is None and _is_replaced(origin, copy):
            self._etags_are_sums = _is_md5(theirs) and _is_md5(ours) and not untold
        verdict = await self._compared(first, (theirs, ours), origin)
        if untold and verdict not in {Verdict.SAME, Verdict.MARK}:
            raise untold  # a mark could say that they are equal
        # a mark for another ETag: the origin's object was replaced after the copy was made
        if verdict is Verdict.COPY or (marked and verdict is Verdict.OTHER_PARTS):
            return Verdict.COPY
        return self._unreadable(ours) or verdict

    async def _heads_or_none(
        self, origin: ListedObject, copy: ListedObject
    ) -> tuple[_Head, _Head | None]:
        """The responses to two HEADs; None for a copy that only a customer's key can read."""
        theirs = await _head(self._origin_client, self._origin, origin)
        try:
            return theirs, await _head(self._target_client, self._target, copy)
        except FAULTS as error:
            where = self._target.arguments(copy.key)
            told = await told_by_get(self._target_client, where, error)
            if code_of(told) in _KEY_IS_MISSING:
                return theirs, None
            raise

    async def _compared(
        self, first: Verdict, heads: tuple[_Head, _Head], origin: ListedObject
    ) -> Verdict:
        theirs, ours = heads
        if first is Verdict.TAGGED:
            marked = etag_in_metadata(ours["ResponseMetadata"]["HTTPHeaders"])
            if marked == origin.etag:
                return Verdict.SAME
            verdict = compare_heads(theirs, ours)
            # as for tags: a mark for another ETag is of an older version
            return Verdict.COPY if marked and verdict is Verdict.OTHER_PARTS else verdict
        if description(theirs) != description(ours):
            return Verdict.COPY
        same = await self._target_tags(origin.key) == await self.tags(origin.key)
        return Verdict.SAME if same else Verdict.COPY

    async def _marked(self, copy: ListedObject) -> str | None:
        return marked_etag((await self._target_tags(copy.key)).get(TAG, ""), copy.etag)

    async def stored(self, copy: ListedObject) -> Verdict:
        """The verdict about a copy that equals the origin's object, but may be unreadable.

        It is archived, if its class is one of archives; or encrypted with a KMS key, which gives
        it another ETag.
        """
        if Unreadable.KMS not in self._barriers and not maybe_archived(copy.storage_class):
            return Verdict.SAME
        head = await _head(self._target_client, self._target, copy)
        return self._unreadable(head) or Verdict.SAME

    def _unreadable(self, head: _Head) -> Verdict | None:
        """The verdict about a copy that clients cannot read, by its HEAD; None if they can."""
        found = unreadable_by_head(head["ResponseMetadata"]["HTTPHeaders"])
        return UNREADABLE[found] if found and found in self._barriers else None

    async def present(self, key: str) -> ListedObject | None:
        """The target's object as it is now."""
        try:
            head = identified(await self._target_client.head_object(**self._target.arguments(key)))
        except FAULTS as error:
            if kind_of(error) is not ErrorKind.NO_OBJECT:
                raise
            return None
        etag, kind = head["ETag"].strip('"'), head.get("StorageClass", "")
        return ListedObject(key, head["ContentLength"], etag, head["LastModified"], kind)

    async def mark(self, origin: ListedObject, copy_etag: str) -> None:
        """Tag the copy that has this ETag as equal to the origin's object, beside its own tags."""
        tags = {**await self._target_tags(origin.key), TAG: mark_of(origin.etag, copy_etag)}
        await self._target_client.put_object_tagging(
            Tagging={"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]},
            **self._target.arguments(origin.key),
        )

    async def heads(self, origin: ListedObject, copy: ListedObject) -> tuple[_Head, _Head]:
        """S3's responses to a HEAD of these versions of both objects, with their checksums."""
        return (
            await _head(self._origin_client, self._origin, origin),
            await _head(self._target_client, self._target, copy),
        )

    async def described(self, copy: ListedObject) -> dict[str, str]:
        """The description of a copy, with its storage class if that is not the usual one."""
        head = await _head(self._target_client, self._target, copy)
        found = description(head)
        if storage_class := head.get("StorageClass"):
            found["x-amz-storage-class"] = storage_class
        return found

    async def has_room(self, copy: ListedObject) -> bool:
        """Whether the copy's tags leave room for a mark; S3 allows ten."""
        tags = await _tags(self._target_client, self._target, copy.key)
        return len(tags.keys() - {TAG}) < _MOST_TAGS

    async def tags(self, key: str) -> dict[str, str]:
        """The tags of the origin's object; none if the server has no tags."""
        return await _tags_or_none(self._origin_client, self._origin, key)

    async def _target_tags(self, key: str) -> dict[str, str]:
        return await _tags_or_none(self._target_client, self._target, key)


async def _head(client: Any, location: BucketLocation, what: ListedObject) -> _Head:
    head: _Head = await client.head_object(
        ChecksumMode="ENABLED", IfMatch=f'"{what.etag}"', **location.arguments(what.key)
    )
    return identified(head)


def cannot_tag(error: Exception) -> bool:
    """Whether a tag could not be written in a way that will not pass by itself."""
    return kind_of(error) is ErrorKind.NOT_ALLOWED or code_of(error) in _NO_TAG


async def _tags(client: Any, location: BucketLocation, key: str) -> dict[str, str]:
    answer = await client.get_object_tagging(**location.arguments(key))
    return {tag["Key"]: tag["Value"] for tag in answer["TagSet"]}


async def _tags_or_none(client: Any, location: BucketLocation, key: str) -> dict[str, str]:
    """The tags of an object; none if the server has no tags."""
    try:
        return await _tags(client, location, key)
    except FAULTS as error:
        if code_of(error) not in _TAGLESS:
            raise
        return {}


def description(head: _Head) -> dict[str, str]:
    """The header fields of an object that a copy keeps, user metadata included, byte for byte.

    They are taken as they came: the SDK knows no Expires but dates, and changes the form of these.
    """
    fields: Mapping[str, str] = head["ResponseMetadata"]["HTTPHeaders"]
    return {
        name: value
        for name, value in fields.items()
        if name in _FIELDS or (name.startswith(_METADATA) and name != FIELD)
    }


def has_md5_etag(head: Mapping[str, Any]) -> bool:
    """Whether the ETag is made of MD5 sums, by the object's encryption."""
    return (
        head.get("ServerSideEncryption") in {None, "AES256"} and "SSECustomerAlgorithm" not in head
    )


def compare_heads(origin: Mapping[str, Any], copy: Mapping[str, Any]) -> Verdict:
    """The verdict of the responses to two HEADs, of objects of equal size with different ETags."""
    equal = equal_by_checksum(origin, copy)
    # a mark leaves the headers as they are, and with another encoding the bytes mean another file
    encoded = copy.get("ContentEncoding") != origin.get("ContentEncoding")
    if equal is False or encoded or (_is_md5(origin) and _is_md5(copy)):
        return Verdict.COPY
    older = copy["LastModified"] < origin["LastModified"]
    if equal:
        changed = older and description(origin) != description(copy)
        return Verdict.COPY if changed else Verdict.MARK
    return Verdict.COPY if older else Verdict.OTHER_PARTS


def _is_md5(head: Mapping[str, Any]) -> bool:
    """Whether the ETag is the MD5 sum of all bytes."""
    return has_md5_etag(head) and parts_of(head["ETag"].strip('"')) is None


def equal_by_checksum(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool | None:
    """Whether a checksum of all bytes is the same; None if both have none of one kind.

    A checksum of the parts' checksums depends on where the parts end (API reference,
    "GetObjectAttributes": ChecksumType); it ends with their number.
    """
    if "COMPOSITE" in {one.get("ChecksumType"), two.get("ChecksumType")}:
        return None
    both = [(one[name], two[name]) for name in _CHECKSUMS if one.get(name) and two.get(name)]
    of_all_bytes = [first == second for first, second in both if "-" not in first + second]
    return all(of_all_bytes) if of_all_bytes else None
