"""``nearbucket sync`` as a process: killed, interrupted, refused, or on a terminal."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.build import COMMAND
from tests.command_server import Begun
from tests.replication.conftest import MIB, World
from tests.replication.objects import DESCRIBED, some
from tests.replication.watched import COPIES, Asked, Gate

if TYPE_CHECKING:
    from pathlib import Path

    from nearbucket.s3.bucket_location import BucketLocation
    from tests.command_server import Ended

OBJECTS = 10_000


class Command:
    """The command with a configuration for the world's two folders."""

    def __init__(self, world: World, folder: Path, **redirect: Any) -> None:
        target = _entry(world.target)
        site = {
            "origin": _entry(world.origin),
            "targets": {"us-west-2": {key: target[key] for key in target if key != "credentials"}},
            "redirect": {"scheme": "http", **redirect},
        }
        self.document = {"sites": [site]}
        self.config = folder / "nearbucket.yaml"
        self.config.write_text(yaml.safe_dump(self.document), encoding="utf-8")

    def begin(self, *words: str) -> Begun:
        """Start a command."""
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("NEARBUCKET_", "AWS_"))
        }
        return Begun(*words, "--config", str(self.config), env=env)

    async def run(self, *words: str, patience: float = 60) -> Ended:
        """Run a command to its end."""
        return await asyncio.to_thread(self.begin(*words).end, patience)


def _entry(place: BucketLocation) -> dict[str, Any]:
    keys = place.credentials
    assert not isinstance(keys, str)
    return {
        **place.entry.model_dump(mode="json", exclude_unset=True),
        "credentials": keys.model_dump(mode="json"),
    }


@pytest.fixture
def command(world: World, tmp_path: Path) -> Command:
    return Command(world, tmp_path)


@pytest.fixture
async def filled(world: World) -> World:
    """Forty small objects, and among them one of four parts."""
    for number in range(40):
        await world.put(f"{number:02}.tar.gz", some(number), **DESCRIBED)
    parts = some(5 * MIB), some(5 * MIB, 1), some(5 * MIB, 2), b"x"
    await world.put_in_parts("05-large.tar.xz", *parts, **DESCRIBED)
    await world.next_second()
    return world


async def _stopped_midway(world: World, command: Command, number: int) -> Ended:
    """A run that gets a signal after twenty copies, of objects and of parts."""
    watched = world.watched
    gate = Gate(
        20,
        lambda asked: asked.name in COPIES,
        lambda: {made.name for made in watched.copies()} == COPIES,
    )
    watched.before = gate
    begun = command.begin("sync", "--parallel", "4")
    async with asyncio.timeout(60):
        while gate.held < 4:  # noqa: ASYNC110  # then no response is on its way to the command
            await asyncio.sleep(0.01)
    begun.process.send_signal(number)
    end = await asyncio.to_thread(begun.end)
    watched.before = None
    return end


async def test_a_killed_run_is_taken_up_and_nothing_whole_is_copied_twice(
    filled: World, command: Command
) -> None:
    end = await _stopped_midway(filled, command, signal.SIGKILL)
    assert end.code == -signal.SIGKILL
    before = filled.watched.copies()
    assert {asked.name for asked in before} == COPIES
    held = await filled.all_of(filled.target)
    filled.watched.forget()
    assert (await command.run("sync")).code == 0
    after = filled.watched.copies()
    assert not set(before) & set(after)
    assert len({*before, *after}) == 40 + 4
    assert filled.watched.count("POST Uploads") == 0  # the killed run's upload was continued
    assert await filled.in_step()
    now = await filled.all_of(filled.target)
    assert held == {key: now[key] for key in held}
    filled.watched.forget()
    assert (await command.run("sync")).code == 0
    assert filled.watched.copies() == []


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
async def test_an_interrupted_run_says_what_it_did_and_can_go_on(
    filled: World, command: Command, number: int
) -> None:
    end = await _stopped_midway(filled, command, number)
    assert end.code == 128 + number
    copied = filled.watched.count("CopyObject") + filled.watched.count("POST Upload")
    assert f"us-west-2\tcopied\t{copied}\n" in end.out
    assert end.err == "nearbucket: interrupted; run the command again to continue\n"
    assert (await command.run("sync")).code == 0
    assert await filled.in_step()


