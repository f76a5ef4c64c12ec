"""``explain --live``: the decision of a running server, by what its workers know of the copies."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.build import COMMAND, OUTSIDE, WEST
from tests.command_server import Begun
from tests.e2e.running import Running, config_of, free_port, keys_of, site_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.command_server import Ended
    from tests.conftest import LocalS3

CHOSEN = "/big/pack-1.0.tar.xz"


def serving(s3: LocalS3, folder: Path) -> Running:
    site: dict[str, Any] = site_of(s3)
    site["targets"]["us-east-1"] |= {"bucket": "nobody-made-this"}
    return Running(folder, config_of(folder, site), keys_of(s3))


@pytest.fixture
def running(s3: LocalS3, tmp_path: Path) -> Iterator[Running]:
    with serving(s3, tmp_path) as running:
        yield running.ready()


@pytest.fixture(scope="module")
def shared(s3: LocalS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server for tests that do not look at what it counts."""
    with serving(s3, tmp_path_factory.mktemp("shared")) as running:
        yield running.ready()


def run(*arguments: str) -> Ended:
    return Begun("explain", *arguments, env=os.environ).end()


def explained(running: Running, ip: str, *more: str) -> dict[str, Any]:
    """What the command prints, with the steps by their names."""
    done = run("--live", f"127.0.0.1:{running.admin_port}", "--json", "--ip", ip, *more)
    assert (done.code, done.err) == (0, "")
    found: dict[str, Any] = json.loads(done.out)
    return found | {"steps": {step["name"]: step for step in found["steps"]}}


def copy_of(found: dict[str, Any]) -> tuple[str, str]:
    step = found["steps"]["copy"]
    return step["value"], step["detail"]


def test_a_copy_that_no_client_asked_for_is_checked_by_all_workers(
    running: Running, s3: LocalS3
) -> None:
    found = explained(running, WEST, CHOSEN)
    assert (found["reason"], found["workers"]) == ("in-region", {"in-region": 2})
    word, detail = copy_of(found)
    size = f"{len(s3.objects[CHOSEN[1:]])} bytes, ETag "
    assert word == "good"
    assert f"origin: {size}" in detail
    assert f"target: {size}" in detail
    assert running.figures()['nearbucket_checks_total{result="present"}'] == 4
    assert s3.public in found["steps"]["decision"]["value"]


def test_an_object_that_is_nowhere_and_a_target_that_is_down_are_named(shared: Running) -> None:
    found = explained(shared, WEST, "/nowhere.tar.gz")
    assert found["reason"] == "absent"
    assert copy_of(found)[0] == "absent"
    assert "origin: no such object, checked " in copy_of(found)[1]
    down = 'nearbucket_target_up{region="us-east-1",site="*"} 0.0'
    shared.until("/metrics", lambda _, text: down in text)
    found = explained(shared, "192.0.2.7", CHOSEN)
    assert (found["reason"], copy_of(found)[0]) == ("target-down", "target-down")
    assert "nobody-made-this" in copy_of(found)[1]


def test_a_question_counts_and_logs_no_request_and_marks_no_client(running: Running) -> None:
    for _ in range(5):
        assert explained(running, WEST, CHOSEN)["reason"] == "in-region"
    figures = running.figures()
    assert not any(figures[name] for name in figures if "_redirects_total" in name)
    assert not any(figures[name] for name in figures if "_requests_total{action" in name)
    assert running.lines() == []


@pytest.mark.parametrize(
    ("ip", "more", "reason"),
    [
        (OUTSIDE, [CHOSEN], "outside-aws"),
        (WEST, ["/text.txt"], "path"),
        (WEST, ["--header", "Cookie: a=b", CHOSEN], "credentials"),
        (WEST, ["--method", "POST", CHOSEN], "method"),
        (WEST, ["--header", f"X-Forwarded-For: {OUTSIDE}", CHOSEN], "in-region"),
        ("127.0.0.1", ["--header", f"X-Forwarded-For: {OUTSIDE}", CHOSEN], "outside-aws"),
    ],
)
def test_every_part_of_the_request_reaches_the_server(
    shared: Running, ip: str, more: Sequence[str], reason: str
) -> None:
    found = explained(shared, ip, *more)
    assert found["reason"] == reason
    if "copy" in found["steps"]:
        assert (copy_of(found)[0] == "not needed") is (reason != "in-region")


def test_a_table_has_a_line_for_each_step(shared: Running) -> None:
    live = f"http://127.0.0.1:{shared.admin_port}/"
    command = [*COMMAND, "explain", "--live", live, "--ip", WEST, CHOSEN]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    names = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert names[-4:] == ["mode", "copy", "decision", "reason"]
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("live", "code", "said"),
    [
        ("127.0.0.1:{free}", 3, "cannot be reached: Connection refused; start `nearbucket serve`"),
        ("ftp://127.0.0.1:{free}", 2, "is not a URL such as http://127.0.0.1:9090"),
        ("http://127.0.0.1:abc", 2, "is not a URL such as http://127.0.0.1:9090"),
        ("http://[::1", 2, "is not a URL such as http://127.0.0.1:9090"),
        ("127.0.0.1:{silent}", 2, "this is not nearbucket's admin port"),
        ("127.0.0.1:{public}", 2, "status 404: There is no such object; is this the admin port?"),
    ],
)
def test_a_server_that_does_not_explain_is_named(
    shared: Running, live: str, code: int, said: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering = Thread(target=_answer_with_text, args=(server,))
        answering.start()
        silent = server.getsockname()[1]
        url = live.format(free=free_port(), silent=silent, public=shared.port)
        done = run("--live", url, "--ip", WEST, CHOSEN)
        socket.create_connection(server.getsockname()).close()  # if nothing else has connected
        answering.join()
    assert (done.code, said in done.err) == (code, True), done.err
    assert "Traceback" not in done.err


def _answer_with_text(server: socket.socket) -> None:
    connection, _ = server.accept()
    with connection, suppress(OSError):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n[1]\n")


def test_a_redirect_that_cannot_be_signed_is_not_explained_as_one(
    s3: LocalS3, tmp_path: Path
) -> None:
    site = site_of(s3, redirect={"presign": "15m", "verify": "none", "watch": False})
    config = config_of(tmp_path, site)
    no_keys = {"AWS_EC2_METADATA_DISABLED": "true", "HOME": str(tmp_path)}
    with Running(tmp_path, config, no_keys) as running:
        found = explained(running.ready(), WEST, CHOSEN)
        assert (found["reason"], copy_of(found)[0]) == ("unverified", "not signed")
        url = f"https://any.example{CHOSEN}"
        assert explained(running, WEST, url)["reason"] == "unverified"
    with Running(tmp_path, config, keys_of(s3)) as running:
        query = f"/api/explain?ip={WEST}&path={CHOSEN}"
        running.ready().until(query, lambda _, text: '"workers": {"in-region": 2}' in text)
        found = explained(running, WEST, CHOSEN)
        assert found["steps"]["decision"]["value"].startswith("redirect: 301 to http")
        assert "Signature" not in str(found)  # which would let anyone read the object
