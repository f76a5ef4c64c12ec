"""One multipart upload that becomes a copy: the origin's parts, continued where a run was killed.

In: an object, its layout, and what its copy is to keep. Out: an upload, filled and completed.
Refuses to know when a copy has to be made of parts.

An unfinished upload does not say what it was a copy of: S3 shows neither its metadata nor its
tags before it is complete. So parts of an earlier run are used when the upload began after the
origin's object was written and every part has the size it ought to have; and what they make is
only completed when the MD5 sums of all parts add up to the origin's ETag.
"""

from __future__ import annotations

import asyncio
import re
from hashlib import md5
from itertools import accumulate
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from nearbucket.s3.sdk_client import FAULTS, code_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping

    from nearbucket.s3.bucket_listing import ListedObject
    from nearbucket.s3.bucket_location import CopyEndpoints

MIB = 1024**2
_MOST_PARTS = 10_000
_PART = 128 * MIB
"""Size of parts where the origin has none: an object in one piece that is too large for one."""

_MD5 = re.compile(r"[0-9a-f]{32}").fullmatch
_OF_PARTS = re.compile(r".+-([1-9][0-9]*)").fullmatch


class OddPartsError(Exception):
    """The server's copied parts have ETags that are no MD5 sums."""


def parts_of(etag: str) -> int | None:
    """How many parts an object was uploaded in; None for one put in one piece."""
    found = _OF_PARTS(etag)
    return None if found is None else int(found[1])


def etag_of(parts: Iterable[str]) -> str | None:
    """The ETag S3 gives an object of these parts, or None where theirs are no MD5 sums."""
    etags = list(parts)
    if not all(_MD5(etag) for etag in etags):
        return None
    sums = b"".join(bytes.fromhex(etag) for etag in etags)
    return f"{md5(sums, usedforsecurity=False).hexdigest()}-{len(etags)}"


async def layout_of(
    what: ListedObject, head: Mapping[str, Any], size_of: Callable[[int], Awaitable[int]]
) -> tuple[int, ...]:
    """Sizes of the parts that give a copy the origin's ETag.

    Args:
        what: The origin's object.
        head: The origin's answer about its first part.
        size_of: Asks the origin for the size of any part.
    """
    count, size = parts_of(what.etag), what.size
    if count is None:
        return _even(size, max(_PART, -(-size // _MOST_PARTS)))
    if count == 1:
        return (size,)
    if head.get("PartsCount") != count:  # the server does not tell; whole MiB are most usual
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
    """The parts of one copy."""

    def __init__(
        self, endpoints: CopyEndpoints, what: ListedObject, sizes: tuple[int, ...]
    ) -> None:
        """Bind the copy of an object, with the sizes of its parts."""
        self._client, self._what, self._sizes = endpoints.target_client, what, sizes
        self._firsts = [0, *accumulate(sizes)]
        self._source = endpoints.origin.copy_source(what.key)
        self._arguments = endpoints.target.arguments(what.key)
        self._id = ""
        self._etags: dict[int, str] = {}
        self.resumed = False

    @property
    def etag(self) -> str | None:
        """What the copy's ETag will be, where the parts' ETags say so."""
        return etag_of(self._etags[number] for number in sorted(self._etags))

    @property
    def arrived(self) -> int:
        """Bytes in the target."""
        return sum(self._sizes[number - 1] for number in self._etags)

    async def find(self, *, usable: bool) -> bool:
        """Take up the newest upload of an earlier run that fits, and end all others.

        Args:
            usable: Whether the sums of the parts will show that they are the origin's.
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
            page = await self._client.list_parts(
                UploadId=upload, PartNumberMarker=marker, **self._arguments
            )
            for part in page.get("Parts", ()):
                number, etag = part["PartNumber"], part["ETag"].strip('"')
                fits = number <= len(self._sizes) and part["Size"] == self._sizes[number - 1]
                if not fits or not _MD5(etag):
                    return False
                etags[number] = etag
            if not page.get("IsTruncated"):
                self._etags = etags
                return True
            marker = page["NextPartNumberMarker"]

    async def begin(self, description: Mapping[str, Any], tags: Mapping[str, str]) -> None:
        """Start an upload whose result has these headers, metadata and tags."""
        tagging = {"Tagging": urlencode(tags, quote_via=quote)} if tags else {}
        answer = await self._client.create_multipart_upload(
            **self._arguments, **description, **tagging
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
            gate: Bounds the requests under way.
            width: How many of them this upload may have.
            moved: Told of each part's bytes.
            any_etags: Whether parts may have ETags that are no MD5 sums.

        Raises:
            OddPartsError: The first one has.
        """
        rest = iter([number for number in range(1, len(self._sizes) + 1)
                     if number not in self._etags])  # fmt: skip

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
            UploadId=self._id,
            PartNumber=number,
            CopySourceIfMatch=f'"{self._what.etag}"',
            **part,
            **self._source,
            **self._arguments,
        )
        return str(answer["CopyPartResult"]["ETag"]).strip('"')

    async def finish(self) -> str:
        """Make the object of its parts; returns its ETag."""
        parts = [{"PartNumber": number, "ETag": f'"{self._etags[number]}"'}
                 for number in sorted(self._etags)]  # fmt: skip
        try:
            answer = await self._client.complete_multipart_upload(
                UploadId=self._id, MultipartUpload={"Parts": parts}, **self._arguments
            )
        except FAULTS as error:
            if code_of(error) != "NoSuchUpload":
                raise
            # completed already: an answer got lost, or another run was faster
            answer = await self._client.head_object(**self._arguments)
            if answer["ETag"].strip('"') != self.etag:
                raise
        return str(answer["ETag"]).strip('"')

    async def abort(self) -> None:
        """Give the upload up, with its parts."""
        await self._abort(self._id)

    async def _abort(self, upload: str) -> None:
        try:
            await self._client.abort_multipart_upload(UploadId=upload, **self._arguments)
        except FAULTS as error:
            if code_of(error) != "NoSuchUpload":
                raise


async def together(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all at once; the first error ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
