"""After a target bucket was replaced, no client is redirected to it by checks from before.

Every object of the new bucket is asked for by HEAD before a client is redirected to it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tests.behaviour.two_buckets import reason
from tests.bucketserver import BucketServer, until
from tests.build import FORWARDED, WEST, settings
from tests.s3server import make_bucket
from tests.serving import PATIENCE, client_at
from tests.tuning import give_checks_time, probe_often

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.conftest import LocalS3
    from tests.serving import Serve, Served

FROM = client_at(WEST)
KEYS = tuple(f"release-{number}.tar.gz" for number in range(8))
OWNER, ANOTHER = "123456789012", "210987654321"
INTERVAL = 0.1
PROBES = 6
"""Probes after which every object that they know has been asked for: four, and the first ones."""


class Clients:
    """Ask for all objects again and again."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.last_redirect = 0.0
        self.reasons: Counter[str] = Counter()

    async def round(self) -> set[str]:
        """Ask for each object once; the reasons."""
        reasons = set()
        client = await self.served.connect()
        for key in KEYS:
            asked = monotonic()
            why = reason(await client.get(f"/{key}", FROM))
            if why == "in-region":
                self.last_redirect = asked
            reasons.add(why)
            self.reasons[why] += 1
        await client.close()
        return reasons

    async def until(self, *wanted: str) -> None:
        """Ask until all answers have one of these reasons."""
        async with asyncio.timeout(PATIENCE):
            reasons = await self.round()
            while not reasons <= set(wanted):
                await asyncio.sleep(0.01)
                reasons = await self.round()


@asynccontextmanager
async def clients_of(
    serve: Serve, origin: Mapping[str, Any], target: Mapping[str, Any]
) -> AsyncIterator[Clients]:
    """Clients that are redirected to a target, by checks that hold for an hour."""
    redirect = {"verify": "match", "verify_ttl": "1h", "watch": True, "scheme": "http"}
    site = {"origin": origin, "targets": {"us-west-2": target}, "redirect": redirect}
    chosen = settings(site=site, client_address=FORWARDED, catalog={"wait": "5s"})
    async with serve(chosen) as served:
        clients = Clients(served)
        await clients.until("in-region")
        yield clients


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    probe_often(monkeypatch, INTERVAL)
    give_checks_time(monkeypatch)


class OwnedBucket(BucketServer):
    """A bucket that can change hands."""

    def __init__(self) -> None:
        super().__init__(**dict.fromkeys(KEYS, b"ours"))
        self.change_hands(b"ours", OWNER, "Thu, 01 Jan 2026 00:00:00 GMT")

    def change_hands(self, data: bytes, owner: str, modified: str) -> None:
        """Delete the bucket and create it anew, at once."""
        self.owner = owner
        for key in KEYS:
            self.objects[key] = (data, f"etag of {data.decode()}")
            self.headers[key] = {"Last-Modified": modified}


@asynccontextmanager
async def owned(serve: Serve, **entry: Any) -> AsyncIterator[tuple[Clients, OwnedBucket]]:
    """Clients that are redirected to such a bucket."""
    async with (
        OwnedBucket() as origin,
        OwnedBucket() as target,
        clients_of(serve, origin.entry(), target.entry(**entry)) as clients,
    ):
        yield clients, target


LATER = "Fri, 02 Jan 2026 00:00:00 GMT"


async def test_a_bucket_created_anew_between_two_probes_is_not_redirected_to_after_the_second(
    serve: Serve,
) -> None:
    async with owned(serve) as (clients, target):
        target.change_hands(b"not ours", ANOTHER, LATER)
        await clients.until("not-replicated")
        assert clients.reasons["target-down"] == 0
        known = clients.reasons["in-region"]
        for _ in range(5):
            await clients.round()
        assert clients.reasons["in-region"] == known


async def test_a_bucket_created_anew_with_the_same_bytes_is_asked_for_every_object_again(
    serve: Serve,
) -> None:
    async with owned(serve) as (clients, target):
        await until(lambda: target.asked.total() > len(KEYS) + PROBES)
        target.asked.clear()
        target.change_hands(b"ours", ANOTHER, LATER)
        async with asyncio.timeout(PATIENCE):
            while any(not target.asked["HEAD", key] for key in KEYS):
                assert await clients.round() <= {"in-region", "unverified"}


async def test_an_object_that_is_overwritten_in_the_target_leaves_the_others_alone(
    serve: Serve,
) -> None:
    async with owned(serve) as (clients, target):
        await until(lambda: target.asked.total() > len(KEYS) + PROBES)
        target.objects[KEYS[0]] = (b"another version", "another")
        asked = target.asked.total()
        await until(lambda: target.asked.total() > asked + PROBES)
        checks = clients.served.count("nearbucket_checks_total", "present")
        for _ in range(3):
            await clients.round()
        more = clients.served.count("nearbucket_checks_total", "present") - checks
        assert more <= 1
        assert reason(await clients.served.get(f"/{KEYS[0]}", FROM)) == "not-replicated"
        assert reason(await clients.served.get(f"/{KEYS[1]}", FROM)) == "in-region"


async def test_with_an_expected_owner_a_bucket_that_changed_hands_is_not_redirected_to(
    serve: Serve,
) -> None:
    async with owned(serve, expected_owner=OWNER) as (clients, target):
        target.change_hands(b"ours", ANOTHER, LATER)  # the same bytes, yet not ours
        await clients.until("target-down")
        target.asked.clear()
        target.change_hands(b"ours", OWNER, LATER)
        await clients.until("in-region")
        assert all(target.asked["HEAD", key] for key in KEYS)


# the real server


async def fill(client: Any, bucket: str, data: bytes) -> None:
    await make_bucket(client, bucket)
    for key in KEYS:
        await client.put_object(Bucket=bucket, Key=key, Body=data + key.encode())


async def delete(client: Any, bucket: str) -> None:
    for key in KEYS:
        await client.delete_object(Bucket=bucket, Key=key)
    await client.delete_bucket(Bucket=bucket)


@pytest.mark.parametrize("noticed", [True, False], ids=["noticed", "between two probes"])
async def test_no_client_gets_an_object_of_another_s_bucket(
    serve: Serve, s3: LocalS3, request: pytest.FixtureRequest, *, noticed: bool
) -> None:
    name = f"takeover-{abs(hash(request.node.nodeid))}"
    async with s3.server.client() as client:
        for bucket in (f"{name}-o", f"{name}-t"):
            await fill(client, bucket, b"ours ")
        entries = (s3.entry(f"{name}-{end}").model_dump(exclude={"query"}) for end in "ot")
        async with clients_of(serve, *entries) as clients:
            await delete(client, f"{name}-t")
            if noticed:
                await clients.until("target-down")
            await fill(client, f"{name}-t", b"not ours ")
            created = monotonic()
            await clients.until("not-replicated")
            if noticed:
                assert clients.last_redirect < created
            known = clients.reasons["in-region"]
            for _ in range(5):
                await clients.round()
            assert clients.reasons["in-region"] == known
