"""Copies that are like the origin's object, but older, are compared once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING

import pytest

from nearbucket.replication.alike_pairs import AlikePairs
from nearbucket.s3.listing.list_page import ListedObject

if TYPE_CHECKING:
    from pathlib import Path

    from tests.replication.conftest import World

WRITTEN = datetime(2026, 1, 1, tzinfo=UTC)
LATER = WRITTEN + timedelta(seconds=1)
ORIGIN = ListedObject("a", 1, "e", LATER)
COPY = ListedObject("a", 1, "e", WRITTEN)


async def test_objects_that_are_written_again_with_equal_bytes_cost_requests_once(
    world: World, tmp_path: Path
) -> None:
    keys = [f"{number}.tar.gz" for number in range(3)]
    await world.put_all(keys)
    await world.run(memory=tmp_path)
    await world.next_second()
    await world.put_all(keys)
    await world.next_second()
    for requests in (4 + 4 * 3, 4, 4):
        world.watched.forget()
        progress = await world.run(memory=tmp_path)
        assert (progress.same, progress.copied, len(world.watched.asked)) == (3, 0, requests)


async def test_a_later_change_of_what_was_remembered_is_copied(
    world: World, tmp_path: Path
) -> None:
    await world.put("a.tar.gz")
    await world.run(memory=tmp_path)
    await world.next_second()
    await world.put("a.tar.gz")
    await world.next_second()
    await world.run(memory=tmp_path)
    await world.put("a.tar.gz", ContentType="text/plain")
    assert (await world.run(memory=tmp_path)).copied == 1
    assert await world.in_step()


async def test_a_dry_run_remembers_nothing(world: World, tmp_path: Path) -> None:
    await world.put("a.tar.gz")
    await world.run(memory=tmp_path)
    await world.next_second()
    await world.put("a.tar.gz")
    await world.next_second()
    for _ in range(2):
        world.watched.forget()
        await world.run(memory=tmp_path, dry_run=True)
        assert len(world.watched.asked) == 4 + 4


def kept(folder: Path) -> AlikePairs:
    pairs = AlikePairs(folder, "one", "two")
    pairs.note((ORIGIN, COPY), format_datetime(LATER + timedelta(seconds=1), usegmt=True))
    pairs.save(whole=True)
    return AlikePairs(folder, "one", "two")


@pytest.mark.parametrize(
    "pair",
    [
        (ORIGIN._replace(key="b"), COPY._replace(key="b")),
        (ORIGIN._replace(etag="f"), COPY._replace(etag="f")),
        (ORIGIN._replace(modified=LATER + timedelta(seconds=1)), COPY),
        (ORIGIN, COPY._replace(modified=LATER)),
    ],
)
def test_what_is_no_longer_the_same_is_not_known(
    tmp_path: Path, pair: tuple[ListedObject, ListedObject]
) -> None:
    pairs = kept(tmp_path)
    assert pairs.knows((ORIGIN, COPY))
    assert not pairs.knows(pair)


def test_other_buckets_have_a_memory_of_their_own(tmp_path: Path) -> None:
    kept(tmp_path)
    assert not AlikePairs(tmp_path, "one", "three").knows((ORIGIN, COPY))


@pytest.mark.parametrize("date", [format_datetime(LATER, usegmt=True), "", "now"])
def test_what_was_compared_in_the_second_of_its_date_is_not_remembered(
    tmp_path: Path, date: str
) -> None:
    pairs = AlikePairs(tmp_path, "one", "two")
    pairs.note((ORIGIN, COPY), date)
    pairs.save(whole=True)
    assert not AlikePairs(tmp_path, "one", "two").knows((ORIGIN, COPY))


@pytest.mark.parametrize(("seconds", "requests"), [(0, 4 + 4), (1, 4)])
async def test_the_clock_of_s3_tells_in_which_second_a_pair_was_compared(
    world: World, tmp_path: Path, seconds: int, requests: int
) -> None:
    await world.put("a.tar.gz")
    await world.run()
    await world.next_second()
    await world.put("a.tar.gz")
    head = await world.client.head_object(**world.origin.arguments("a.tar.gz"))
    date = format_datetime(head["LastModified"] + timedelta(seconds=seconds))
    world.watched.alter = lambda _asked, fields: fields.update(Date=date)
    await world.next_second()  # by the clock of this machine it is always the next one
    await world.run(memory=tmp_path)
    world.watched.forget()
    await world.run(memory=tmp_path)
    assert len(world.watched.asked) == requests


@pytest.mark.parametrize("whole", [True, False])
def test_only_a_run_that_saw_all_objects_forgets(tmp_path: Path, *, whole: bool) -> None:
    pairs = kept(tmp_path)
    pairs.save(whole=whole)
    assert AlikePairs(tmp_path, "one", "two").knows((ORIGIN, COPY)) is not whole


def test_a_folder_that_cannot_be_written_and_a_file_of_anything_are_no_errors(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    assert not kept(tmp_path / "file").knows((ORIGIN, COPY))
    kept(tmp_path)
    (file,) = (each for each in tmp_path.iterdir() if each.name != "file")
    file.write_bytes(b"cut off")
    assert not AlikePairs(tmp_path, "one", "two").knows((ORIGIN, COPY))


def test_a_file_that_cannot_be_replaced_leaves_no_other_behind(tmp_path: Path) -> None:
    kept(tmp_path)
    (file,) = tmp_path.iterdir()
    file.unlink()
    file.mkdir()
    kept(tmp_path)
    assert list(tmp_path.iterdir()) == [file]
