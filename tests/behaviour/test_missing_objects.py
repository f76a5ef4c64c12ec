"""Objects that the origin does not have cost one request to S3 a second, and uploads show soon."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.bucketserver import BucketServer, until
from tests.build import EAST, FORWARDED, OUTSIDE, settings
from tests.serving import client_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.serving import Client, Serve, Served

KEY = "none.tar.gz"
WAYS = {
    "from outside AWS": [client_at(OUTSIDE)],
    "in a region with a target": [client_at(EAST)],
    "for a byte": [client_at(OUTSIDE), "Range: bytes=0-0"],
    "from a browser": [client_at(OUTSIDE), "Origin: https://a.example"],
}


@asynccontextmanager
async def without_objects(serve: Serve) -> AsyncIterator[tuple[Served, BucketServer]]:
    """A worker of a site whose copies are compared, and its origin, which is empty."""
    async with (
        BucketServer() as origin,
        BucketServer() as target,
        serve(settings_of(origin, target)) as served,
    ):
        yield served, origin


def settings_of(origin: BucketServer, target: BucketServer) -> Any:
    """A site whose copies are compared."""
    site = {
        "origin": origin.entry(),
        "targets": {"us-east-1": target.entry()},
        "redirect": {"verify": "match", "scheme": "http", "watch": False},
    }
    return settings(site=site, client_address=FORWARDED)


@pytest.mark.parametrize("way", WAYS)
async def test_a_missing_object_is_requested_once_and_its_upload_shows_within_two_seconds(
    serve: Serve, way: str
) -> None:
    fields = WAYS[way]
    async with without_objects(serve) as (served, origin):
        client = await served.connect()
        for _ in range(40):
            answer = await client.get(f"/{KEY}", *fields)
            assert answer.status == 404
            assert answer.headers["cache-control"] == "no-store"
        # on a slow machine the second may be over before the last of them
        assert origin.asked["GET", KEY] + origin.asked["HEAD", KEY] <= 4
        origin.objects[KEY] = (b"x", "etag")
        statuses = []
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (status := (await client.get(f"/{KEY}", *fields)).status) == 404:
            statuses.append(status)
            await asyncio.sleep(0.02)
        assert status in {200, 206}
        assert loop.time() - began < 2.5


async def test_a_head_and_a_get_learn_of_a_missing_object_from_each_other(serve: Serve) -> None:
    async with without_objects(serve) as (served, origin):
        client = await served.connect()
        for first, second in (("GET", "HEAD"), ("HEAD", "GET")):
            path, field = f"/{first}.txt", client_at(OUTSIDE)
            assert (await client.get(path, field, method=first)).status == 404
            requests = origin.asked.total()  # after a HEAD, a GET tells whether there is a bucket
            assert (await client.get(path, field, method=second)).status == 404
            assert origin.asked.total() == requests


async def test_one_request_asks_again_while_the_others_get_the_404(serve: Serve) -> None:
    async with without_objects(serve) as (served, origin):
        field = client_at(OUTSIDE)
        clients = [await served.connect() for _ in range(8)]
        assert (await clients[0].get("/a.txt", field)).status == 404
        origin.gate.clear()
        asking = asyncio.ensure_future(_renewed(clients[0], field))
        await until(lambda: origin.asked["GET", "a.txt"] == 2)
        for client in clients[1:]:
            assert (await client.get("/a.txt", field)).status == 404
        assert origin.asked["GET", "a.txt"] == 2
        origin.gate.set()
        await asking


async def _renewed(client: Client, field: str) -> None:
    for _ in range(60):
        assert (await client.get("/a.txt", field)).status == 404
        await asyncio.sleep(0.02)


async def test_failures_of_the_origin_are_not_remembered(serve: Serve) -> None:
    async with without_objects(serve) as (served, origin):
        client = await served.connect()
        assert (await client.get("/a.txt", client_at(OUTSIDE))).status == 404
        origin.mode = "failing"
        assert (await client.get("/b.txt", client_at(OUTSIDE))).status == 503
        origin.mode = "fine"
        origin.objects["b.txt"] = (b"x", "etag")
        assert (await client.get("/b.txt", client_at(OUTSIDE))).status == 200
