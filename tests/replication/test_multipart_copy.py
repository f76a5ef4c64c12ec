"""Parts: their sizes, the ETag of the object, and whether an earlier run's are used."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.buckets import Bucket
from nearbucket.replication.comparison import VersionComparison
from nearbucket.replication.multipart_copy import MultipartCopy, etag_of, layout_of, parts_of
from nearbucket.replication.object_copy import ObjectCopier
from nearbucket.s3.bucket_location import BucketLocation, CopyEndpoints
from nearbucket.s3.listing.list_page import ListedObject
from nearbucket.s3.sdk.light_client import opened_light
from nearbucket.s3.sdk.sdk_client import FAULTS
from tests.replication.conftest import MIB
from tests.replication.objects import some
from tests.scripteds3 import Say, ScriptedS3, reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.replication.conftest import World
    from tests.replication.watched import Asked

EARLIER = datetime.now(UTC) - timedelta(hours=1)
SIZES = (5 * MIB, 3)


@pytest.mark.parametrize(
    ("etag", "parts"),
    [("d41d8cd98f00b204e9800998ecf8427e", None), ("a-1", 1), ("a-10000", 10000), ("a-0", None)],
)
def test_an_etag_says_how_many_parts(etag: str, parts: int | None) -> None:
    assert parts_of(etag) == parts


def test_the_etag_of_parts_is_the_md5_of_their_md5s() -> None:
    """Parts and result of an upload as SeaweedFS 4.48 answered them."""
    parts = [
        "50dd53ebbb7fc71fc62f4d90fbbd6b6c",
        "b5d32f269d7c90810892f0c9a036f70a",
        "f9a912e5759d67e3ddfd0e6df817a277",
    ]
    assert etag_of(parts) == "a937eb9696a95d20257fa3bb276baa04-3"
    assert etag_of([*parts, "29b536150e0e90635c11b998e6e5d77f-2"]) is None


@pytest.mark.parametrize(
    ("etag", "parts", "asked", "layout"),
    [
        pytest.param("e-3", [8, 8, 5], [3], (8, 8, 5), id="equal parts, a shorter last one"),
        pytest.param("e-2", [8, 8], [2], (8, 8), id="equal parts"),
        pytest.param("e-3", [5, 6, 5], [1, 2, 3], (5, 6, 5), id="a longer one behind the first"),
        pytest.param("e-3", [6, 5, 5], [3, 1, 2, 3], (6, 5, 5), id="a first one that is longer"),
        pytest.param("e-1", [7], [], (7,), id="one part"),
        pytest.param("e", [7], [], (7,), id="one piece"),
    ],
)
async def test_a_copy_has_the_origins_parts(
    etag: str, parts: list[int], asked: list[int], layout: tuple[int, ...]
) -> None:
    numbers = []

    async def size_of(number: int) -> int:
        await asyncio.sleep(0)
        numbers.append(number)
        return parts[number - 1]

    head = {"ContentLength": parts[0], "PartsCount": len(parts)}
    what = ListedObject("key", sum(parts), etag, EARLIER)
    assert await layout_of(what, head, size_of) == layout
    assert numbers == asked


@pytest.mark.parametrize(
    ("size", "etag", "layout"),
    [
        pytest.param(17 * MIB, "e-3", (6 * MIB, 6 * MIB, 5 * MIB), id="whole MiB are guessed"),
        pytest.param(300 * MIB, "e", (128 * MIB, 128 * MIB, 44 * MIB), id="one piece, too large"),
        pytest.param(10**13, "e", (10**9,) * 10**4, id="no more than 10,000 parts"),
    ],
)
async def test_a_server_that_does_not_tell_gets_even_parts(
    size: int, etag: str, layout: tuple[int, ...]
) -> None:
    async def size_of(_: int) -> int:
        raise AssertionError

    head = {"ContentLength": size}
    assert await layout_of(ListedObject("key", size, etag, EARLIER), head, size_of) == layout


class Unfinished:
    """An object of the origin, an unfinished upload of it, and a copier."""

    def __init__(self, world: World, clients: tuple[Any, Any]) -> None:
        self.world = world
        sides = CopyEndpoints(world.origin, world.target, *clients)
        self.copier = ObjectCopier(sides, VersionComparison(sides), 4)
        self.moved = 0

    async def upload(self, bodies: Sequence[bytes]) -> None:
        """Leave an unfinished upload with these parts."""
        asked, client = self.world.target.arguments("a.tar.xz"), self.world.client
        upload = (await client.create_multipart_upload(**asked))["UploadId"]
        for number, body in enumerate(bodies, 1):
            await self.world.put_part(asked, upload, number, body)

    async def abort(self) -> None:
        """Abort all unfinished uploads: after that, S3 answers as for completed ones."""
        client, bucket = self.world.client, self.world.target.entry.bucket
        prefix = self.world.target.entry.prefix
        found = await client.list_multipart_uploads(Bucket=bucket, Prefix=prefix)
        for each in found.get("Uploads", ()):
            await client.abort_multipart_upload(
                Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"]
            )

    async def copied(self, modified: datetime = EARLIER) -> list[int]:
        """Copy the object as if it had been written then; returns the numbers of copied parts."""
        head = await self.world.client.head_object(**self.world.origin.arguments("a.tar.xz"))
        etag = head["ETag"].strip('"')

        def moved(size: int) -> None:
            self.moved += size

        what = ListedObject("a.tar.xz", head["ContentLength"], etag, modified)
        assert await self.copier.copy(what, moved) == etag
        left = await self.world.client.list_multipart_uploads(
            Bucket=self.world.target.entry.bucket, Prefix=self.world.target.entry.prefix
        )
        assert not left.get("Uploads")
        assert self.moved == head["ContentLength"]
        return sorted(asked.part for asked in self.world.watched.copies())


@pytest.fixture
async def unfinished(world: World, clients: tuple[Any, Any]) -> Unfinished:
    await world.put_in_parts("a.tar.xz", *(some(size, size) for size in SIZES))
    return Unfinished(world, clients)


GOOD = [some(size, size) for size in SIZES]


async def test_parts_of_an_earlier_run_are_used(unfinished: Unfinished) -> None:
    await unfinished.upload(GOOD[:1])
    assert await unfinished.copied() == [2]


async def test_an_upload_that_lacks_nothing_is_only_completed(unfinished: Unfinished) -> None:
    await unfinished.upload(GOOD)
    assert await unfinished.copied() == []


async def test_of_several_uploads_one_is_used_and_the_others_end(unfinished: Unfinished) -> None:
    for _ in range(3):
        await unfinished.upload(GOOD[:1])
    assert await unfinished.copied() == [2]


@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param([b"short"], id="another size"),
        pytest.param([*GOOD, b"more"], id="more parts than the origin has"),
    ],
)
async def test_parts_that_do_not_fit_are_not_used(
    unfinished: Unfinished, bodies: list[bytes]
) -> None:
    await unfinished.upload(bodies)
    assert await unfinished.copied() == [1, 2]


async def test_an_upload_older_than_the_object_is_not_used(unfinished: Unfinished) -> None:
    await unfinished.upload(GOOD[:1])
    assert await unfinished.copied(datetime.now(UTC) + timedelta(hours=1)) == [1, 2]


async def test_parts_of_other_bytes_show_before_anything_is_completed(
    unfinished: Unfinished,
) -> None:
    await unfinished.upload([some(SIZES[0], 99)])
    assert await unfinished.copied() == [1, 2, 2]
    assert await unfinished.world.in_step()


@pytest.mark.parametrize(
    ("name", "part"),
    [
        pytest.param("UploadPartCopy", 2, id="while parts are copied"),
        pytest.param("POST Upload", 0, id="before this one completes it"),
    ],
)
async def test_an_upload_that_another_run_completed_is_no_failure(
    unfinished: Unfinished, name: str, part: int
) -> None:
    """S3 forgets an upload when it is complete, so a second run finds none."""
    await unfinished.world.client.copy_object(
        **unfinished.world.origin.copy_source("a.tar.xz"),
        **unfinished.world.target.arguments("a.tar.xz"),
    )
    await unfinished.upload(GOOD[:1])

    async def complete(asked: Asked) -> None:
        if (asked.name, asked.part) == (name, part):
            await unfinished.abort()

    unfinished.world.watched.before = complete
    assert await unfinished.copied() == ([] if part else [2])


async def test_an_upload_that_ends_before_its_parts_are_listed_is_not_used(
    unfinished: Unfinished,
) -> None:
    await unfinished.upload(GOOD[:1])

    async def complete(asked: Asked) -> None:
        if asked.name == "GET Upload":
            await unfinished.abort()

    unfinished.world.watched.before = complete
    assert await unfinished.copied() == [1, 2]


async def test_an_upload_that_was_aborted_meanwhile_is_a_failure(unfinished: Unfinished) -> None:
    await unfinished.upload(GOOD[:1])

    async def abort(asked: Asked) -> None:
        if asked.name == "UploadPartCopy":
            await unfinished.abort()

    unfinished.world.watched.before = abort
    (failure,) = (await unfinished.world.run()).failures
    assert "another run has completed or aborted the upload; run sync again" in failure.text
    unfinished.world.watched.before = None
    assert (await unfinished.world.run()).copied == 1


async def test_a_completion_that_s3_does_not_confirm_is_a_failure() -> None:
    async with ScriptedS3(Say(reply("200 OK"))) as server:
        entry = Bucket(bucket="copies", region="us-east-1", endpoint=server.endpoint)
        place = BucketLocation("copies", entry, "anonymous")
        async with opened_light(place) as client:
            sides = CopyEndpoints(place, place, client, client)
            upload = MultipartCopy(sides, ListedObject("a", 1, "e-1", EARLIER), (1,))
            with pytest.raises(FAULTS, match="no ETag; run sync again"):
                await upload.finish()


async def test_an_upload_whose_parts_are_listed_without_end_is_not_used() -> None:
    """As by a server that ignores part-number-marker."""
    now = datetime.now(UTC).isoformat()
    began = f"<Upload><Key>a</Key><UploadId>u</UploadId><Initiated>{now}</Initiated></Upload>"
    part = f"<Part><PartNumber>1</PartNumber><ETag>{'0' * 32}</ETag><Size>1</Size></Part>"
    more = "<IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker>"
    uploads = f"<ListMultipartUploadsResult>{began}</ListMultipartUploadsResult>".encode()
    parts = f"<ListPartsResult>{more}{part}</ListPartsResult>".encode()
    script = [Say(reply("200 OK", body)) for body in (uploads, parts, parts)]
    async with ScriptedS3(*script, Say(reply("204 No Content"))) as server:
        entry = Bucket(bucket="copies", region="us-east-1", endpoint=server.endpoint)
        place = BucketLocation("copies", entry, "anonymous")
        async with opened_light(place, attempts=1) as client:
            sides = CopyEndpoints(place, place, client, client)
            upload = MultipartCopy(sides, ListedObject("a", 2, "e-2", EARLIER), (1, 1))
            assert not await upload.find(usable=True)
    assert [asked.method for asked in server.asked] == ["GET", "GET", "GET", "DELETE"]
