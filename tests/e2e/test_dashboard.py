"""The dashboard of the admin port in a browser: the words and figures that it shows.

The proxy has a target that works and one that does not.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.build import ELSEWHERE, OUTSIDE, WEST, ranges_document
from tests.e2e.running import PATIENCE, Running, keys_of, site_of
from tests.e2e.test_clients_browser import Tab, chromium

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalS3

pytestmark = pytest.mark.clients

CHOSEN, OTHER = "/big/pack-1.0.tar.xz", "/text.txt"


@pytest.fixture
def running(s3: LocalS3, tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "ip-ranges.json").write_bytes(ranges_document())
    site: dict[str, Any] = site_of(s3, redirect={"percent": 100})
    absent = {**site["targets"]["us-west-2"], "bucket": "nobody-made-this", "mode": "shadow"}
    site["targets"]["eu-west-1"] = {**absent, "region": "eu-west-1"}
    regions = {"source": str(tmp_path / "ip-ranges.json"), "cache": str(tmp_path / "cache.json")}
    catalog = {"wait": "10s", "warm_up": "list"}
    config = {"regions": regions, "catalog": catalog, "sites": [site]}
    with Running(tmp_path, config, keys_of(s3)) as running:
        running.ready()
        down = 'nearbucket_target_up{region="eu-west-1",site="*"} 0.0'
        running.until("/metrics", lambda _, text: down in text)
        running.until("/api/status", lambda _, text: '"state": "failed"' in text)
        yield running


async def shown(tab: Tab, *wanted: str) -> None:
    """Wait until the page shows all of this, in whatever order; blanks are one space."""
    deadline = time.monotonic() + PATIENCE
    missing: list[str] = [*wanted]
    while missing:
        text = re.sub(r"\s+", " ", await tab.run("() => document.body.innerText"))
        missing = [part for part in wanted if part not in text]
        assert not missing or time.monotonic() < deadline, (missing, text)


async def test_the_dashboard_says_what_is_sent_where_and_what_is_wrong(
    running: Running, tmp_path: Path
) -> None:
    for path, client in ((CHOSEN, WEST), (OTHER, WEST), (CHOSEN, OUTSIDE), (CHOSEN, ELSEWHERE)):
        assert running.get(path, client).status in {200, 301}
    running.config.write_text("sites: [{hosts: []}]", encoding="utf-8")
    refused = 'nearbucket_config_reloads_total{result="refused"} 1.0'
    running.until("/metrics", lambda _, text: refused in text)
    async with chromium(tmp_path) as tab:
        await tab.open(f"http://127.0.0.1:{running.admin_port}/")
        await shown(
            tab,
            "25.0 % redirected 1 requests",
            "5.0 MiB redirected bytes",
            "$0.0004 saved, at most",
            "failed 0",
            "warm-up failed",
            "*: mode on, 100 percent, verify match, the rest streamed",
            "shadow down 0 0 B $0.00 $0.00",
            "on up 1 5.0 MiB $0.0004",
            "$0.00 would save (shadow), at most 0 B",
            "other 1 3 0",
            "* us-west-2 yes in-region 1 25.0 %",
            "* us-west-2 no path 1 25.0 %",
            "* outside no outside-aws 1 25.0 %",
            "* eu-west-1 no target-down 1 25.0 %",
            "target down: * in eu-west-1, ",
            "; its clients are not sent there: there is no bucket",
            "warm-up: sites.*.targets.eu-west-1",
            "the last configuration was refused, the old one stays in use: ",
        )
        said = running.errors.read_text(encoding="utf-8")
        down = "site * in eu-west-1, bucket nobody-made-this"
        assert f"target down, clients are no longer redirected to it: {down}: " in said
        await shown(tab, "0 B a second", "$0.00 an hour")  # two looks are five seconds apart
