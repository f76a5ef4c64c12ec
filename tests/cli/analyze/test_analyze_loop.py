"""The loop is closed: logs, recommended policy, proxy, and its counters are those predicted."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import random
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nearbucket.cli.demo.seaweedfs import allow_anonymous, make_bucket
from tests.e2e.running import Running, keys_of
from tests.ranges_lists import MADE
from tests.storing import store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Run
    from tests.conftest import LocalS3

KIB, GB = 1 << 10, 1 << 30
S3_GET = 0.0004 / 1000
CDN_PER_GB = 85.0
"""A thousand times the list price, so that less than a megabyte is worth a bucket."""
FIELDS = (
    "#Version: 1.0\n#Fields: date time x-edge-location sc-bytes c-ip cs-method cs(Host) "
    "cs-uri-stem sc-status cs(User-Agent) sc-content-len\n"
)
OBJECTS = {
    **{f"dcos/pack-{number}.tar.xz": (1 + number % 3) * 100 * KIB for number in range(9)},
    **{f"dcos/pack-{number}.tar.xz.sha256": 90 for number in range(9)},
    **{f"docs/page-{number}.json": 3000 for number in range(20)},
}
BUCKETS = {"us-east-1": "loop-origin", "us-west-2": "loop-west"}


def addresses(region: str) -> list[str]:
    """Addresses of a region in networks of their own."""
    rows = [
        row
        for row in MADE.ranges.rows
        if (row.family, row.region, row.service) == (4, region, "EC2") and row.length <= 24
    ]
    return [str(ipaddress.ip_address(row.first + 9)) for row in rows[:12]]


def log() -> str:
    """Six days: archives for two regions, checksums and pages for everyone."""
    chance = random.Random(16)  # noqa: S311  # the same each time
    west, east = addresses("us-west-2"), addresses("us-east-1")
    packs, rest = list(OBJECTS)[:9], list(OBJECTS)[9:]
    rows = []
    for number in range(900):
        day, second = divmod(number * 576, 86_400)
        inside = chance.random() < 0.7
        client = chance.choice(chance.choice([west, east]) if inside else MADE.outside[:1])
        key = chance.choice(packs if chance.random() < 0.7 else rest)
        size = OBJECTS[key]
        clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        rows.append(
            f"2026-11-{day + 2:02}\t{clock}\tIAD89-P3\t{size + 400}\t{client}\tGET\t"
            f"d1.cloudfront.net\t/{key}\t200\tcurl/8.5.0\t{size}\n"
        )
    return FIELDS + "".join(rows)


class Loop:
    """A real S3 server with an origin and a bucket in another region."""

    def __init__(self, s3: LocalS3, folder: Path) -> None:
        self.s3, self.folder = s3, folder
        self.log = folder / "E1.2026-11-02-00.abcd.log"
        self.log.write_text(log())

    async def fill(self) -> None:
        async with self.s3.server.client() as client:
            for bucket in BUCKETS.values():
                await make_bucket(client, bucket)
                await allow_anonymous(client, bucket)
                await store(
                    self.s3.server, bucket, {key: bytes(size) for key, size in OBJECTS.items()}
                )

    def entry(self, region: str) -> dict[str, Any]:
        return {
            "bucket": BUCKETS[region],
            "region": region,
            "endpoint": self.s3.server.endpoint,
        }

    def before(self) -> str:
        """The configuration of somebody who has one bucket and no policy yet."""
        site = {
            "origin": {"bucket": BUCKETS["us-east-1"], "region": "us-east-1"},
            "targets": {"us-east-1": {"bucket": BUCKETS["us-east-1"]}},
        }
        file = self.folder / "before.yaml"
        file.write_text(yaml.safe_dump({"sites": [site], "prices": {"cdn_per_gb": CDN_PER_GB}}))
        return str(file)

    def after(self, recommended: str) -> dict[str, Any]:
        """The recommended block as pasted, with this machine's S3 server."""
        config: dict[str, Any] = yaml.safe_load(recommended)
        (site,) = config["sites"]
        site["origin"] = self.entry("us-east-1")
        site["targets"] = {region: self.entry(region) for region in site["targets"]}
        site["redirect"] |= {"scheme": "http", "came_back": "off"}
        return {
            **config,
            "regions": {"source": str(MADE.path), "cache": str(self.folder / "ranges.json")},
            "catalog": {"wait": "10s"},
        }


def test_the_recommended_policy_saves_in_a_running_proxy_what_was_predicted(
    s3: LocalS3,
    commands: None,  # noqa: ARG001
    nearbucket: Run,
    tmp_path: Path,
) -> None:
    loop = Loop(s3, tmp_path)
    asyncio.run(loop.fill())
    options = ["analyze", str(loop.log), "--ranges", str(MADE.path), "--format", "json"]
    report = json.loads(nearbucket(*options, "--config", loop.before()).out)
    found = report["recommendation"]
    assert sorted(found["regions"]) == sorted(BUCKETS)
    month = report["bill"]["bytes_month"] / sum(day["bytes"] for day in report["days"])
    with Running(tmp_path, loop.after(found["yaml"]), keys_of(s3)) as running:
        running.ready()
        url = f"http://127.0.0.1:{running.port}"
        asked = ("--config", str(running.config), "--replay", url, "--rate", "500")
        done = nearbucket(*options, *asked)
        figures = running.figures()
    replayed = json.loads(done.out)
    assert (done.code, replayed["sent"], replayed["agreed"]) == (0, 900, 900)

    def counted(name: str) -> float:
        return sum(value for series, value in figures.items() if series.startswith(name))

    redirects = counted("nearbucket_redirects_total")
    assert redirects * month == pytest.approx(found["redirects_month"], rel=0.02)
    size = counted("nearbucket_redirected_bytes_total")
    assert size * month == pytest.approx(found["bytes_month"], rel=0.02)
    usd = counted("nearbucket_saved_usd_total") + redirects * S3_GET
    gross = found["saving_usd_month"] + found["costs_usd_month"]
    assert usd * month == pytest.approx(gross, rel=0.02)
    assert usd == pytest.approx(size / GB * CDN_PER_GB)
