"""Copies one object from bucket to bucket inside S3, so that the copy gets the origin's ETag.

An object that was put in one piece is copied in one piece: its ETag is the MD5 sum of its bytes.
The ETag of one that was uploaded in parts is the MD5 sum of the parts' MD5 sums, so it is copied
in the same parts. A server other than S3 may give copied parts ETags of its own, which the first
part shows (SeaweedFS does, for parts above its chunk size); then the object is copied in one
piece, with which SeaweedFS keeps the origin's ETag.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from nearbucket.replication.comparison import description, has_md5_etag
from nearbucket.replication.multipart_copy import (
    MultipartCopy,
    OddPartsError,
    head_of_part,
    layout_at,
    parts_of,
)
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.sdk_client import FAULTS, code_of, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nearbucket.replication.comparison import VersionComparison
    from nearbucket.s3.bucket_location import CopyEndpoints
    from nearbucket.s3.listing.list_page import ListedObject

    Moved = Callable[[int], None]

LARGEST_PIECE = 5 * 1024**3
"""Bytes that CopyObject can copy (S3 user guide, "Copying, moving, and renaming objects")."""

_TOO_LARGE = {*ErrorKind.TOO_LARGE.codes, "InvalidRequest", "InvalidArgument"}
VERSION_GONE = {ErrorKind.NO_OBJECT, ErrorKind.REPLACED}
"""Failures of requests for a version that is no longer there."""


class ObjectCopier:
    """Copies objects from an origin to a target."""

    def __init__(
        self,
        endpoints: CopyEndpoints,
        comparison: VersionComparison,
        parallel: int,
        largest_piece: int = LARGEST_PIECE,
    ) -> None:
        """Prepare for copies.

        Args:
            endpoints: Origin and target.
            comparison: Reads the tags of the origin's objects.
            parallel: How many copies, of objects or parts, may be under way.
            largest_piece: Bytes that one request can copy.
        """
        self._endpoints, self._comparison = endpoints, comparison
        self._gate, self._parallel = asyncio.Semaphore(parallel), parallel
        self._largest_piece = largest_piece
        self._odd_parts = False

    async def copy(self, what: ListedObject, moved: Moved) -> str:
        """Copy an object; a copy in parts that was interrupted is continued.

        Args:
            what: The origin's object.
            moved: Called with bytes that were copied; with a negative number when they are
                given up.

        Returns:
            The copy's ETag, without quotes.

        Raises:
            botocore's errors: The object cannot be read or written, or has changed.
        """
        in_parts = parts_of(what.etag) is not None or what.size > self._largest_piece
        if what.size == 0 or not in_parts:
            return await self._in_one_piece(what, moved)
        if not self._odd_parts:
            try:
                return await self._in_parts(what, moved)
            except OddPartsError:
                self._odd_parts = True
        try:
            return await self._in_one_piece(what, moved)
        except FAULTS as error:
            if what.size <= self._largest_piece or code_of(error) not in _TOO_LARGE:
                raise
        return await self._in_parts(what, moved, any_etags=True)

    async def rewrite(self, what: ListedObject, fields: Mapping[str, str]) -> str:
        """Copy an object onto itself with other header fields and metadata; returns its ETag.

        Args:
            what: The object, with the tags of the origin's; both endpoints are its bucket.
            fields: All header fields that it gets.

        Raises:
            botocore's errors: It cannot be written, or has changed.
        """
        if what.size > self._largest_piece:
            head = await head_of_part(self._endpoints, what, 1)
            upload = MultipartCopy(
                self._endpoints, what, await layout_at(self._endpoints, what, head)
            )
            await upload.find(usable=False)
            await upload.begin(fields, await self._comparison.tags(what.key))
            await upload.fill(self._gate, self._parallel, lambda _: None, any_etags=True)
            return await upload.finish()
        async with self._gate:
            return await self._copy_object(what, "REPLACE", fields)

    async def _in_one_piece(self, what: ListedObject, moved: Moved) -> str:
        async with self._gate:
            etag = await self._copy_object(what, "COPY", {})
        moved(what.size)
        return etag

    async def _copy_object(
        self, what: ListedObject, metadata: Literal["COPY", "REPLACE"], fields: Mapping[str, str]
    ) -> str:
        answer = await self._endpoints.target_client.copy_object(
            fields,
            what.size,
            MetadataDirective=metadata,
            TaggingDirective="COPY",
            CopySourceIfMatch=f'"{what.etag}"',
            **self._endpoints.origin.copy_source(what.key),
            **self._endpoints.target.arguments(what.key),
        )
        return str(answer["CopyObjectResult"]["ETag"]).strip('"')

    async def _in_parts(
        self, what: ListedObject, moved: Moved, *, any_etags: bool = False, again: bool = False
    ) -> str:
        head = await head_of_part(self._endpoints, what, 1)
        sizes = await layout_at(self._endpoints, what, head)
        upload = MultipartCopy(self._endpoints, what, sizes)
        usable = has_md5_etag(head) and not any_etags and not again
        if await upload.find(usable=usable):
            moved(upload.arrived)
        else:
            await upload.begin(description(head), await self._comparison.tags(what.key))
        try:
            await upload.fill(self._gate, self._parallel, moved, any_etags=any_etags)
        except OddPartsError:
            await _give_up(upload, moved)
            raise
        except FAULTS as error:
            if kind_of(error) in VERSION_GONE:
                await _give_up(upload, moved)
            if kind_of(error) is ErrorKind.NO_UPLOAD and await upload.is_done(what.etag):
                moved(what.size - upload.arrived)
                return what.etag
            raise
        if upload.resumed and upload.etag != what.etag:
            await _give_up(upload, moved)
            return await self._in_parts(what, moved, again=True)
        return await upload.finish()


async def _give_up(upload: MultipartCopy, moved: Moved) -> None:
    await upload.abort()
    moved(-upload.arrived)
