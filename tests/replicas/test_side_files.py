"""A new side file, such as a checksum, has its archive checked; a new archive, its side files."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import pytest

from nearbucket.policy.model import Reason
from nearbucket.replicas import origin_versions as module
from tests.bucketserver import until
from tests.replicas.two_workers import KEY, NEW, Shown, World, opened_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

SIDE_FILE = f"{KEY}.sha256"
OLD_SUM, NEW_SUM = (b"1", "old"), (b"2", "new")


@pytest.fixture
async def world(session: ClientSession) -> AsyncIterator[World]:
    async with opened_world(session) as made:
        yield made


async def test_a_new_side_file_has_its_archive_checked_in_every_worker(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    await world.settle()
    world.see(OLD_SUM, key=SIDE_FILE)
    await until(lambda: world.origin.asked["HEAD", KEY] == 2)  # it may be new at first sight
    world.see(OLD_SUM, key=SIDE_FILE)
    assert world.origin.asked["HEAD", KEY] == 2
    world.overwrite()
    world.see(NEW_SUM, key=SIDE_FILE)
    await until(lambda: world.against() == [Reason.NOT_REPLICATED] * 2)


async def test_an_archive_is_as_young_as_its_side_file(world: World) -> None:
    """The archive may be uploaded after it, and nothing but a check would show that."""
    await world.settle()
    status = world.one.status("*", "us-west-2", KEY)
    assert status.until - monotonic() > 400
    world.see(NEW_SUM, key=SIDE_FILE)
    for worker in (world.one, world.other):
        assert worker.status("*", "us-west-2", KEY).until - monotonic() <= 2
    assert world.changes == 2


async def test_an_old_side_file_makes_no_archive_younger(world: World) -> None:
    await world.settle()
    shown = Shown('"old"', 1, "Thu, 02 Jan 2020 00:00:00 GMT")
    world.one.origin_versions.on_response("*", SIDE_FILE, shown, monotonic())
    assert world.one.status("*", "us-west-2", KEY).until - monotonic() > 400
    assert world.changes == 0


async def test_the_side_file_of_an_archive_that_is_not_known_is_not_kept(world: World) -> None:
    world.see(OLD_SUM, key=SIDE_FILE)
    assert len(world.one.object_cache) == 0


async def test_a_new_archive_has_the_side_files_checked_that_are_redirected(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.0)
    world.use(exclude=[], paths=["*"])
    for server in (world.origin, world.target):
        server.objects[SIDE_FILE] = OLD_SUM
    await world.settle()
    await world.one.settle("*", "us-west-2", SIDE_FILE)
    assert world.one.status("*", "us-west-2", SIDE_FILE).against is None
    world.overwrite()
    world.origin.objects[SIDE_FILE] = NEW_SUM
    world.see(NEW)
    await until(
        lambda: world.one.status("*", "us-west-2", SIDE_FILE).against is Reason.NOT_REPLICATED
    )
