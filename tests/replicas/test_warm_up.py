"""The warm-up from a real server: which buckets it reads, what it sends, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from contextlib import closing
from functools import cache
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from nearbucket.cli.demo.seaweedfs import make_bucket
from nearbucket.replicas import warm_up
from nearbucket.replicas.catalog_source import CatalogSource
from nearbucket.replicas.warm_up import WarmUp, WarmUpProgress
from tests.replicas.test_inventory_report import manifest, packed, row
from tests.replicas.warmed_folders import BUCKET, World
from tests.replication.watched import Asked, WatchedS3
from tests.s3server import signer_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nearbucket.replicas.object_version import CatalogBatch
    from tests.conftest import LocalS3


@pytest.fixture(scope="session")  # as long as the server: tests may come and go between processes
@cache  # pytest registers the fixtures of a module twice when arguments name it twice
def bucket(s3: LocalS3) -> LocalS3:
    """The server with the bucket."""

    async def make() -> None:
        async with s3.server.client() as client:
            await make_bucket(client, BUCKET)

    asyncio.run(make())
    return s3


@pytest.fixture
async def world(bucket: LocalS3) -> AsyncIterator[World]:
    async with bucket.server.client() as client:
        yield World(bucket, client)


MANY = [f"pack-{number:05}.tar.gz" for number in range(1100)]
"""More than one page of a listing, which has 1,000 keys, and more than four batches."""
SOME = MANY[:300]
"""More than one batch."""


@pytest.fixture(scope="session")
@cache  # as bucket
def stored(bucket: LocalS3) -> LocalS3:
    """A large origin and two smaller targets, for tests that only read them."""
    world = World(bucket, None, "many")

    async def fill() -> None:
        await world.fill("origin", MANY)
        await world.fill("west", SOME)
        await world.fill("east", SOME)

    asyncio.run(fill())
    return bucket


@pytest.fixture
def full(stored: LocalS3) -> World:
    return World(stored, None, "many")


async def test_origin_and_targets_are_learned_in_batches(full: World) -> None:
    before = time.monotonic()
    progress = await full.run(full.site("west"))
    assert progress == WarmUpProgress("done", 1400, 1400, 2, 2)
    assert full.keys("origin") == MANY
    assert full.keys("west") == SOME
    assert max(len(sent.objects) for sent in full.sent) == 250
    assert all(before <= sent.seen <= time.monotonic() for sent in full.sent)
    assert len({sent.seen for sent in full.sent}) == 2  # the begin of each listing


async def test_size_etag_and_age_are_those_of_the_bucket(world: World) -> None:
    await world.fill("origin", ["a.tar.gz"])
    head = await world.client.head_object(Bucket=BUCKET, Key=f"{world.name}/origin/a.tar.gz")
    await world.run(world.site("west"))
    ((key, size, etag, modified),) = (entry for sent in world.sent for entry in sent.objects)
    assert (key, size, etag) == ("a.tar.gz", head["ContentLength"], head["ETag"].strip('"'))
    assert abs(modified - head["LastModified"].timestamp()) <= 1.0  # a listing has milliseconds


async def test_what_no_request_can_be_redirected_to_is_not_sent(world: World) -> None:
    await world.fill("origin", ["a.tar.gz", "a.txt", "not/this.tar.gz", "a\tb.tar.gz"])
    progress = await world.run(world.site("west", exclude=["not/*"]))
    assert world.keys("origin") == ["a.tar.gz"]
    assert (progress.learned, progress.read) == (1, 4)


async def test_a_small_object_is_sent_since_serving_wants_to_know_it_is_small(world: World) -> None:
    await world.fill("origin", ["a.tar.gz"])
    await world.fill("west", ["a.tar.gz"])
    await world.run(world.site("west", min_size="1MiB"))
    assert world.keys("origin") == world.keys("west") == ["a.tar.gz"]


async def test_a_bucket_of_several_sites_is_read_once_for_all_their_patterns(world: World) -> None:
    await world.fill("origin", ["a.gz", "b.xz", "c.txt"])
    await world.fill("west", ["a.gz", "b.xz", "c.txt"])
    progress = await world.run(
        world.site("west", paths=["*.gz"]), world.site("west", paths=["*.gz", "*.xz"])
    )
    assert (progress.buckets, world.keys("origin")) == (2, ["a.gz", "b.xz"])


async def test_a_target_that_is_the_origin_is_read_once(world: World) -> None:
    await world.fill("origin", ["a.tar.gz"])
    assert (await world.run(world.site("origin"))).buckets == 1
    assert world.keys("origin") == ["a.tar.gz"]


@pytest.mark.parametrize(
    ("redirect", "folders"),
    [
        ({}, "origin west"),
        ({"mode": "shadow"}, "origin west"),
        ({"verify": "exists"}, "west"),
        ({"verify": "exists", "min_size": 1}, "origin west"),
        ({"verify": "none", "min_size": 1}, "origin"),
        ({"verify": "none"}, ""),
        ({"mode": "off"}, ""),
    ],
)
async def test_only_buckets_that_serving_asks_are_read(
    world: World, redirect: dict[str, Any], folders: str
) -> None:
    for folder in ("origin", "west"):
        await world.fill(folder, ["a.tar.gz"])
    number = len(folders.split())
    assert await world.run(world.site("west", **redirect)) == WarmUpProgress(
        "done", number, number, number, number
    )
    assert all(world.keys(folder) == ["a.tar.gz"] for folder in folders.split())


CLASSES = ("STANDARD", "GLACIER", "DEEP_ARCHIVE", "INTELLIGENT_TIERING", "GLACIER_IR")


async def test_copies_that_may_be_archived_are_left_to_the_first_request(world: World) -> None:
    for folder in ("origin", "west"):
        for name in CLASSES:
            key = f"{world.name}/{folder}/{name}.tar.gz"
            await world.client.put_object(Bucket=BUCKET, Key=key, Body=b"x", StorageClass=name)
    await world.run(world.site("west"))
    assert sorted(world.keys("origin")) == sorted(f"{name}.tar.gz" for name in CLASSES)
    assert sorted(world.keys("west")) == ["GLACIER_IR.tar.gz", "STANDARD.tar.gz"]


async def test_a_bucket_whose_newest_object_is_encrypted_is_left_to_the_requests(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """A listing does not show encryption; a bucket's default holds for all newer objects."""
    keys = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    for folder in ("origin", "west"):
        await world.fill(folder, ["a.tar.gz"])
        await asyncio.sleep(1)  # Last-Modified has seconds
        key = f"{world.name}/{folder}/b.tar.gz"
        await world.client.put_object(Bucket=BUCKET, Key=key, Body=b"x", **keys)
    await world.run(world.site("west"))
    assert world.keys("origin") == ["a.tar.gz", "b.tar.gz"]
    assert world.keys("west") == []
    (line,) = [line for line in caplog.messages if "encrypted" in line]
    assert re.match(
        r"warm-up: sites\.h\d+\.targets\.us-west-2: clients may be unable to read", line
    )
    assert "b.tar.gz: encrypted with a customer-provided key; a listing does not show" in line


