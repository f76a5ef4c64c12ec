"""Copies are verified by listings where that costs less, by the processes of ``serve``."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.e2e.running import Running, keys_of, site_of
from tests.ranges_lists import MADE
from tests.storing import store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3

KEYS = [f"hot-again/{number:03}.tar.xz" for number in range(60)]
PATIENCE = 90.0
USD = 'nearbucket_verification_usd_total{request="list"}'
HEADS = 'nearbucket_checks_total{result="present"}'


@pytest.mark.long
def test_workers_are_told_what_listings_show_and_dollars_are_counted(
    s3: LocalS3, tmp_path: Path
) -> None:
    for bucket in (s3.private, s3.public):
        asyncio.run(store(s3.server, bucket, dict.fromkeys(KEYS, b"v1")))
    redirect = {"verify_ttl": "2s", "paths": ["hot-again/*"]}
    config = {
        "regions": {"source": str(MADE.path), "cache": str(tmp_path / "ranges.json")},
        "catalog": {"wait": "10s"},
        "sites": [site_of(s3, redirect=redirect)],
    }
    with Running(tmp_path, config, keys_of(s3)) as running:
        running.ready()
        until = time.monotonic() + PATIENCE
        while running.figures().get(USD, 0.0) < 20 * 5e-6:
            assert time.monotonic() < until
            for key in KEYS:
                assert running.get(f"/{key}", MADE.west).status == 301
        log = running.said()
        assert "verification: sites.*.origin is now verified by listings of 1 page\n" in log
        before, began = running.figures(), time.monotonic()
        for _ in range(5):
            for key in KEYS:
                assert running.get(f"/{key}", MADE.west).status == 301
            time.sleep(0.5)
        after = running.figures()
        assert after[USD] > before[USD]
        each_renewal = 4 * len(KEYS)  # two workers, two buckets
        assert after[HEADS] - before[HEADS] < each_renewal * (time.monotonic() - began) / 1.5 / 2
        asyncio.run(store(s3.server, s3.private, {KEYS[0]: b"v2"}))
        time.sleep(2.5)
        assert running.get(f"/{KEYS[0]}", MADE.west).status == 200
