"""Where redirects lead: to the CDN, to signed URLs, and only to hosts that are listed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

import pytest

from tests.behaviour.two_buckets import FROM, OBJECTS, copies, reason
from tests.bucketserver import BucketServer
from tests.build import FORWARDED, OUTSIDE, settings
from tests.serving import client_at

if TYPE_CHECKING:
    from tests.conftest import LocalS3
    from tests.serving import Serve


async def test_what_has_no_target_can_be_sent_to_the_cdn(serve: Serve) -> None:
    site = {"bypass": {"mode": "redirect", "to": "https://cdn.example.com/files"}}
    async with copies(serve, {**OBJECTS, "a b.txt": b"x"}, site=site) as world:
        for _ in range(3):
            answer = await world.served.get("/a%20b.txt", client_at(OUTSIDE))
            assert answer.status == 301
            assert answer.headers["location"] == "https://cdn.example.com/files/a%20b.txt"
            assert answer.headers["cache-control"] == "private, no-store"
            assert answer.headers["x-nearbucket"] == "redirect; region=UNKNOWN; reason=outside-aws"
        assert await world.ask() == "in-region"
        for fields, why in (
            (["Authorization: x"], "outside-aws"),
            (["X-No-Redirect: 1"], "outside-aws"),
        ):
            answer = await world.served.get("/a%20b.txt", client_at(OUTSIDE), *fields)
            assert (answer.status, answer.body, reason(answer)) == (200, b"x", why)
        labels = ("*", "outside", "outside-aws")
        assert world.served.count("nearbucket_bypasses_total", *labels) == 5
        answer = await world.served.get("/a%20b.txt?redirect=no", client_at(OUTSIDE))
        assert answer.status == 200


async def test_the_hosts_that_clients_may_be_sent_to_are_listed(serve: Serve) -> None:
    site = {"bypass": {"mode": "redirect", "to": "https://cdn.example.com"}}
    path = "/.well-known/nearbucket-hosts.json"
    async with copies(serve, OBJECTS, site=site) as world:
        answer = await world.served.get(path)
        assert answer.status == 200
        assert answer.headers["content-type"] == "application/json; charset=utf-8"
        hosts = ["cdn.example.com", f"127.0.0.1:{world.target.port}"]
        assert json.loads(answer.body) == {"hosts": sorted(hosts)}
        assert world.served.count("nearbucket_refusals_total", "well-known") == 1
    async with copies(serve, OBJECTS, listen={"well_known": False}) as world:
        assert (await world.served.get(path)).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_signed_location_opens_a_private_bucket(
    serve: Serve, s3: LocalS3, method: str, tmp_path: Any
) -> None:
    entry = s3.entry(s3.private).model_dump(exclude={"query"})
    site = {
        "origin": s3.entry(s3.private).model_dump(),
        "targets": {"us-west-2": {**entry, "region": "us-east-1"}},
        "redirect": {
            "verify": "match",
            "scheme": "http",
            "presign": "15m",
            "paths": ["*"],
            "head": "redirect",
        },
    }
    log = tmp_path / "log"
    with log.open("wb") as sink:
        chosen = settings(site=site, client_address=FORWARDED, catalog={"wait": "5s"})
        async with serve(chosen, log=sink.fileno()) as served:
            for _ in range(3):
                answer = await served.get("/a+b%20c%25.txt", FROM, method=method)
                assert (answer.status, reason(answer)) == (301, "in-region")
            location = answer.headers["location"]
            assert "X-Amz-Signature=" in location
            assert "X-Amz-Expires=900" in location
            opened = await asyncio.to_thread(_open, location, method)
            assert opened == (s3.objects["a+b c%.txt"] if method == "GET" else b"")
    assert log.read_bytes().count(b"in-region") == 3
    assert b"X-Amz" not in log.read_bytes()


def _open(url: str, method: str) -> bytes:
    with urlopen(Request(url, method=method), timeout=10) as response:  # noqa: S310  # http, ours
        found: bytes = response.read()
        return found


async def test_what_cannot_be_signed_is_streamed(serve: Serve) -> None:
    keys = {"access_key_file": "/nowhere/a", "secret_key_file": "/nowhere/b"}
    redirect = {"presign": "15m", "verify": "none"}
    async with BucketServer() as private:
        site = {"targets": {"us-west-2": private.entry(credentials=keys)}}
        async with copies(serve, OBJECTS, site=site, redirect=redirect) as world:
            assert await world.ask() == "unverified"


def test_who_signs_nothing_cannot_presign() -> None:
    with pytest.raises(ValueError, match="needs credentials, but those of targets"):
        settings(
            site={
                "origin": {
                    "bucket": "downloads",
                    "region": "us-east-1",
                    "credentials": "anonymous",
                },
                "redirect": {"presign": "15m"},
            }
        )
