"""A made CloudFront log, and the proxy in front of two buckets to which it is replayed."""

from __future__ import annotations

import asyncio
import io
import random
from typing import TYPE_CHECKING, Any, NamedTuple

from yarl import URL

from nearbucket.analysis.live_replay.replay_requests import SentRequest, requests_of
from nearbucket.analysis.live_replay.traffic_replay import (
    ReplayPlan,
    ReplayResult,
    own_url,
    replay_logs,
)
from nearbucket.analysis.reading.arrow_reader import TableReader
from nearbucket.analysis.reading.formats import COLUMNS
from nearbucket.analysis.reading.log_blocks import LogBlocks
from nearbucket.cli.demo.seaweedfs import allow_anonymous, make_bucket
from nearbucket.config.file import load
from nearbucket.pricing.tariff import tariff
from nearbucket.supervisor.snapshot import engine_of, snapshot_of
from tests.ranges_lists import MADE
from tests.storing import store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from tests.conftest import LocalS3
    from tests.e2e.running import Running

FIELDS = (
    "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) "
    "cs-uri-stem sc-status cs(User-Agent) cs-uri-query cs(Cookie) x-host-header sc-content-len "
    "sc-range-start sc-range-end\n"
)
HEAD_BYTES = 480
"""CloudFront counts the head of a response, too."""
BUCKETS = "replay-origin", "replay-west"
CLIENTS = (MADE.west, MADE.west, MADE.west, MADE.east, *MADE.outside, MADE.seoul)


class LoggedObject(NamedTuple):
    key: str
    size: int


def objects() -> list[LoggedObject]:
    """What both buckets hold."""
    chance = random.Random(16)  # noqa: S311  # the same each time
    found = []
    for number in range(40):
        suffix = chance.choice([".tar.xz", ".tar.gz", ".tar.xz.sha256", ".json", ".qcow2"])
        size = 100 if suffix == ".tar.xz.sha256" else int(2 ** chance.uniform(10, 18))
        found.append(LoggedObject(f"dcos/pack age-{number}{suffix}", size))
    return found


def log_of(count: int, held: list[LoggedObject]) -> str:
    """A CloudFront log: whole downloads, ranges, HEADs, 304, 404, cookies, odd methods."""
    chance = random.Random(7)  # noqa: S311  # the same each time
    rows = []
    for number in range(count):
        key, size = chance.choice(held)
        kind = chance.choices(
            ["whole", "range", "HEAD", "304", "404", "cookie", "POST"], [70, 12, 4, 4, 4, 3, 3]
        )[0]
        start, end, status, sent, method, cookie = "-", "-", "200", size, "GET", "-"
        if kind == "range":
            first = chance.randrange(size)
            last = chance.randrange(first, size)
            start, end, status, sent = str(first), str(last), "206", last - first + 1
        elif kind in {"HEAD", "POST"}:
            method, sent = kind, 0
        elif kind in {"304", "404"}:
            status, sent = kind, 0
        elif kind == "cookie":
            cookie = "session=1"
        stem = "/" + key.replace(" ", "%2520")
        agent = chance.choice(["curl/8.5.0", "containerd/1.7%20linux", "-"])
        length = size if status == "200" else sent
        rows.append(
            f"2026-11-02\t03:{number // 60 % 60:02}:{number % 60:02}\tIAD89-P3\t{sent + HEAD_BYTES}"
            f"\t{chance.choice(CLIENTS)}\t{method}\td1.cloudfront.net\t{stem}\t{status}\t{agent}\t-"
            f"\t{cookie}\tdownloads.example\t{length}\t{start}\t{end}\n"
        )
    return FIELDS + "".join(rows)


class Replayed:
    """A proxy in front of two buckets, and a log."""

    def __init__(self, s3: LocalS3, folder: Path) -> None:
        self.s3, self.folder = s3, folder
        self.log = folder / "E1.2026-11-02-03.abcd.log"
        self.held = objects()
        asyncio.run(self._fill())

    async def _fill(self) -> None:
        async with self.s3.server.client() as client:
            known = {bucket["Name"] for bucket in (await client.list_buckets())["Buckets"]}
            if known.issuperset(BUCKETS):
                return
            for bucket in BUCKETS:
                await make_bucket(client, bucket)
                await allow_anonymous(client, bucket)
                await store(self.s3.server, bucket, {key: bytes(size) for key, size in self.held})

    def config(self, **more: Any) -> dict[str, Any]:
        def bucket(name: str, region: str) -> dict[str, Any]:
            return {"bucket": name, "region": region, "endpoint": self.s3.server.endpoint}

        redirect = {"scheme": "http", "came_back": "off", "paths": ["dcos/*"]}
        return {
            "regions": {"source": str(MADE.path), "cache": str(self.folder / "ranges.json")},
            "catalog": {"wait": "10s"},
            "prices": more.pop("prices", {}),
            **more.pop("sections", {}),
            "sites": [
                {
                    "origin": bucket("replay-origin", "us-east-1"),
                    "targets": {
                        "us-east-1": bucket("replay-origin", "us-east-1"),
                        "us-west-2": bucket("replay-west", "us-west-2"),
                    },
                    "redirect": {**redirect, **more.pop("redirect", {})},
                    **more,
                }
            ],
        }

    def tables(self) -> Iterator[pa.Table]:
        with self.log.open("rb") as file:
            yield from TableReader(frozenset(COLUMNS)).tables(LogBlocks(file))

    def replay(self, running: Running, *, url: str = "", rate: float = 1500) -> ReplayResult:
        settings = load(running.config)
        engine = engine_of(snapshot_of(settings, MADE.ranges))
        here = own_url(url or f"http://127.0.0.1:{running.port}", own_host=False)
        admin = URL(f"http://127.0.0.1:{running.admin_port}")
        plan = ReplayPlan(self.tables, here, admin, rate)
        return asyncio.run(replay_logs(plan, settings, engine, tariff(settings.prices)))


def rows_of(text: str) -> list[SentRequest]:
    """The requests that are sent for a log with this text."""
    blocks = LogBlocks(io.BytesIO(text.encode()))
    return [
        request
        for table in TableReader(frozenset(COLUMNS)).tables(blocks)
        for request in requests_of(table)
    ]
