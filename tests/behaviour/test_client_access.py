"""No client is redirected to a target that clients cannot read, though the proxy can."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.bucketserver import BucketServer, until
from tests.build import FORWARDED, WEST, settings
from tests.s3server import allow_anonymous, make_bucket
from tests.serving import PATIENCE, client_at
from tests.tuning import give_checks_time, probe_often

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.conftest import LocalS3
    from tests.serving import Serve, Served

FROM, PATH, KEY = client_at(WEST), "/a.tar.gz", "a.tar.gz"
SAVED = ("nearbucket_redirected_bytes_total", "*", "us-west-2")
WARNING = "it may be that clients get no other answer"


CLOSED = {("GET", KEY): 403}
"""A bucket policy against unsigned requests; the HEADs of a ``BucketServer`` are the role's."""


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    probe_often(monkeypatch, 0.03)
    give_checks_time(monkeypatch)
    caplog.set_level(logging.INFO)


@asynccontextmanager
async def redirecting(
    serve: Serve, origin: Mapping[str, Any], target: Mapping[str, Any], **redirect: Any
) -> AsyncIterator[Served]:
    chosen = {"verify": "match", "verify_ttl": "1h", "watch": True, "scheme": "http", **redirect}
    site = {"origin": origin, "targets": {"us-west-2": target}, "redirect": chosen}
    async with serve(
        settings(site=site, client_address=FORWARDED, catalog={"wait": "5s"})
    ) as served:
        await until_answered(served, "in-region")
        yield served


@asynccontextmanager
async def with_a_target(
    serve: Serve,
    *,
    open_to_clients: bool = True,
    entry: Mapping[str, Any] | None = None,
    **redirect: Any,
) -> AsyncIterator[tuple[Served, BucketServer]]:
    """A worker that redirects to a bucket in memory."""
    async with BucketServer(**{KEY: b"x"}) as origin, BucketServer(**{KEY: b"x"}) as target:
        target.statuses = {} if open_to_clients else dict(CLOSED)
        async with redirecting(
            serve, origin.entry(), target.entry(**(entry or {})), **redirect
        ) as served:
            yield served, target


async def until_answered(served: Served, reason: str) -> None:
    async with asyncio.timeout(PATIENCE):
        client = await served.connect()
        said = ""
        while not said.endswith(f"={reason}"):
            await asyncio.sleep(0.01)
            said = (await client.get(PATH, FROM)).headers["x-nearbucket"]
        await client.close()


async def test_a_target_closed_to_clients_is_left_and_taken_again_when_it_is_open(
    serve: Serve, s3: LocalS3, request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture
) -> None:
    """On the real server: the proxy's keys may read all the time, unsigned requests may not."""
    name = f"closed-{abs(hash(request.node.nodeid))}"
    async with s3.server.client() as client:
        for bucket in (f"{name}-o", f"{name}-t"):
            await make_bucket(client, bucket)
            await client.put_object(Bucket=bucket, Key=KEY, Body=b"the object")
        await allow_anonymous(client, f"{name}-t")
        entries = (s3.entry(f"{name}-{end}").model_dump(exclude={"query"}) for end in "ot")
        async with redirecting(serve, *entries) as served:
            await until(served.target_was_readable)
            await client.delete_bucket_policy(Bucket=f"{name}-t")
            await until_answered(served, "target-down")
            assert not served.target_up("*", "us-west-2")
            (line,) = [line for line in caplog.messages if "target down" in line]
            assert line.startswith("target down for clients")
            assert ": site * in us-west-2, bucket " in line
            assert "answers 403 to a request without a signature" in line
            await allow_anonymous(client, f"{name}-t")
            await until_answered(served, "in-region")
            assert served.target_up("*", "us-west-2")
            assert "target up again for clients" in caplog.text


async def test_what_was_taken_back_for_a_closed_target_is_not_taken_back_again_for_a_client(
    serve: Serve,
) -> None:
    agent = "User-Agent: another"
    async with with_a_target(serve, came_back="5m") as (served, target):
        await until(served.target_was_readable)
        assert (await served.get(PATH, FROM, agent)).status == 301
        target.statuses = dict(CLOSED)
        await until_answered(served, "target-down")
        saved = served.count(*SAVED)
        answer = await served.get(PATH, FROM, agent)
        assert answer.headers["x-nearbucket"].endswith("reason=target-down")
        await served.settled()
        assert served.count(*SAVED) == saved


async def test_a_target_that_no_client_could_read_is_warned_of_once_and_stays_in_use(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with with_a_target(serve, open_to_clients=False) as (served, target):
        await until(lambda: target.asked["GET", KEY] > 5)
        await until_answered(served, "in-region")
        assert served.target_up("*", "us-west-2")
        assert caplog.text.count(WARNING) == 1
        assert "client_probe: false" in caplog.text
        target.statuses = {}
        await until(served.target_was_readable)
        target.statuses = dict(CLOSED)
        await until_answered(served, "target-down")


async def test_an_object_that_is_deleted_from_a_target_is_not_taken_for_a_closed_bucket(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    async with with_a_target(serve) as (served, target):
        await until(served.target_was_readable)
        del target.objects[KEY]
        await until_answered(served, "not-replicated")
        asked = target.asked.total()
        await until(lambda: target.asked.total() > asked + 20)
        assert served.target_up("*", "us-west-2")
        assert "for clients" not in caplog.text


async def test_where_that_is_switched_off_nothing_is_requested_as_a_client_does(
    serve: Serve,
) -> None:
    async with with_a_target(serve, client_probe=False) as (_, target):
        await until(lambda: target.asked["HEAD", KEY] > 20)
        assert target.asked["GET", KEY] == 0


async def test_signed_locations_are_not_requested_without_their_signature(
    serve: Serve, s3: LocalS3
) -> None:
    entry = {"credentials": s3.files.model_dump(mode="json")}
    async with with_a_target(serve, entry=entry, presign="15m") as (_, target):
        await until(lambda: target.asked["HEAD", KEY] > 20)
        assert target.asked["GET", KEY] == 0
