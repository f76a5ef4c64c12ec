"""Brings one target up to date with its origin: compares, copies or deletes what differs, counts.

Copies that another tool made in other parts are left as they are, or adopted: their bytes are
compared, and equal ones get a mark.

No run needs what another has kept: what an interrupted run had copied is found equal, and what it
had begun is continued. Only requests are saved by what is remembered (``alike_pairs.py``).
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from botocore.exceptions import ClientError

from nearbucket.errors import ProxyError
from nearbucket.replication.alike_pairs import AlikePairs
from nearbucket.replication.byte_comparison import ByteComparison
from nearbucket.replication.comparison import (
    NO_ETAG,
    NO_ETAG_REMEDY,
    UNREADABLE,
    Verdict,
    VersionComparison,
    cannot_tag,
    compare_listings,
    description,
)
from nearbucket.replication.listing_merge import listed, matched, merged
from nearbucket.replication.multipart_copy import together
from nearbucket.replication.object_copy import LARGEST_PIECE, VERSION_GONE, ObjectCopier
from nearbucket.replication.sync_progress import MovedBytes, SyncFailure
from nearbucket.s3.bucket_location import CopyEndpoints
from nearbucket.s3.copy_mark import FIELD
from nearbucket.s3.error_codes import ErrorKind
from nearbucket.s3.sdk.bucket_listing import objects_of
from nearbucket.s3.sdk.light_client import opened_light
from nearbucket.s3.sdk.sdk_client import (
    FAULTS,
    PAGE,
    NoMemberError,
    as_ours,
    code_of,
    kind_of,
    meaning,
    told_by_get,
)
from nearbucket.s3.unreadable import Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Any

    from nearbucket.replication.listing_merge import Pair
    from nearbucket.replication.sync_progress import SyncProgress
    from nearbucket.s3.bucket_location import BucketLocation
    from nearbucket.s3.listing.list_page import ListedObject

_AHEAD = 50_000
"""How many differences are found ahead of the copies, so that a total and the time left can be
shown; they take 25 MB."""

_IN_A_ROW = 100
"""Failures without a success after which a run ends, if the objects are not the reason."""

_OF_THE_OBJECT = {ErrorKind.ARCHIVED, ErrorKind.CUSTOMER_KEY, ErrorKind.NO_UPLOAD, *VERSION_GONE}
"""Failures that say nothing about other objects."""

_FULL = "the copy has ten tags; remove one for the mark, or delete the copy and run sync again"


class SyncJob(NamedTuple):
    """One difference, and what is to be done about it.

    Attributes:
        verdict: What is to be done.
        what: The origin's object; the target's if the origin has none.
        copy: The target's object, if both buckets have one.
    """

    verdict: Verdict
    what: ListedObject
    copy: ListedObject | None = None


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """How a run works.

    Attributes:
        parallel: How many copies, of objects or parts, may be under way.
        dry_run: Whether nothing is changed.
        delete: Whether chosen objects that are not at the origin are deleted.
        adopt: Whether copies of other tools are read, and get a mark if they are equal.
        largest_piece: Bytes that one request can copy.
        barriers: What keeps the site's clients from reading a copy.
        memory: Folder of the files of ``AlikePairs``; None to remember nothing.
        site: Name of the site; each has files of its own there.
    """

    parallel: int = 32
    dry_run: bool = False
    delete: bool = False
    adopt: bool = False
    largest_piece: int = LARGEST_PIECE
    barriers: frozenset[Unreadable] = frozenset(Unreadable)
    memory: Path | None = None
    site: str = ""


class Replicator:
    """One run for one target."""

    def __init__(
        self,
        locations: tuple[BucketLocation, BucketLocation],
        chosen: Callable[[str, int], bool],
        progress: SyncProgress,
        options: SyncOptions,
        *,
        found: Callable[[SyncJob], None] = lambda _: None,
    ) -> None:
        """Prepare a run.

        Args:
            locations: Origin and target.
            chosen: Whether the policy would redirect to an object of this key and size.
            progress: Kept up to date during the run.
            options: How the run works.
            found: Called with every copy and deletion before it is made, or would be.
        """
        self._origin, self._target = locations
        self._chosen, self._progress, self._options, self._found = chosen, progress, options, found
        self._jobs: asyncio.Queue[SyncJob | None] = asyncio.Queue(_AHEAD)
        self._in_a_row = 0
        self._tag_refused: Exception | None = None
        self._alike = AlikePairs(
            options.memory, options.site, *(each.entry.object_base_url for each in locations)
        )
        # from ``run`` on
        self._origin_has_objects: bool
        self._endpoints: CopyEndpoints
        self._comparison: VersionComparison
        self._copier: ObjectCopier
        self._bytes: ByteComparison

    async def run(self) -> None:
        """Compare the buckets, and copy and delete what differs.

        Raises:
            ProxyError: A bucket cannot be used, or too many objects in a row failed.
        """
        parallel = self._options.parallel
        self._origin_has_objects = await _has_objects(self._origin)
        await _has_objects(self._target)
        self._progress.begun = True
        async with (
            opened_light(self._origin, 2 * parallel) as reads,
            opened_light(self._target, 2 * parallel) as writes,
        ):
            self._endpoints = CopyEndpoints(self._origin, self._target, reads, writes)
            self._comparison = VersionComparison(self._endpoints, self._options.barriers)
            self._copier = ObjectCopier(
                self._endpoints, self._comparison, parallel, self._options.largest_piece
            )
            self._bytes = ByteComparison(self._endpoints, parallel)
            try:
                await together([self._plan(), *(self._work() for _ in range(parallel))])
            finally:
                if not self._options.dry_run:
                    self._alike.save(whole=self._progress.listed)

    async def _plan(self) -> None:
        """Fill the queue with what differs."""
        endpoints = self._endpoints
        pairs_of = merged if endpoints.origin.on_aws else matched
        async with (
            aclosing(listed(endpoints.origin_client, endpoints.origin)) as origin,
            aclosing(listed(endpoints.target_client, endpoints.target)) as target,
        ):
            async for pair in pairs_of(origin, target):
                await self._take(pair)
        self._progress.listed = True
        for _ in range(self._options.parallel):
            await self._jobs.put(None)

    async def _take(self, pair: Pair) -> None:
        origin, target = pair
        what = origin or target
        if what is None or not self._chosen(what.key, what.size):
            return
        if origin and not origin.etag:
            why = f"in the origin's listing {NO_ETAG}; {NO_ETAG_REMEDY}"
            self._progress.failures.append(SyncFailure(what.key, "NoETag", why))
            return
        verdict = compare_listings(pair, self._alike.knows)
        if verdict is Verdict.SAME:
            self._progress.same += 1
        elif verdict is not Verdict.DELETE:
            self._progress.expect(what)
            await self._jobs.put(SyncJob(verdict, what, target))
        else:
            self._progress.orphans += 1
            if not self._options.delete:
                return
            if not self._origin_has_objects:
                raise ProxyError(
                    f"{self._origin.name}: {self._origin} has no object, so --delete would delete "
                    f"every copy in {self._target}; correct bucket or prefix, or delete by hand"
                )
            await self._jobs.put(SyncJob(verdict, what))

    async def _work(self) -> None:
        while (job := await self._jobs.get()) is not None:
            try:
                await self._act(await self._settled(job))
            except FAULTS as error:
                origin, _, client, _ = self._endpoints
                told = await told_by_get(client, origin.arguments(job.what.key), error)
                self._failed(job.what, told)
            else:
                self._in_a_row = 0

    async def _settled(self, job: SyncJob) -> SyncJob:
        """The job with its final verdict."""
        date = self._endpoints.origin_client.date
        try:
            verdict = await self._comparison.settle(job.verdict, (job.what, job.copy))
        except FAULTS as error:
            if kind_of(error) not in VERSION_GONE:
                raise
            # another run may have written the copy meanwhile; if it was the origin, it fails again
            copy = await self._comparison.present(job.what.key)
            job = SyncJob(compare_listings((job.what, copy)), job.what, copy)
            verdict = await self._comparison.settle(job.verdict, (job.what, copy))
        if job.verdict is Verdict.DESCRIBED and verdict is Verdict.SAME:
            self._alike.note((job.what, job.copy), date)
        return job._replace(verdict=verdict)

    async def _act(self, job: SyncJob) -> None:
        verdict, what, copy = job
        if verdict is Verdict.DELETE:
            await self._remove(job)
        elif verdict is Verdict.COPY:
            self._found(job)
            if not self._options.dry_run:
                await self._copy(what)
        elif verdict is Verdict.OTHER_PARTS and copy:
            await self._prove(job, copy)
        elif verdict in UNREADABLE.values():
            self._progress.expect(what, -1)
            self._progress.note_unreadable(verdict.value, what.key)
        else:
            if verdict is Verdict.MARK and copy and not self._options.dry_run:
                await self._mark_by_checksum(what, copy)
            self._progress.expect(what, -1)
            self._progress.same += 1

    async def _mark_by_checksum(self, what: ListedObject, copy: ListedObject) -> None:
        """Tag a copy, if that is possible: it is known to be equal without the tag, too."""
        try:
            await self._comparison.mark(what, copy.etag)
        except FAULTS as error:
            if not cannot_tag(error):
                raise
        else:
            self._progress.marked += 1

    async def _prove(self, job: SyncJob, copy: ListedObject) -> None:
        """Adopt a copy that may be equal, or copy the object if it is not.

        Without the option ``adopt`` it is only counted.
        """
        progress, what = self._progress, job.what
        if self._options.adopt:
            self._found(job)
        if self._options.dry_run or not self._options.adopt:
            progress.expect(what, -1)
            progress.other_parts += 1
            progress.other_parts_size += what.size
        elif self._tag_refused:
            raise self._tag_refused  # reading the copy would be in vain
        elif not await self._comparison.has_room(copy):
            progress.failures.append(SyncFailure(what.key, "TooManyTags", _FULL))
        elif not await self._adopted(what, copy):
            await self._copy(what)
            progress.differing.append(what.key)

    async def _adopted(self, what: ListedObject, copy: ListedObject) -> bool:
        """Mark a copy if it equals the origin's object; return whether it does."""
        progress, read = self._progress, MovedBytes(self._progress)
        try:
            theirs, ours = await self._comparison.heads(what, copy)
            if not await self._bytes.equal(what, copy, read.add):
                read.take_back()
                return False
            await self._comparison.mark(what, copy.etag)
        except FAULTS as error:
            read.take_back()
            if getattr(error, "operation_name", "") == "PutObjectTagging" and cannot_tag(error):
                self._tag_refused = error
            raise
        progress.adopted += 1
        progress.adopted_size += what.size
        progress.other_headers += description(theirs) != description(ours)
        return True

    async def _copy(self, what: ListedObject) -> None:
        progress, copied = self._progress, MovedBytes(self._progress)
        try:
            etag = await self._copier.copy(what, copied.add)
            self._comparison.note_copy(what, etag)
            if etag != what.etag:
                await self._look(what, await self._remember(what, etag))
        except FAULTS:
            copied.take_back()
            raise
        progress.copied += 1
        progress.copied_size += what.size
        progress.other_etag += etag != what.etag

    async def _remember(self, what: ListedObject, etag: str) -> str:
        """Mark a new copy, by metadata if S3 refuses the tag; returns the copy's ETag then.

        Only copies that sync has just made are written again: those of other tools may have an
        ACL, which would be lost.
        """
        try:
            await self._comparison.mark(what, etag)
        except FAULTS as error:
            if not cannot_tag(error):
                raise
            return await self._mark_by_metadata(what, etag)
        return etag

    async def _mark_by_metadata(self, what: ListedObject, etag: str) -> str:
        _, target, _, client = self._endpoints
        copy, options = what._replace(etag=etag), self._options
        there = CopyEndpoints(target, target, client, client)
        fields = await self._comparison.described(copy)
        copier = ObjectCopier(there, self._comparison, options.parallel, options.largest_piece)
        return await copier.rewrite(copy, fields | {FIELD: what.etag})

    async def _look(self, what: ListedObject, etag: str) -> None:
        """Note a new copy that clients cannot read; with a KMS key it has another ETag."""
        copy = what._replace(etag=etag, storage_class="")
        if (verdict := await self._comparison.stored(copy)) in UNREADABLE.values():
            self._progress.note_unreadable(verdict.value, what.key)

    async def _remove(self, job: SyncJob) -> None:
        """Delete an object, unless one came to the origin after the listing."""
        key, endpoints = job.what.key, self._endpoints
        try:
            await endpoints.origin_client.head_object(**endpoints.origin.arguments(key))
        except FAULTS as error:
            if kind_of(error) is not ErrorKind.NO_OBJECT:
                raise
        else:
            self._progress.orphans -= 1
            return
        self._found(job)
        if not self._options.dry_run:
            await endpoints.target_client.delete_object(**endpoints.target.arguments(key))
            self._progress.deleted += 1

    def _failed(self, what: ListedObject, error: Exception) -> None:
        self._progress.failures.append(SyncFailure(what.key, code_of(error), meaning(error)))
        self._in_a_row += kind_of(error) not in _OF_THE_OBJECT
        if self._in_a_row < _IN_A_ROW:
            return
        if not isinstance(error, ClientError | NoMemberError):
            raise as_ours(error, self._target)
        raise ProxyError(
            f"{self._target.name}: stopped after {_IN_A_ROW} failures in a row, the last with "
            f"{meaning(error)}"
        )


async def _has_objects(location: BucketLocation) -> bool:
    """Whether a bucket has an object beside the entry of its folder; True if it is too busy to say.

    Raises:
        ProxyError: The bucket cannot be used.
    """
    arguments: dict[str, Any] = {"MaxKeys": 2, **location.arguments()}
    try:
        async with opened_light(location, attempts=2) as client:
            found = await client.list_objects_v2(Prefix=location.entry.prefix, **arguments)
    except FAULTS as error:
        if kind_of(error) is not ErrorKind.BUSY:  # the listing will ask again, for two minutes
            raise as_ours(error, location) from error
        return True
    page = found[PAGE]  # may have no object, as where many are deleted
    return bool(objects_of(page, location) or page.next_token)
