"""The server as it is deployed: processes, signals, a whole list, a real S3 server."""

from __future__ import annotations

import http.client
import os
import resource
import signal
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.build import VERSION
from tests.conftest import BIG
from tests.e2e.running import PATIENCE, Running, free_port, gone, keys_of, site_of, until_gone
from tests.ranges_lists import MADE, PUBLISHED, RangesList, needs_published

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import LocalS3

EAST, WEST, OUTSIDE = MADE.east, MADE.west, MADE.outside[0]
BIG_PATH = "/big/pack-1.0.tar.xz"


def config_for(
    s3: LocalS3, folder: Path, ranges_list: RangesList = MADE, **more: Any
) -> dict[str, Any]:
    return {
        "regions": {"source": str(ranges_list.path), "cache": str(folder / "ranges.json")},
        "catalog": {"wait": "10s"},
        "sites": [site_of(s3, **more)],
    }


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def server(request: pytest.FixtureRequest, s3: LocalS3, tmp_path: Path) -> Iterator[Running]:
    config = config_for(s3, tmp_path)
    running = Running(tmp_path, config, keys_of(s3))
    running.write(
        {**config, "listen": {"host": "127.0.0.1", "port": running.port, "workers": request.param}}
    )
    with running:
        yield running.ready(request.param)


def test_the_list_sends_each_client_where_it_belongs_and_each_is_counted(
    server: Running, s3: LocalS3
) -> None:
    send_each_client(server, s3, MADE)


@needs_published
def test_so_does_the_published_list(s3: LocalS3, tmp_path: Path) -> None:
    with Running(tmp_path, config_for(s3, tmp_path, PUBLISHED), keys_of(s3)) as running:
        send_each_client(running.ready(), s3, PUBLISHED)


def send_each_client(server: Running, s3: LocalS3, ranges_list: RangesList) -> None:
    """Ask for an object as every client of the list, and check answers and metrics."""
    west = ranges_list.west
    for _ in range(3):
        for client in (ranges_list.east, west):
            answer = server.get(BIG_PATH, client)
            assert answer.status == 301
            assert answer.headers["location"] == f"{s3.server.endpoint}/{s3.public}{BIG_PATH}"
            assert server.get(BIG_PATH, client, follow=True).body == BIG, client
    for client in (*ranges_list.outside, ranges_list.seoul, ranges_list.sydney):
        assert server.get(BIG_PATH, client).body == BIG, client
    assert server.get("/text.txt", west).body == s3.objects["text.txt"]

    figures = server.figures()
    outside, elsewhere = len(ranges_list.outside), 2
    series = "nearbucket_redirects_total", "nearbucket_bypasses_total"
    counted = {name: value for name, value in figures.items() if value}
    assert {name: value for name, value in counted.items() if name.startswith(series)} == {
        'nearbucket_redirects_total{region="us-east-1",site="*"}': 6,
        'nearbucket_redirects_total{region="us-west-2",site="*"}': 6,
        'nearbucket_bypasses_total{reason="outside-aws",region="outside",site="*"}': outside,
        'nearbucket_bypasses_total{reason="no-target",region="other-aws",site="*"}': elsewhere,
        'nearbucket_bypasses_total{reason="path",region="us-west-2",site="*"}': 1,
    }
    streamed = {
        name: value
        for name, value in counted.items()
        if name.startswith("nearbucket_streamed_bytes_total")
    }
    assert streamed == {
        'nearbucket_streamed_bytes_total{region="outside",site="*"}': outside * len(BIG),
        'nearbucket_streamed_bytes_total{region="other-aws",site="*"}': elsewhere * len(BIG),
        'nearbucket_streamed_bytes_total{region="us-west-2",site="*"}': len(s3.objects["text.txt"]),
    }
    assert figures['nearbucket_stream_ends_total{how="complete"}'] == outside + elsewhere + 1
    assert figures['nearbucket_origin_requests_total{site="*",status="200"}'] == 9
    assert figures['nearbucket_request_seconds_count{action="redirect"}'] == 12
    listed = {row[:3] for row in ranges_list.ranges.rows if row.service == "EC2"}
    for family, number in (("ipv4", 4), ("ipv6", 6)):
        assert figures[f'nearbucket_ranges_prefixes{{family="{family}"}}'] == sum(
            prefix[0] == number for prefix in listed
        )
    assert figures["nearbucket_streams_in_progress"] == 0


@pytest.mark.parametrize("server", [2], indirect=True, ids=["two workers"])
def test_redirect_and_stream_name_the_same_object(server: Running, s3: LocalS3) -> None:
    for key in ("a+b c%.txt", "ünï.tar.gz", "empty.bin"):
        path = "/" + quote(key)
        streamed, redirected = server.get(path, OUTSIDE), server.get(path, WEST, follow=True)
        assert streamed.status == redirected.status == 200
        assert streamed.body == redirected.body == s3.objects[key]


