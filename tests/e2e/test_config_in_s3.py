"""``serve --config s3://bucket/key``: an upload is a reload, and the kill switch."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import pytest

from tests.command_server import Begun
from tests.e2e.running import Running, keys_of, site_of
from tests.ranges_lists import MADE
from tests.storing import store

if TYPE_CHECKING:
    from pathlib import Path

    from tests.command_server import Ended
    from tests.conftest import LocalS3

PATH = "/big/pack-1.0.tar.xz"
RELOADS = 'nearbucket_config_reloads_total{result="%s"}'


class Uploaded:
    """A server whose configuration is an object."""

    def __init__(self, s3: LocalS3, folder: Path) -> None:
        self.s3, self.folder, self.key = s3, folder, f"{folder.name}.yaml"
        self.env = {**keys_of(s3), "AWS_ENDPOINT_URL_S3": s3.server.endpoint}
        self.url = f"s3://{s3.private}/{self.key}"
        self.running = Running(folder, {}, self.env)
        self.running.config_name = self.url

    def upload(self, text: bytes) -> None:
        asyncio.run(store(self.s3.server, self.s3.private, {self.key: text}))

    def upload_mode(self, mode: str) -> None:
        self.running.write(
            {
                "regions": {"source": str(MADE.path), "cache": str(self.folder / "ranges.json")},
                "catalog": {"wait": "10s"},
                "sites": [site_of(self.s3, redirect={"mode": mode})],
            }
        )
        self.upload(self.running.config.read_bytes())
        self.running.config.unlink()  # what is used is the object

    def reloads(self, result: str, count: int) -> None:
        """Wait until that many reloads have ended so."""
        sample = f"{RELOADS % result} {float(count)}"
        self.running.until("/metrics", lambda _, text: sample in text)


@pytest.fixture
def uploaded(s3: LocalS3, tmp_path: Path) -> Uploaded:
    return Uploaded(s3, tmp_path)


def run(*words: str, env: dict[str, str]) -> Ended:
    return Begun(*words, env=env).end()


def test_an_upload_is_the_kill_switch_and_a_wrong_one_changes_nothing(uploaded: Uploaded) -> None:
    uploaded.upload_mode("on")
    with uploaded.running as server:
        server.ready()
        assert f"from {uploaded.url}" in server.said()
        assert server.get(PATH, MADE.west).status == 301
        uploaded.upload_mode("off")
        server.signal(signal.SIGHUP)
        uploaded.reloads("applied", 1)
        assert server.get(PATH, MADE.west).status == 200
        uploaded.upload(b"sites: []\nmode: on\n")
        server.signal(signal.SIGHUP)
        uploaded.reloads("refused", 1)
        assert server.get(PATH, MADE.west).status == 200
    assert f"{uploaded.url}:2: mode" in server.said()


@pytest.mark.long
def test_an_upload_is_found_within_ten_seconds_without_a_signal(uploaded: Uploaded) -> None:
    uploaded.upload_mode("on")
    with uploaded.running as server:
        server.ready()
        uploaded.upload_mode("off")
        uploaded.reloads("applied", 1)
        assert server.get(PATH, MADE.west).status == 200


def test_without_the_object_the_server_does_not_start(uploaded: Uploaded) -> None:
    ended = run("serve", "--config", f"{uploaded.url}.missing", env=uploaded.env)
    assert ended.code == 2
    assert f"{uploaded.url}.missing: NoSuchKey" in ended.err


def test_check_and_diff_read_the_object_that_the_server_uses(
    uploaded: Uploaded, tmp_path: Path
) -> None:
    uploaded.upload_mode("on")
    env = {**uploaded.env, "NEARBUCKET_REGIONS__CACHE": str(tmp_path / "none.json")}
    checked = run("check", "--offline", "--config", uploaded.url, env=env)
    assert checked.code in {0, 1}, checked.err
    uploaded.running.write({"sites": [site_of(uploaded.s3, redirect={"mode": "shadow"})]})
    compared = run("config", "diff", uploaded.url, str(uploaded.running.config), "--json", env=env)
    assert '"sites.*.redirect.mode"' in compared.out
