"""Rolling out: configurations swapped under load, a warm-up, and what the status says of it."""

from __future__ import annotations

import json
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tests.e2e.running import PATIENCE, Running, keys_of, site_of
from tests.ranges_lists import MADE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalS3

WEST, PATH, OTHER = MADE.west, "/big/pack-1.0.tar.xz", "/text.txt"
STEPS: list[tuple[dict[str, Any], str]] = [
    ({"mode": "shadow"}, "shadow"), ({"percent": 0}, "percent"), ({"mode": "off"}, "off"),
    ({"min_size": "1GiB"}, "small"), ({}, "in-region"),
]  # fmt: skip
PAUSE = 0.2
"""Seconds that a client waits after two requests: without, a busy machine is all that is seen."""


def config_of(s3: LocalS3, folder: Path, **more: Any) -> dict[str, Any]:
    return {
        "regions": {"source": str(MADE.path), "cache": str(folder / "ranges.json")},
        "catalog": {"wait": "10s", **more.pop("catalog", {})},
        "sites": [site_of(s3, **more)],
    }


class Load:
    """Clients that ask all the time, and judge every answer."""

    def __init__(self, port: int, s3: LocalS3) -> None:
        self.reasons: dict[str, int] = {}
        self.wrong: list[str] = []
        self._url = f"http://127.0.0.1:{port}"
        self._objects = s3.objects
        self._stop = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> None:
        with requests.Session() as session:
            while not self._stop.wait(PAUSE):
                for path in (PATH, OTHER):
                    self._one(session, path)

    def _one(self, session: requests.Session, path: str) -> None:
        try:
            answer = session.get(
                self._url + path,
                headers={"X-Forwarded-For": WEST},
                timeout=30,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            self.wrong.append(repr(error))
            return
        reason = answer.headers["X-Nearbucket"].rpartition("=")[2]
        with self._lock:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        moved = answer.status_code == 301 and "us-west-2-downloads" in answer.headers["Location"]
        if not moved and answer.content != self._objects[path[1:]]:
            self.wrong.append(f"{answer.status_code} {reason}")

    @contextmanager
    def going_on(self, clients: int = 3) -> Iterator[None]:
        """Ask until the end of the block."""
        threads = [threading.Thread(target=self.run) for _ in range(clients)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()

    def seen(self, reason: str) -> None:
        """Wait until an answer had this reason."""
        deadline = time.monotonic() + PATIENCE
        while reason not in self.reasons:
            assert time.monotonic() < deadline, self.reasons
            time.sleep(0.02)


def refused_in(status: str) -> str | None:
    """Why the last configuration was refused, by ``/api/status``; None if it was not."""
    why: str | None = json.loads(status)["config"]["refused"]
    return why


def test_configurations_are_swapped_under_load_and_no_request_fails(
    s3: LocalS3, tmp_path: Path
) -> None:
    config = config_of(s3, tmp_path)
    with Running(tmp_path, config, keys_of(s3)) as running:
        running.ready()
        load = Load(running.port, s3)
        with load.going_on():
            load.seen("in-region")
            for redirect, reason in STEPS:
                load.reasons.clear()
                running.write(config_of(s3, tmp_path, redirect=redirect))
                running.signal(signal.SIGHUP)
                running.until("/api/status", lambda _, text: refused_in(text) is None)
                load.seen(reason)
                running.config.write_text("sites: [{hosts: []}]", encoding="utf-8")
                running.signal(signal.SIGHUP)
                running.until("/api/status", lambda _, text: "sites.0" in (refused_in(text) or ""))
                status = json.loads(running.admin("/api/status")[1])
                assert status["sites"][0]["mode"] == redirect.get("mode", "on")
                load.reasons.clear()
                load.seen(reason)
        assert load.wrong == []


def test_a_warm_up_spares_the_first_requests_their_question(s3: LocalS3, tmp_path: Path) -> None:
    config = config_of(s3, tmp_path, catalog={"warm_up": "list", "wait": "1ms"})
    config["sites"][0]["redirect"]["paths"] = ["*"]
    with Running(tmp_path, config, keys_of(s3)) as running:
        running.ready()
        running.until("/api/status", lambda _, text: json.loads(text)["warm_up"]["state"] == "done")
        status = json.loads(running.admin("/api/status")[1])
        assert status["warm_up"]["learned"] >= 2 * len(s3.objects) - 2
        assert "reason=in-region" in running.get(PATH, WEST).headers["x-nearbucket"]
        figures = running.figures()
        assert figures['nearbucket_checks_total{result="present"}'] == 0
        assert figures['nearbucket_redirected_bytes_total{region="us-west-2",site="*"}'] == len(
            s3.objects[PATH[1:]]
        )
        assert figures['nearbucket_target_up{region="us-west-2",site="*"}'] == 1
        assert status["sites"][0]["targets"]["us-west-2"]["up"] is True


@pytest.mark.parametrize("listed", [True, False])
def test_the_hosts_are_a_document_on_the_public_port(
    s3: LocalS3, tmp_path: Path, *, listed: bool
) -> None:
    config = config_of(s3, tmp_path)
    with Running(tmp_path, config, keys_of(s3)) as running:
        running.write(
            {
                **config,
                "listen": {
                    "host": "127.0.0.1",
                    "port": running.port,
                    "workers": 1,
                    "well_known": listed,
                },
            }
        )
        running.stop()
    with running:
        running.ready(1)
        answer = running.get("/.well-known/nearbucket-hosts.json", WEST)
        assert (s3.server.endpoint.partition("//")[2].encode() in answer.body) is listed
        assert (answer.status == 200) is listed
