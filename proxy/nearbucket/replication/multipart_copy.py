"""Copies one object in parts of the origin's sizes, or continues an upload that was interrupted.

An unfinished upload does not show what it copies: S3 gives neither its metadata nor its tags
before it is complete. So its parts are used if it began after the origin's object was written and
every part has the expected size; and it is completed only if the MD5 sums of all parts give the
origin's ETag.
"""

from __future__ import annotations

import asyncio
import re
from hashlib import md5
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.sdk_client import FAULTS, NoDocumentError, identified, kind_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
    from datetime import datetime

    from nearbucket.s3.bucket_location import CopyEndpoints
    from nearbucket.s3.listing.list_page import ListedObject

MIB = 1024**2
_MOST_PARTS = 10_000
_PART = 128 * MIB
"""Bytes of a part if the origin's object has none: it was put in one piece, too large to copy."""

_MD5 = re.compile(r"[0-9a-f]{32}").fullmatch
_OF_PARTS = re.compile(r".+-([1-9][0-9]*)").fullmatch


class OddPartsError(Exception):
    """The server gives copied parts ETags that are not MD5 sums."""


def parts_of(etag: str) -> int | None:
    """In how many parts an object was uploaded; None if it was put in one piece."""
    found = _OF_PARTS(etag)
    return None if found is None else int(found[1])


def etag_of(parts: Iterable[str]) -> str | None:
    """The ETag of an object of these parts, by their ETags; None if one is not an MD5 sum."""
    etags = list(parts)
    if not all(_MD5(etag) for etag in etags):
        return None
    sums = b"".join(bytes.fromhex(etag) for etag in etags)
    return f"{md5(sums, usedforsecurity=False).hexdigest()}-{len(etags)}"


async def head_of_part(endpoints: CopyEndpoints, what: ListedObject, number: int) -> dict[str, Any]:
    """The origin's response to a HEAD of one part of this version of an object."""
    answer: dict[str, Any] = await endpoints.origin_client.head_object(
        PartNumber=number, IfMatch=f'"{what.etag}"', **endpoints.origin.arguments(what.key)
    )
    return answer


async def layout_at(
    endpoints: CopyEndpoints, what: ListedObject, head: Mapping[str, Any]
) -> tuple[int, ...]:
    """The same as ``layout_of``, by asking the origin."""

    async def size_of(number: int) -> int:
        return int((await head_of_part(endpoints, what, number))["ContentLength"])

    return await layout_of(what, head, size_of)


