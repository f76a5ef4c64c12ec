"""One network of clients takes neither the checks of others nor, with a limit, all streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.behaviour.streaming import scripted
from tests.behaviour.two_buckets import copies, reason
from tests.bucketserver import until
from tests.build import OUTSIDE
from tests.scripteds3 import Say, ScriptedS3, error, reply
from tests.serving import client_at
from tests.tuning import check_few_at_once, give_checks_time

if TYPE_CHECKING:
    import pytest

    from tests.serving import Client, Serve, Served

OBJECTS = {f"{number}.tar.gz": b"x" * 10 for number in range(3)}


async def test_a_client_that_asks_for_unknown_keys_at_full_speed_takes_no_redirect_from_others(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eighty connections of one network, for which each check takes its place in a full queue."""
    give_checks_time(monkeypatch)
    check_few_at_once(monkeypatch, 1)
    sections: dict[str, Any] = {
        "catalog": {"wait": "10s"},
        "limits": {"drain_timeout": "100ms"},
        "regions": {"overrides": {"10.0.0.0/8": "us-west-2"}},
    }
    async with copies(serve, OBJECTS, **sections) as world:
        world.origin.head_delay = 0.2  # all 80 that wait take 16 s
        clients = [await world.served.connect() for _ in range(80)]
        over = asyncio.Event()
        greedy = [asyncio.ensure_future(_keys(client, n, over)) for n, client in enumerate(clients)]
        try:
            await until(lambda: world.origin.asked.total() > 5)
            answers = [await world.served.get(f"/{key}", client_at("10.1.1.1")) for key in OBJECTS]
            assert [reason(answer) for answer in answers] == ["in-region"] * len(OBJECTS)
        finally:
            world.origin.head_delay = 0  # those that still wait shall not hold up the end
            over.set()  # Python 3.11's wait_for may swallow a cancellation
            await asyncio.gather(*greedy)


async def _keys(client: Client, name: int, over: asyncio.Event) -> None:
    """Ask for ever new keys, from the addresses of a network in the target's region."""
    number = 0
    while not over.is_set():
        number += 1
        await client.get(f"/{name}-{number}.tar.gz", client_at(f"10.2.2.{name}"))


async def _streams(served: Served, address: str, count: int) -> list[Client]:
    """Clients that have begun a download."""
    clients = [await served.connect() for _ in range(count)]
    for number, client in enumerate(clients):
        await client.send(
            f"GET /{number}.txt HTTP/1.1\r\nHost: a\r\n{client_at(address)}\r\n\r\n".encode()
        )
        assert (await client.reader.readline()).startswith(b"HTTP/1.1 200")
    return clients


async def test_a_network_has_no_more_streams_than_its_limit_and_others_have_theirs(
    serve: Serve,
) -> None:
    async with (
        ScriptedS3(*[Say(reply("200 OK", length=10), "hang")] * 30) as server,
        serve(scripted(server, limits={"per_client": 2, "drain_timeout": "100ms"})) as served,
    ):
        first, _ = await _streams(served, "203.0.113.250", 2)
        refused = await served.get("/9.txt", client_at("203.0.113.251"))
        assert refused.status == 429
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["cache-control"] == "no-store"
        assert refused.headers["x-nearbucket"].startswith("stream;")
        assert served.count("nearbucket_client_limit_total") == 1
        await _streams(served, "2001:db8:ffff:1::1", 2)
        assert (await served.get("/9.txt", client_at("2001:db8:ffff:2::1"))).status == 429
        await _streams(served, "2001:db8:ffff:100::1", 1)
        assert (await served.get("/a.tar.gz", client_at("192.0.2.7"))).status == 301
        first.reset()
        await until(lambda: served.streams() == 4)
        await _streams(served, "203.0.113.250", 1)
        assert (await served.get("/9.txt", client_at("203.0.113.251"))).status == 429


async def test_a_request_that_s3_has_answered_is_not_refused_for_its_network(serve: Serve) -> None:
    """Others of the network come while the streaming lane passes S3's 404 on."""
    missing = Say(error("404 Not Found", "NoSuchKey"))
    async with (
        ScriptedS3(*[missing] * 100) as server,
        serve(scripted(server, limits={"per_client": 2})) as served,
    ):

        async def asking(number: int) -> list[int]:
            client, field = await served.connect(), client_at(OUTSIDE)
            return [(await client.get(f"/{number}/{n}.txt", field)).status for n in range(10)]

        lists = await asyncio.gather(*map(asking, range(10)))
        statuses = [status for each in lists for status in each]
        assert {*statuses} == {404, 429}
        assert statuses.count(404) == len(server.asked)


async def test_without_a_limit_a_network_has_any_number_of_streams(serve: Serve) -> None:
    async with (
        ScriptedS3(*[Say(reply("200 OK", length=10), "hang")] * 30) as server,
        serve(scripted(server, limits={"drain_timeout": "100ms"})) as served,
    ):
        await _streams(served, "203.0.113.250", 20)
