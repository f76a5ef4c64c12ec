"""Copies that cannot be tagged: marked by metadata, or by nothing, and not copied or read again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.s3.copy_mark import FIELD, TAG, etag_in_metadata
from tests.replication.conftest import MIB
from tests.replication.objects import DESCRIBED, codes, some

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.replication.conftest import World
    from tests.replication.watched import Asked

KEY, BODY = "a.tar.xz", some(2000)
TEN_TAGS = "&".join(f"key{number}=value" for number in range(10))
LARGEST = 1000
"""So the object is copied in a part, which gives the copy another ETag, as KMS would on S3."""


def refused(*names: str, code: str = "AccessDenied") -> Callable[[Asked], str | None]:
    """Refuses these requests for objects of the target."""
    return lambda asked: code if asked.name in names and asked.bucket == "target" else None


NO_ROOM = pytest.param({"Tagging": TEN_TAGS}, (), id="ten tags")
NO_RIGHT = pytest.param({}, ("PUT Tagging",), id="no right to write tags", marks=pytest.mark.long)
NO_RIGHTS = pytest.param({}, ("PUT Tagging", "GET Tagging"), id="no right to read them either")


@pytest.mark.parametrize(
    "code", ["NotImplemented", pytest.param("MethodNotAllowed", marks=pytest.mark.long)]
)
async def test_on_a_server_without_tags_a_second_run_copies_nothing(
    world: World, code: str
) -> None:
    await world.put(KEY, BODY)
    world.watched.refuse = refused("PUT Tagging", "GET Tagging", code=code)
    assert (await world.run(largest_piece=LARGEST)).failures == []
    world.watched.forget()
    progress = await world.run(largest_piece=LARGEST)
    assert (progress.same, progress.objects, progress.failures) == (1, 0, [])


async def test_on_a_server_without_tags_objects_in_parts_and_equal_bytes_are_no_failures(
    world: World, tmp_path: Path
) -> None:
    world.watched.refuse = lambda asked: "NotImplemented" if "Tagging" in asked.name else None
    await world.put_in_parts("parts.tar.xz", some(5 * MIB), b"x")
    await world.put(KEY, BODY)
    progress = await world.run()
    assert (progress.copied, progress.failures) == (2, [])
    await world.next_second()
    await world.put(KEY, BODY)
    await world.next_second()
    for requests in (4 + 4, 4):  # HEAD and tags of both; then the pair is remembered
        world.watched.forget()
        progress = await world.run(memory=tmp_path)
        assert (progress.same, progress.failures) == (2, [])
        assert len(world.watched.asked) == requests


@pytest.mark.parametrize(("more", "denied"), [NO_ROOM, NO_RIGHT, NO_RIGHTS])
async def test_a_copy_that_cannot_be_tagged_is_marked_by_metadata_and_left_as_it_is(
    world: World, more: dict[str, Any], denied: tuple[str, ...]
) -> None:
    described = {name: value for name, value in DESCRIBED.items() if name != "Tagging"}
    await world.put(KEY, BODY, **described, **more)
    world.watched.refuse = refused(*denied)
    progress = await world.run(largest_piece=LARGEST)
    assert (progress.copied, progress.other_etag, progress.failures) == (1, 1, [])
    theirs = await world.described(world.origin, KEY)
    ours = await world.described(world.target, KEY)
    assert ours["Metadata"].pop("nearbucket-origin-etag") == theirs["ETag"].strip('"')
    for name in (*described, "Body", "Tags", "ContentLength"):
        assert ours[name] == theirs[name], name
    world.watched.forget()
    progress = await world.run(largest_piece=LARGEST)
    assert (progress.same, progress.objects, progress.failures) == (1, 0, [])
    assert world.watched.copies() == []


async def test_the_mark_in_metadata_ends_with_either_object(world: World) -> None:
    await world.put(KEY, BODY, Tagging=TEN_TAGS)
    await world.run(largest_piece=LARGEST)
    await world.put(KEY, BODY[::-1], Tagging=TEN_TAGS)
    assert (await world.run(largest_piece=LARGEST)).copied == 1
    assert (await world.run(largest_piece=LARGEST)).same == 1
    await world.client.put_object(**world.target.arguments(KEY), Body=BODY)
    assert (await world.run(largest_piece=LARGEST)).copied == 1


async def test_a_mark_of_the_origins_own_is_not_taken_over_by_copies_in_parts(
    world: World,
) -> None:
    await world.put_in_parts(KEY, BODY, Metadata={"nearbucket-origin-etag": "e", "build": "1"})
    await world.run()
    assert (await world.described(world.target, KEY))["Metadata"] == {"build": "1"}
    assert (await world.run()).same == 1


async def test_a_copy_of_another_tool_without_room_for_a_tag_is_not_read(world: World) -> None:
    await world.put(KEY, BODY)
    await world.put_by_another_tool(KEY, BODY, Tagging=TEN_TAGS)
    world.watched.forget()
    progress = await world.run(adopt=True)
    assert codes(progress.failures) == {KEY: "TooManyTags"}
    assert "delete the copy and run sync again" in progress.failures[0].text
    assert not [asked for asked in world.watched.asked if asked.name == "GET"]


async def test_without_the_right_to_tag_one_copy_of_another_tool_is_read(world: World) -> None:
    for number in range(4):
        await world.put(f"{number}.tar.xz", BODY)
        await world.put_by_another_tool(f"{number}.tar.xz", BODY)
    world.watched.refuse = refused("PUT Tagging")
    progress = await world.run(adopt=True, parallel=1)
    assert set(codes(progress.failures).values()) == {"AccessDenied"}
    read = {asked.key for asked in world.watched.asked if asked.name == "GET"}
    assert (len(progress.failures), len(read), progress.adopted) == (4, 1, 0)


async def test_a_copy_whose_tags_cannot_be_read_may_have_a_mark_there(world: World) -> None:
    await world.put(KEY, BODY)
    await world.run(largest_piece=LARGEST)
    world.watched.refuse = refused("GET Tagging")
    progress = await world.run(largest_piece=LARGEST)
    assert codes(progress.failures) == {KEY: "AccessDenied"}
    assert (progress.copied, progress.other_parts, progress.same) == (0, 0, 0)


async def test_equal_checksums_need_no_mark(world: World) -> None:
    await world.put(KEY, BODY)
    await world.put_by_another_tool(KEY, BODY, Tagging=TEN_TAGS)

    def summed(asked: Asked, fields: dict[str, str]) -> None:
        if asked.name == "HEAD":
            fields |= {"x-amz-checksum-crc64nvme": "AAAA", "x-amz-checksum-type": "FULL_OBJECT"}

    world.watched.alter = summed
    progress = await world.run()
    assert (progress.same, progress.marked, progress.failures) == (1, 0, [])
    world.watched.refuse = lambda asked: "MalformedXML" if asked.name == "PUT Tagging" else None
    progress = await world.run()
    assert (progress.same, progress.objects, codes(progress.failures)) == (
        0,
        1,
        {KEY: "MalformedXML"},
    )


async def test_another_failure_is_no_reason_to_write_the_copy_again(world: World) -> None:
    await world.put(KEY, BODY)
    world.watched.refuse = lambda asked: "MalformedXML" if asked.name == "PUT Tagging" else None
    progress = await world.run(largest_piece=LARGEST)
    assert codes(progress.failures) == {KEY: "MalformedXML"}
    assert (progress.copied, progress.copied_size, progress.other_etag) == (0, 0, 0)
    assert (progress.objects, progress.moved) == (1, 0)
    assert TAG not in (await world.described(world.target, KEY))["Tags"]
    assert "nearbucket-origin-etag" not in (await world.described(world.target, KEY))["Metadata"]


@pytest.mark.parametrize(
    ("fields", "etag"), [({FIELD: "e-3"}, "e-3"), ({FIELD: ""}, None), ({}, None)]
)
def test_the_mark_in_metadata_is_the_origins_etag(fields: dict[str, str], etag: str | None) -> None:
    assert etag_in_metadata(fields) == etag
