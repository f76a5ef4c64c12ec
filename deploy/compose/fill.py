# ruff: noqa: INP001 -- a script that is mounted into a container, not part of a package
"""Creates the demonstration's buckets and puts the same samples into each.

It reads an S3 endpoint, bucket names and the SDK's usual credentials from the environment. A sample
that a bucket already has stays. It imports nothing of the proxy, but runs in its image, which has
aiobotocore: ``python fill.py``.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import os
import struct
import tarfile
import time
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from aiobotocore.session import get_session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 60.0
"""Seconds to wait for a store that answers its health check, but takes no writes yet."""

REFUSED_PATIENCE = 5.0
"""The same for a store that does not accept the keys: it is another server."""

_REFUSALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"}

_BLOCK = 0xFFFF
"""Most bytes in one stored block of deflate (RFC 1951 section 3.2.4)."""


def samples() -> dict[str, bytes]:
    """Every sample by its key: the same bytes wherever and whenever they are made."""
    return {
        "README.txt": b"Matches no pattern of redirect.paths: streamed to everybody.\n",
        "releases/demo-1.0.tar.gz": archive("demo-1.0", size=3_000_000),
        "releases/c++ tools-2.0.tar.gz": archive("c++ tools-2.0", size=200_000),
    }


def archive(name: str, *, size: int) -> bytes:
    """A .tar.gz that holds one file of ``size`` bytes that do not compress."""
    member = tarfile.TarInfo(f"{name}/data.bin")
    member.size = size
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(member, io.BytesIO(hashlib.shake_128(name.encode()).digest(size)))
    return gzip_stored(packed.getvalue())


def gzip_stored(data: bytes) -> bytes:
    """Gzip (RFC 1952) without compression: zlib's output differs from version to version."""
    body = b"".join(_stored_blocks(data))
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + body + struct.pack("<II", zlib.crc32(data), len(data))


def _stored_blocks(data: bytes) -> Iterator[bytes]:
    starts = range(0, len(data), _BLOCK) or range(1)
    for start in starts:
        part = data[start : start + _BLOCK]
        last = start == starts[-1]
        yield struct.pack("<BHH", last, len(part), len(part) ^ _BLOCK) + part


async def fill(client: Any, bucket: str) -> None:
    """Bring one bucket up to the samples."""
    there = (client.exceptions.BucketAlreadyOwnedByYou, client.exceptions.BucketAlreadyExists)
    with suppress(*there):
        await client.create_bucket(Bucket=bucket)
    for key, body in samples().items():
        if not await _holds(client, bucket, key, body):
            await client.put_object(Bucket=bucket, Key=key, Body=body)
        say(f"{bucket}/{key}: {len(body)} bytes")


async def _holds(client: Any, bucket: str, key: str, body: bytes) -> bool:
    """Whether the object is there; the ETag of a simple PUT is its MD5 (S3 API reference)."""
    try:
        head = await client.head_object(Bucket=bucket, Key=key)
    except ClientError:
        return False
    tag: str = head["ETag"].strip('"')
    return tag == hashlib.md5(body, usedforsecurity=False).hexdigest()


async def main() -> None:
    """Fill every bucket of FILL_BUCKETS at FILL_ENDPOINT; once more until the store is up."""
    began = time.monotonic()
    config = Config(
        region_name="us-east-1",
        connect_timeout=5,
        read_timeout=20,
        s3={"addressing_style": "path"},
        request_checksum_calculation="when_required",
        retries={"mode": "standard", "max_attempts": 2},
    )
    session = get_session()
    endpoint = os.environ["FILL_ENDPOINT"]
    async with session.create_client("s3", endpoint_url=endpoint, config=config) as client:
        for bucket in os.environ["FILL_BUCKETS"].split():
            while True:
                try:
                    await fill(client, bucket)
                    break
                except (BotoCoreError, ClientError) as error:
                    if time.monotonic() - began > _patience(error):
                        raise SystemExit(
                            f"{endpoint}: {error}\nGiven up. Does another server have this port? "
                            "Set FILL_ENDPOINT to the address of your S3 server."
                        ) from None
                    say(f"{bucket}: {error}; trying again")
                    await asyncio.sleep(1)


def _patience(error: Exception) -> float:
    """Seconds after the start in which an error is followed by another attempt."""
    code = error.response["Error"].get("Code") if isinstance(error, ClientError) else None
    return REFUSED_PATIENCE if code in _REFUSALS else PATIENCE


def say(line: str) -> None:
    """One line for ``docker compose logs fill``."""
    print(line, flush=True)  # noqa: T201  # a script: standard output is its interface


if __name__ == "__main__":
    asyncio.run(main())
