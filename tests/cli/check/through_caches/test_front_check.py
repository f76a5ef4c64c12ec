"""What ``check --front`` finds out about the CDN in front of the proxy, by real servers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.cli.check.through_caches.front_check import front_findings, site_of
from nearbucket.s3.http_session import client_session
from tests.bucketserver import BUCKET, BucketServer
from tests.build import OUTSIDE, WEST, settings
from tests.cli.check.through_caches.front import Front
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nearbucket.cli.check.finding import Finding

SECRET = {"client_address": {"from": "x-forwarded-for", "origin_secret": {"values": ["right"]}}}
PROXIED = {"client_address": {"from": "x-forwarded-for", "trusted_proxies": ["loopback"]}}


class World:
    """A worker, its bucket, and the front."""

    def __init__(self, chosen: Any, front: Front, bucket: BucketServer) -> None:
        self.chosen, self.front, self.bucket = chosen, front, bucket

    async def findings(self) -> list[Finding]:
        """The findings."""
        async with client_session() as session:
            site = site_of(self.chosen, self.front.url)
            found = await front_findings(session, site, self.front.url, "a.tar.gz")
        assert {finding.place for finding in found} == {"front"}
        return found

    async def found(self) -> list[tuple[str, str]]:
        """Level and text of each finding."""
        return [(str(each.level), f"{each.text}; {each.fix}") for each in await self.findings()]

    async def problem(self) -> str:
        """The text of what is wrong, the only finding."""
        ((level, text),) = await self.found()
        assert level == "wrong"
        return text


@asynccontextmanager
async def world(sections: Any = None, **site: Any) -> AsyncIterator[World]:
    async with BucketServer(**{"a.tar.gz": b"the object"}) as bucket, Front() as front:
        chosen = settings(
            site={"origin": bucket.entry(), "targets": {"us-west-2": bucket.entry()}}
            | site
            | {"redirect": {"scheme": "http", **site.get("redirect", {})}},
            **(sections or PROXIED),
        )
        async with serving(chosen) as served:
            front.origin = f"http://127.0.0.1:{served.port}"
            yield World(chosen, front, bucket)


async def test_a_good_front_is_ok_and_from_outside_says_what_cannot_be_seen() -> None:
    async with world() as made:
        (good, text), (note, why) = await made.found()
    assert (good, note) == ("ok", "note")
    assert "reason=outside-aws" in text
    assert "in the region of a target" in why


@pytest.mark.parametrize("client", [WEST, OUTSIDE])
async def test_a_good_front_is_ok_where_clients_are_redirected(client: str) -> None:
    bypass = {"mode": "redirect", "to": "https://cdn.example"}
    async with world(bypass=bypass) as made:
        made.front.client = client
        assert [level for level, _ in await made.found()] == ["ok"]


@pytest.mark.parametrize("client", [WEST, OUTSIDE])
async def test_a_front_that_keeps_answers_is_wrong(client: str) -> None:
    async with world() as made:
        made.front.client, made.front.keeps = client, True
        assert "is kept by the front" in await made.problem()
        made.front.strips = ("X-Nearbucket", "Server")
    async with world() as made:
        made.front.keeps, made.front.strips = True, ("X-Nearbucket", "Server")
        assert "by the front from its cache, not by the proxy" in await made.problem()


async def test_a_front_that_asks_the_bucket_is_wrong() -> None:
    async with world() as made:
        made.front.origin = f"{made.bucket.endpoint}/{BUCKET}"
        text = await made.problem()
    assert "is answered by the front, not by the proxy (200)" in text
    assert "redirect.paths" in text


async def test_a_front_that_does_not_forward_host_to_a_site_that_names_hosts_is_wrong() -> None:
    async with world(hosts=["localhost"]) as made:
        made.front.url = made.front.url.replace("127.0.0.1", "localhost")
        assert [level for level, _ in await made.found()] == ["ok", "note"]
        made.front.forwards_host = False
        text = await made.problem()
    assert "answers 421" in text
    assert "forward the viewer's Host" in text


async def test_a_front_with_another_secret_or_without_the_client_is_wrong() -> None:
    async with world(SECRET) as made:
        made.front.adds = {"X-Origin-Verify": "wrong"}
        assert "another origin secret" in await made.problem()
        made.front.adds, made.front.client = {"X-Origin-Verify": "right"}, ""
        text = await made.problem()
    assert "does not say which client asks" in text
    assert "CloudFront-Viewer-Address" in text


async def test_a_front_that_changes_cache_control_is_wrong_unless_that_is_asked_for() -> None:
    async with world() as made:
        made.front.says = {"Cache-Control": "public, max-age=60"}
        assert "without private in Cache-Control" in await made.problem()
    async with world(bypass={"cache_control": "origin"}) as made:
        assert [level for level, _ in await made.found()] == ["ok", "note"]


async def test_a_front_that_drops_opt_outs_is_warned_of() -> None:
    async with world() as made:
        made.front.client, made.front.forwards, made.front.forwards_query = WEST, {"range"}, False
        found = await made.found()
    assert [level for level, _ in found] == ["ok", "warning", "warning"]
    assert "does not pass x-no-redirect on" in found[1][1]
    assert "does not pass ?redirect=no on" in found[2][1]


async def test_a_front_that_forwards_cookies_is_warned_of_unless_they_do_not_count() -> None:
    async with world() as made:
        made.front.client, made.front.forwards = WEST, {*made.front.forwards, "cookie"}
        _, (level, text) = await made.found()
        assert level == "warning"
        assert "_ga" in text
        assert "redirect.cookies" in text
    async with world(redirect={"cookies": ["session*"]}) as made:
        made.front.client, made.front.forwards = WEST, {*made.front.forwards, "cookie"}
        assert [level for level, _ in await made.found()] == ["ok"]


async def test_a_front_that_cannot_be_reached_is_not_a_passed_check(unused_tcp_port: int) -> None:
    async with world() as made:
        made.front.url = f"http://127.0.0.1:{unused_tcp_port}"
        (finding,) = await made.findings()
    assert (finding.level, finding.reached) == ("wrong", False)
    assert "cannot be reached" in finding.text


def test_the_site_is_that_of_the_host_or_the_one_for_all_hosts() -> None:
    chosen = settings(site={"hosts": ["a.example"]}, more=[_site("b.example"), _site("*")])
    names = [site_of(chosen, f"https://{host}").name for host in ("b.example", "c.example")]
    assert names == ["b.example", "*"]
    assert site_of(settings(site={"hosts": ["a.example"]}), "https://c").name == "a.example"


def _site(host: str) -> dict[str, Any]:
    return {"hosts": [host], "origin": {"bucket": "downloads", "region": "us-east-1"}}
