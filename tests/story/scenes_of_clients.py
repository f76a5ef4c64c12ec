"""Scenes about kinds of clients: each function plays one, and asserts what is promised for it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from tests.story.stage import SIZE, together
from tests.story.world import scene

if TYPE_CHECKING:
    from tests.story.clients import Client
    from tests.story.stage import Stage

ARCHIVE, NEXT, THIRD = "image.tar.xz", "next.tar.xz", "third.tar.xz"


@scene(brief=True)
async def a_cluster_with_addresses_of_its_own(stage: Stage) -> None:
    """Forty nodes boot and fetch three files each; some in IPv6, some inside the VPC."""
    await stage.publish(ARCHIVE, NEXT, THIRD)
    nodes = stage.cluster(20) + stage.cluster(10, "ipv6") + stage.cluster(10, "vpc")

    async def boot(node: Client) -> None:
        for key in (ARCHIVE, NEXT, THIRD):
            assert (await stage.fetch(node, key)).good

    await together(boot(node) for node in nodes)
    assert stage.share() == 1
    heads = stage.origin.requests("HEAD", "object") + stage.target.requests("HEAD", "object")
    stage.notes.append(f"{heads} HEADs")
    assert stage.origin.requests("GET") == 0


@scene(origin=0.1, brief=True)
async def a_cluster_behind_one_nat_address(stage: Stage) -> None:
    """A hundred nodes, one agent, one object, within 3 s, with the origin at 100 ms."""
    await stage.publish(ARCHIVE)
    gateway = stage.client()

    async def boot(number: int) -> None:
        await asyncio.sleep(number * 3 / 100)
        assert (await stage.fetch(gateway, ARCHIVE)).good

    await together(boot(number) for number in range(100))
    assert stage.share() >= 0.98


@scene(brief=True)
async def a_cluster_behind_nat_that_needs_three_files(stage: Stage) -> None:
    """Thirty nodes of one agent boot within 3 s; each fetches three files one after the other."""
    keys = ARCHIVE, NEXT, THIRD
    await stage.publish(*keys)
    gateway = stage.client(agent="Wget/1.21")

    async def boot(number: int) -> None:
        await asyncio.sleep(number / 10)
        for key in keys:
            assert (await stage.fetch(gateway, key)).good
            await asyncio.sleep(0.2)

    await together(boot(number) for number in range(30))
    assert stage.share() >= 0.95


@scene(brief=True)
async def nodes_that_fetch_the_same_files_again_and_again(stage: Stage) -> None:
    """A job fetches A, B and C in turn; another node fetches one file three times in a row."""
    await stage.publish(ARCHIVE, NEXT, THIRD)
    job, node = stage.client(agent="Wget/1.21"), stage.client()
    for _ in range(4):
        for key in (ARCHIVE, NEXT, THIRD):
            await stage.fetch(job, key)
            await asyncio.sleep(0.2)
    for _ in range(3):
        await stage.fetch(node, ARCHIVE)
    assert stage.share() == 1


async def tries_until_it_has(stage: Stage, client: Client, key: str, pause: float) -> int:
    """At which try a client gets an object, with a pause after each that fails."""
    for number in range(1, 6):
        if (await stage.fetch(client, key)).good:
            return number
        await asyncio.sleep(pause)
    raise AssertionError(f"{client.address} does not get {key}")


async def pay(stage: Stage) -> None:
    """Downloads that succeed, for the savings that were counted too early and are owed."""
    await stage.busy(stage.cluster(12), [ARCHIVE, NEXT], 0.01, 0.1)


@scene()
async def scripts_that_do_not_follow(stage: Stage) -> None:
    """Retried after 1 and 11 s: the object comes at the third try, the next one at the first."""
    await stage.publish(ARCHIVE, NEXT)
    await together(_script(stage, pause) for pause in (1, 11))
    await pay(stage)


@scene(long=True)
async def scripts_that_retry_after_half_a_minute(stage: Stage) -> None:
    """The same after 30 s."""
    await stage.publish(ARCHIVE, NEXT)
    await _script(stage, 30)
    await pay(stage)


async def _script(stage: Stage, pause: float) -> None:
    script = stage.client(follows=False)
    assert await tries_until_it_has(stage, script, ARCHIVE, pause) <= 3
    assert (await stage.fetch(script, NEXT)).good, "the next object"


@scene()
async def a_client_that_a_firewall_keeps_from_s3(stage: Stage) -> None:
    """Every redirect fails after 5 s, and the client tries again at once."""
    await _blocked(stage, 5)


@scene(long=True)
async def a_client_whose_connections_to_s3_time_out(stage: Stage) -> None:
    """Every redirect fails after 20 s."""
    await _blocked(stage, 20)


async def _blocked(stage: Stage, seconds: float) -> None:
    await stage.publish(ARCHIVE, NEXT)
    client = stage.client(blocked=seconds)
    assert await tries_until_it_has(stage, client, ARCHIVE, 0) <= 3
    assert (await stage.fetch(client, NEXT)).good, "the next object"
    await pay(stage)


@scene(brief=True)
async def downloads_that_are_resumed(stage: Stage) -> None:
    """A download breaks off in the middle; the rest is asked for with and without If-Range."""
    await stage.publish(ARCHIVE)
    for client in stage.cluster(10):
        half = await stage.fetch(replace(client, takes=SIZE // 2), ARCHIVE)
        rest = {"Range": f"bytes={SIZE // 2}-"}
        if client.address.endswith(("1", "3", "5")):
            rest["If-Range"] = half.etag
        end = await stage.fetch(client, ARCHIVE, rest)
        assert (half.status, end.status) == (200, 206)
        assert len(half.body + end.body) == SIZE
    assert stage.share() == 1


@scene(brief=True)
async def downloads_in_segments(stage: Stage) -> None:
    """Eight ranges at once, as aria2c and download managers do: all from the target."""
    await stage.publish(ARCHIVE)
    for client in stage.cluster(10):
        versions, answers = await stage.segments(client, ARCHIVE)
        assert versions == {1}
        assert b"".join(answer.body for answer in answers).__len__() == SIZE
    assert stage.share() == 1


@scene(brief=True)
async def conditional_requests_of_nightly_builds(stage: Stage) -> None:
    """What is unchanged is answered here, and saves nothing."""
    await stage.publish(ARCHIVE)
    for client in stage.cluster(10):
        first = await stage.fetch(client, ARCHIVE)
        for _ in range(3):
            again = await stage.fetch(client, ARCHIVE, {"If-None-Match": first.etag})
            assert (again.status, again.reason) == (304, "not-modified")
    assert (await stage.fetch(client, ARCHIVE, {"If-None-Match": '"another"'})).good


@scene(brief=True)
async def browsers_and_crawlers(stage: Stage) -> None:
    """Cookies are streamed; crawlers outside AWS ask with HEAD and GET on kept connections."""
    await stage.publish(ARCHIVE, NEXT)
    await stage.upload("index.html", 3000)
    browser = stage.client(fields={"Cookie": "session=1"}, agent="Mozilla/5.0", keeps=True)
    crawler = stage.client("outside", agent="Googlebot/2.1", keeps=True)
    for key in ("index.html", ARCHIVE, NEXT):
        assert (await stage.fetch(browser, key)).good
        assert (await stage.fetch(crawler, key, method="HEAD")).good
        assert (await stage.fetch(crawler, key)).good
    plain = stage.client(agent="Mozilla/5.0", keeps=True)
    assert (await stage.fetch(plain, ARCHIVE)).redirected
    assert (await stage.fetch(stage.client("us-east-1"), ARCHIVE)).reason == "no-target"
    assert stage.reasons()["credentials"] == 2
    assert stage.reasons()["outside-aws"] == 6


@scene(brief=True)
async def keys_that_are_nowhere(stage: Stage) -> None:
    """Three hundred keys that no bucket has: a HEAD each, a GET in 10 s, no word of copies."""
    client, began = stage.client(keeps=True), monotonic()
    for number in range(300):
        answer = await stage.fetch(client, f"{number}.tar.xz")
        assert (answer.status, answer.reason) == (404, "absent")
    assert stage.origin.requests("HEAD", "object") == 300
    assert 1 <= stage.origin.requests("GET", "object") <= 1 + (monotonic() - began) / 10
    assert stage.target.requests(what="object") == 0


@scene(target=0.27, product="operated", brief=True, exact=False)
async def a_target_across_an_ocean(stage: Stage) -> None:
    """The first request for each object waits for a target that answers after 270 ms."""
    for attempt in range(4):  # on a busy machine all of S3 may be too slow for a while
        keys = [f"{attempt}-{number}.tar.xz" for number in range(8)]
        await stage.publish(*keys)
        answers = await together(stage.fetch(stage.client(), key) for key in keys)
        if all(answer.redirected for answer in answers):
            return
    raise AssertionError(stage.reasons())
