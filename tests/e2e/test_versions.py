"""One version of an object at a time, with two workers, a real S3 server and real clients.

Every byte of an object is the number of its version. Objects are years old by their Last-Modified,
so that what is known of a copy would hold for ten minutes.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import pytest

from tests.bucketserver import until
from tests.e2e.doors import Door
from tests.e2e.running import Running, ask, keys_of
from tests.ranges_lists import MADE
from tests.storing import store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalS3
    from tests.e2e.running import Answer

WEST, OUTSIDE = MADE.west, MADE.outside[0]
SIZE = 4096
AT_ONCE = 2.0
"""Seconds in which every worker has to know."""
PAUSE = 0.02
"""Seconds between two requests: without one, tests would only be measuring this machine."""


class World(NamedTuple):
    """The proxy, and the buckets behind it."""

    proxy: Running
    s3: LocalS3

    def store(self, key: str, version: int, *buckets: str) -> None:
        """Put a version of an object into buckets, by default into both."""
        for bucket in buckets or (self.s3.private, self.s3.public):
            asyncio.run(store(self.s3.server, bucket, {key: bytes([version]) * SIZE}))

    def get(self, key: str, client: str = WEST, **fields: str) -> Answer:
        """One request on a connection of its own, without following a redirect."""
        return self.proxy.get(f"/{key}", client, fields)

    def version(self, key: str) -> int:
        """The version that a client in us-west-2 gets, after a pause."""
        time.sleep(PAUSE)
        answer = self.proxy.get(f"/{key}", WEST, follow=True)
        assert answer.status == 200
        (version,) = set(answer.body)
        return version

    def versions_of_both(self, archive: str) -> tuple[int, int]:
        """Those that it gets of an archive's checksum and then of the archive."""
        return self.version(f"{archive}.sha256"), self.version(archive)

    def prime(self, key: str) -> None:
        """Ask until every worker redirects."""
        for _ in range(20):
            assert self.get(key).status == 301


@pytest.fixture
def world(s3: LocalS3, tmp_path: Path) -> Iterator[World]:
    with Door(s3.server.endpoint) as door, serving(s3, door, tmp_path) as running:
        yield World(running.ready(), s3)


def serving(s3: LocalS3, door: Door, folder: Path) -> Running:
    def bucket(name: str, region: str) -> dict[str, str]:
        return {"bucket": name, "region": region, "endpoint": door.endpoint}

    config = {
        "regions": {"source": str(MADE.path), "cache": str(folder / "ranges.json")},
        "catalog": {"wait": "10s"},
        "sites": [
            {
                "origin": bucket(s3.private, "us-east-1"),
                "targets": {"us-west-2": bucket(s3.public, "us-west-2")},
                "redirect": {"scheme": "http", "came_back": "off"},
            }
        ],
    }
    return Running(folder, config, keys_of(s3))


SHOWS = {
    "GET": {},
    "range": {"Range": "bytes=0-99"},
    "HEAD": {},
    "conditional": {"If-None-Match": '"another"'},
}
"""Requests whose answers show the version of the origin."""


def test_once_the_new_etag_was_shown_no_client_gets_the_old_version_later_than_2_seconds(
    world: World,
) -> None:
    keys = {how: f"versions/{how}.tar.xz" for how in SHOWS}
    for key in keys.values():
        world.store(key, 1)
        world.prime(key)
        world.store(key, 2, world.s3.private)
        assert {world.version(key) for _ in range(20)} == {1}  # nothing has shown it
    shown, old = dict[str, float](), dict.fromkeys(SHOWS, 0.0)
    for how, key in keys.items():
        url = f"http://127.0.0.1:{world.proxy.port}/{key}"
        method = "HEAD" if how == "HEAD" else "GET"
        ask(url, {**SHOWS[how], "X-Forwarded-For": OUTSIDE}, method=method)
        shown[how] = time.monotonic()
    while (asked := time.monotonic()) - max(shown.values()) < AT_ONCE + 0.5:
        for how, key in keys.items():
            if world.version(key) == 1:
                old[how] = asked - shown[how]
    assert {how for how, seconds in old.items() if seconds >= AT_ONCE} == set()


