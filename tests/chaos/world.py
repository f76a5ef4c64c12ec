"""The world of the chaos suite: the real S3 server, fault proxies, and the product as users run it.

Scenes of a run play at the same time, each on a site of its own behind a fault proxy of its
own. A scene that kills, reloads or attacks has a product to itself, the others share one and its
twin, which serves HTTPS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.certificates import client_side, expire, make_certificate, server_side
from tests.chaos.fault_proxy import FaultProxy
from tests.chaos.feed import Feed
from tests.chaos.stage import Stage
from tests.e2e.running import Running, free_port
from tests.s3server import allow_anonymous, make_bucket
from tests.story.networks import WEST, Networks

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterable, Mapping
    from pathlib import Path

    from tests.certificates import Tls
    from tests.s3server import SeaweedFS

Play = Callable[[Stage], Awaitable[None]]

ORIGIN, TARGET = "chaos-origin", "chaos-us-west-2"
MAIN = "main"
CERTIFICATES = {"good": "localhost", "expired": "localhost", "wrong": "another.example",
                "unknown": "localhost"}  # fmt: skip
"""Certificates of origins by their fault, and the host that each is for; ``unknown`` is not among
the trusted ones."""


@dataclass(frozen=True)
class Scene:
    """A scene, and the stage that it needs.

    Attributes:
        name: In the table.
        play: Plays it; an assertion fails it.
        tls: Key of ``CERTIFICATES`` of an origin with TLS.
        endpoint: The origin's, if it is not the proxy.
        product: Scenes that name the same product share it.
        settings: Further settings of a product of its own.
        feed: Whether that product's source of prefixes is hostile.
        failover: Whether the site has a second origin: the same bucket, past the proxy.
        waits: Whether it waits long for the product's timeouts; such scenes begin first.
        long: Whether it only plays in the long run.
    """

    name: str
    play: Play
    tls: str = ""
    endpoint: str = ""
    product: str = MAIN
    settings: Mapping[str, Any] = field(default_factory=dict)
    feed: bool = False
    failover: bool = False
    waits: bool = False
    long: bool = False

    @property
    def folder(self) -> str:
        """The folder of its objects."""
        return f"{self.host.removesuffix('.example')}/"

    @property
    def host(self) -> str:
        """Its host."""
        words = "".join(letter if letter.isalnum() else " " for letter in self.name.lower())
        return f"{'-'.join(words.split())}.example"


SCENES: list[Scene] = []


def scene(**how: Any) -> Callable[[Play], Play]:
    """Add a scene to the suite, under its function's name."""

    def add(play: Play) -> Play:
        SCENES.append(Scene(play.__name__.replace("_", " "), play, **how))
        return play

    return add


