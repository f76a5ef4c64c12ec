"""Fixtures of sync's tests: two folders on a real server, and runs between them."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakKeyDictionary
from xml.etree import ElementTree as ET

import pytest
from yarl import URL

from nearbucket.config.buckets import Bucket
from nearbucket.replication.replicator import Replicator, SyncJob, SyncOptions
from nearbucket.replication.sync_progress import SyncProgress
from nearbucket.s3.bucket_location import BucketLocation
from nearbucket.s3.http_session import client_session
from nearbucket.s3.sdk.bucket_listing import objects_of
from nearbucket.s3.sdk.light_client import opened_light
from nearbucket.s3.sdk.sdk_client import PAGE, opened
from tests.conftest import kill
from tests.replication.watched import WatchedS3
from tests.s3server import LargeChunks, SeaweedFS, key_files, make_bucket, signer_of
from tests.storing import store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from aiohttp import ClientSession

    from tests.conftest import LocalS3

MIB = 1024**2
_NUMBERS = itertools.count()
_OTHER_FIELDS = re.compile("date$|last-modified$|x-amz-request-id$|x-amz-tagging-|seaweed-")
"""Fields of a response that do not describe the object, repeat its tags, or are no fields of S3."""
_STORED: WeakKeyDictionary[SeaweedFS, dict[bytes, dict[str, str]]] = WeakKeyDictionary()
"""Per server: the large bodies that parts are copied from, and where they are."""


@dataclass
class World:
    """A folder in an origin and one in a target.

    Attributes:
        server: The server.
        client: Writes to both, unwatched.
        session: For plain requests to the server.
        watched: The server as sync sees it.
        origin: The origin's folder.
        target: The target's folder.
        found: The copies and deletions of the last run.
    """

    server: SeaweedFS
    client: Any
    session: ClientSession
    watched: WatchedS3
    origin: BucketLocation
    target: BucketLocation
    found: list[SyncJob] = field(default_factory=list)

    async def put(self, key: str, body: bytes = b"x", **more: Any) -> None:
        """An object of the origin, in one piece."""
        await self.client.put_object(**self.origin.arguments(key), Body=body, **more)

    async def put_all(self, keys: Iterable[str], body: bytes = b"x") -> None:
        """Many objects of the origin."""
        assert isinstance(self.server, LargeChunks)
        entry = self.origin.entry
        await store(self.server, entry.bucket, {entry.prefix + key: body for key in keys})

    async def put_in_parts(self, key: str, *parts: bytes, **more: Any) -> None:
        """An object of the origin, uploaded in parts."""
        await self._upload(self.origin.arguments(key), parts, more)

    async def put_by_another_tool(
        self, key: str, body: bytes, part: int = 8 * MIB, **more: Any
    ) -> None:
        """A copy as ``aws s3 sync`` makes it, which takes 8 MiB for a part."""
        parts = [body[first : first + part] for first in range(0, len(body), part)]
        await self._upload(self.target.arguments(key), parts, more)

    async def _upload(
        self, asked: dict[str, str], parts: Iterable[bytes], more: dict[str, Any]
    ) -> None:
        upload = (await self.client.create_multipart_upload(**asked, **more))["UploadId"]
        made = [
            {"PartNumber": number, "ETag": await self.put_part(asked, upload, number, body)}
            for number, body in enumerate(parts, 1)
        ]
        await self.client.complete_multipart_upload(
            **asked, UploadId=upload, MultipartUpload={"Parts": made}
        )

    async def put_part(self, asked: dict[str, str], upload: str, number: int, body: bytes) -> str:
        """A part of an upload; returns its ETag.

        Large bytes are uploaded once, and copied on the server for each part that has them: a
        third of the CPU time, for the same part. Other chunks would give the part an odd ETag.
        """
        part: dict[str, Any] = {**asked, "UploadId": upload, "PartNumber": number}
        if len(body) < MIB or not isinstance(self.server, LargeChunks):
            answer = await self.client.upload_part(**part, Body=body)
            return str(answer["ETag"])
        stored = _STORED.setdefault(self.server, {})
        if body not in stored:
            source = {"Bucket": self.origin.entry.bucket, "Key": f"{sha256(body).hexdigest()}.bin"}
            await self.client.put_object(**source, Body=body)
            stored[body] = source
        answer = await self.client.upload_part_copy(**part, CopySource=stored[body])
        return str(answer["CopyPartResult"]["ETag"])

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
        """The objects of a folder by key: header fields without dates, "Body" and "Tags".

        By plain requests: a test may read hundreds, for each of which an SDK needs 3 ms more.
        """
        answer = await self.client.list_objects_v2(
            Bucket=place.entry.bucket, Prefix=place.entry.prefix
        )
        keys = [each.key for each in objects_of(answer[PAGE], place)]
        return {key: await self._read(place, key) for key in keys}

    async def _read(self, place: BucketLocation, key: str) -> dict[str, Any]:
        fields, body = await self._get(place, key)
        _, tags = await self._get(place, key, "tagging=")
        found = {
            each.findtext("{*}Key"): each.findtext("{*}Value")
            for each in ET.fromstring(tags).iterfind(".//{*}Tag")  # noqa: S314  # our own server
        }
        kept = {name: value for name, value in fields.items() if not _OTHER_FIELDS.match(name)}
        return {**kept, "Body": body, "Tags": found}

    async def _get(
        self, place: BucketLocation, key: str, query: str = ""
    ) -> tuple[dict[str, str], bytes]:
        path = f"/{place.entry.bucket}/{quote(place.key(key))}"
        url = URL(f"{self.server.endpoint}{path}?{query}", encoded=True)
        headers = signer_of(self.server)("GET", path, query)
        async with self.session.get(url, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            fields = {name.lower(): value for name, value in answer.headers.items()}
            return fields, await answer.read()

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
    keys = key_files(folder, server.access_key, server.secret_key)
    number = next(_NUMBERS)  # a folder each: buckets are slow to make, folders cost nothing

    def place(name: str, endpoint: str, region: str, prefix: str) -> BucketLocation:
        values = {"bucket": name, "region": region, "prefix": f"{prefix}/{number}"}
        return BucketLocation(name, Bucket(endpoint=endpoint, **values), keys)

    unwatched = place("origin", server.endpoint, "us-east-1", "")
    async with (
        WatchedS3(server.endpoint) as watched,
        opened(unwatched, 32) as client,
        client_session() as session,
    ):
        origin = place("origin", watched.endpoint, "us-east-1", "releases")
        target = place("target", watched.endpoint, "us-west-2", "copies/of")
        made = [bucket["Name"] for bucket in (await client.list_buckets())["Buckets"]]
        for one in (origin, target):
            if one.entry.bucket not in made:
                await make_bucket(client, one.entry.bucket)
        yield World(server, client, session, watched, origin, target)


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
