"""A client that names ETags: it gets 304, or a copy that has the one it names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.behaviour.two_buckets import FROM, OBJECTS, PATH, SAVED, copies, reason

if TYPE_CHECKING:
    from tests.serving import Serve

CHECKSUM = {
    "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=", "x-amz-checksum-type": "FULL_OBJECT",
    "Last-Modified": "Wed, 01 Jan 2020 00:00:00 GMT",
}  # fmt: skip


async def test_shadow_counts_no_client_that_resumes_by_an_etag_that_the_copy_lacks(
    serve: Serve,
) -> None:
    async with copies(serve, OBJECTS, redirect={"mode": "shadow"}) as world:
        for bucket in (world.origin, world.target):
            bucket.headers["a.tar.gz"] = CHECKSUM
        world.target.objects["a.tar.gz"] = (OBJECTS["a.tar.gz"], "copy")
        for fields in (['If-Match: "etag-10"'], ["Range: bytes=4-", 'If-Range: "etag-10"']):
            assert reason(await world.served.get(PATH, FROM, *fields)) == "other-etag"
        assert reason(await world.served.get(PATH, FROM)) == "shadow"
        shadow = "nearbucket_shadow_bytes_total", "*", "us-west-2"
        await world.served.settled()
        assert world.served.count(*shadow) == len(OBJECTS["a.tar.gz"])


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        (['If-Match: "etag-10"'], "other-etag"),
        (["Range: bytes=4-", 'If-Range: "etag-10"'], "other-etag"),
        (["Range: bytes=4-", 'If-Range: "copy"'], "in-region"),
        (['If-Match: "copy"'], "in-region"),
        (['If-Match: "neither"'], "in-region"),
        (["Range: bytes=4-"], "in-region"),
    ],
)
async def test_a_client_that_resumes_by_the_origins_etag_is_not_sent_to_a_copy_with_another(
    serve: Serve, fields: list[str], answer: str
) -> None:
    """Whether or not a redirect of this or another object to such a client is cached."""
    async with copies(serve, {**OBJECTS, "b.tar.gz": b"b"}) as world:
        for bucket in (world.origin, world.target):
            bucket.headers["a.tar.gz"] = CHECKSUM
        world.target.objects["a.tar.gz"] = (OBJECTS["a.tar.gz"], "copy")
        for path in (PATH, "/b.tar.gz") * 3:
            assert reason(await world.served.get(path, FROM)) == "in-region"
        for path, expected in [("/b.tar.gz", "in-region")] * 3 + [(PATH, answer)] * 2:
            found = await world.served.get(path, FROM, *fields)
            assert reason(found) == expected
            assert (found.status == 301) is (expected == "in-region")


@pytest.mark.parametrize("cached", [1, 2])
@pytest.mark.parametrize(
    ("condition", "answer"),
    [
        ('If-None-Match: "etag-10"', "not-modified"),
        ('If-None-Match: "x", W/"etag-10"', "not-modified"),
        ("If-None-Match: *", "not-modified"),
        ('If-None-Match: "x"', "in-region"),
        ("If-Modified-Since: Mon, 01 Jan 2035 00:00:00 GMT", "in-region"),
        ('If-Match: "etag-10"', "in-region"),
    ],
)
async def test_a_client_that_has_the_version_gets_304_and_saves_nothing(
    serve: Serve, condition: str, answer: str, cached: int
) -> None:
    """Whether or not a redirect of the object is cached."""
    async with copies(serve, OBJECTS) as world:
        for _ in range(cached):
            assert await world.ask() == "in-region"
        saved = world.served.count(*SAVED)
        for _ in range(3):
            found = await world.served.get(PATH, FROM, condition)
            assert reason(found) == answer
            if answer == "not-modified":
                assert found.status == 304
                assert found.headers["etag"] == '"etag-10"'
                assert not found.headers.keys() & {"content-length", "location"}
        assert not world.origin.asked["GET", "a.tar.gz"]
        certain = 'None-Match: "x"' in condition and "W/" not in condition
        assert world.served.count(*SAVED) - saved == 3 * 10 * certain
        bypasses = world.served.count("nearbucket_bypasses_total", "*", "us-west-2", "not-modified")
        assert bypasses == 3 * (answer == "not-modified")
        saved = world.served.count(*SAVED)
        assert await world.ask() == "in-region"
        assert world.served.count(*SAVED) - saved == 10


async def test_a_condition_is_compared_with_each_object_that_its_client_asks_for(
    serve: Serve,
) -> None:
    async with copies(serve, {**OBJECTS, "b.tar.gz": b"another one"}) as world:
        for path in (PATH, "/b.tar.gz") * 3:  # until redirects are cached
            assert await world.ask(path) == "in-region"
        for _ in range(2):
            assert await world.ask("/b.tar.gz", 'If-None-Match: "etag-10"') == "in-region"
            assert await world.ask(PATH, 'If-None-Match: "etag-10"') == "not-modified"
