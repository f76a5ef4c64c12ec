"""Runs of sync between two folders of a real S3 server."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.errors import ProxyError
from nearbucket.replication.comparison import Verdict, VersionComparison
from nearbucket.replication.listing_merge import listed, matched
from nearbucket.s3.bucket_location import CopyEndpoints
from nearbucket.s3.copy_mark import TAG, mark_of
from nearbucket.s3.listing.list_page import ListPage
from nearbucket.s3.sdk.light_client import LightClient
from nearbucket.s3.sdk.sdk_client import PAGE
from tests.replication.conftest import MIB
from tests.replication.objects import DESCRIBED, codes, some
from tests.replication.watched import COPIES, Asked

if TYPE_CHECKING:
    from tests.replication.conftest import World


async def test_a_copy_keeps_bytes_etag_headers_metadata_and_tags(world: World) -> None:
    await world.put("one.tar.gz", some(1000), **DESCRIBED)
    await world.put("ünï/a+b c%.tar.gz", b"")
    await world.put_in_parts("parts.tar.xz", some(5 * MIB), some(5 * MIB, 1), b"x", **DESCRIBED)
    await world.put_in_parts("uneven.tar.xz", some(5 * MIB), some(6 * MIB), b"y")
    await world.put_in_parts("alone.tar.xz", b"one part")
    progress = await world.run()
    assert await world.in_step()
    assert (progress.copied, progress.other_etag, progress.failures) == (5, 0, [])
    assert progress.copied_size == progress.moved == progress.size == 21 * MIB + 1000 + 2 + 8


async def test_what_is_in_step_is_not_touched_again(world: World) -> None:
    await world.put("one.tar.gz", **DESCRIBED)
    await world.put_in_parts("parts.tar.xz", some(5 * MIB), b"x")
    await world.run()
    world.watched.forget()
    progress = await world.run()
    assert (progress.same, progress.objects, progress.copied) == (2, 0, 0)
    # the two questions whether the buckets are there, and the two listings
    assert [asked.name for asked in world.watched.asked] == ["GET List"] * 4


async def test_exactly_the_chosen_objects_are_copied(world: World) -> None:
    for key, size in {"a.tar.gz": 10, "b.tar.gz": 9, "c.txt": 10, "d/e.tar.gz": 11}.items():
        await world.put(key, some(size))
    await world.run(lambda key, size: key.endswith(".gz") and size >= 10)
    assert set(await world.all_of(world.target)) == {"a.tar.gz", "d/e.tar.gz"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param({"body": b"short"}, {"body": b"longer"}, id="another size"),
        pytest.param({"body": b"12345"}, {"body": b"54321"}, id="other bytes of the same size"),
    ],
)
async def test_what_changed_is_copied_again(
    world: World, before: dict[str, bytes], after: dict[str, bytes]
) -> None:
    await world.put("a.tar.gz", **before)
    await world.run()
    await world.put("a.tar.gz", **after)
    progress = await world.run()
    assert (progress.copied, progress.same) == (1, 0)
    assert await world.in_step()


async def test_changed_objects_cost_their_copies_alone_once_etags_are_known_to_be_sums(
    world: World,
) -> None:
    keys = [f"{number}.tar.gz" for number in range(9)]
    await world.put_all(keys, b"one")
    await world.run()
    await world.next_second()
    await world.put_all(keys, b"two")
    world.watched.forget()
    assert (await world.run()).copied == 9
    asked = Counter(asked.name for asked in world.watched.asked)
    assert asked == {"GET List": 4, "CopyObject": 9, "GET Tagging": 1, "HEAD": 2}
    assert await world.in_step()


@pytest.mark.parametrize("name", ["origin", "target"])
async def test_etags_under_a_kms_key_are_no_sums_so_marks_are_read(world: World, name: str) -> None:
    """SeaweedFS has no KMS: the field is added, and copies are given other ETags by hand."""

    def alter(asked: Asked, fields: dict[str, str]) -> None:
        if (asked.name, asked.bucket) == ("HEAD", name):
            fields["x-amz-server-side-encryption"] = "aws:kms"

    keys = [f"{number}.tar.gz" for number in range(3)]
    await world.put_all(keys, b"one")
    await world.run()
    for key in keys:
        await world.client.put_object(**world.target.arguments(key), Body=b"sum")
    await world.next_second()
    await world.put_all(keys, b"one")
    world.watched.alter = alter
    world.watched.forget()
    await world.run(barriers=frozenset())
    asked = Counter(asked.name for asked in world.watched.asked)
    assert (asked["GET Tagging"], asked["HEAD"]) == (3, 6)


async def test_where_tags_cannot_be_read_no_changed_object_is_copied(world: World) -> None:
    keys = [f"{number}.tar.gz" for number in range(3)]
    await world.put_all(keys, b"one")
    await world.run()
    await world.next_second()
    await world.put_all(keys, b"two")
    world.watched.refuse = lambda asked: "AccessDenied" if asked.name == "GET Tagging" else None
    progress = await world.run()
    assert codes(progress.failures) == dict.fromkeys(keys, "AccessDenied")


async def test_a_copy_that_gets_an_etag_of_its_own_ends_the_trust_in_sums(
    world: World, clients: tuple[Any, Any]
) -> None:
    keys = ["a.tar.gz", "b.tar.gz", "c.tar.gz"]
    await world.put_all(keys, b"one")
    await world.run()
    await world.next_second()
    await world.put_all(keys, b"two")
    listings = (listed(clients[0], world.origin), listed(clients[1], world.target))
    pairs = [pair async for pair in matched(*listings)]
    comparison = VersionComparison(CopyEndpoints(world.origin, world.target, *clients))
    costs = []
    for pair in pairs:
        world.watched.forget()
        assert await comparison.settle(Verdict.TAGGED, pair) is Verdict.COPY
        costs.append(len(world.watched.asked))
        if len(costs) == 2:
            assert pair[0] is not None
            comparison.note_copy(pair[0], "0" * 32)
    assert costs == [3, 0, 3]


async def test_an_object_too_large_for_one_request_is_copied_in_parts_and_remembered(
    world: World,
) -> None:
    await world.put("large.tar.xz", some(2000), **DESCRIBED)
    await world.put("small.tar.xz", some(1000))
    progress = await world.run(largest_piece=1000)
    assert world.watched.count("UploadPartCopy") == 1  # parts of 128 MiB, where there are none
    ours = await world.described(world.target, "large.tar.xz")
    theirs = await world.described(world.origin, "large.tar.xz")
    assert ours["Body"] == theirs["Body"]
    mark = mark_of(theirs["ETag"].strip('"'), ours["ETag"].strip('"'))
    assert ours["Tags"] == theirs["Tags"] | {TAG: mark}
    assert ours["Metadata"] == theirs["Metadata"]
    assert (progress.copied, progress.other_etag) == (2, 1)
    world.watched.forget()
    progress = await world.run(largest_piece=1000)
    assert (progress.same, progress.objects, progress.size, world.watched.copies()) == (2, 0, 0, [])
    await world.put("large.tar.xz", some(2000, 1))
    progress = await world.run(largest_piece=1000)
    assert (progress.same, progress.copied) == (1, 1)


async def test_a_copied_part_with_an_odd_etag_makes_sync_ask_for_one_piece(
    usual_world: World,
) -> None:
    """SeaweedFS keeps the origin's ETag then, as S3 would not; see ``LargeChunks``."""
    world = usual_world
    await world.put_in_parts("a.tar.xz", some(5 * MIB), b"x", **DESCRIBED)
    await world.put_in_parts("b.tar.xz", some(5 * MIB), b"y")
    progress = await world.run(parallel=1)
    assert (progress.copied, progress.other_etag, progress.moved) == (2, 0, progress.size)
    assert await world.in_step()
    assert (world.watched.count("UploadPartCopy"), world.watched.count("CopyObject")) == (1, 2)
    uploads = await world.client.list_multipart_uploads(
        Bucket=world.target.entry.bucket, Prefix=world.target.entry.prefix
    )
    assert not uploads.get("Uploads")