def test_every_request_is_one_line_of_the_access_log(server: Running) -> None:
    server.get(BIG_PATH, EAST, {"User-Agent": 'agent "é" 100%'.encode()})
    server.get("/text.txt?X-Amz-Signature=secret", OUTSIDE, {"Range": "bytes=0-4"})
    server.get("/%00", OUTSIDE)
    server.stop()
    lines = sorted(server.lines(), key=lambda line: str(line["action"]))
    assert [line["action"] for line in lines] == ["redirect", "refuse", "stream"]
    redirect, refuse, stream = lines
    assert redirect["region"] == "us-east-1"
    assert redirect["client"] == EAST
    assert refuse["reason"] == "path-invalid"
    assert (stream["status"], stream["bytes"], stream["range"]) == (206, 5, "bytes=0-4")
    text = server.output.read_text(encoding="utf-8")
    assert "secret" not in text
    assert "\x1b" not in text


@pytest.mark.parametrize("server", [2], indirect=True, ids=["two workers"])
def test_status_explain_and_hosts_answer_on_the_admin_port(server: Running, s3: LocalS3) -> None:
    assert '"ready": true' in server.admin("/api/status")[1]
    assert s3.server.secret_key not in server.admin("/api/status")[1]
    status, text = server.admin(f"/api/explain?ip={WEST}&path={BIG_PATH}")
    assert status == 200
    assert '"reason": "in-region"' in text
    assert server.admin("/api/explain?ip=&path=x")[0] == 400
    assert s3.server.endpoint.removeprefix("http://") in server.admin("/api/hosts")[1]
    assert "<title>nearbucket</title>" in server.admin("/")[1]
    assert server.admin("/healthz") == (200, "alive\n")


@pytest.fixture
def plain(s3: LocalS3, tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path, config_for(s3, tmp_path), keys_of(s3)) as running:
        yield running.ready()


def test_a_download_that_runs_at_sigterm_finishes(plain: Running) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", plain.port, timeout=PATIENCE)) as client:
        client.connect()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.request("GET", BIG_PATH, headers={"X-Forwarded-For": OUTSIDE})
        download = client.getresponse()  # which is larger than what the sockets hold
        plain.until("/metrics", lambda _, text: "nearbucket_streams_in_progress 1.0" in text)
        plain.signal(signal.SIGTERM)
        plain.until("/readyz", lambda status, text: status == 503 and "draining" in text)
        until_refused(plain)
        assert download.read() == BIG
    assert plain.stop() == 0


