"""A copy is compared with the origin alone, also while the origin is down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.behaviour.two_buckets import reason
from tests.bucketserver import BucketServer, until
from tests.build import FORWARDED, OUTSIDE, WEST, settings
from tests.serving import client_at
from tests.tuning import shorten_patience

if TYPE_CHECKING:
    import pytest

    from tests.serving import Serve

FROM, FROM_OUTSIDE = client_at(WEST), client_at(OUTSIDE)
OBJECTS = {f"{name}.tar.gz": name.encode() * 9 for name in "abc"}
WAIT = 2.0
"""``catalog.wait``: more than a request takes that does not wait for the origin."""


def site(origin: BucketServer, target: BucketServer, failover: BucketServer) -> Any:
    """A site that verifies copies."""
    return settings(
        site={
            "origin": origin.entry(),
            "failover": [failover.entry()],
            "targets": {"us-west-2": target.entry()},
            "redirect": {"verify": "match", "scheme": "http"},
        },
        client_address=FORWARDED,
        catalog={"wait": f"{WAIT}s"},
    )


async def test_an_object_that_was_not_verified_before_the_outage_is_streamed_without_a_wait(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_patience(monkeypatch, 1.0)
    async with BucketServer() as origin, BucketServer(**OBJECTS) as target:
        origin.mode = "hanging"
        async with serve(site(origin, target, target)) as served:
            asking = asyncio.create_task(served.get("/a.tar.gz", FROM_OUTSIDE))
            await until(lambda: origin.asked["GET", "a.tar.gz"] > 0)
            for seconds in (0, 2):
                served.pass_time(seconds)
            assert (await asking).status == 200
            assert ("*", "origin") in served.origins_down()
            began = asyncio.get_running_loop().time()
            for _ in range(3):
                answer = await served.get("/b.tar.gz", FROM)
                assert (answer.status, reason(answer)) == (200, "unverified")
                assert answer.body == OBJECTS["b.tar.gz"]
            assert asyncio.get_running_loop().time() - began < WAIT
        await origin.close()


async def test_a_copy_that_was_verified_before_the_outage_is_redirected_to(serve: Serve) -> None:
    async with (
        BucketServer(**OBJECTS) as origin,
        BucketServer(**OBJECTS) as target,
        serve(site(origin, target, target)) as served,
    ):
        assert reason(await served.get("/a.tar.gz", FROM)) == "in-region"
        origin.mode = "failing"
        for _ in range(7):
            assert (await served.get("/a.tar.gz", FROM_OUTSIDE)).status == 200
            assert reason(await served.get("/a.tar.gz", FROM)) == "in-region"
        assert ("*", "origin") in served.origins_down()


async def test_a_failover_bucket_teaches_nothing_about_the_versions_of_the_origin(
    serve: Serve,
) -> None:
    async with (
        BucketServer(**OBJECTS) as origin,
        BucketServer(**OBJECTS) as target,
        BucketServer(**OBJECTS) as failover,
        serve(site(origin, target, failover)) as served,
    ):
        body = OBJECTS["a.tar.gz"]
        failover.objects["a.tar.gz"] = body, "of-the-same-size"
        assert reason(await served.get("/a.tar.gz", FROM)) == "in-region"
        origin.mode = "failing"
        for _ in range(7):
            answer = await served.get("/a.tar.gz", FROM_OUTSIDE)
            assert (answer.status, answer.headers["etag"]) == (200, '"of-the-same-size"')
            assert reason(await served.get("/a.tar.gz", FROM)) == "in-region"
        assert served.count("nearbucket_origin_failovers_total", "*") == 7


async def test_a_version_that_was_verified_is_known_although_no_client_was_sent_it(
    serve: Serve,
) -> None:
    async with (
        BucketServer(**OBJECTS) as origin,
        BucketServer(**OBJECTS) as target,
        BucketServer(**OBJECTS) as failover,
        serve(site(origin, target, failover)) as served,
    ):
        failover.objects["a.tar.gz"] = b"an older version", "older"
        assert reason(await served.get("/a.tar.gz", FROM)) == "in-region"
        origin.mode = "failing"
        assert (await served.get("/a.tar.gz", FROM_OUTSIDE)).status == 503
        assert (await served.get("/b.tar.gz", FROM_OUTSIDE)).body == OBJECTS["b.tar.gz"]