class World:
    """What the scenes of one run share."""

    def __init__(
        self, server: SeaweedFS, folder: Path, ranges: Path, seed: int, *, long: bool
    ) -> None:
        """Use an S3 server that runs, a folder for files, a list of prefixes and a seed."""
        self._server, self._folder, self._ranges = server, folder, ranges
        self._seed, self._long = seed, long
        self._networks = Networks.of(ranges)
        self._stack = AsyncExitStack()
        self._certificates: dict[str, Tls] = {}
        self._feed: Feed | None = None
        self._running: list[Running] = []
        self._s3: Any = None

    async def stages(self, scenes: Iterable[Scene]) -> list[Stage]:
        """The stages of some scenes, with the products running."""
        scenes = list(scenes)
        self._make_certificates()
        self._s3 = await self._stack.enter_async_context(self._server.client())
        for name in (ORIGIN, TARGET):
            await make_bucket(self._s3, name)
        await allow_anonymous(self._s3, TARGET)
        proxies = {each.name: await self._proxy(each) for each in scenes}
        if any(each.feed for each in scenes):
            self._feed = await self._stack.enter_async_context(Feed(self._ranges, free_port()))
        names = dict.fromkeys(each.product for each in scenes)
        products = {
            name: self._products(name, [each for each in scenes if each.product == name], proxies)
            for name in names
        }
        self._running += [one for pair in products.values() for one in pair if one is not None]
        await asyncio.gather(*(asyncio.to_thread(each.ready) for each in self._running))
        return [self._stage(each, proxies[each.name], *products[each.product]) for each in scenes]

    def _make_certificates(self) -> None:
        for name, host in {**CERTIFICATES, "front": "localhost"}.items():
            folder = self._folder / f"certificate-{name}"
            folder.mkdir()
            self._certificates[name] = make_certificate(folder, host)
        expire(self._certificates["expired"])
        trusted = [self._certificates[name] for name in ("good", "expired", "wrong")]
        texts = [each.certificate.read_text(encoding="ascii") for each in trusted]
        self._authorities.write_text("".join(texts), encoding="ascii")

    @property
    def _authorities(self) -> Path:
        return self._folder / "authorities.pem"

    async def _proxy(self, scene: Scene) -> FaultProxy:
        tls: ssl.SSLContext | None = None
        if scene.tls:
            tls = server_side(self._certificates[scene.tls])
        proxy = FaultProxy(self._server.endpoint, free_port(), tls=tls)
        return await self._stack.enter_async_context(proxy)

    def _products(
        self, name: str, scenes: list[Scene], proxies: Mapping[str, FaultProxy]
    ) -> tuple[Running, Running | None]:
        """A product with the sites of its scenes, and the main one's twin with HTTPS."""
        config: dict[str, Any] = {
            "sites": [self._site(each, proxies[each.name]) for each in scenes]
        }
        for each in scenes:
            config |= each.settings
        hostile = any(each.feed for each in scenes) and self._feed
        source = hostile.url if hostile else str(self._ranges)
        config["regions"] = {**config.get("regions", {}), "source": source}
        if name != MAIN:
            return self._product(name, config, None), None
        return self._product(name, config, None), self._product("secure", config, "front")

    def _product(self, name: str, config: dict[str, Any], certificate: str | None) -> Running:
        folder = self._folder / name
        folder.mkdir()
        environment = {
            "AWS_ACCESS_KEY_ID": self._server.access_key,
            "AWS_SECRET_ACCESS_KEY": self._server.secret_key,
            "SSL_CERT_FILE": str(self._authorities),
        }
        regions = {**config["regions"], "cache": str(folder / "ranges.json")}
        config = {**config, "regions": regions}
        product = Running(folder, config, environment)
        if certificate is not None:
            tls = self._certificates[certificate]
            files = {"certificate": str(tls.certificate), "key": str(tls.key)}
            listen = {"host": "127.0.0.1", "port": product.port, "workers": 2, "tls": files}
            product.write({**config, "listen": listen})
        return self._stack.enter_context(product)

    def _site(self, scene: Scene, between: FaultProxy) -> dict[str, Any]:
        origin = {"bucket": ORIGIN, "region": "us-east-1", "prefix": scene.folder}
        target = {"bucket": TARGET, "endpoint": self._server.endpoint, "prefix": scene.folder}
        second = [{**origin, "endpoint": self._server.endpoint}]
        more = {"failover": second} if scene.failover else {}
        return {
            **more,
            "hosts": [scene.host],
            "origin": {**origin, "endpoint": scene.endpoint or between.url},
            "targets": {WEST: target},
            "redirect": {"scheme": "http", "verify": "none", "came_back": "off"},
        }

    def _stage(
        self, scene: Scene, proxy: FaultProxy, product: Running, secure: Running | None
    ) -> Stage:
        work = self._folder / scene.host
        work.mkdir()
        return Stage(
            scene.host,
            ORIGIN,
            scene.folder,
            proxy,
            product,
            secure,
            client_side(self._certificates["front"]),
            self._s3,
            f"{self._seed} {scene.name}",
            self._long,
            work,
            lambda number: self._networks.address(WEST, number),
            self._feed if scene.feed else None,
        )

    async def close(self) -> None:
        """Stop the products and close the proxies."""
        await asyncio.gather(*(asyncio.to_thread(each.stop) for each in self._running))
        await self._stack.aclose()


@asynccontextmanager
async def world(
    server: SeaweedFS, folder: Path, ranges: Path, seed: int, *, long: bool
) -> AsyncIterator[World]:
    """A world; at its end all that it started has ended."""
    made = World(server, folder, ranges, seed, long=long)
    try:
        yield made
    finally:
        await made.close()
