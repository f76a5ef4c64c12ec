"""The buckets of this bench: a local S3 server that counts requests, and its objects."""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import yaml

from bench.lib.processes import free_port
from tests.s3server import LargeChunks, make_bucket
from tests.storing import store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

MIB = 1 << 20
_REQUESTS = re.compile(r'^SeaweedFS_s3_request_total\{bucket="[^"]+".*\} (\S+)$', re.MULTILINE)
"""The server's counters of requests to buckets."""


class CountedS3(LargeChunks):
    """SeaweedFS with metrics, which stores small objects as it does by default."""

    inline = 0
    metrics = 0

    def _arguments(self, ports: list[int], config: Path) -> list[str]:
        self.metrics = free_port()
        return [*super()._arguments(ports, config), f"-metricsPort={self.metrics}"]


@dataclass(frozen=True)
class Stage:
    """A running server, and the bucket that is copied.

    Attributes:
        server: The server.
        folder: Folder for files.
        origin: The bucket.
    """

    server: CountedS3
    folder: Path
    origin: str = "origin"

    def config(self, target: str) -> Path:
        """A configuration of ours with one target."""
        keys = {}
        for name in ("access_key", "secret_key"):
            file = self.folder / name
            file.write_text(getattr(self.server, name), encoding="ascii")
            keys[f"{name}_file"] = str(file)
        one = {"region": "us-east-1", "endpoint": self.server.endpoint, "credentials": keys}
        site = {
            "hosts": ["*"],
            "origin": {"bucket": self.origin, **one},
            "targets": {"us-west-2": {"bucket": target, **one}},
            "redirect": {"paths": ["*"], "exclude": [], "scheme": "http"},
        }
        file = self.folder / f"{target}.yaml"
        file.write_text(yaml.safe_dump({"sites": [site]}), encoding="utf-8")
        return file

    @contextmanager
    def environment(self) -> Iterator[None]:
        """Let programs find the server and its keys, and no settings of the user's."""
        empty = self.folder / "rclone.conf"
        empty.touch()
        before = dict(os.environ)
        os.environ.update(
            HOME=str(self.folder),
            AWS_ACCESS_KEY_ID=self.server.access_key,
            AWS_SECRET_ACCESS_KEY=self.server.secret_key,
            AWS_REGION="us-east-1",
            RCLONE_CONFIG=str(empty),
            RCLONE_CONFIG_S3_TYPE="s3",
            RCLONE_CONFIG_S3_PROVIDER="SeaweedFS",
            RCLONE_CONFIG_S3_ENDPOINT=self.server.endpoint,
            RCLONE_CONFIG_S3_ENV_AUTH="true",
        )
        os.environ.pop("AWS_CA_BUNDLE", None)  # rclone does not start with it
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def requests(self) -> int:
        """Requests that the server got so far."""
        connection = HTTPConnection("127.0.0.1", self.server.metrics)
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return sum(int(float(each)) for each in _REQUESTS.findall(text))

    def make(self, *buckets: str) -> None:
        """Make buckets."""

        async def made() -> None:
            async with self.server.client() as client:
                for bucket in buckets:
                    await make_bucket(client, bucket)

        asyncio.run(made())

    def write(self, numbers: Iterable[int], size: int, version: int) -> None:
        """Write objects of the origin; their bytes depend on number and version."""
        bodies = {}
        for number in numbers:
            body = f"{number} {version} ".encode().ljust(size, b"x")
            bodies[f"releases/{number // 100}/package-{number}.tar.gz"] = body
        asyncio.run(store(self.server, self.origin, bodies))

    def put(self, key: str, parts: Iterable[bytes], **described: Any) -> None:
        """Write an object of the origin, in parts if there are more than one."""

        async def written() -> None:
            asked = {"Bucket": self.origin, "Key": key}
            async with self.server.client() as client:
                first, *others = parts
                if not others:
                    await client.put_object(**asked, Body=first, **described)
                    return
                begun = await client.create_multipart_upload(**asked, **described)
                asked["UploadId"] = begun["UploadId"]
                made = [
                    {
                        "PartNumber": number,
                        "ETag": (await client.upload_part(**asked, PartNumber=number, Body=body))[
                            "ETag"
                        ],
                    }
                    for number, body in enumerate([first, *others], 1)
                ]
                await client.complete_multipart_upload(**asked, MultipartUpload={"Parts": made})

        asyncio.run(written())

    def described(self, bucket: str, key: str) -> Mapping[str, Any]:
        """Fields, metadata, tags and ETag of an object; nothing if it is not there."""

        async def asked() -> dict[str, Any]:
            async with self.server.client() as client:
                try:
                    head = await client.head_object(Bucket=bucket, Key=key)
                    tags = await client.get_object_tagging(Bucket=bucket, Key=key)
                except client.exceptions.ClientError:
                    return {}
            return {**head, "Tags": tags["TagSet"]}

        return asyncio.run(asked())

    def parts(self, bucket: str) -> int:
        """Parts of uploads that are not complete, in a bucket."""

        async def counted() -> int:
            async with self.server.client() as client:
                answer = await client.list_multipart_uploads(Bucket=bucket)
                found = [
                    await client.list_parts(
                        Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"]
                    )
                    for each in answer.get("Uploads", ())
                ]
            return sum(len(each.get("Parts", ())) for each in found)

        return asyncio.run(counted())
