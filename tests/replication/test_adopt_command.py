"""A target that ``aws s3 sync`` has filled, from the first ``check`` to redirects: processes."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.cli.demo.seaweedfs import allow_anonymous
from tests.e2e.running import Running
from tests.ranges_lists import MADE
from tests.replication.objects import DESCRIBED
from tests.replication.test_adopt import BODY, LARGE, fill, fill_in_parts, reads, writes
from tests.replication.test_sync_command import Command
from tests.replication.watched import Gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.command_server import Ended
    from tests.e2e.running import Answer
    from tests.replication.conftest import World

KEYS = ("a.tar.xz", "b.tar.xz")


class Team:
    """Origin and target, and the commands."""

    def __init__(self, world: World, command: Command) -> None:
        self.world, self.command = world, command

    async def run(self, *words: str) -> Ended:
        """Run a command to its end."""
        return await self.command.run(*words)


class Serving:
    """A server that runs from the beginning."""

    def __init__(self, server: Running) -> None:
        self.server = server

    async def get(self, key: str, *, follow: bool = False) -> Answer:
        """Ask for an object from us-west-2."""
        return await asyncio.to_thread(self.server.get, f"/{key}", MADE.west, follow=follow)

    async def until(self, key: str, reason: str) -> Answer:
        """Ask until the reason is this one."""
        deadline = time.monotonic() + 30
        while True:
            answer = await self.get(key)
            if f"reason={reason}" in answer.headers["x-nearbucket"]:
                return answer
            assert time.monotonic() < deadline, answer
            await asyncio.sleep(0.1)


@pytest.fixture
async def team(world: World, tmp_path: Path) -> Team:
    await allow_anonymous(world.client, world.target.entry.bucket)
    await fill(world, *KEYS)
    return Team(world, Command(world, tmp_path, verify_ttl="1s", came_back="off"))


@pytest.fixture
async def in_parts(team: Team) -> None:
    """The first object and its copy have several parts."""
    await fill_in_parts(team.world, KEYS[0])


@pytest.fixture
async def serving(team: Team, tmp_path: Path) -> AsyncIterator[Serving]:
    with Running(tmp_path, {**team.command.document, **_regions(tmp_path)}, {}) as server:
        await asyncio.to_thread(server.ready)
        yield Serving(server)


def _regions(folder: Path) -> dict[str, Any]:
    regions = {"source": str(MADE.path), "cache": str(folder / "ranges.json")}
    return {"regions": regions, "catalog": {"wait": "10s"}}


async def test_it_is_redirected_to_after_what_check_advises_and_no_byte_is_copied(
    team: Team,
    in_parts: None,  # noqa: ARG001  # before the server starts
    serving: Serving,
) -> None:
    bodies = dict(zip(KEYS, (LARGE, BODY), strict=True))
    for key, body in bodies.items():
        answer = await serving.get(key)
        assert (answer.status, answer.body) == (200, body)
        assert "reason=not-replicated" in answer.headers["x-nearbucket"]
    checked = await team.run("check")
    assert checked.code == 1
    assert "2 of 2 sampled objects: same size, other parts" in checked.out
    advice = re.search(r"run nearbucket (sync .*?--adopt):", checked.out)
    assert advice is not None
    plain = await team.run("sync")
    assert plain.code == 1
    assert "us-west-2: 2 objects (5.2 MB) have the origin's size, but were uploaded" in plain.err
    assert "with --adopt, sync reads them and marks those that are equal" in plain.err
    done = await team.run(*shlex.split(advice[1]))
    assert (done.code, done.err) == (0, "")
    assert "us-west-2\tadopted\t2\nus-west-2\tadopted bytes\t5245880\n" in done.out
    for key, body in bodies.items():
        await serving.until(key, "in-region")
        assert (await serving.get(key, follow=True)).body == body
    assert (await team.run("check")).code == 0
    assert (await team.run("sync")).code == 0
    assert writes(team.world) == []
    tags = [asked.bucket for asked in team.world.watched.asked if asked.name == "GET Tagging"]
    assert set(tags) == {team.world.target.entry.bucket}


async def test_a_new_version_at_the_origin_is_streamed_and_then_copied(
    team: Team, serving: Serving
) -> None:
    assert (await team.run("sync", "--adopt")).code == 0
    await serving.until("a.tar.xz", "in-region")
    new = BODY[::-1]
    await team.world.put_in_parts("a.tar.xz", new)
    assert (await serving.until("a.tar.xz", "not-replicated")).body == new
    assert (await team.run("sync")).code == 0
    await serving.until("a.tar.xz", "in-region")
    assert (await serving.get("a.tar.xz", follow=True)).body == new


async def test_a_document_has_what_was_adopted_and_what_differs(team: Team) -> None:
    other = bytearray(BODY)
    other[0] ^= 1
    await team.world.put_by_another_tool("b.tar.xz", bytes(other), **DESCRIBED)
    code, out, _ = await team.run("sync", "--json")
    (target,) = json.loads(out)["targets"]
    assert code == 1
    found = {"other_parts": 2, "other_parts_bytes": 2 * len(BODY), "adopted": 0, "copied": 0}
    assert target | found == target
    code, out, err = await team.run("sync", "--json", "--adopt")
    (target,) = json.loads(out)["targets"]
    assert (code, err) == (0, "")
    found = {"other_parts": 0, "adopted": 1, "adopted_bytes": len(BODY), "copied": 1}
    assert target | found | {"differing": ["b.tar.xz"], "other_headers": 0} == target


@pytest.mark.long
async def test_a_copy_that_differs_is_named(team: Team) -> None:
    await team.world.put_by_another_tool("b.tar.xz", BODY[::-1], **DESCRIBED)
    code, out, err = await team.run("sync", "--adopt")
    assert (code, "us-west-2\tadopted\t1\n" in out) == (0, True)
    assert err == (
        "nearbucket: us-west-2: 1 objects have the origin's size, but other bytes; they were not "
        "adopted, but copied: b.tar.xz\n"
    )


@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGINT, marks=pytest.mark.long), signal.SIGKILL]
)
async def test_an_interrupted_run_goes_on_with_what_is_not_marked(team: Team, number: int) -> None:
    watched = team.world.watched
    watched.before = gate = Gate(1, lambda asked: asked.name == "PUT Tagging")
    begun = team.command.begin("sync", "--adopt", "--parallel", "1")
    async with asyncio.timeout(60):
        await gate.reached.wait()
    begun.process.send_signal(number)
    assert (await asyncio.to_thread(begun.end)).code == (
        130 if number == signal.SIGINT else -number
    )
    watched.before = None
    watched.forget()
    done = await team.run("sync", "--adopt")
    assert (done.code, "us-west-2\tadopted\t1\n" in done.out) == (0, True)
    assert (len(reads(team.world)), writes(team.world)) == (1, [])


@pytest.mark.long
async def test_a_dry_run_lists_what_it_would_adopt(team: Team) -> None:
    code, out, _ = await team.run("sync", "--adopt", "--dry-run")
    listed = out.splitlines()[:2]
    assert sorted(listed) == [f"us-west-2\tadopt\t{len(BODY)}\t{key}" for key in KEYS]
    assert (code, "us-west-2\tother parts\t2\n" in out) == (0, True)
    assert (await team.run("sync", "--dry-run")).code == 1


async def test_where_redirects_need_no_equal_copy_none_has_to_be_adopted(
    team: Team, tmp_path: Path
) -> None:
    team = Team(team.world, Command(team.world, tmp_path, verify="exists"))
    code, out, err = await team.run("sync")
    assert (code, "us-west-2\tother parts\t2\n" in out, "--adopt" in err) == (0, True, False)


async def test_a_right_to_read_tags_that_is_missing_is_named(team: Team, serving: Serving) -> None:
    assert (await team.run("sync", "--adopt")).code == 0
    await serving.until("a.tar.xz", "in-region")
    team.world.watched.refuse = lambda asked: (
        "AccessDenied" if asked.name == "GET Tagging" else None
    )
    checked = await team.run("check")
    assert checked.code == 1
    assert "2 of 2 sampled objects: same size, different ETag, and its tags" in checked.out
    assert "; allow s3:GetObjectTagging on the target\n" in checked.out
    await serving.until("a.tar.xz", "not-replicated")
