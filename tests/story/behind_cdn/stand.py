"""The product behind a CDN, with an origin bucket and one in each of two regions."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.cdn.edge import Edge
from tests.e2e.running import Running, free_port, keys_of
from tests.s3server import allow_anonymous, make_bucket
from tests.storing import store
from tests.story.behind_cdn.designs import DESIGNS, SECRET_HEADER, SUFFIX, Design, second
from tests.story.behind_cdn.visitors import EAST, WEST, Visitors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.conftest import LocalS3

RANGES = Path(__file__).resolve().parents[3] / "config/ip-ranges.sample.json"
ORIGIN = "cdn-origin"
TARGETS = {EAST: "cdn-us-east-1", WEST: "cdn-us-west-2"}
SECRET = "a secret that only the CDN sends"

STREAM, BYPASS = "stream.example", "bypass.example"
"""Hosts of the two sites: one streams what it does not redirect to a target, the other redirects it
to the second distribution."""

FRONT = "localhost"
"""Another host of the first one, by which a command finds the CDN."""


@dataclass
class Product:
    """The running product.

    Attributes:
        s3: The S3 server.
        running: Its process.
        second_port: Port of the second distribution.
        values: The origin secrets that it accepts.
        redirect: Settings of the section ``redirect``.
    """

    s3: LocalS3
    running: Running
    second_port: int
    values: tuple[str, ...] = (SECRET,)
    redirect: tuple[tuple[str, Any], ...] = ()

    def config(self) -> dict[str, Any]:
        """Its configuration."""
        second_url = f"http://127.0.0.1:{self.second_port}"
        bypasses = {STREAM: {}, BYPASS: {"mode": "redirect", "to": second_url}}
        secrets = [self._secret_file(value) for value in self.values]
        return {
            "client_address": {
                "from": "cloudfront-viewer-address",
                "trusted_proxies": ["loopback"],
                "origin_secret": {"header": SECRET_HEADER, "values": secrets},
            },
            "regions": {"source": str(RANGES), "cache": str(self._folder / "ranges.json")},
            "sites": [self._site(host, bypass) for host, bypass in bypasses.items()],
        }

    @property
    def _folder(self) -> Path:
        return self.running.config.parent

    def _secret_file(self, value: str) -> str:
        file = self._folder / hashlib.sha256(value.encode()).hexdigest()[:8]
        file.write_text(value, encoding="utf-8")
        return f"file:{file}"

    def _site(self, host: str, bypass: dict[str, str]) -> dict[str, Any]:
        def bucket(name: str, region: str) -> dict[str, str]:
            return {"bucket": name, "region": region, "endpoint": self.s3.server.endpoint}

        return {
            "hosts": [host, *([FRONT] if host == STREAM else ())],
            "origin": bucket(ORIGIN, EAST),
            "targets": {region: bucket(name, region) for region, name in TARGETS.items()},
            "redirect": {"paths": [SUFFIX], "scheme": "http", **dict(self.redirect)},
            "bypass": bypass,
        }

    async def change(self, values: tuple[str, ...] | None = None, **redirect: Any) -> None:
        """Use other secrets or settings of ``redirect`` in all workers."""
        wanted = values or self.values, tuple(redirect.items())
        if wanted == (self.values, self.redirect):
            return
        self.values, self.redirect = wanted
        name = 'nearbucket_config_reloads_total{result="applied"}'
        before = (await asyncio.to_thread(self.running.figures)).get(name, 0.0)
        self.running.write(self.config())
        sample = f"{name} {before + 1}"
        await asyncio.to_thread(self.running.until, "/metrics", lambda _, text: sample in text)


def running_product(folder: Path, s3: LocalS3) -> Iterator[Product]:
    """The product, ready."""
    running = Running(folder, {}, keys_of(s3))
    product = Product(s3, running, free_port())
    running.write(product.config())
    with ExitStack() as stack:
        stack.enter_context(running)
        running.ready()
        yield product


async def make_buckets(s3: LocalS3) -> None:
    """Make the buckets that it is configured with."""
    async with s3.server.client() as client:
        for name in (ORIGIN, *TARGETS.values()):
            await make_bucket(client, name)
            await allow_anonymous(client, name)


@dataclass
class Stand:
    """The product behind one design.

    Attributes:
        design: The design.
        product: The product.
        edge: An edge of the distribution.
        second: An edge of the second distribution.
        visitors: Who ask.
    """

    design: Design
    product: Product
    edge: Edge
    second: Edge
    visitors: Visitors

    async def put(self, key: str, body: bytes) -> None:
        """Upload a version of an object to the origin and the targets."""
        await self.put_into(key, body, ORIGIN, *TARGETS.values())

    async def put_into(self, key: str, body: bytes, *buckets: str) -> None:
        """Upload a version of an object to some buckets."""
        for bucket in buckets:
            await store(self.product.s3.server, bucket, {key: body})


def bucket_url(s3: LocalS3, bucket: str = ORIGIN) -> str:
    """URL of a bucket."""
    return f"{s3.server.endpoint}/{bucket}"


@asynccontextmanager
async def behind(design: Design, product: Product) -> AsyncIterator[Stand]:
    """The product behind a design, whose caches are empty."""
    s3 = product.s3
    url = f"http://127.0.0.1:{product.running.port}"
    edge = Edge(design.distribution(url, bucket_url(s3), product.values[0]))
    other = Edge(second(bucket_url(s3)))
    async with AsyncExitStack() as stack:
        await edge.open()
        stack.push_async_callback(edge.close)
        if design.bypass:
            await other.open(port=product.second_port)
            stack.push_async_callback(other.close)
        session = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        places = {bucket_url(s3, name): region for region, name in TARGETS.items()}
        host = BYPASS if design.bypass else STREAM
        second_url = f"http://127.0.0.1:{product.second_port}"
        visitors = Visitors(session, edge.url, host, {**places, second_url: "second"})
        yield Stand(design, product, edge, other, visitors)


@asynccontextmanager
async def behind_all(product: Product) -> AsyncIterator[list[Stand]]:
    """The product behind each design, at the same time."""
    async with AsyncExitStack() as stack:
        made = [behind(design, product) for design in DESIGNS.values()]
        yield [await stack.enter_async_context(each) for each in made]
