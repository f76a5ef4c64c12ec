"""Sites share what is known of a bucket, but not their own settings."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.policy.model import Reason
from nearbucket.replicas.object_cache import FAILURE_PAUSE
from nearbucket.replicas.replica_status import DOWN, ReplicaStatuses
from nearbucket.s3.credentials import SdkCredentials
from nearbucket.telemetry.metrics import Counters
from tests import build
from tests.bucketserver import BucketServer, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from aiohttp import ClientSession

OWNER = "123456789012"


class World:
    """Statuses, and how often they changed."""

    def __init__(self, session: ClientSession) -> None:
        self.changes = 0
        self.one = ReplicaStatuses(session, SdkCredentials(), Counters(), self.changed)

    def changed(self) -> None:
        self.changes += 1

    def use(self, *sites: dict[str, Any], **sections: Any) -> None:
        first, *more = sites
        self.one.prepare(build.settings(site=first, more=more, **sections))()


@pytest.fixture
async def world(session: ClientSession) -> AsyncIterator[World]:
    made = World(session)
    yield made
    await made.one.close()


@pytest.fixture
async def origin() -> AsyncIterator[BucketServer]:
    async with BucketServer(a=b"1") as server:
        yield server


@pytest.fixture
async def target() -> AsyncIterator[BucketServer]:
    async with BucketServer(a=b"1") as server:
        yield server


def site(
    name: str, origin: BucketServer, target: BucketServer, more: dict[str, Any], **redirect: Any
) -> dict[str, Any]:
    return {
        "hosts": [name],
        "origin": origin.entry(),
        "targets": {"us-west-2": target.entry(**more)},
        "redirect": {"verify": "match", "scheme": "http", **redirect},
    }


def keys(folder: Path, name: str) -> dict[str, Path]:
    for part in ("access", "secret"):
        (folder / f"{name}.{part}").write_text(f"{name}\n")
    return {
        "access_key_file": folder / f"{name}.access",
        "secret_key_file": folder / f"{name}.secret",
    }


async def test_sites_with_the_same_buckets_ask_once(
    world: World, origin: BucketServer, target: BucketServer
) -> None:
    world.use(site("a", origin, target, {}), site("b", origin, target, {}), catalog={"wait": "5s"})
    await asyncio.gather(*(world.one.settle(name, "us-west-2", "a") for name in "abab"))
    assert world.one.status("b", "us-west-2", "a").against is None
    assert origin.asked == target.asked == {("HEAD", "a"): 1}


async def test_a_question_that_was_not_answered_is_forgotten_in_a_tick(
    world: World, origin: BucketServer, target: BucketServer
) -> None:
    world.use(site("a", origin, target, {}), catalog={"wait": "5s"})
    target.mode = "failing"
    await world.one.settle("a", "us-west-2", "a")
    assert len(world.one.object_cache._paused) == 1
    world.one.tick(monotonic() + FAILURE_PAUSE)
    assert not world.one.object_cache._paused


async def test_who_goes_away_while_waiting_takes_nobody_s_answer_away(
    world: World, origin: BucketServer, target: BucketServer
) -> None:
    world.use(site("a", origin, target, {}), catalog={"wait": "5s"})
    target.gate.clear()
    leaves, stays = (asyncio.create_task(world.one.settle("a", "us-west-2", "a")) for _ in range(2))
    await until(lambda: target.asked.total() == 1)
    leaves.cancel()
    await asyncio.gather(leaves, return_exceptions=True)
    target.gate.set()
    await stays
    assert world.one.status("a", "us-west-2", "a").against is None
    assert target.asked == {("HEAD", "a"): 1}


async def test_nobody_waits_longer_than_is_allowed_and_the_question_goes_on(
    world: World, origin: BucketServer, target: BucketServer
) -> None:
    world.use(site("a", origin, target, {}), catalog={"wait": "10ms"})
    target.gate.clear()
    await world.one.settle("a", "us-west-2", "a")
    assert world.one.status("a", "us-west-2", "a").against is Reason.UNVERIFIED
    target.gate.set()
    await until(lambda: world.one.status("a", "us-west-2", "a").against is None)
    assert target.asked == {("HEAD", "a"): 1}


async def test_a_reload_under_way_loses_no_answer(
    world: World, origin: BucketServer, target: BucketServer
) -> None:
    world.use(site("a", origin, target, {}), catalog={"wait": "5s"})
    target.gate.clear()
    waiting = asyncio.create_task(world.one.settle("a", "us-west-2", "a"))
    await until(lambda: target.asked.total() == origin.asked.total() == 1)
    world.use(site("a", origin, target, {}, verify_ttl="1h"), catalog={"wait": "5s"})
    target.gate.set()
    await waiting
    assert world.one.status("a", "us-west-2", "a").against is None
    assert target.asked == {("HEAD", "a"): 1}


async def test_a_target_that_is_down_is_so_for_the_sites_that_watch_it(
    world: World, origin: BucketServer, target: BucketServer
) -> None:
    world.use(
        site("a", origin, target, {}, watch=True, verify="none"),
        site("b", origin, target, {}, watch=False, verify="none"),
    )
    target.mode = "gone"
    await until(lambda: world.changes == 1)
    assert world.one.status("a", "us-west-2", "a") is DOWN
    assert world.one.status("b", "us-west-2", "a").against is None
    assert dict(world.one.up()) == {("a", "us-west-2"): False, ("b", "us-west-2"): True}
    assert world.one.status("a", "us-west-2", "b") is DOWN


@pytest.mark.parametrize("mode", ["off", "on"])
async def test_only_targets_that_clients_are_sent_to_are_watched(
    world: World, origin: BucketServer, target: BucketServer, mode: str
) -> None:
    world.use(site("a", origin, target, {"mode": mode}, watch=True))
    looked = world.one.health._targets
    assert len(looked) == (mode == "on")
    world.use(site("a", origin, target, {}, watch=True, mode=mode))
    assert len(world.one.health._targets) == (mode == "on")


async def test_each_site_signs_by_its_own_target_s_keys(
    world: World, origin: BucketServer, target: BucketServer, tmp_path: Path
) -> None:
    mine, theirs = keys(tmp_path, "MINE"), keys(tmp_path, "THEIRS")
    world.use(
        site("a", origin, target, {"credentials": mine}, presign="15m"),
        site("b", origin, target, {"credentials": theirs}, presign="15m"),
        site("c", origin, origin, {"credentials": mine}, presign="15m"),
    )
    url = f"{target.endpoint}/bucket/a"
    signed = {name: world.one.presigners[name, "us-west-2"].location("GET", url) for name in "abc"}
    for name, key in (("a", "MINE"), ("b", "THEIRS"), ("c", "MINE")):
        assert f"X-Amz-Credential={key}%2F" in (signed[name] or "")


async def test_each_target_s_owner_is_named_whoever_else_has_the_bucket(
    world: World, origin: BucketServer, target: BucketServer
) -> None:
    world.use(site("a", target, target, {"expected_owner": OWNER}), catalog={"wait": "5s"})
    fields: list[str | None] = []
    answer = target._answer

    async def noting(request: Any) -> Any:
        fields.append(request.headers.get("x-amz-expected-bucket-owner"))
        return await answer(request)

    target._answer = noting  # type: ignore[method-assign]
    await target.close()
    await target.open()
    await world.one.settle("a", "us-west-2", "a")
    assert OWNER in fields
    assert origin.asked.total() == 0