@pytest.mark.parametrize("older", [[], ["b.tar.gz"]])
async def test_an_object_that_was_deleted_since_the_listing_is_not_called_encrypted(
    world: World,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    older: list[str],
) -> None:
    """And if there is an older one, that tells of the bucket."""
    for folder in ("origin", "west"):
        await world.fill(folder, older)
    await asyncio.sleep(1 if older else 0)  # Last-Modified has seconds
    for folder in ("origin", "west"):
        await world.fill(folder, ["a.tar.gz"])
    path = f"/{BUCKET}/{world.name}/west/a.tar.gz"
    host = urlsplit(world.s3.server.endpoint).netloc

    asked = CatalogSource._why_unreadable

    async def delete_and_ask(*source_and_listed: Any) -> str:
        with closing(HTTPConnection(host)) as connection:
            connection.request("DELETE", path, headers=signer_of(world.s3.server)("DELETE", path))
            assert connection.getresponse().status == 204
        return await asked(*source_and_listed)

    monkeypatch.setattr(CatalogSource, "_why_unreadable", delete_and_ask)
    await WarmUp(world.settings(world.site("west")), world.sent.append).run()
    lines = [line for line in caplog.messages if "unable to read" in line]
    assert len(lines) == (not older)
    assert all("a.tar.gz: 404: there is no such object" in line for line in lines)
    assert ("b.tar.gz" in world.keys("west")) is bool(older)