def begin_with_both(world: World, archive: str) -> None:
    """Store version 1 of an archive and its checksum, and ask until every worker redirects."""
    for key in (archive, f"{archive}.sha256"):
        world.store(key, 1)
    world.prime(archive)
    for _ in range(10):
        assert world.versions_of_both(archive) == (1, 1)


def test_an_archive_and_its_checksum_are_of_two_versions_for_2_seconds_at_most(
    world: World,
) -> None:
    """Both are overwritten at the origin, in either order, while clients get both.

    Until both are there, the origin itself has two versions.
    """
    orders = {
        "versions/side0.tar.xz": ("", ".sha256"),
        "versions/side7.tar.xz": (".sha256", ""),
    }
    for archive in orders:
        begin_with_both(world, archive)
    for archive, (first, _) in orders.items():
        world.store(archive + first, 2, world.s3.private)
    began = time.monotonic()
    while time.monotonic() - began < 1.0:  # clients come between the uploads
        for archive in orders:
            world.versions_of_both(archive)
    for archive, (_, second) in orders.items():
        world.store(archive + second, 2, world.s3.private)
    uploaded, mixed = time.monotonic(), 0.0
    while (asked := time.monotonic()) - uploaded < AT_ONCE + 0.5:
        for archive in orders:
            checksum, content = world.versions_of_both(archive)
            if checksum != content:
                mixed = asked - uploaded
    assert mixed < AT_ONCE
    assert [world.version(archive) for archive in orders] == [2, 2]


PARTS = 8


class Downloads:
    """Clients that get an object in ranges, each on a connection of its own, again and again.

    They neither compare ETags nor send If-Range.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self.session, self.url = session, url
        self.versions: list[tuple[int, ...]] = []
        self.ends = False

    def had_second(self) -> bool:
        """Whether one was of the second version."""
        return (2,) * PARTS in self.versions

    async def client(self, address: str, *, at_once: bool) -> None:
        """Download until the end; each range after the one before, or all at once."""
        while not self.ends:
            if at_once:
                parts = asyncio.gather(*(self.part(number, address) for number in range(PARTS)))
                versions = await parts
            else:
                versions = [await self.part(number, address) for number in range(PARTS)]
            self.versions.append(tuple(versions))
            await asyncio.sleep(6 * PAUSE)

    async def part(self, number: int, address: str) -> int:
        """The version of one range, after a pause; a redirect is followed."""
        await asyncio.sleep(2 * PAUSE)
        first = number * SIZE // PARTS
        fields = {
            "Range": f"bytes={first}-{first + SIZE // PARTS - 1}",
            "X-Forwarded-For": address,
            "Connection": "close",
        }
        async with self.session.get(self.url, headers=fields) as answer:
            body = await answer.read()
        assert (answer.status, len(body)) == (206, SIZE // PARTS)
        (version,) = set(body)
        return version


@pytest.mark.parametrize(
    "crowd", [pytest.param(1, marks=pytest.mark.long), 5], ids=["single", "behind one address"]
)
async def test_of_many_downloads_in_ranges_at_a_change_none_is_mixed(
    world: World, crowd: int
) -> None:
    network = WEST.rpartition(".")[0]
    found: list[tuple[int, ...]] = []
    async with aiohttp.ClientSession() as session:
        for turn in range(2):
            key = f"versions/ranges{crowd}-{turn}.tar.xz"
            url = f"http://127.0.0.1:{world.proxy.port}/{key}"
            await asyncio.to_thread(world.store, key, 1)
            downloads = Downloads(session, url)
            clients = [
                asyncio.create_task(
                    downloads.client(f"{network}.{1 + number // crowd}", at_once=turn % 2 > 0)
                )
                for number in range(10)
            ]
            await asyncio.sleep(1.0)
            await asyncio.to_thread(world.store, key, 2, world.s3.private)
            async with session.get(url, headers={"X-Forwarded-For": OUTSIDE}) as answer:
                assert (await answer.read())[:1] == b"\2"
            await asyncio.sleep(AT_ONCE + 0.5)
            await until(downloads.had_second)
            downloads.ends = True
            await asyncio.gather(*clients)
            found += downloads.versions
            assert {versions[0] for versions in downloads.versions} == {1, 2}
    assert len(found) >= 20
    assert [versions for versions in found if len(set(versions)) > 1] == []
