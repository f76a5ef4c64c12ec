"""What passes from the origin shows which version it has: an older copy is not redirected to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.behaviour.test_copies import OBJECTS, PATH, copies, reason
from tests.bucketserver import until
from tests.build import OUTSIDE
from tests.serving import client_at

if TYPE_CHECKING:
    from tests.behaviour.test_copies import Copies, Serve

OTHER = client_at(OUTSIDE)
NEW = (b"the new object", "new")


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