async def layout_of(
    what: ListedObject, head: Mapping[str, Any], size_of: Callable[[int], Awaitable[int]]
) -> tuple[int, ...]:
    """Sizes of the parts that give a copy the origin's ETag.

    Args:
        what: The origin's object.
        head: The origin's response to a HEAD of the first part.
        size_of: Asks the origin for the size of a part, by its number from 1.
    """
    count, size = parts_of(what.etag), what.size
    if count is None:
        return _even(size, max(_PART, -(-size // _MOST_PARTS)))
    if count == 1:
        return (size,)
    if head.get("PartsCount") != count:  # not given by the server; most tools use whole MiB
        return _even(size, -(-size // (count * MIB)) * MIB)
    first: int = head["ContentLength"]
    last = size - first * (count - 1)
    if 0 < last <= first and await size_of(count) == last:
        return (*[first] * (count - 1), last)
    return tuple([await size_of(number) for number in range(1, count + 1)])


def _even(size: int, part: int) -> tuple[int, ...]:
    whole, rest = divmod(size, part)
    return (*[part] * whole, *([rest] if rest else []))


class MultipartCopy:
    """One multipart upload that copies an object."""

    def __init__(
        self, endpoints: CopyEndpoints, what: ListedObject, sizes: tuple[int, ...]
    ) -> None:
        """Copy the origin's object ``what`` in parts of these sizes in bytes."""
        self._client, self._what, self._sizes = endpoints.target_client, what, sizes
        self._firsts = [0, *accumulate(sizes)]
        self._source = endpoints.origin.copy_source(what.key)
        self._arguments = endpoints.target.arguments(what.key)
        self._id = ""
        self._etags: dict[int, str] = {}
        self.resumed = False

    @property
    def etag(self) -> str | None:
        """The ETag that the copy will have; None if the parts' ETags are not MD5 sums."""
        return etag_of(self._etags[number] for number in sorted(self._etags))

    @property
    def arrived(self) -> int:
        """Bytes of the parts that are in the target."""
        return sum(self._sizes[number - 1] for number in self._etags)

    async def find(self, *, usable: bool) -> bool:
        """Continue the newest upload of an earlier run that fits, and abort all others.

        Args:
            usable: Whether the MD5 sums of the parts can show that they are the origin's.

        Returns:
            Whether there was one.
        """
        key = self._arguments["Key"]
        bucket = {name: value for name, value in self._arguments.items() if name != "Key"}
        answer = await self._client.list_multipart_uploads(Prefix=key, **bucket)
        found = [one for one in answer.get("Uploads", ()) if one["Key"] == key]
        for one in sorted(found, key=lambda one: one["Initiated"], reverse=True):
            upload, newer = one["UploadId"], one["Initiated"] > self._what.modified
            if usable and newer and not self.resumed and await self._fits(upload):
                self.resumed, self._id = True, upload
            else:
                await self._abort(upload)
        return self.resumed

    async def _fits(self, upload: str) -> bool:
        etags: dict[int, str] = {}
        marker = 0
        while True:
            try:
                page = await self._client.list_parts(
                    UploadId=upload, PartNumberMarker=marker, **self._arguments
                )
            except FAULTS as error:
                if kind_of(error) is not ErrorKind.NO_UPLOAD:
                    raise
                return False  # another run has completed or aborted it
            for part in page.get("Parts", ()):
                number, etag = part["PartNumber"], part["ETag"].strip('"')
                fits = number <= len(self._sizes) and part["Size"] == self._sizes[number - 1]
                if not fits or not _MD5(etag):
                    return False
                etags[number] = etag
            if not page.get("IsTruncated"):
                self._etags = etags
                return True
            before, marker = marker, page.get("NextPartNumberMarker", 0)
            if marker <= before:
                return False  # the server sends the same page again

    async def begin(self, description: Mapping[str, str], tags: Mapping[str, str]) -> None:
        """Start an upload of an object with these header fields and tags."""
        tagging = {"Tagging": urlencode(tags, quote_via=quote)} if tags else {}
        answer = await self._client.create_multipart_upload(
            description, **self._arguments, **tagging
        )
        self._id = answer["UploadId"]

    async def fill(
        self,
        gate: asyncio.Semaphore,
        width: int,
        moved: Callable[[int], None],
        *,
        any_etags: bool,
    ) -> None:
        """Copy the parts that are missing.

        Args:
            gate: Bounds the requests under way, of all uploads together.
            width: How many of them this upload may have.
            moved: Called with the bytes of each part.
            any_etags: Whether parts may have ETags that are not MD5 sums.

        Raises:
            OddPartsError: The first part has one, and may not.
        """
        numbers = range(1, len(self._sizes) + 1)
        rest = iter([number for number in numbers if number not in self._etags])

        async def work(numbers: Iterable[int]) -> None:
            for number in numbers:
                async with gate:
                    self._etags[number] = await self._copy(number)
                moved(self._sizes[number - 1])

        first = next(rest, None)
        if first is None:
            return
        await work([first])
        if not any_etags and not _MD5(self._etags[first]):
            raise OddPartsError
        await together(work(rest) for _ in range(min(width, len(self._sizes))))

    async def _copy(self, number: int) -> str:
        first, end = self._firsts[number - 1], self._firsts[number]
        part = {"CopySourceRange": f"bytes={first}-{end - 1}"} if len(self._sizes) > 1 else {}
        answer = await self._client.upload_part_copy(
            end - first,
            UploadId=self._id,
            PartNumber=number,
            CopySourceIfMatch=f'"{self._what.etag}"',
            **part,
            **self._source,
            **self._arguments,
        )
        return str(answer["CopyPartResult"]["ETag"]).strip('"')

    async def finish(self) -> str:
        """Complete the upload; returns the ETag of the object."""
        parts = [
            {"PartNumber": number, "ETag": f'"{etag}"'}
            for number, etag in sorted(self._etags.items())
        ]
        try:
            answer = await self._client.complete_multipart_upload(
                UploadId=self._id, MultipartUpload={"Parts": parts}, **self._arguments
            )
        except FAULTS as error:
            etag = self.etag
            if kind_of(error) is ErrorKind.NO_UPLOAD and etag and await self.is_done(etag):
                return etag  # a response was lost, or another run was faster
            raise
        if "ETag" not in answer:  # S3 sends the head of the response before it has completed it
            raise NoDocumentError(error="the response of S3 has no ETag; run sync again")
        return str(answer["ETag"]).strip('"')

    async def is_done(self, etag: str) -> bool:
        """Whether the target has a copy with this ETag that is not older than the origin's object.

        Another run that continues the same upload may complete it first.
        """
        try:
            copy = identified(await self._client.head_object(**self._arguments))
        except FAULTS:
            return False
        written: datetime = copy["LastModified"]
        return copy["ETag"].strip('"') == etag and written >= self._what.modified.replace(
            microsecond=0
        )

    async def abort(self) -> None:
        """Abort the upload, which deletes its parts."""
        await self._abort(self._id)

    async def _abort(self, upload: str) -> None:
        try:
            await self._client.abort_multipart_upload(UploadId=upload, **self._arguments)
        except FAULTS as error:
            if kind_of(error) is not ErrorKind.NO_UPLOAD:
                raise


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all concurrently; the first error cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
