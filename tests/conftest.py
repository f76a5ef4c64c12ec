"""What tests of several modules share: a real S3 server with two filled buckets."""

from __future__ import annotations

import asyncio
import gc
import gzip
import logging
import os
import random
import signal
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest
from aiobotocore.session import get_session

from nearbucket.config.buckets import KeyFiles, Origin
from nearbucket.origin import client as origin_client
from nearbucket.regions.ip_ranges import read_ranges
from nearbucket.regions.prepared_list import read_prepared
from nearbucket.s3.http_session import client_session
from tests.command_server import command_server
from tests.s3server import LargeChunks, SeaweedFS, allow_anonymous, key_files, make_bucket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Generator, Iterator

    from aiohttp import ClientSession

pytest_plugins = (
    "tests.environment",
    "tests.leaks",
    "tests.peak_memory",
    "tests.skips",
    "tests.browser",
)

BIG = random.Random(20).randbytes(5 * 1024 * 1024 + 333)  # noqa: S311 - content, not a secret

SAMPLES: dict[str, dict[str, Any]] = {
    "empty.bin": {"Body": b""},
    "one.bin": {"Body": b"1"},
    "text.txt": {"Body": b"Hello, nearbucket!\n", "ContentType": "text/plain; charset=utf-8"},
    "big/pack-1.0.tar.xz": {"Body": BIG, "ContentType": "application/x-xz"},
    "packed.json": {
        "Body": gzip.compress(b'{"packed": true}', mtime=0),
        "ContentType": "application/json",
        "ContentEncoding": "gzip",
    },
    "chunked.json": {
        "Body": gzip.compress(b'{"chunked": true}', mtime=0),
        "ContentType": "application/json",
        "ContentEncoding": "gzip,aws-chunked",
    },
    "a+b c%.txt": {"Body": b"an odd name"},
    "ünï.tar.gz": {"Body": b"a name that is not ASCII"},
    "described.txt": {
        "Body": b"an object with everything said about it",
        "ContentType": "text/plain",
        "ContentDisposition": 'attachment; filename="described.txt"',
        "ContentLanguage": "de",
        "CacheControl": "public, max-age=60",
        "Expires": "Wed, 21 Oct 2037 07:28:00 GMT",
        "Metadata": {"secret": "not for clients"},
    },
}
"""Key to the arguments of PutObject."""


@dataclass(frozen=True, eq=False)
class LocalS3:
    """The running server and what is in it.

    Attributes:
        server: Endpoint, keys and a client.
        files: Files holding the server's keys.
        objects: Key to content, the same in both buckets.
        private: The origin bucket: readable with the keys alone.
        public: The regional bucket of us-west-2: its objects are public.
    """

    server: LargeChunks
    files: KeyFiles
    objects: dict[str, bytes] = field(
        default_factory=lambda: {key: sample["Body"] for key, sample in SAMPLES.items()},
        repr=False,  # asyncio.run makes the repr of what a fixture returned: 0.1 s for 5 MiB
    )
    private: str = "downloads"
    public: str = "us-west-2-downloads"

    def entry(self, bucket: str = "downloads", **more: Any) -> Origin:
        """The configuration of a bucket here, with the server's keys unless said otherwise."""
        values = {"region": "us-east-1", "credentials": self.files, **more}
        return Origin.model_validate({"bucket": bucket, "endpoint": self.server.endpoint, **values})


gc.disable()  # until all tests are collected, which makes nothing that the collector could free


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Processes of ``-n auto``: twice as many as there are cores, because tests often wait."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mix modules that wait with those that compute, where several processes share them.

    Those of one folder are alike, and each process begins with a part of the whole in its order.
    """
    bucket = config.getoption("random_order_bucket", default="default:")
    shuffled = not bucket.startswith("default:")  # as by SHUFFLE
    if hasattr(config, "workerinput") and not shuffled:
        items.sort(key=lambda item: crc32(item.nodeid.partition("::")[0].encode()))


def pytest_collection_finish() -> None:
    """Keep modules and tests out of later collections: a fifth of what a small test costs.

    And have each process choose ports of its own: the plugin that shuffles seeds all alike.
    """
    gc.enable()
    gc.collect()
    gc.freeze()
    random.seed()


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalS3]:
    """SeaweedFS with the samples in both buckets: read it, but write only new keys."""
    folder = tmp_path_factory.mktemp("s3")
    with LargeChunks(folder / "data") as server:
        local = LocalS3(server, key_files(folder, server.access_key, server.secret_key))
        asyncio.run(_fill(local))
        yield local
        kill(server)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """The product sets the level of all loggers by ``log.level``: no other test shall see that."""
    level = logging.getLogger().level
    try:
        return (yield)
    finally:
        logging.getLogger().setLevel(level)


@pytest.fixture(scope="session")
def commands() -> Iterator[None]:
    """Commands of the product can be started; see ``tests.command_server``."""
    with command_server():
        yield


@pytest.fixture
def own_sdk_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that reads the environment anew, and does not keep its keys for other tests."""
    monkeypatch.setattr("nearbucket.s3.sdk.sdk_client._session", cache(get_session))


_read_once = lru_cache(4)(read_ranges)
_read_prepared_once = lru_cache(4)(read_prepared)


@pytest.fixture
def lists_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for every command that a test runs: a list takes 60 ms of CPU time."""
    monkeypatch.setattr("nearbucket.regions.ip_ranges_source.read_ranges", _read_once)
    monkeypatch.setattr("nearbucket.regions.built_in_list.read_prepared", _read_prepared_once)


def kill(server: SeaweedFS) -> None:
    """End a server whose data is not needed any more; stopping it takes seconds."""
    if server.pid is not None:
        os.kill(server.pid, signal.SIGKILL)


async def _fill(local: LocalS3) -> None:
    async with local.server.client() as client:
        await make_bucket(client, local.private)
        await make_bucket(client, local.public, "us-west-2")
        await allow_anonymous(client, local.public)
        for bucket in (local.private, local.public):
            for key, sample in SAMPLES.items():
                await client.put_object(Bucket=bucket, Key=key, **sample)


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with client_session() as one:
        yield one


@pytest.fixture
async def downloads(s3: LocalS3, session: ClientSession) -> origin_client.OriginClient:
    return origin_client.OriginClient(s3.entry(), session)
