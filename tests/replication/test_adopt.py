"""Copies that another tool made are marked instead of copied, on a real S3 server."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.s3.copy_mark import TAG, mark_of
from tests.replication.conftest import MIB
from tests.replication.objects import DESCRIBED, codes, some
from tests.replication.watched import COPIES, Asked, Gate

if TYPE_CHECKING:
    from tests.replication.conftest import World

WRITES = {*COPIES, "PUT", "POST Uploads", "PUT Upload", "POST Upload", "DELETE"}
"""Requests that copy, write or delete content; only ``PUT Tagging`` is none of them."""

KEYS = [f"{number}.tar.xz" for number in range(2)]
BODY = some(2000)
PARTS = some(5 * MIB), some(1000, 1)
LARGE = b"".join(PARTS)


async def fill(world: World, *keys: str, **copied: Any) -> None:
    """Objects of one piece, and copies of them that were uploaded in a part."""
    for key in keys:
        await world.put(key, BODY, **DESCRIBED)
        await world.put_by_another_tool(key, BODY, **{**DESCRIBED, **copied})


async def fill_in_parts(world: World, key: str, body: bytes = LARGE) -> None:
    """An object of two parts, and a copy, or another body, in one."""
    await world.put_in_parts(key, *PARTS, **DESCRIBED)
    await world.put_by_another_tool(key, body, **DESCRIBED)


def writes(world: World) -> list[Asked]:
    return [asked for asked in world.watched.asked if asked.name in WRITES]


def reads(world: World) -> set[str]:
    """Keys of the objects that were read."""
    return {asked.key.rpartition("/")[2] for asked in world.watched.asked if asked.name == "GET"}


async def test_copies_in_other_parts_are_not_copied_again_and_said(world: World) -> None:
    await fill_in_parts(world, KEYS[0])
    await fill(world, KEYS[1])
    await world.put("missing.tar.xz")
    progress = await world.run()
    assert (progress.copied, progress.other_parts) == (1, 2)
    size = len(LARGE) + len(BODY)
    assert (progress.other_parts_size, progress.size, progress.same) == (size, 1, 0)
    assert reads(world) == set()
    assert [asked.key.rpartition("/")[2] for asked in writes(world)] == ["missing.tar.xz"]


async def test_adopting_marks_them_and_copies_no_byte(world: World) -> None:
    await fill_in_parts(world, KEYS[0])
    await fill(world, KEYS[1])
    copies = await world.all_of(world.target)
    progress = await world.run(adopt=True)
    assert (progress.adopted, progress.adopted_size) == (2, len(LARGE) + len(BODY))
    assert (progress.copied, progress.other_parts, progress.differing) == (0, 0, [])
    assert (progress.moved, progress.other_headers) == (progress.size, 0)
    assert (reads(world), writes(world)) == (set(KEYS), [])
    now = await world.all_of(world.target)
    for described in now.values():
        assert described["Tags"].pop(TAG)
    assert now == copies
    world.watched.forget()
    progress = await world.run()
    assert (progress.same, progress.other_parts, progress.objects) == (2, 0, 0)
    assert (reads(world), writes(world)) == (set(), [])


async def test_the_copys_own_tags_stay(world: World) -> None:
    await fill(world, "a.tar.xz", Tagging="cost=west")
    assert (await world.run(adopt=True)).adopted == 1
    tags = (await world.described(world.target, "a.tar.xz"))["Tags"]
    assert tags.pop(TAG)
    assert tags == {"cost": "west"}


async def test_one_other_byte_is_copied_and_named_and_never_adopted(world: World) -> None:
    other = bytearray(LARGE)
    other[-1] ^= 1
    await fill(world, "same.tar.xz")
    await fill_in_parts(world, "other.tar.xz", bytes(other))
    progress = await world.run(adopt=True)
    assert (progress.adopted, progress.differing, progress.copied) == (1, ["other.tar.xz"], 1)
    assert progress.moved == progress.size == len(LARGE) + len(BODY)
    copy = await world.described(world.target, "other.tar.xz")
    assert copy == await world.described(world.origin, "other.tar.xz")
    assert TAG not in copy["Tags"]


async def test_adopted_copies_with_other_headers_are_counted(world: World) -> None:
    await fill(world, "a.tar.xz", Metadata={}, ContentType="binary/octet-stream")
    await fill(world, "b.tar.xz")
    progress = await world.run(adopt=True)
    assert (progress.adopted, progress.other_headers, progress.copied) == (2, 1, 0)


async def test_a_copy_with_another_encoding_is_copied(world: World) -> None:
    await fill(world, "a.tar.xz", ContentEncoding="br")
    progress = await world.run(adopt=True)
    assert (progress.adopted, progress.copied, progress.other_parts) == (0, 1, 0)


async def test_a_copy_older_than_the_origins_object_is_copied(world: World) -> None:
    await world.put_by_another_tool("a.tar.xz", BODY)
    await world.next_second()
    await world.put("a.tar.xz", BODY)
    progress = await world.run(adopt=True)
    assert (progress.adopted, progress.copied, reads(world)) == (0, 1, set())


async def test_a_copy_that_is_marked_for_another_object_is_copied_whatever_its_date(
    world: World,
) -> None:
    await fill_in_parts(world, "a.tar.xz")
    copy = await world.described(world.target, "a.tar.xz")
    mark = {"Key": TAG, "Value": mark_of("of-the-last-version-3", copy["ETag"].strip('"'))}
    asked = world.target.arguments("a.tar.xz")
    await world.client.put_object_tagging(**asked, Tagging={"TagSet": [mark]})
    progress = await world.run()
    assert (progress.same, progress.other_parts, progress.copied) == (0, 0, 1)
    assert await world.in_step()


async def test_a_copy_that_is_replaced_between_proof_and_mark_is_not_taken_for_proven(
    world: World,
) -> None:
    await fill(world, "a.tar.xz")

    async def replace(asked: Asked) -> None:
        if asked.name == "PUT Tagging":
            world.watched.before = None
            await world.put_by_another_tool("a.tar.xz", BODY[::-1], **DESCRIBED)

    world.watched.before = replace
    assert (await world.run(adopt=True)).adopted == 1
    assert TAG in (await world.described(world.target, "a.tar.xz"))["Tags"]
    progress = await world.run()
    assert (progress.same, progress.other_parts) == (0, 1)
    progress = await world.run(adopt=True)
    assert (progress.adopted, progress.differing, progress.copied) == (0, ["a.tar.xz"], 1)


@pytest.mark.parametrize(
    ("bucket", "failed", "copied"),
    [
        pytest.param("origin", {"a.tar.xz": "412"}, 0, id="the origin's, a failure"),
        pytest.param("target", {}, 1, id="the target's, compared again"),
    ],
)
async def test_an_object_that_is_replaced_after_its_listing_does_not_pass_for_the_listed_one(
    world: World, bucket: str, failed: dict[str, str], copied: int
) -> None:
    await fill(world, "a.tar.xz")

    async def replace(asked: Asked) -> None:
        if asked.name == "HEAD":
            world.watched.before = None
            place = {"origin": world.origin, "target": world.target}[bucket]
            asked_for = place.arguments("a.tar.xz")
            await world.client.put_object(**asked_for, Body=BODY[::-1], **DESCRIBED)

    world.watched.before = replace
    progress = await world.run()
    assert (codes(progress.failures), progress.copied) == (failed, copied)
    assert all("run sync again" in each.text for each in progress.failures)


async def test_an_interrupted_run_goes_on_with_what_has_no_mark(world: World) -> None:
    await fill(world, *KEYS)
    gate = Gate(1, lambda asked: asked.name == "PUT Tagging")
    world.watched.before = gate
    run = asyncio.ensure_future(world.run(adopt=True, parallel=1))
    await gate.reached.wait()
    run.cancel()
    with suppress(asyncio.CancelledError):
        await run
    world.watched.before = None
    world.watched.forget()
    progress = await world.run(adopt=True)
    assert (progress.same, progress.adopted, len(reads(world))) == (1, 1, 1)
    assert writes(world) == []


async def test_a_dry_run_says_what_it_would_adopt_and_reads_nothing(world: World) -> None:
    await fill(world, *KEYS)
    progress = await world.run(adopt=True, dry_run=True)
    assert (progress.other_parts, progress.other_parts_size) == (2, 2 * len(BODY))
    assert (progress.objects, progress.size, progress.requests) == (0, 0, 0)
    assert {(job.verdict.value, job.what.key) for job in world.found} == {
        ("adopt", key) for key in KEYS
    }
    assert (reads(world), writes(world)) == (set(), [])


@pytest.mark.parametrize("name", ["PUT Tagging", "GET"])
async def test_a_right_that_is_missing_is_a_failure_with_its_object(
    world: World, name: str
) -> None:
    await fill(world, "a.tar.xz")
    world.watched.refuse = lambda asked: "AccessDenied" if asked.name == name else None
    progress = await world.run(adopt=True)
    assert codes(progress.failures) == {"a.tar.xz": "AccessDenied"}
    assert (progress.adopted, progress.moved, progress.copied) == (0, 0, 0)