async def test_a_folder_server_lists_in_another_order_than_s3(world: World) -> None:
    """SeaweedFS sorts ``x/1`` before ``x-y``, other than by bytes."""
    keys = ["x/1.gz", "x-y.gz", "x.gz", "x/2.gz", "xy.gz", "x-z/1.gz"]
    for key in keys[1:3]:
        await world.put(key)
    assert (await world.run()).copied == 2
    for key in keys:
        await world.put(key)
    assert (await world.run(delete=True)).copied == 4
    progress = await world.run(delete=True)
    assert (progress.same, progress.copied, progress.orphans) == (6, 0, 0)
    assert await world.in_step()


async def test_a_change_during_the_run_is_noticed_and_mended_by_the_next(world: World) -> None:
    await world.put("a.tar.gz", b"first")
    await world.put("b.tar.gz", b"stays")

    async def change(asked: Asked) -> None:
        if asked.name == "CopyObject" and asked.key.endswith("a.tar.gz"):
            await world.put("a.tar.gz", b"second")

    world.watched.before = change
    progress = await world.run()
    assert codes(progress.failures) == {"a.tar.gz": "PreconditionFailed"}
    assert "run sync again" in progress.failures[0].text
    assert set(await world.all_of(world.target)) == {"b.tar.gz"}
    assert (progress.copied, progress.moved) == (1, 5)
    world.watched.before = None
    assert (await world.run()).copied == 1
    assert await world.in_step()