async def test_a_server_that_leaves_out_fields_of_a_head_is_read_all_the_same(
    world: World,
) -> None:
    """The date and the ETag come from the listing."""
    for folder in ("origin", "west"):
        await world.fill(folder, ["a.tar.gz"])

    def without(asked: Asked, fields: dict[str, str]) -> None:
        for name in [name for name in fields if name.lower() in {"last-modified", "etag"}]:
            if asked.name == "HEAD":
                del fields[name]

    async with WatchedS3(world.s3.server.endpoint) as watched:
        watched.alter = without
        site = world.site("west")
        site["targets"]["us-west-2"]["endpoint"] = watched.endpoint
        await world.run(site)
    assert [asked.name for asked in watched.asked] == ["GET List", "HEAD"]
    assert sum(len(sent.objects) for sent in world.sent) == 2


async def test_a_fifo_as_an_inventory_is_refused_and_not_waited_for(
    world: World, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "manifest.json")
    site = world.site("west")
    site["origin"]["inventory"] = str(tmp_path / "manifest.json")
    progress = await world.run(site)
    assert "manifest.json cannot be read: Not a regular file" in (progress.problem or "")


async def test_a_target_that_is_off_is_not_read(world: World) -> None:
    await world.fill("origin", ["a.tar.gz"])
    await world.fill("west", ["a.tar.gz"])
    site = world.site("west", "nowhere")
    site["targets"]["eu-west-1"]["mode"] = "off"
    assert (await world.run(site)).state == "done"
    assert world.keys("west") == ["a.tar.gz"]


