"""The world of the story: the real S3 server, doors, and the product as users run it.

All scenes of a run play at the same time, each on a site of its own of one running product, so that
a run takes as long as its longest scene. A scene that reloads or kills has a product to itself.
Brief scenes play one after the other, so that not all begin in the same second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.e2e.running import Running, free_port
from tests.s3server import allow_anonymous, make_bucket
from tests.story.doors import Door
from tests.story.networks import VPC, WEST, Networks
from tests.story.stage import Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from pathlib import Path

    from tests.s3server import SeaweedFS

Play = Callable[[Stage], Awaitable[None]]

ORIGIN, TARGET = "story-origin", "story-us-west-2"
AT_ONCE = 64
"""Requests of clients that are under way at a time: more need too many descriptors."""
CDN_PER_GB = 85.0
"""So much that the requests to S3, which are subtracted from savings, cost next to nothing."""


@dataclass(frozen=True)
class Scene:
    """A scene, and the stage that it needs.

    Attributes:
        play: Plays it; an assertion fails it.
        origin: Latency of the origin bucket, in seconds.
        target: Latency of the target bucket, in seconds.
        redirect: Settings of the site's section ``redirect``.
        own_bucket: Whether the target bucket is the scene's own.
        one_door: Whether both buckets are behind one door, as ``sync`` needs it.
        product: Scenes that name the same product share it.
        brief: Whether it takes seconds; brief scenes play one after the other.
        long: Whether it only plays in the long run.
        exact: Whether counters, log and truth must agree.
    """

    play: Play
    origin: float = 0.02
    target: float = 0.005
    redirect: dict[str, Any] = field(default_factory=dict)
    own_bucket: bool = False
    one_door: bool = False
    product: str = "main"
    brief: bool = False
    long: bool = False
    exact: bool = True

    @property
    def name(self) -> str:
        """The scene's name, as words."""
        return self.play.__name__.replace("_", " ")

    @property
    def folder(self) -> str:
        """The folder of its objects in the buckets that all scenes share."""
        return f"{self.play.__name__}/"

    @property
    def host(self) -> str:
        """The scene's host."""
        return f"{self.play.__name__.replace('_', '-')}.example"


SCENES: list[Scene] = []


def scene(**how: Any) -> Callable[[Play], Play]:
    """Add a scene to the story."""

    def add(play: Play) -> Play:
        SCENES.append(Scene(play, **how))
        return play

    return add


class World:
    """What the scenes of one run share."""

    def __init__(self, server: SeaweedFS, folder: Path, ranges: Path) -> None:
        """Use an S3 server that runs, a folder for files, and a list of prefixes."""
        self._server = server
        self._folder = folder
        self._ranges = ranges
        self._networks = Networks.of(ranges)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._stack = AsyncExitStack()
        self._s3: Any = None

    async def stages(self, scenes: Iterable[Scene]) -> list[Stage]:
        """The stages of some scenes, with the products running."""
        self._s3 = await self._stack.enter_async_context(self._server.client())
        scenes = list(scenes)
        await self._make_buckets(scenes)
        sets = {each.host: await self._set(each) for each in scenes}
        products = {
            name: self._product(name, [sets[each.host] for each in scenes if each.product == name])
            for name in {each.product for each in scenes}
        }
        await asyncio.gather(*(asyncio.to_thread(each.ready) for each in products.values()))
        return [self._stage(each, sets[each.host], products[each.product]) for each in scenes]

    async def _make_buckets(self, scenes: list[Scene]) -> None:
        names = [TARGET, *(_target_bucket(each) for each in scenes if each.own_bucket)]
        await make_bucket(self._s3, ORIGIN)
        for name in names:
            await make_bucket(self._s3, name)
            await allow_anonymous(self._s3, name)

    async def _set(self, scene: Scene) -> _Set:
        origin = await self._door(scene.origin)
        return _Set(scene, origin, origin if scene.one_door else await self._door(scene.target))

    async def _door(self, latency: float) -> Door:
        door = Door(self._server.endpoint, free_port(), latency)
        return await self._stack.enter_async_context(door)

    def _product(self, name: str, sets: list[_Set]) -> Running:
        folder = self._folder / name
        folder.mkdir()
        config = {
            "regions": {
                "source": str(self._ranges),
                "cache": str(folder / "ranges.json"),
                "overrides": {str(VPC): WEST},
            },
            "prices": {"cdn_per_gb": CDN_PER_GB},
            # a machine that runs all tests at once is slower than any S3
            "catalog": {"wait": "10s"} if name == "main" else {},
            "sites": [each.site() for each in sets],
        }
        keys = {
            "AWS_ACCESS_KEY_ID": self._server.access_key,
            "AWS_SECRET_ACCESS_KEY": self._server.secret_key,
        }
        return self._stack.enter_context(Running(folder, config, keys))

    def _stage(self, scene: Scene, made: _Set, product: Running) -> Stage:
        return Stage(
            scene.host,
            product,
            made.origin,
            made.target,
            scene.folder,
            ORIGIN,
            _target_bucket(scene),
            self._s3,
            self._networks,
            self._turns,
        )

    async def close(self) -> None:
        """Stop the products and close the doors."""
        await self._stack.aclose()


@dataclass(frozen=True)
class _Set:
    scene: Scene
    origin: Door
    target: Door

    def site(self) -> dict[str, Any]:
        """The site in the configuration."""
        return {
            "hosts": [self.scene.host],
            "origin": {"region": "us-east-1", **self._bucket(ORIGIN, self.origin)},
            "targets": {WEST: self._bucket(_target_bucket(self.scene), self.target)},
            "redirect": {"scheme": "http", **self.scene.redirect},
        }

    def _bucket(self, name: str, door: Door) -> dict[str, str]:
        return {"bucket": name, "endpoint": door.url, "prefix": self.scene.folder}


def _target_bucket(scene: Scene) -> str:
    return f"own-{scene.play.__name__.replace('_', '-')}"[:63] if scene.own_bucket else TARGET


@asynccontextmanager
async def world(server: SeaweedFS, folder: Path, ranges: Path) -> AsyncIterator[World]:
    """A world; at its end all that it started has ended."""
    made = World(server, folder, ranges)
    try:
        yield made
    finally:
        await made.close()
