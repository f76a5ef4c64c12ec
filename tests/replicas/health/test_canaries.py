"""A bucket is the same as long as an object that was known before has not changed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.buckets import Target
from nearbucket.replicas.bucket_probe import BucketHealth, BucketProbe, ProbeResult
from nearbucket.replicas.health.canaries import MOST, Canaries
from nearbucket.s3.credentials import SdkCredentials
from tests.bucketserver import BucketServer, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aiohttp import ClientSession

BEFORE, AFTER = "Thu, 01 Jan 2026 00:00:00 GMT", "Fri, 02 Jan 2026 00:00:00 GMT"
KEYS = ("a", "b", "c")


class World:
    """A bucket with three objects, its probe, and what is known of it."""

    def __init__(self, server: BucketServer, session: ClientSession) -> None:
        self.server = server
        self.bucket = BucketProbe(Target.model_validate(server.entry()), session, SdkCredentials())
        self.canaries = Canaries()
        self.put(*KEYS)

    def put(self, *keys: str, data: bytes = b"data", modified: str = BEFORE) -> None:
        for key in keys:
            self.server.objects[key] = (data, f"etag of {data.decode()}")
            self.server.headers[key] = {"Last-Modified": modified}

    async def see(self, *keys: str) -> None:
        """Have objects noted as they are, as after a HEAD for a client."""
        for key in keys:
            self.canaries.note(key, await self.bucket.head_object(key))
        self.server.asked.clear()

    async def probe(self, times: int = 1) -> ProbeResult:
        """The result of the last of so many probes."""
        results = [await self.bucket.probe(self.canaries) for _ in range(times)]
        return results[-1] if results else ProbeResult(BucketHealth.UNASKED)

    def asked(self) -> list[str]:
        return [key for (_, key), times in self.server.asked.items() for _ in range(times)]


@pytest.fixture
async def world(session: ClientSession) -> AsyncIterator[World]:
    async with BucketServer() as server:
        yield World(server, session)


async def test_a_probe_of_a_bucket_in_which_an_object_is_known_is_one_head(world: World) -> None:
    await world.see(*KEYS)
    await world.probe()  # asks for all, to know their Last-Modified
    assert world.asked() == [*KEYS, ""]
    world.server.asked.clear()
    found = await world.probe(4)
    assert found == (BucketHealth.GOOD, "", (), False)
    assert sorted(world.asked()) == ["a", "a", "b", "c"]  # in turn


async def test_without_a_known_object_the_bucket_itself_is_asked(world: World) -> None:
    assert await world.probe() == (BucketHealth.GOOD, "", (), False)
    assert world.asked() == [""]


OTHER_BYTES, SAME_BYTES, NO_OBJECT = {"data": b"else"}, {"modified": AFTER}, None


@pytest.mark.parametrize(
    ("probes", "new"),
    [
        pytest.param(0, OTHER_BYTES, id="other bytes before the first probe"),
        pytest.param(0, NO_OBJECT, id="no object before the first probe"),
        *(pytest.param(number, OTHER_BYTES, id=f"other bytes after {number}") for number in (1, 5)),
        *(pytest.param(number, SAME_BYTES, id=f"same bytes after {number}") for number in (1, 5)),
        *(pytest.param(number, NO_OBJECT, id=f"no object after {number}") for number in (1, 5)),
    ],
)
async def test_a_bucket_in_which_every_object_is_another_may_be_another(
    world: World, probes: int, new: dict[str, Any] | None
) -> None:
    await world.see(*KEYS)
    await world.probe(probes)
    if new is None:
        world.server.objects.clear()
    else:
        world.put(*KEYS, **new)
    assert (await world.probe()).replaced
    assert not (await world.probe()).replaced  # it is the new one that is known now


async def test_an_overwritten_or_deleted_object_is_changed_and_the_bucket_is_not(
    world: World,
) -> None:
    await world.see(*KEYS)
    await world.probe(3)
    world.put("a", data=b"new")
    del world.server.objects["b"]
    results = [await world.probe() for _ in range(3)]
    assert not any(found.replaced for found in results)
    assert {key for found in results for key in found.changed} == {"a", "b"}
    assert list(world.canaries.keys) == ["c"]
    await world.see("a", "d")
    assert list(world.canaries.keys) == ["c", "a", "d"]


async def test_the_only_known_object_that_is_overwritten_leaves_doubt(world: World) -> None:
    await world.see("a")
    await world.probe(3)
    world.put("a", data=b"new")
    assert (await world.probe()).replaced


async def test_objects_first_seen_since_the_last_probe_do_not_show_that_the_bucket_is_the_same(
    world: World,
) -> None:
    await world.see("a")
    await world.probe(3)
    world.put(*KEYS, data=b"else", modified=AFTER)
    await world.see("b", "c")
    assert (await world.probe()).replaced


async def test_an_object_seen_again_does_not_replace_what_was_known_of_it(world: World) -> None:
    await world.see(*KEYS)
    await world.probe(3)
    world.put(*KEYS, data=b"else", modified=AFTER)
    await world.see(*KEYS)
    assert (await world.probe()).replaced


async def test_any_number_of_new_objects_do_not_drive_out_the_known_ones(world: World) -> None:
    await world.see(*KEYS)
    await world.probe(3)
    world.put(*KEYS, data=b"else", modified=AFTER)
    new = [f"new {number}" for number in range(3 * MOST)]
    world.put(*new, modified=AFTER)
    await world.see(*new)
    assert (await world.probe()).replaced


async def test_an_object_known_from_a_listing_that_was_old_leaves_no_doubt(world: World) -> None:
    for key in (*KEYS, "deleted since"):
        world.canaries.note(key, None)
    assert await world.probe() == (BucketHealth.GOOD, "", (), False)
    assert world.canaries.keys == KEYS
    world.put(*KEYS, modified=AFTER)
    assert (await world.probe()).replaced


async def test_what_is_noted_while_a_probe_is_under_way_is_kept(world: World) -> None:
    world.server.gate.clear()
    probing = asyncio.create_task(world.probe())
    await until(lambda: world.server.asked.total() == 1)
    world.canaries.note("a", None)
    world.server.gate.set()
    await probing
    assert world.canaries.keys == ("a",)


@pytest.mark.parametrize("mode", ["forbidden", "gone", "failing", "moved"])
async def test_a_bucket_that_cannot_be_used_changes_nothing_that_is_known(
    world: World, mode: str
) -> None:
    await world.see(*KEYS)
    await world.probe(3)
    world.server.mode = mode
    found = await world.probe()
    assert found.health is not BucketHealth.GOOD
    assert not found.replaced
    world.server.mode = "fine"
    assert await world.probe() == (BucketHealth.GOOD, "", (), False)
    world.server.mode = mode
    await world.probe()
    world.server.mode = "fine"
    world.put(*KEYS, modified=AFTER)
    assert (await world.probe()).replaced
