"""An origin bucket that does not exist: an error in the log, a warning of readiness, and 502."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import TYPE_CHECKING

from tests.build import OUTSIDE, WEST
from tests.e2e.running import Running, ask, config_of, keys_of, site_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3

PATH = "/big/pack-1.0.tar.xz"
WARNING = (
    "origin of site *: there is no bucket download in us-east-1; correct sites.*.origin, and run "
    "nearbucket check"
)


def test_a_wrong_name_of_the_origin_bucket_is_an_error_and_a_warning_until_it_is_mended(
    s3: LocalS3, tmp_path: Path
) -> None:
    right, wrong = site_of(s3), site_of(s3)
    wrong["origin"]["bucket"] = "download"
    with Running(tmp_path, config_of(tmp_path, wrong), keys_of(s3)) as running:
        text = running.until("/readyz", lambda status, text: status == 200 and "warning" in text)
        assert text == f"ready\nwarning: {WARNING}\n"
        assert json.loads(running.admin("/api/status")[1])["warnings"] == [WARNING]
        for client in (OUTSIDE, WEST):
            assert running.get(PATH, client).status == 502
            url = f"http://127.0.0.1:{running.port}{PATH}"
            assert ask(url, {"X-Forwarded-For": client}, method="HEAD").status == 502
        query = f"/api/explain?ip={WEST}&path={PATH}"
        steps = json.loads(running.admin(query)[1])
        assert "404 NoSuchBucket for bucket download in us-east-1" in json.dumps(steps)

        running.write(config_of(tmp_path, right))
        running.signal(signal.SIGHUP)
        running.until("/readyz", lambda _, text: text == "ready\n")
        assert running.get(PATH, WEST).status == 301
        assert running.said().count(WARNING) == 1

        running.write(config_of(tmp_path, wrong))  # the same by a reload
        running.signal(signal.SIGHUP)
        # the log is written by a thread of its own
        running.until(
            "/readyz", lambda _, text: WARNING in text and running.said().count(WARNING) > 1
        )
        assert running.said().count(WARNING) == 2


async def change(s3: LocalS3, what: str) -> None:
    async with s3.server.client() as client:
        await getattr(client, what)(Bucket="download-made-later")


def test_a_bucket_that_is_created_ends_the_warning(s3: LocalS3, tmp_path: Path) -> None:
    site = site_of(s3)
    site["origin"]["bucket"] = "download-made-later"
    with Running(tmp_path, config_of(tmp_path, site), keys_of(s3)) as running:
        running.until("/readyz", lambda _, text: "there is no bucket download-made-later" in text)
        asyncio.run(change(s3, "create_bucket"))
        try:
            running.until("/readyz", lambda _, text: text == "ready\n")
        finally:
            asyncio.run(change(s3, "delete_bucket"))
        log = running.errors.read_text(encoding="utf-8")
        assert "origin of site *: the bucket can be used now" in log