def until_refused(running: Running) -> None:
    """Make new connections, which are all answered, until none is accepted any more."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            assert running.get("/text.txt", OUTSIDE).headers["connection"] == "close"
        except ConnectionRefusedError:
            return
    raise AssertionError("connections are still accepted")


def test_a_worker_that_dies_is_replaced_and_its_counts_stay(plain: Running) -> None:
    for _ in range(6):
        plain.get(BIG_PATH, WEST)
    name = 'nearbucket_redirects_total{region="us-west-2",site="*"}'
    assert plain.figures()[name] == 6
    victim = plain.workers()[0]
    os.kill(victim, signal.SIGKILL)
    plain.until("/metrics", lambda _, text: "nearbucket_workers 1.0" in text)
    plain.ready()
    assert gone(victim)
    plain.get(BIG_PATH, WEST)
    assert plain.figures()[name] == 7


def test_sighup_takes_a_good_configuration_and_refuses_a_broken_one(
    plain: Running, s3: LocalS3, tmp_path: Path
) -> None:
    plain.write(config_for(s3, tmp_path, redirect={"mode": "shadow"}))
    plain.signal(signal.SIGHUP)
    reloads = "nearbucket_config_reloads_total"
    plain.until("/metrics", lambda _, text: f'{reloads}{{result="applied"}} 1.0' in text)
    assert "reason=shadow" in plain.get(BIG_PATH, WEST).headers["x-nearbucket"]
    plain.config.write_text("sites: [", encoding="utf-8")
    plain.signal(signal.SIGHUP)
    plain.until("/metrics", lambda _, text: f'{reloads}{{result="refused"}} 1.0' in text)
    plain.until("/healthz", lambda *_: "nearbucket.yaml:1: sites: [ is not closed" in plain.said())
    assert "reason=shadow" in plain.get(BIG_PATH, WEST).headers["x-nearbucket"]


def test_a_changed_file_is_taken_by_itself(plain: Running, s3: LocalS3, tmp_path: Path) -> None:
    plain.write(config_for(s3, tmp_path, redirect={"mode": "off"}))
    applied = 'nearbucket_config_reloads_total{result="applied"} 1.0'
    plain.until("/metrics", lambda _, text: applied in text)
    assert "reason=off" in plain.get(BIG_PATH, WEST).headers["x-nearbucket"]


def test_signals_that_mean_something_to_other_servers_end_nothing(plain: Running) -> None:
    workers = plain.workers()
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        for process in (plain.pid, *workers):  # as pkill does
            os.kill(process, number)
        plain.until("/healthz", lambda *_, name=number.name: f"{name} is ignored" in plain.said())
    assert plain.get(BIG_PATH, WEST).status == 301
    assert plain.workers() == workers
    assert plain.stop() == 0
    assert "crashed" not in plain.said()


def test_nothing_is_left_when_the_supervisor_is_killed(plain: Running) -> None:
    workers = plain.workers()
    plain.stop(signal.SIGKILL)
    until_gone(workers)
    assert plain.said().count("the supervisor is gone") == len(workers)


def test_the_log_says_what_runs_and_whom_nobody_is_sent_to(s3: LocalS3, tmp_path: Path) -> None:
    config = config_for(s3, tmp_path)
    target = config["sites"][0]["targets"]["us-west-2"]
    config["sites"][0]["targets"]["us-wset-2"] = target
    with Running(tmp_path, config, keys_of(s3)) as running:
        running.ready()
    said = running.errors.read_text(encoding="utf-8")
    assert f"nearbucket {VERSION}: configuration " in said
    assert f" from {tmp_path}" in said
    (warned,) = [line for line in said.splitlines() if "the list of prefixes has no" in line]
    assert "sites.*.targets.us-wset-2: " in warned


def test_a_worker_without_free_descriptors_says_so_and_goes_on_when_there_are_some(
    s3: LocalS3, tmp_path: Path
) -> None:
    config = config_for(s3, tmp_path)
    running = Running(tmp_path, config, keys_of(s3))
    running.write({**config, "listen": {"host": "127.0.0.1", "port": running.port, "workers": 1}})
    with running:
        running.ready(1)
        (worker,) = running.workers()
        usual = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        in_use = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (in_use + 20, usual[1]))
        with ExitStack() as stack:
            for _ in range(60):
                stack.enter_context(socket.create_connection(("127.0.0.1", running.port)))
            name = "nearbucket_file_limit_seconds_total"
            running.until("/metrics", lambda _, text: f"{name} 0.0" not in text and name in text)
        running.until("/metrics", lambda _, text: "nearbucket_connections 0.0" in text)
        assert running.get(BIG_PATH, OUTSIDE).body == BIG
        said = "file descriptors are free again"
        running.until("/healthz", lambda *_: said in running.errors.read_text(encoding="utf-8"))
    text = running.errors.read_text(encoding="utf-8")
    assert text.count(f"no file descriptor is free ({in_use + 20} are allowed)") == 1


def test_a_port_in_use_is_named_with_the_key(plain: Running, s3: LocalS3, tmp_path: Path) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    second = Running(folder, config_for(s3, folder), keys_of(s3))
    second.port = plain.port
    second.write(config_for(s3, folder))
    with second:
        until_gone([second.pid])
        assert second.stop() == 2
    assert "listen.port" in second.errors.read_text(encoding="utf-8")


def test_certificate_authorities_that_cannot_be_read_are_named(s3: LocalS3, tmp_path: Path) -> None:
    environ = {**keys_of(s3), "SSL_CERT_FILE": "/no/such.pem"}
    with Running(tmp_path, config_for(s3, tmp_path), environ) as running:
        assert running.wait() == 2
    assert "SSL_CERT_FILE: /no/such.pem cannot be read" in running.said()


def test_without_a_list_everybody_is_unknown_and_served_but_not_ready(
    s3: LocalS3, tmp_path: Path
) -> None:
    config = config_for(s3, tmp_path)
    config["regions"]["source"] = f"http://127.0.0.1:{free_port()}/ip-ranges.json"
    with Running(tmp_path, config, keys_of(s3)) as running:
        running.until("/metrics", lambda _, text: "nearbucket_workers 2.0" in text)
        status, text = running.admin("/readyz")
        assert (status, "ranges not loaded: regions.source: " in text) == (503, True)
        answer = running.get(BIG_PATH, WEST)
        assert answer.headers["x-nearbucket"] == "stream; region=UNKNOWN; reason=outside-aws"
        config["regions"]["required"] = False
        running.write(config)
        running.signal(signal.SIGHUP)
        running.ready()
    said = running.errors.read_text(encoding="utf-8")
    assert "; there is no list yet" in said
