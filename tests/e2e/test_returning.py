"""Crowds, and clients whose redirects fail, in front of two workers and a real S3 server."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import BIG
from tests.e2e.running import Running, ask, keys_of
from tests.e2e.test_serve import BIG_PATH, EAST, WEST, config_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import LocalS3

SAVED = 'nearbucket_redirected_bytes_total{region="us-west-2",site="*"}'
USD = 'nearbucket_saved_usd_total{region="us-west-2",site="*"}'


@pytest.fixture
def server(s3: LocalS3, tmp_path: Path) -> Iterator[Running]:
    redirect = {"came_back": "5m", "paths": ["*.tar.*z*", "empty.bin"]}
    config = config_for(s3, tmp_path, redirect=redirect)
    with Running(tmp_path, config, keys_of(s3)) as running:
        yield running.ready()


def status(server: Running) -> Any:
    return json.loads(server.admin("/api/status")[1])


def test_forty_machines_behind_one_address_are_redirected(server: Running) -> None:
    def machine(number: int) -> int:
        time.sleep(number * 3 / 40)  # they boot one after another
        first = server.get(BIG_PATH, WEST)
        assert ask(first.headers["location"], {}).body == BIG
        return first.status

    with ThreadPoolExecutor(40) as machines:
        answers = list(machines.map(machine, range(40)))
    assert answers == [301] * 40
    assert server.figures()[SAVED] == 40 * len(BIG)
    assert status(server)["stuck_clients"] == []


def test_a_client_that_does_not_follow_is_served_and_named_and_saves_nothing(
    server: Running,
) -> None:
    answers = []
    for _ in range(3):
        answers.append(server.get(BIG_PATH, WEST).status)
        time.sleep(1)  # as curl --retry
    assert answers == [301, 301, 200]
    assert server.get("/empty.bin", WEST).headers["x-nearbucket"].endswith("reason=came-back")
    assert server.get(BIG_PATH, EAST).status == 301
    (stuck,) = status(server)["stuck_clients"]
    assert (stuck["client"], stuck["region"], stuck["key"]) == (WEST, "us-west-2", BIG_PATH[1:])
    assert "opt_out.networks" in stuck["advice"]
    log = server.errors.read_text(encoding="utf-8")
    assert log.count(f"client {WEST} in us-west-2") == 1
    figures = server.figures()
    assert figures[SAVED] == 0
    assert abs(figures[USD]) < 1e-12
    assert figures['nearbucket_redirects_total{region="us-west-2",site="*"}'] == 2


def test_a_client_that_has_the_object_gets_304_and_saves_nothing(server: Running) -> None:
    etag = ask(server.get(BIG_PATH, WEST).headers["location"], {}).headers["etag"]
    saved = server.figures()[SAVED]
    for _ in range(3):
        answer = server.get(BIG_PATH, WEST, {"If-None-Match": etag})
        assert (answer.status, answer.headers["etag"], answer.body) == (304, etag, b"")
    assert server.get(BIG_PATH, WEST, {"If-None-Match": '"x"'}).status == 301
    figures = server.figures()
    assert figures[SAVED] == saved + len(BIG)
    assert (
        figures['nearbucket_bypasses_total{reason="not-modified",region="us-west-2",site="*"}'] == 3
    )
