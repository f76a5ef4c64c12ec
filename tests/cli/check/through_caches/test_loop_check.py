"""Every way in which ``bypass.to`` leads back to the proxy is found, by real servers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from nearbucket.cli.check.through_caches.loop_check import loop_finding
from nearbucket.s3.http_session import client_session
from tests.bucketserver import BUCKET, BucketServer
from tests.build import FORWARDED, WEST, settings
from tests.cli.check.through_caches.front import OF_PROXY, Front
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nearbucket.cli.check.finding import Finding

OBJECTS = {"a.tar.gz": b"the object"}


class World:
    """A worker, its bucket, and a CDN in front of the worker to which it redirects."""

    def __init__(self, chosen: Any, cdn: Front, bucket: BucketServer) -> None:
        self.chosen, self.cdn, self.bucket = chosen, cdn, bucket

    async def found(self, to: str | None = None) -> Finding:
        async with client_session() as session:
            return await loop_finding(session, self.chosen, "p", to or self.cdn.url, "a.tar.gz")


@asynccontextmanager
async def world(**redirect: Any) -> AsyncIterator[World]:
    async with BucketServer(**OBJECTS) as bucket, Front() as cdn:
        chosen = settings(
            site={
                "origin": bucket.entry(),
                "targets": {"us-west-2": bucket.entry()},
                "redirect": {"scheme": "http", **redirect},
                "bypass": {"mode": "redirect", "to": cdn.url},
            },
            client_address=FORWARDED,
        )
        async with serving(chosen) as served:
            cdn.origin = f"http://127.0.0.1:{served.port}"
            yield World(chosen, cdn, bucket)


STRIPS = pytest.mark.parametrize("strips", [(), OF_PROXY], ids=["fields pass", "fields do not"])


@STRIPS
async def test_a_cdn_with_the_proxy_as_its_origin_is_a_loop(strips: tuple[str, ...]) -> None:
    async with world() as made:
        made.cdn.forwards_host, made.cdn.strips = False, strips
        found = await made.found()
    assert (found.level, found.about) == ("wrong", "bypass")
    assert found.text.endswith("(loop)")


@STRIPS
async def test_a_cdn_that_forwards_host_is_a_loop_though_it_gets_the_object(
    strips: tuple[str, ...],
) -> None:
    async with world() as made:
        made.cdn.strips = strips
        assert (await made.found()).level == "wrong"


@STRIPS
@pytest.mark.parametrize("forwards_host", [True, False])
async def test_a_loop_is_found_from_a_region_with_a_target(
    strips: tuple[str, ...], *, forwards_host: bool
) -> None:
    async with world() as made:
        made.cdn.forwards_host, made.cdn.strips, made.cdn.client = forwards_host, strips, WEST
        assert (await made.found()).level == "wrong"


@STRIPS
async def test_a_redirect_for_a_region_that_a_cdn_has_kept_is_a_loop(
    strips: tuple[str, ...],
) -> None:
    async with world() as made:
        made.cdn.strips, made.cdn.keeps, made.cdn.client = strips, True, WEST
        await made.found()  # by which it is kept
        made.cdn.client = ""
        assert (await made.found()).level == "wrong"


@STRIPS
async def test_a_loop_is_found_before_redirects_are_switched_on(strips: tuple[str, ...]) -> None:
    async with world(mode="off") as made:
        made.cdn.strips = strips
        assert (await made.found()).level == "wrong"


@STRIPS
async def test_a_loop_is_found_behind_another_redirect(strips: tuple[str, ...]) -> None:
    async with world() as made, Front() as first:
        made.cdn.forwards_host, made.cdn.strips = False, strips
        first.moves_to = f"{made.cdn.url}/a.tar.gz"
        found = await made.found(first.url)
    assert found.level == "wrong"
    assert made.cdn.url in found.text


async def test_a_redirect_to_a_host_of_the_configuration_is_a_loop() -> None:
    async with world() as made, Front() as first:
        first.moves_to = "http://dl.example/a.tar.gz"
        made.chosen = settings(site={"hosts": ["dl.example"]})
        found = await made.found(first.url)
    assert (found.level, "leads back to this proxy" in found.text) == ("wrong", True)


async def test_two_urls_that_lead_to_each_other_are_a_loop() -> None:
    async with world() as made, Front() as first, Front() as second:
        first.moves_to, second.moves_to = f"{second.url}/a.tar.gz", f"{first.url}/a.tar.gz"
        assert (await made.found(first.url)).level == "wrong"


async def test_a_cdn_with_the_bucket_as_its_origin_is_good() -> None:
    async with world() as made, Front() as moved:
        made.cdn.origin = f"{made.bucket.endpoint}/{BUCKET}"
        found = await made.found()
        assert (found.level, found.text) == ("ok", f"{made.cdn.url}/a.tar.gz answers 200")
        moved.moves_to = f"{made.cdn.url}/a.tar.gz"  # as from http: to https:
        assert (await made.found(moved.url)).level == "ok"


async def test_what_no_client_gets_is_a_warning(unused_tcp_port: int) -> None:
    async with world() as made, Front() as first:
        made.cdn.origin = f"{made.bucket.endpoint}/{BUCKET}/elsewhere"
        found = await made.found()
        assert (found.level, found.text) == ("warning", f"{made.cdn.url}/a.tar.gz answers 404")
        found = await made.found(f"http://127.0.0.1:{unused_tcp_port}")
        assert (found.level, "cannot be reached" in found.text) == ("warning", True)
        first.moves_to = f"http://127.0.0.1:{unused_tcp_port}/x"
        found = await made.found(first.url)
        assert (found.level, "cannot be reached" in found.text) == ("warning", True)


@pytest.mark.parametrize(
    "location",
    [None, "", "http://[::1", "http://[odd]/", "http://cdn.example:99999/"],
    ids=["no Location", "empty", "half an address", "no address", "no port"],
)
async def test_a_redirect_that_leads_nowhere_is_a_warning_and_no_loop(location: str | None) -> None:
    async def moved(_: web.BaseRequest) -> web.Response:
        fields = {} if location is None else {"Location": location}
        return web.Response(status=301, headers=fields)  # as S3 for a bucket in another region

    server = web.ServerRunner(web.Server(moved))
    await server.setup()
    try:
        await web.TCPSite(server, "127.0.0.1", 0).start()
        to = f"http://127.0.0.1:{server.addresses[0][1]}"
        async with client_session() as session:
            found = await loop_finding(session, settings(), "p", to, "a.tar.gz")
    finally:
        await server.cleanup()
    assert (found.level, found.text) == ("warning", f"{to}/a.tar.gz answers 301")


async def test_redirects_without_an_end_are_a_warning() -> None:
    async def further(request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{request.path}a"})

    runner = web.ServerRunner(web.Server(further))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with world() as made:
            found = await made.found(f"http://127.0.0.1:{runner.addresses[0][1]}")
    finally:
        await runner.cleanup()
    assert (found.level, "more than 5 redirects" in found.text) == ("warning", True)
