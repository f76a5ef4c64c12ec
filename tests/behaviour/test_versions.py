"""Responses of the origin show which version it has: an older copy is not redirected to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from tests.behaviour.two_buckets import OBJECTS, PATH, copies, reason
from tests.bucketserver import until
from tests.build import OUTSIDE, WEST
from tests.serving import client_at, head_of

if TYPE_CHECKING:
    from tests.behaviour.two_buckets import Copies
    from tests.serving import Serve

OTHER = client_at(OUTSIDE)
NEW = (b"the new object", "new")
TOLD = 0.3
"""Seconds after a change in which ranges are redirected until all workers know of it."""


async def show(world: Copies, *fields: str, method: str = "GET") -> int:
    """One request that is streamed from the origin; its status."""
    answer = await world.served.get(PATH, OTHER, *fields, method=method)
    assert reason(answer) == "outside-aws"
    return answer.status


@pytest.mark.parametrize(
    ("status", "method", "fields"),
    [
        pytest.param(200, "GET", [], id="the object"),
        pytest.param(200, "GET", ["Range: bytes=0-1"], id="a range"),
        pytest.param(200, "HEAD", [], id="its head"),
        pytest.param(304, "GET", ['If-None-Match: "new"'], id="its validators"),
    ],
)
async def test_a_response_of_the_origin_with_another_etag_ends_redirects_to_the_copy(
    serve: Serve, status: int, method: str, fields: list[str]
) -> None:
    async with copies(serve, OBJECTS) as world:
        assert await world.ask() == "in-region"
        world.origin.objects["a.tar.gz"] = NEW
        assert await world.ask() == "in-region"  # nothing has shown it
        assert await show(world, *fields, method=method) == status
        assert await world.ask() == "not-replicated"
        await until(lambda: world.target.asked["HEAD", "a.tar.gz"] == 2)


async def test_a_404_of_the_origin_ends_redirects_to_the_copy(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        assert await world.ask() == "in-region"
        del world.origin.objects["a.tar.gz"]
        assert await show(world) == 404
        assert (await world.served.get(PATH, client_at("198.51.100.7"))).status == 404


async def test_a_copy_that_has_the_new_version_is_redirected_to_again(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        assert await world.ask() == "in-region"
        world.origin.objects["a.tar.gz"] = world.target.objects["a.tar.gz"] = NEW
        await show(world)
        await until(lambda: world.target.asked["HEAD", "a.tar.gz"] == 2)
        assert await world.ask() == "in-region"


async def test_the_same_version_costs_no_request(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        assert await world.ask() == "in-region"
        for _ in range(3):
            await show(world)
            await show(world, "Range: bytes=0-1")
            await show(world, method="HEAD")
        assert await world.ask() == "in-region"
        assert world.origin.asked["HEAD", "a.tar.gz"] == 1 + 3  # the HEADs of clients
        assert world.target.asked == {("HEAD", "a.tar.gz"): 1}


async def test_what_a_stream_has_shown_need_not_be_asked_for(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        await show(world)
        assert await world.ask() == "in-region"
        assert world.origin.asked == {("GET", "a.tar.gz"): 1}
        assert world.target.asked == {("HEAD", "a.tar.gz"): 1}


async def test_an_older_version_that_a_query_names_says_nothing(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as plain:
        entry = {**plain.origin.entry(), "query": ["versionId"]}
        async with copies(serve, OBJECTS, site={"origin": entry}) as world:
            assert await world.ask() == "in-region"
            plain.origin.objects["a.tar.gz"] = NEW  # as if the argument had chosen it
            assert (await world.served.get(f"{PATH}?versionId=1", OTHER)).body == NEW[0]
            assert await world.ask() == "in-region"


async def test_the_missing_ranges_of_a_download_are_of_the_version_that_the_others_had(
    serve: Serve,
) -> None:
    async with copies(serve, OBJECTS) as world:
        assert await world.ask(PATH, "Range: bytes=0-1") == "in-region"
        world.origin.objects["a.tar.gz"] = NEW
        await show(world)
        await asyncio.sleep(TOLD)
        assert await world.ask(PATH, "Range: bytes=2-3") == "in-region"
        assert await world.ask(PATH, "Range: bytes=4-") == "in-region"
        for number in (0, 2):  # a new download
            assert await world.ask(PATH, f"Range: bytes={number}-{number + 1}") == "not-replicated"
        assert await world.ask(PATH, "Range: bytes=4-") == "not-replicated"
        assert await world.ask() == "not-replicated"
        for part in ("4-", "0-1", "2-3"):  # of a client that had no range before
            assert (
                await world.ask(PATH, f"Range: bytes={part}", "User-Agent: x") == "not-replicated"
            )


@pytest.mark.parametrize("shown_before", [False, True])
async def test_ranges_after_a_head_are_of_the_version_that_it_showed(
    serve: Serve, *, shown_before: bool
) -> None:
    async with copies(serve, OBJECTS) as world:
        assert await world.ask() == "in-region"
        world.origin.objects["a.tar.gz"] = NEW
        if shown_before:  # a moment ago, to another client
            await show(world)
        head = await world.served.get(PATH, client_at(WEST), method="HEAD")
        assert (head.headers["content-length"], reason(head)) == (str(len(NEW[0])), "head")
        for part in ("0-1", "2-3"):
            assert await world.ask(PATH, f"Range: bytes={part}") == "not-replicated"


@pytest.mark.parametrize(
    "field",
    [
        'If-Match: "old"',
        'If-None-Match: "other"',
        'If-Range: "old"',
        "If-Modified-Since: Thu, 02 Jan 2020 00:00:00 GMT",
        "If-Unmodified-Since: Thu, 02 Jan 2020 00:00:00 GMT",
    ],
)
async def test_a_client_that_can_tell_the_versions_apart_gets_the_new_one_at_once(
    serve: Serve, field: str
) -> None:
    async with copies(serve, OBJECTS) as world:
        assert await world.ask(PATH, "Range: bytes=0-1") == "in-region"
        world.origin.objects["a.tar.gz"] = NEW
        await show(world)
        assert await world.ask(PATH, "Range: bytes=2-3", field) == "not-replicated"
        assert await world.ask(PATH, "Range: bytes=2-3") == "in-region"


@pytest.mark.parametrize("redirect", [{"mode": "shadow"}, {"min_size": 11}])
async def test_what_is_not_redirected_is_not_redirected_to_the_older_copy_either(
    serve: Serve, redirect: dict[str, Any]
) -> None:
    async with copies(serve, OBJECTS, redirect=redirect) as world:
        before = await world.ask(PATH, "Range: bytes=0-1")
        assert before == redirect.get("mode", "small")
        world.origin.objects["a.tar.gz"] = NEW
        await show(world)
        for part in ("2-3", "0-1", "4-"):
            assert await world.ask(PATH, f"Range: bytes={part}") != "in-region"


async def test_so_are_they_if_the_new_version_is_too_small_to_be_redirected(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect={"min_size": 10}) as world:
        assert await world.ask(PATH, "Range: bytes=0-1") == "in-region"
        world.origin.objects["a.tar.gz"] = (b"small", "small")
        await show(world)
        await asyncio.sleep(TOLD)
        assert await world.ask(PATH, "Range: bytes=2-3") == "in-region"
        assert await world.ask() == "small"


async def test_the_range_of_a_head_does_not_count(serve: Serve) -> None:
    async with copies(serve, OBJECTS, redirect={"head": "redirect"}) as world:
        assert await world.ask(PATH, "Range: bytes=0-1") == "in-region"
        world.origin.objects["a.tar.gz"] = NEW
        await show(world)
        answer = await world.served.get(PATH, client_at(WEST), "Range: bytes=2-3", method="HEAD")
        assert (answer.status, reason(answer)) == (200, "not-replicated")


async def test_a_new_download_waits_for_the_others_behind_its_address(serve: Serve) -> None:
    async with copies(serve, OBJECTS) as world:
        for part in ("0-1", "2-3", "0-1"):  # two downloads, of which one misses a range
            assert await world.ask(PATH, f"Range: bytes={part}") == "in-region"
        world.origin.objects["a.tar.gz"] = NEW
        await show(world)
        await asyncio.sleep(TOLD)
        client = await world.served.connect()
        before = handovers(world)
        await client.send(head_of(PATH, client_at(WEST), "Range: bytes=0-1"))
        await until(lambda: handovers(world) > before)
        assert await world.ask(PATH, "Range: bytes=2-3") == "in-region"
        assert reason(await client.answer()) == "not-replicated"


async def test_a_range_whose_check_takes_too_long_is_of_the_version_that_the_others_had(
    serve: Serve,
) -> None:
    redirect = {"verify_ttl": "100ms"}
    async with copies(serve, OBJECTS, redirect=redirect, catalog={"wait": "50ms"}) as world:
        await until_redirected(world)
        before = world.origin.asked["GET", "a.tar.gz"]  # on a slow machine the first is streamed
        world.origin.head_gate.clear()
        world.origin.objects["a.tar.gz"] = NEW
        await asyncio.sleep(0.15)  # so that the check is too old
        assert await world.ask(PATH, "Range: bytes=2-3") == "in-region"
        assert (
            world.origin.asked["GET", "a.tar.gz"] == before + 1
        )  # which has shown the new version
        assert await world.ask() == "not-replicated"


async def test_a_range_whose_check_takes_too_long_is_not_decided_twice(serve: Serve) -> None:
    """A second decision would count as another try of a client that does not get through."""
    redirect = {"verify_ttl": "100ms"}
    async with copies(serve, OBJECTS, redirect=redirect, catalog={"wait": "50ms"}) as world:
        await until_redirected(world)
        world.origin.head_gate.clear()
        world.origin.objects["a.tar.gz"] = world.target.objects["a.tar.gz"] = NEW
        await asyncio.sleep(0.15)  # so that the check is too old
        assert await world.ask(PATH, "Range: bytes=2-3") == "unverified"
        while (reason := await world.ask(PATH, "Range: bytes=2-3")) == "unverified":
            pass  # on a slow machine the check is too old again
        assert reason == "in-region"  # the response showed it


def handovers(world: Copies) -> float:
    return sum(world.served.figures("nearbucket_handovers_total").values())


async def until_redirected(world: Copies) -> None:
    while await world.ask(PATH, "Range: bytes=0-1") != "in-region":  # noqa: ASYNC110
        await asyncio.sleep(0.01)
