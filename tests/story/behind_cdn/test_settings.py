"""What the settings of a distribution have to be: each row is one of ``docs/cdn.md``."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.cdn.distribution import ALL_VIEWER_AND_CLOUDFRONT, OriginRequestPolicy
from tests.command_server import Begun
from tests.story.behind_cdn.answers import BODY, designs, new_key, wrong
from tests.story.behind_cdn.designs import DESIGNS, UNSAFE, Design
from tests.story.behind_cdn.stand import FRONT, Product, Stand, behind
from tests.story.behind_cdn.visitors import CDN, EAST, OUTSIDE, REGIONS, WEST

if TYPE_CHECKING:
    from collections.abc import Mapping

UNCACHED = DESIGNS["uncached"]


def forward(stand: Stand, policy: OriginRequestPolicy) -> None:
    """Use another origin request policy."""
    made = stand.edge.distribution
    behaviours = tuple(replace(each, request=policy) for each in made.behaviours)
    stand.edge.distribution = replace(made, behaviours=behaviours)


async def test_without_host_in_the_policy_a_site_with_named_hosts_answers_421(
    product: Product,
) -> None:
    async with behind(UNCACHED, product) as stand:
        forward(stand, OriginRequestPolicy(("*",), query=True, viewer_address=True))
        got = [await stand.visitors.get(region, f"/{new_key()}") for region in REGIONS]
    assert {each.status for each in got} == {421}


async def test_without_viewer_address_in_the_policy_no_client_is_redirected(
    product: Product,
) -> None:
    async with behind(UNCACHED, product) as stand:
        key = new_key()
        await stand.put(key, BODY)
        forward(stand, OriginRequestPolicy(("*", "Host"), query=True))
        got = [await stand.visitors.get(region, f"/{key}") for region in REGIONS]
    assert {(each.place, each.status, each.reason) for each in got} == {
        (CDN, 200, "client-unknown")
    }


@pytest.mark.parametrize(
    ("policy", "reason"),
    [
        (OriginRequestPolicy(("*", "Host"), query=True, viewer_address=True), "in-region"),
        (ALL_VIEWER_AND_CLOUDFRONT, "credentials"),
    ],
    ids=["without cookies", "all viewer"],
)
async def test_a_cookie_that_is_forwarded_keeps_a_client_from_its_region(
    policy: OriginRequestPolicy, reason: str, product: Product
) -> None:
    async with behind(UNCACHED, product) as stand:
        key = new_key()
        await stand.put(key, BODY)
        forward(stand, policy)
        got = await stand.visitors.get(EAST, f"/{key}", {"Cookie": "_ga=GA1.2.3"})
    assert (got.reason, got.body) == (reason, BODY)


OPT_OUTS = [("?redirect=no", {}), ("", {"x-no-redirect": "1"})]


@designs
@pytest.mark.parametrize(("query", "fields"), OPT_OUTS, ids=["query", "header"])
async def test_an_opt_out_is_the_clients_alone(
    query: str, fields: Mapping[str, str], design: Design, product: Product
) -> None:
    async with behind(design, product) as stand:
        key = new_key()
        await stand.put(key, BODY)
        for region in REGIONS:
            got = await stand.visitors.get(region, f"/{key}{query}", fields)
            assert (got.place, got.body) == (CDN, BODY)
        assert wrong(design, [await stand.visitors.get(each, f"/{key}") for each in REGIONS]) == []


@pytest.mark.parametrize(("query", "fields"), OPT_OUTS, ids=["query", "header"])
async def test_an_opt_out_that_is_not_forwarded_is_lost(
    query: str, fields: Mapping[str, str], product: Product
) -> None:
    async with behind(UNCACHED, product) as stand:
        key = new_key()
        await stand.put(key, BODY)
        forward(stand, OriginRequestPolicy(("Host",), viewer_address=True))
        got = await stand.visitors.get(EAST, f"/{key}{query}", fields)
    assert (got.place, got.reason) == (EAST, "in-region")


@designs
async def test_a_client_cannot_choose_its_region_by_header_fields(
    design: Design, product: Product
) -> None:
    async with behind(design, product) as stand:
        key = new_key()
        await stand.put(key, BODY)
        west = stand.visitors.address(WEST)
        forged = {
            "X-Forwarded-For": west,
            "CloudFront-Viewer-Address": f"{west}:1",
            "X-Origin-Verify": "forged",
            "X-Real-IP": west,
        }
        got = [await stand.visitors.get(region, f"/{key}", forged) for region in (EAST, OUTSIDE)]
    assert wrong(design, got) == []


@pytest.mark.long
async def test_check_through_the_front_finds_no_fault_in_the_designs_and_the_one_in_an_unsafe_cache(
    product: Product,
) -> None:
    found = []
    for design in (*DESIGNS.values(), UNSAFE):
        async with behind(design, product) as stand:
            await stand.put(new_key(), BODY)
            front = f"http://{FRONT}:{stand.edge.port}"
            words = ("check", "--config", str(product.running.config), "--front", front)
            begun = Begun(*words, env=product.running.environment)
            said = (await asyncio.to_thread(begun.end)).out.splitlines()
        found.append(next(line for line in said if ": front: " in line))
    assert all("answered by the proxy, and kept by no cache" in line for line in found[:-1])
    assert found[-1].startswith("wrong: front: ")
    assert "is kept by the front" in found[-1]