@pytest.mark.parametrize(
    ("kept", "counts"),
    [pytest.param(True, (1, 0), id="copied"), pytest.param(False, (0, 1), id="deleted")],
)
async def test_a_copy_that_another_run_has_written_meanwhile_is_compared_again(
    world: World, *, kept: bool, counts: tuple[int, int]
) -> None:
    there = world.target.arguments("a.tar.gz")
    await world.put("a.tar.gz", b"newer")
    await world.client.put_object(**there, Body=b"older")
    asked_before = False

    async def write(asked: Asked) -> None:
        nonlocal asked_before
        if asked.name == "GET Tagging" and not asked_before:
            asked_before = True
            await world.client.delete_object(**there)
            if kept:
                source = world.origin.copy_source("a.tar.gz")
                await world.client.copy_object(**there, **source)

    world.watched.before = write
    progress = await world.run()
    assert (progress.same, progress.copied) == counts
    assert progress.failures == []
    assert await world.in_step()


async def test_no_more_copies_than_allowed_are_under_way(world: World) -> None:
    await world.put_all(f"{number}.tar.gz" for number in range(30))
    for key in ("10-parts.tar.xz", "11-parts.tar.xz"):
        await world.put_in_parts(key, *[some(5 * MIB)] * 3, b"x")
    three = asyncio.Event()

    async def until_there_are_three(asked: Asked) -> None:
        if world.watched.most == 3:
            three.set()
        if asked.name in COPIES:
            await three.wait()

    world.watched.before = until_there_are_three
    async with asyncio.timeout(60):
        progress = await world.run(parallel=3)
    assert progress.copied == 32
    assert world.watched.most == 3


async def test_nothing_is_deleted_unless_asked(world: World) -> None:
    for key in ("new.tar.gz", "old.tar.gz", "old.txt"):
        await world.put(key)
    await world.run()
    for key in ("old.tar.gz", "old.txt"):
        await world.client.delete_object(**world.origin.arguments(key))

    def chosen(key: str, _size: int) -> bool:
        return key.endswith(".gz")

    progress = await world.run(chosen)
    assert (progress.orphans, progress.deleted) == (1, 0)
    progress = await world.run(chosen, delete=True, dry_run=True)
    assert (progress.orphans, progress.deleted) == (1, 0)
    assert [(job.verdict, job.what.key) for job in world.found] == [(Verdict.DELETE, "old.tar.gz")]
    assert set(await world.all_of(world.target)) == {"new.tar.gz", "old.tar.gz", "old.txt"}
    progress = await world.run(chosen, delete=True)
    assert (progress.orphans, progress.deleted) == (1, 1)
    assert set(await world.all_of(world.target)) == {"new.tar.gz", "old.txt"}


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("folder", [False, True])
async def test_nothing_is_deleted_for_an_origin_without_any_object(
    world: World,
    dry_run: bool,  # noqa: FBT001  # a parameter of the test
    folder: bool,  # noqa: FBT001  # likewise
) -> None:
    """A wrong prefix has none, either; nor has a folder that a console has made."""
    if folder:
        await world.put("")
    assert (await world.run(delete=True, dry_run=dry_run)).deleted == 0
    await world.put("a.tar.gz")
    await world.run()
    await world.client.delete_object(**world.origin.arguments("a.tar.gz"))
    with pytest.raises(ProxyError, match="has no object, so --delete would delete every copy"):
        await world.run(delete=True, dry_run=dry_run)
    assert set(await world.all_of(world.target)) == {"a.tar.gz"}


async def test_an_origin_whose_first_page_is_empty_may_have_objects(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.put("a.tar.gz")
    await world.put("b.tar.gz")
    await world.run()
    await world.client.delete_object(**world.origin.arguments("a.tar.gz"))
    of_server = LightClient.list_objects_v2

    async def list_objects_v2(client: LightClient, **asked: Any) -> dict[str, Any]:
        page = await of_server(client, **asked)
        return {PAGE: ListPage([], [], "next")} if "MaxKeys" in asked else page

    monkeypatch.setattr(LightClient, "list_objects_v2", list_objects_v2)
    assert (await world.run(delete=True)).deleted == 1


async def test_what_comes_to_both_buckets_during_the_run_is_not_deleted(world: World) -> None:
    await world.put("a.tar.gz")

    async def publish(asked: Asked) -> None:
        # the origin has been listed by then, and the target has not
        if (
            asked.name == "GET List"
            and asked.bucket == world.target.entry.bucket
            and (len([one for one in world.watched.asked if one.name == "GET List"]) == 4)
        ):
            for place in (world.origin, world.target):
                await world.client.put_object(**place.arguments("new.tar.gz"), Body=b"x")

    world.watched.before = publish
    progress = await world.run(delete=True)
    assert (progress.orphans, progress.deleted) == (0, 0)
    assert await world.in_step()


async def test_a_dry_run_finds_the_same_and_changes_nothing(world: World) -> None:
    await world.put("a.tar.gz", b"12345")
    await world.put_in_parts("parts.tar.xz", some(5 * MIB), b"x")
    progress = await world.run(dry_run=True)
    assert (progress.objects, progress.size, progress.requests) == (2, 5 * MIB + 6, 1 + 4)
    assert {job.what.key for job in world.found} == {"a.tar.gz", "parts.tar.xz"}
    assert await world.all_of(world.target) == {}
    assert {asked.name for asked in world.watched.asked} == {"GET List"}
