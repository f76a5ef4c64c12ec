"""A thousand clients that read 1 GiB slowly, before a real S3 server: memory, and redirects."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from statistics import quantiles
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from bench.slow.memory import resident, sockets
from tests.e2e.running import Running, keys_of
from tests.e2e.test_serve import BIG_PATH, EAST, OUTSIDE, config_for

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3

MIB = 1 << 20
PART, PARTS = bytes(64 * MIB), 16
KEY = "long/image.iso"
SECONDS = 20.0

READERS = """
import socket, sys, time
port, count, client = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
lines = "GET /long/image.iso HTTP/1.1", "Host: dl", f"X-Forwarded-For: {client}", "", ""
head = "\\r\\n".join(lines).encode()
readers = []
for _ in range(count):
    reader = socket.create_connection(("127.0.0.1", port))
    reader.sendall(head)
    readers.append(reader)
for reader in readers:
    assert reader.recv(12) == b"HTTP/1.1 200", "no answer"
print("reading", flush=True)
while True:
    for reader in readers:
        assert reader.recv(8192), "closed"
        time.sleep(0.5 / count)
"""
"""Each reads 16 KiB a second."""


async def put_long_object(s3: LocalS3) -> None:
    async with s3.server.client() as client:
        place: dict[str, Any] = {"Bucket": s3.private, "Key": KEY}
        upload = (await client.create_multipart_upload(**place))["UploadId"]
        parts = []
        for number in range(1, PARTS + 1):
            sent = await client.upload_part(**place, UploadId=upload, PartNumber=number, Body=PART)
            parts.append({"PartNumber": number, "ETag": sent["ETag"]})
        await client.complete_multipart_upload(
            **place, UploadId=upload, MultipartUpload={"Parts": parts}
        )


async def delete_long_object(s3: LocalS3) -> None:
    async with s3.server.client() as client:
        await client.delete_object(Bucket=s3.private, Key=KEY)


def seconds_of_redirect(server: Running) -> float:
    began = time.perf_counter()
    assert server.get(BIG_PATH, EAST).status == 301
    return time.perf_counter() - began


@pytest.mark.long
@pytest.mark.parametrize(("count", "most"), [(100, 120 * MIB), (1000, 600 * MIB)])
def test_slow_readers_cost_little_memory_and_redirects_stay_quick(
    s3: LocalS3, tmp_path: Path, count: int, most: int
) -> None:
    asyncio.run(put_long_object(s3))
    # checks of copies would wait for the same S3 server, which is busy
    config = config_for(s3, tmp_path, redirect={"verify": "none"})
    origin = urlsplit(s3.server.endpoint).port or 0
    running = Running(tmp_path, config, keys_of(s3))
    running.write({**config, "listen": {"host": "127.0.0.1", "port": running.port, "workers": 1}})
    command = [sys.executable, "-c", READERS, str(running.port), str(count), OUTSIDE]
    with running as server:
        server.ready(1)
        with subprocess.Popen(command, stdout=subprocess.PIPE) as readers:
            try:
                assert readers.stdout is not None
                assert readers.stdout.readline() == b"reading\n"
                held, redirects = 0, []
                until = time.monotonic() + SECONDS
                (worker,) = server.workers()
                while time.monotonic() < until:
                    held = max(held, resident(worker) + sockets(server.port, origin))
                    redirects += [seconds_of_redirect(server) for _ in range(20)]
                assert readers.poll() is None
                figures = server.figures()
            finally:
                readers.kill()
    asyncio.run(delete_long_object(s3))
    p99 = quantiles(redirects, n=100)[98]
    print(f"{count} readers: {held / MIB:.0f} MiB held, redirects p99 {p99 * 1e3:.1f} ms")  # noqa: T201
    assert figures["nearbucket_streams_in_progress"] == count
    assert held < most
    assert p99 < 0.05  # 10 ms on a machine that has nothing else to do