async def test_all_buckets_know_the_same_first_keys_when_there_is_no_room_for_all(
    full: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    progress = await full.run(full.site("west", "east"), entries=1000)
    assert (progress.state, progress.done) == ("done", 3)
    assert 498 <= progress.learned <= 500  # each of three may be refused the last one
    for folder in ("origin", "west", "east"):
        known = full.keys(folder)
        assert 166 <= len(known) <= 168
        assert known == MANY[: len(known)]
    text = r"warm-up: sites\.h\d+\.origin: catalog.entries reached before its end"
    assert re.search(text, caplog.text)


async def test_what_a_small_bucket_leaves_over_goes_to_the_others(full: World) -> None:
    assert (await full.run(full.site("west"), entries=1800)).learned == 900
    assert full.keys("origin") == MANY[:600]
    assert full.keys("west") == SOME


async def test_a_bucket_that_cannot_be_listed_is_told_of_and_the_others_go_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.fill("origin", ["a.tar.gz"])
    site = world.site("west", "private")
    site["targets"]["us-west-2"]["bucket"] = "nowhere"
    site["targets"]["eu-west-1"]["credentials"] = "anonymous"
    progress = await world.run(site)
    assert (progress.state, progress.learned, progress.done) == ("failed", 1, 3)
    assert re.search(r"sites\.h\d+\.targets\.us-west-2: bucket nowhere", caplog.text)
    assert "there is no such bucket" in caplog.text
    assert "cannot be listed: AccessDenied; its credentials need s3:ListBucket" in caplog.text
    assert progress.problem
    assert progress.problem in caplog.text


async def test_a_report_is_read_instead_of_the_bucket(world: World, tmp_path: Path) -> None:
    await world.fill("west", ["listed.tar.gz"])
    (tmp_path / "data.csv.gz").write_bytes(
        packed([row(f"{world.name}/origin/{key}") for key in ("reported.tar.gz", "b.txt")])
    )
    said = json.loads(manifest(["somewhere/data.csv.gz"], "any"))
    created = int(time.time()) - 3600
    said |= {"sourceBucket": BUCKET, "creationTimestamp": str(created * 1000)}
    (tmp_path / "manifest.json").write_text(json.dumps(said))
    origin = world.entry(inventory=str(tmp_path / "manifest.json"))
    assert (await world.run(world.site("west", origin=origin, verify_ttl="2h"))).state == "done"
    assert world.keys("origin") == ["reported.tar.gz"]
    assert world.keys("west") == ["listed.tar.gz"]
    (seen,) = (sent.seen for sent in world.sent if "/origin/" in sent.base_url)
    assert time.monotonic() - seen == pytest.approx(time.time() - created, abs=1)


async def test_what_a_report_says_before_its_damage_stays(
    world: World, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "data.csv.gz").write_bytes(packed([row(f"{world.name}/origin/a.tar.gz")])[:-1])
    said = json.loads(manifest(["data.csv.gz"], "any"))
    said |= {"sourceBucket": BUCKET, "creationTimestamp": str(int(time.time()) * 1000)}
    (tmp_path / "manifest.json").write_text(json.dumps(said))
    origin = world.entry(inventory=str(tmp_path / "manifest.json"))
    progress = await world.run(world.site("west", origin=origin))
    assert progress.state == "failed"
    assert world.keys("origin") == ["a.tar.gz"]
    assert "data.csv.gz is damaged: it ends early" in caplog.text


async def test_a_report_that_says_nothing_of_now_is_not_read(world: World, tmp_path: Path) -> None:
    (tmp_path / "data.csv.gz").write_bytes(packed([row(f"{world.name}/origin/a.tar.gz")]))
    said = json.loads(manifest(["data.csv.gz"], "any"))
    created = (int(time.time()) - 5 * 3600) * 1000
    said |= {"sourceBucket": BUCKET, "creationTimestamp": str(created)}
    (tmp_path / "manifest.json").write_text(json.dumps(said))
    origin = world.entry(inventory=str(tmp_path / "manifest.json"))
    progress = await world.run(world.site("west", origin=origin))
    assert (progress.state, progress.learned) == ("failed", 0)
    assert progress.problem
    assert "origin.inventory: the report is 5.0 hours old" in progress.problem
    assert "redirect.verify_ttl, 0.2 hours; raise verify_ttl, name a newer" in progress.problem


async def test_a_fault_of_whoever_takes_the_batches_ends_nothing(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.fill("origin", ["a.tar.gz"])

    def refuse(_: CatalogBatch) -> None:
        raise BrokenPipeError

    run = WarmUp(world.settings(world.site("west")), refuse)
    await run.run()
    assert (run.progress.state, run.progress.done) == ("failed", 2)
    assert "BrokenPipeError" in caplog.text


async def test_it_waits_then_runs_and_a_cancelled_one_sends_no_more(full: World) -> None:
    first = asyncio.Event()

    def take(batch: CatalogBatch) -> None:
        full.sent.append(batch)
        first.set()

    run = WarmUp(full.settings(full.site("west")), take)
    assert run.progress == WarmUpProgress("waiting")
    task = asyncio.create_task(run.run())
    await first.wait()
    assert run.progress.state == "running"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(full.sent) == 1


async def test_begin_progress_and_end_are_logged(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm_up, "_LOG_INTERVAL", 0.001)
    caplog.set_level(logging.INFO)
    await world.fill("origin", ["a.tar.gz", "b.txt"])
    await world.fill("west", ["a.tar.gz"])
    await world.run(world.site("west"))
    lines = [each.message for each in caplog.records if each.name == "nearbucket.replicas.warm_up"]
    assert lines[0] == "warm-up: reads 2 buckets"
    assert any(line.endswith("buckets finished so far") for line in lines[1:-1])
    assert lines[-1].startswith(
        "warm-up done: 2 objects learned, 3 listed; 2 of 2 buckets finished, in "
    )


async def test_a_share_of_a_page_is_followed_by_the_rest_of_the_page(full: World) -> None:
    await full.run(full.site("west"), entries=1800)
    assert full.keys("origin") == MANY[:600]
    assert {len(sent.objects) for sent in full.sent} == {250, 200, 150, 50}
