"""Fixtures of sync's tests: two folders on a real server, and runs between them."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from nearbucket.config.buckets import Bucket, KeyFiles
from nearbucket.replication.replicator import Replicator, SyncJob, SyncOptions
from nearbucket.replication.sync_progress import SyncProgress
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.sdk.bucket_listing import objects_of
from nearbucket.s3.sdk.light_client import opened_light
from nearbucket.s3.sdk.sdk_client import PAGE, opened
from tests.conftest import kill
from tests.replication.watched import WatchedS3
from tests.s3server import SeaweedFS, make_bucket
from tests.storing import store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from tests.conftest import LocalS3

MIB = 1024**2
_NUMBERS = itertools.count()


@dataclass
class World:
    """A folder in an origin and one in a target.

    Attributes:
        server: The server.
        client: Writes to both, unwatched.
        watched: The server as sync sees it.
        origin: The origin's folder.
        target: The target's folder.
        found: The copies and deletions of the last run.
    """

    server: SeaweedFS
    client: Any
    watched: WatchedS3
    origin: BucketLocation
    target: BucketLocation
    found: list[SyncJob] = field(default_factory=list)

    async def put(self, key: str, body: bytes = b"x", **more: Any) -> None:
        """An object of the origin, in one piece."""
        await self.client.put_object(**self.origin.arguments(key), Body=body, **more)

    async def put_all(self, keys: Iterable[str], body: bytes = b"x") -> None:
        """Many objects of the origin."""
        entry = self.origin.entry
        await store(self.server, entry.bucket, {entry.prefix + key: body for key in keys})

    async def put_in_parts(self, key: str, *parts: bytes, **more: Any) -> None:
        """An object of the origin, uploaded in parts."""
        await self._upload(self.origin.arguments(key), parts, more)

    async def put_by_another_tool(self, key: str, body: bytes, part: int, **more: Any) -> None:
        """A copy as ``aws s3 sync`` makes it, which takes 8 MiB for a part."""
        parts = [body[first : first + part] for first in range(0, len(body), part)]
        await self._upload(self.target.arguments(key), parts, more)

    async def _upload(
        self, asked: dict[str, str], parts: Iterable[bytes], more: dict[str, Any]
    ) -> None:
        upload = (await self.client.create_multipart_upload(**asked, **more))["UploadId"]
        made = []
        for number, body in enumerate(parts, 1):
            answer = await self.client.upload_part(
                **asked, UploadId=upload, PartNumber=number, Body=body
            )
            made.append({"PartNumber": number, "ETag": answer["ETag"]})
        await self.client.complete_multipart_upload(
            **asked, UploadId=upload, MultipartUpload={"Parts": made}
        )

    async def run(
        self, chosen: Callable[[str, int], bool] = lambda _key, _size: True, **options: Any
    ) -> SyncProgress:
        """Run sync; its copies and deletions are in ``found``."""
        self.found = []
        progress = SyncProgress()
        run = Replicator(
            (self.origin, self.target),
            chosen,
            progress,
            SyncOptions(**options),
            found=self.found.append,
        )
        await run.run()
        return progress

    async def all_of(self, place: BucketLocation) -> dict[str, dict[str, Any]]:
        """The objects of a folder by key: size, ETag, bytes, headers, metadata and tags."""
        answer = await self.client.list_objects_v2(
            Bucket=place.entry.bucket, Prefix=place.entry.prefix
        )
        keys = [each.key for each in objects_of(answer[PAGE], place)]
        return {key: await self.described(place, key) for key in keys}

    async def described(self, place: BucketLocation, key: str) -> dict[str, Any]:
        """An object's description, without its dates."""
        head = await self.client.get_object(**place.arguments(key))
        tags = (await self.client.get_object_tagging(**place.arguments(key)))["TagSet"]
        body = await head["Body"].read()
        found = {
            name: value
            for name, value in head.items()
            if name not in {"ResponseMetadata", "LastModified", "Body"}
        }
        return found | {"Body": body, "Tags": {tag["Key"]: tag["Value"] for tag in tags}}

    async def next_second(self) -> None:
        """Wait for the next second of this machine's clock: listings have no finer time."""
        await asyncio.sleep(1.01 - time.time() % 1)

    async def in_step(self) -> bool:
        """Whether both folders hold equal objects."""
        return await self.all_of(self.origin) == await self.all_of(self.target)


@pytest.fixture(scope="session", autouse=True)
def _commands(commands: None) -> None:
    """Have commands of the product started as forks."""


async def _world(server: SeaweedFS, folder: Path) -> AsyncIterator[World]:
    access, secret = folder / "access", folder / "secret"
    access.write_text(server.access_key)
    secret.write_text(server.secret_key)
    keys = KeyFiles(access_key_file=access, secret_key_file=secret)
    number = next(_NUMBERS)  # a folder each: buckets are slow to make, folders cost nothing

    def place(name: str, endpoint: str, region: str, prefix: str) -> BucketLocation:
        values = {"bucket": name, "region": region, "prefix": f"{prefix}/{number}"}
        return BucketLocation(name, Bucket(endpoint=endpoint, **values), keys)

    unwatched = place("origin", server.endpoint, "us-east-1", "")
    async with WatchedS3(server.endpoint) as watched, opened(unwatched, 32) as client:
        origin = place("origin", watched.endpoint, "us-east-1", "releases")
        target = place("target", watched.endpoint, "us-west-2", "copies/of")
        made = [bucket["Name"] for bucket in (await client.list_buckets())["Buckets"]]
        for one in (origin, target):
            if one.entry.bucket not in made:
                await make_bucket(client, one.entry.bucket)
        yield World(server, client, watched, origin, target)


@pytest.fixture
async def world(s3: LocalS3, tmp_path: Path) -> AsyncIterator[World]:
    async for one in _world(s3.server, tmp_path):
        yield one


@pytest.fixture
async def usual_world(tmp_path: Path) -> AsyncIterator[World]:
    """On a server of its own, which splits what is larger than 4 MiB; see ``LargeChunks``."""
    with SeaweedFS(tmp_path / "data") as server:
        async for one in _world(server, tmp_path):
            yield one
        kill(server)


@pytest.fixture
async def clients(world: World) -> AsyncIterator[tuple[Any, Any]]:
    async with opened_light(world.origin, 8) as reads, opened_light(world.target, 8) as writes:
        yield reads, writes