async def test_failures_end_with_1_and_one_line_for_each_reason(
    world: World, command: Command
) -> None:
    await world.put_all(f"{number:02}.tar.gz" for number in range(25))

    def refuse(asked: Asked) -> str | None:
        if asked.name != "CopyObject" or "00." in asked.key:
            return None
        return "AccessDenied" if "01." in asked.key else "InvalidObjectState"

    world.watched.refuse = refuse
    code, out, err = await command.run("sync", "--parallel", "1")
    assert code == 1
    assert "us-west-2\tcopied\t1\nus-west-2\tcopied bytes\t1\n" in out
    assert "us-west-2\tfailed\t24\n" in out
    one, many = sorted(err.splitlines())
    assert one.startswith("nearbucket: us-west-2: 01.tar.gz: AccessDenied: not allowed; docs/")
    assert many == (
        "nearbucket: us-west-2: 23 objects: InvalidObjectState: archived at the origin; restore it "
        "there, or exclude it: 02.tar.gz, 03.tar.gz, 04.tar.gz, 05.tar.gz, 06.tar.gz and 18 more; "
        "--json shows all"
    )
    code, out, err = await command.run("sync", "--json")
    assert (code, err) == (1, "")
    failures = json.loads(out)["targets"][0]["failures"]
    assert {failure["key"] for failure in failures} == {f"{n:02}.tar.gz" for n in range(1, 25)}


async def test_a_terminal_gets_a_bar_with_time_left_and_a_table(
    world: World, command: Command
) -> None:
    await world.put_all((f"{number}.tar.gz" for number in range(40)), some(1000))
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "sync", "--parallel", "2", "--config", str(command.config),
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    shown = await asyncio.to_thread(_read_all, ours)
    assert await process.wait() == 0
    assert "40.0 kB of 40.0 kB, 0:00:00 left, 40 of 40 objects" in shown
    assert re.search(r"│ copied bytes +│ 40\.0 kB +│", shown)


def _read_all(descriptor: int) -> str:
    shown = b""
    try:
        while piece := os.read(descriptor, 4096):
            shown += piece
    except OSError:  # Linux: the other end is closed
        pass
    os.close(descriptor)
    return shown.decode()


async def test_sites_that_share_their_buckets_remember_their_objects_apart(
    world: World, command: Command, tmp_path: Path
) -> None:
    [site] = command.document["sites"]
    redirect = {"scheme": "http"}
    sites = [
        {**site, "hosts": [name], "redirect": {**redirect, "paths": [f"{name}/*"]}}
        for name in ("one", "two")
    ]
    document = {"sites": sites, "regions": {"cache": str(tmp_path / "ranges.json")}}
    command.config.write_text(yaml.safe_dump(document), encoding="utf-8")
    keys = ("one/a.tar.gz", "two/a.tar.gz")
    await world.put_all(keys)
    assert (await command.run("sync")).code == 0
    await world.next_second()
    await world.put_all(keys)
    await world.next_second()
    for heads in (4, 0):
        world.watched.forget()
        assert (await command.run("sync")).code == 0
        assert world.watched.count("HEAD") == heads


@pytest.mark.long
async def test_thousands_of_objects_and_large_ones_end_in_step(
    world: World, tmp_path: Path
) -> None:
    many = asyncio.Semaphore(32)

    async def put(number: int) -> None:
        async with many:
            await world.put(f"{number % 50}/{number}.tar.gz", some(number % 3000), **DESCRIBED)

    await asyncio.gather(*map(put, range(OBJECTS)))
    await world.put("large/piece.tar.xz", some(110 * MIB), **DESCRIBED)
    for count in (15, 16):
        parts = [some(8 * MIB, seed) for seed in range(count)]
        await world.put_in_parts(f"large/{count}.tar.xz", *parts, b"end", **DESCRIBED)
    command = Command(world, tmp_path)
    code, out, _ = await command.run("sync", patience=900)
    assert (code, f"us-west-2\tcopied\t{OBJECTS + 3}\n" in out) == (0, True)
    assert "us-west-2\tdifferent ETag\t0\n" in out
    for key in ("large/piece.tar.xz", "large/15.tar.xz", "large/16.tar.xz", "7/7.tar.gz"):
        ours = await world.described(world.target, key)
        assert ours == await world.described(world.origin, key)
    world.watched.forget()
    code, out, _ = await command.run("sync", patience=900)
    assert (code, f"us-west-2\tup to date\t{OBJECTS + 3}\n" in out) == (0, True)
    assert world.watched.copies() == []
