"""A thousand clients that read 1 GiB slowly, before a real S3 server: memory, and redirects."""

from __future__ import annotations

import asyncio
import socket
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
from tests.s3server import SeaweedFS, allow_anonymous, make_bucket
from tests.storing import put_in_parts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3

MIB = 1 << 20
PART, PARTS = bytes(64 * MIB), 16
BUCKET, KEY = "long", "long/image.iso"
SECONDS = 20.0

READERS = """
import socket, sys, time
port, count, client = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
lines = "GET /long/image.iso HTTP/1.1", "Host: long.example", f"X-Forwarded-For: {client}", "", ""
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


async def put_long_object(server: SeaweedFS) -> None:
    async with server.client() as client:
        await make_bucket(client, BUCKET)
        await allow_anonymous(client, BUCKET)
        await put_in_parts(client, [PART] * PARTS, Bucket=BUCKET, Key=KEY)


def origin_of(server: SeaweedFS) -> dict[str, Any]:
    """A site without targets; the server is busy, so that no check may depend on it."""
    entry = {"bucket": BUCKET, "region": "us-east-1", "endpoint": server.endpoint}
    return {"hosts": ["long.example"], "origin": {**entry, "credentials": "anonymous"}}


def seconds_of_redirect(server: Running) -> float:
    """How long a redirect takes, with a new connection."""
    lines = f"GET {BIG_PATH} HTTP/1.1", "Host: dl.example", f"X-Forwarded-For: {EAST}", "", ""
    began = time.perf_counter()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall("\r\n".join(lines).encode())
        status = client.recv(12)
    taken = time.perf_counter() - began
    assert status == b"HTTP/1.1 301"
    return taken


@pytest.mark.long
@pytest.mark.parametrize(("count", "most"), [(100, 120 * MIB), (1000, 600 * MIB)])
def test_slow_readers_cost_little_memory_and_redirects_stay_quick(
    s3: LocalS3, tmp_path: Path, count: int, most: int
) -> None:
    with SeaweedFS(tmp_path / "long") as origin:
        asyncio.run(put_long_object(origin))
        config = config_for(s3, tmp_path)
        config["sites"].append(origin_of(origin))
        server = Running(tmp_path, config, keys_of(s3))
        server.write({**config, "listen": {"host": "127.0.0.1", "port": server.port, "workers": 1}})
        command = [sys.executable, "-c", READERS, str(server.port), str(count), OUTSIDE]
        with server:
            server.ready(1)
            readers = subprocess.Popen(command, stdout=subprocess.PIPE)
            try:
                assert readers.stdout is not None
                assert readers.stdout.readline() == b"reading\n"
                held, redirects = watch(server, urlsplit(origin.endpoint).port or 0)
                assert readers.poll() is None
                streams = server.figures()["nearbucket_streams_in_progress"]
            finally:
                readers.kill()
                readers.communicate()
    p99 = quantiles(redirects, n=100)[98]
    print(f"{count} readers: {held / MIB:.0f} MiB held, redirects p99 {p99 * 1e3:.1f} ms")  # noqa: T201
    assert streams == count
    assert held < most
    assert p99 < 0.05  # 10 ms on a machine that has nothing else to do


def watch(server: Running, origin: int) -> tuple[int, list[float]]:
    """The most memory that the worker and its sockets held, and how long each redirect took."""
    held, redirects = 0, []
    until = time.monotonic() + SECONDS
    (worker,) = server.workers()
    while time.monotonic() < until:
        held = max(held, resident(worker) + sockets(server.port, origin))
        redirects += [seconds_of_redirect(server) for _ in range(20)]
    return held, redirects
