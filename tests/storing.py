"""Fills buckets of the local S3 server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.s3server import LargeChunks


async def store(server: LargeChunks, bucket: str, objects: Mapping[str, bytes]) -> None:
    """Put many small objects, by key, into a bucket.

    By the server's filer, not by S3: that takes a third of the CPU time for each object, and the
    SDK ten times as much.
    """
    connector = aiohttp.TCPConnector(limit=16)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def put(key: str, body: bytes) -> None:
            url = URL(f"{server.filer}/{bucket}/{quote(key)}", encoded=True)
            async with session.put(url, data=body) as answer:
                assert answer.status == 201, await answer.text()

        await asyncio.gather(*(put(key, body) for key, body in objects.items()))


async def put_in_parts(client: Any, parts: Iterable[bytes], **where: Any) -> None:
    """Upload an object in parts; ``where`` has the arguments of CreateMultipartUpload."""
    upload = await client.create_multipart_upload(**where)
    named = {name: upload[name] for name in ("Bucket", "Key", "UploadId")}
    made = []
    for number, body in enumerate(parts, 1):
        part = await client.upload_part(**named, PartNumber=number, Body=body)
        made.append({"PartNumber": number, "ETag": part["ETag"]})
    await client.complete_multipart_upload(**named, MultipartUpload={"Parts": made})
