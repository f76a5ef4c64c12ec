"""The end of an instance, and its way to the next: none of its connections is reset."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from contextlib import ExitStack, closing, suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.e2e.connecting import CLIENTS, Connecting, answer_of
from tests.e2e.running import PATIENCE, Running, free_port, keys_of, site_of, until_gone
from tests.ranges_lists import MADE
from tests.serving import needs_socket_filters

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import LocalS3

WEST, OUTSIDE = MADE.west, MADE.outside[0]
WAITING = 12
"""Clients that wait in the queues of two sockets: enough for both."""
BIG_PATH = "/big/pack-1.0.tar.xz"


def request_of(path: str, client: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n".encode()


REDIRECTED, STREAMED = request_of(BIG_PATH, WEST), request_of("/text.txt", OUTSIDE)


def instance(
    s3: LocalS3,
    folder: Path,
    *,
    before: Running | None = None,
    sockets: tuple[socket.socket, ...] = (),
    workers: int = 2,
    **limits: Any,
) -> Running:
    """An instance: with free ports, with those of the one before, or with systemd's sockets."""
    folder.mkdir(exist_ok=True)
    config = {
        "regions": {"source": str(MADE.path), "cache": str(folder / "ranges.json")},
        "catalog": {"wait": "10s"},
        "sites": [site_of(s3)],
        "limits": {"drain_grace": 0, **limits},
    }
    running = Running(folder, config, keys_of(s3))
    if before is not None:
        running.port, running.admin_port = before.port, before.admin_port
        running.words = ("--take-over",)
    if sockets:
        running.port, running.admin_port = (each.getsockname()[1] for each in sockets)
        running.sockets = sockets
    listen = {"host": "127.0.0.1", "port": running.port, "workers": workers}
    running.write({**config, "listen": listen})
    return running


def connect(running: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", running.port), PATIENCE)


def slow_download(running: Running) -> http.client.HTTPConnection:
    """A client that has begun to take an object that is larger than what sockets hold."""
    client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
    client.connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    client.request("GET", BIG_PATH, headers={"X-Forwarded-For": OUTSIDE})
    running.until("/metrics", lambda _, text: "nearbucket_streams_in_progress 1.0" in text)
    return client


@needs_socket_filters
@pytest.mark.parametrize("grace", ["400ms", "0s"])
def test_at_sigterm_connections_are_answered_until_they_are_refused_and_none_is_reset(
    s3: LocalS3, tmp_path: Path, grace: str
) -> None:
    with instance(s3, tmp_path, drain_grace=grace) as running:
        running.ready()
        clients = Connecting(running.port, REDIRECTED, STREAMED)
        with clients.going_on():
            clients.seen("answered", 100)
            running.signal(signal.SIGTERM)
            clients.until_refused()
        assert running.wait() == 0
    assert set(clients.outcomes) <= {"answered", "closing", "refused"}
    assert clients.outcomes["refused"] == CLIENTS
    if grace != "0s":
        assert clients.outcomes["closing"] > CLIENTS


def test_readiness_ends_at_sigterm_and_connections_are_accepted_during_the_grace(
    s3: LocalS3, tmp_path: Path
) -> None:
    with instance(s3, tmp_path, drain_grace="20s") as running:
        running.ready()
        with connect(running) as kept:
            assert answer_of(kept, REDIRECTED) == "answered"
            running.signal(signal.SIGTERM)
            running.until("/readyz", lambda status, text: status == 503 and "draining" in text)
            outcomes = ["answered"]
            while outcomes[-1] == "answered":  # until the workers have been told, too
                with connect(running) as new:
                    outcomes.append(answer_of(new, REDIRECTED))
            assert outcomes[-1] == "closing"
            assert answer_of(kept, REDIRECTED) in {"answered", "closing"}
        assert running.stop(signal.SIGINT) == 0  # nothing runs that it could cut


def test_a_connection_that_was_accepted_last_has_time_for_its_request(
    s3: LocalS3, tmp_path: Path
) -> None:
    with instance(s3, tmp_path) as running:
        running.ready()
        with connect(running) as fresh:
            running.signal(signal.SIGTERM)
            clients = Connecting(running.port, REDIRECTED)
            with clients.going_on():
                clients.until_refused()
            assert answer_of(fresh, STREAMED) == "closing"
        assert running.wait() == 0


def test_the_exit_code_is_1_when_the_drain_had_to_cut_a_download(
    s3: LocalS3, tmp_path: Path
) -> None:
    with instance(s3, tmp_path, drain_timeout="300ms") as running:
        running.ready()
        with closing(slow_download(running)):
            assert running.stop() == 1
        (line,) = running.lines()
        assert line["complete"] is False
        assert "limits.drain_timeout is over: 1 answers cut" in running.said()
        assert "drained; answers were cut: exit code 1" in running.said()


def test_a_log_without_a_reader_does_not_make_the_drain_fail(s3: LocalS3, tmp_path: Path) -> None:
    running = instance(s3, tmp_path, drain_timeout="100ms")
    os.mkfifo(running.output)
    pipe = os.open(running.output, os.O_RDWR | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while os.write(pipe, b"full"):
            pass
    try:
        with running:
            assert running.ready().get(BIG_PATH, WEST).status == 301
            assert running.stop() == 0
    finally:
        os.close(pipe)
    assert "does not end; killed" not in running.said()


def test_a_second_sigint_cuts_what_runs(s3: LocalS3, tmp_path: Path) -> None:
    with instance(s3, tmp_path, drain_grace="20s") as running:
        running.ready()
        with closing(slow_download(running)):
            running.signal(signal.SIGINT)
            running.until("/readyz", lambda status, text: status == 503 and "draining" in text)
            assert running.stop(signal.SIGINT) == 1  # within less than the grace
        (line,) = running.lines()
        assert line["complete"] is False


@pytest.mark.parametrize("end", [signal.SIGKILL, None], ids=["crashes", "hangs"])
def test_what_waits_for_a_worker_that_ends_during_the_drain_is_answered_by_another(
    s3: LocalS3, tmp_path: Path, end: int | None
) -> None:
    with instance(s3, tmp_path, drain_grace="4s") as running:
        worker = running.ready().workers()[0]
        running.signal(signal.SIGTERM)
        running.until("/readyz", lambda status, text: status == 503 and "draining" in text)
        os.kill(worker, signal.SIGSTOP)
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(running)) for _ in range(WAITING)]
            if end is not None:
                os.kill(worker, end)
            assert {answer_of(client, REDIRECTED) for client in clients} == {"closing"}
        assert running.wait() == 1
    hung = f"worker process {worker} has not answered for " in running.said()
    assert hung == (end is None)


@needs_socket_filters
def test_a_worker_that_hangs_at_a_take_over_loses_no_connection(
    s3: LocalS3, tmp_path: Path
) -> None:
    first = instance(s3, tmp_path / "1")
    second = instance(s3, tmp_path / "2", before=first, workers=1)
    with first:
        hung = first.ready().workers()[1]  # the next instance has no worker for its socket
        with second:
            first.until("/healthz", lambda *_: "starts to take over" in first.said())
            os.kill(hung, signal.SIGSTOP)
            with ExitStack() as stack:
                clients = [stack.enter_context(connect(first)) for _ in range(WAITING)]
                outcomes = {answer_of(client, REDIRECTED) for client in clients}
            assert first.wait() == 1
            assert second.get(BIG_PATH, WEST).status == 301
            assert second.stop() == 0
    assert outcomes <= {"answered", "closing"}


@needs_socket_filters
def test_instances_take_over_from_each_other_and_no_connection_is_reset_or_refused(
    s3: LocalS3, tmp_path: Path
) -> None:
    first = instance(s3, tmp_path / "1", drain_grace="1s")
    second = instance(s3, tmp_path / "2", before=first, workers=1)
    third = instance(s3, tmp_path / "3", before=first)
    clients = Connecting(first.port, REDIRECTED, STREAMED)
    monitor = Connecting(first.admin_port, b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n", count=1)
    with ExitStack() as stack:
        stack.enter_context(first)
        first.ready()
        stack.enter_context(clients.going_on())
        stack.enter_context(monitor.going_on())
        kept = stack.enter_context(connect(first))
        assert answer_of(kept, REDIRECTED) == "answered"
        clients.seen("answered", 100)
        stack.enter_context(second)
        while (outcome := answer_of(kept, REDIRECTED)) == "answered":
            pass
        assert outcome == "closing"
        assert first.wait() == 0
        stack.enter_context(third)
        assert second.wait() == 0
        third.ready()
        clients.seen("answered", 100)
        for each in (clients, monitor):
            each.stop()
            each.until_refused()
        assert third.stop() == 0
    assert set(clients.outcomes) <= {"answered", "closing"}
    assert set(monitor.outcomes) == {"answered"}


def test_an_instance_goes_on_if_the_next_one_ends_before_it_is_ready(
    s3: LocalS3, tmp_path: Path
) -> None:
    first = instance(s3, tmp_path / "1")
    second = instance(s3, tmp_path / "2", before=first)
    second.environment["NEARBUCKET_REGIONS__SOURCE"] = f"http://127.0.0.1:{free_port()}/none"
    with first:
        first.ready()
        with second:
            first.until("/healthz", lambda *_: "goes on until this one is ready" in second.said())
            assert first.workers()
            workers = second.workers()
            second.stop(signal.SIGKILL)
        first.until("/healthz", lambda *_: "this one goes on" in first.said())
        until_gone(workers)  # they, too, accept until they know that their supervisor has ended
        with connect(first) as client:
            assert answer_of(client, REDIRECTED) == "answered"
        assert first.stop() == 0


def test_an_instance_that_is_stopped_before_it_is_ready_leaves_the_admin_port_to_the_other(
    s3: LocalS3, tmp_path: Path
) -> None:
    first = instance(s3, tmp_path / "1")
    second = instance(s3, tmp_path / "2", before=first, drain_grace="1s")
    second.environment["NEARBUCKET_REGIONS__SOURCE"] = f"http://127.0.0.1:{free_port()}/none"
    with first, ExitStack() as stack:
        first.ready()
        with second:
            first.until("/healthz", lambda *_: "goes on until this one is ready" in second.said())
            for _ in range(WAITING):  # some of them are the second one's, which waits for them
                assert answer_of(stack.enter_context(connect(first)), STREAMED) == "answered"
            second.signal(signal.SIGTERM)
            first.until("/healthz", lambda *_: "draining" in second.said())
            assert {first.admin("/readyz")[0] for _ in range(WAITING)} == {200}
            assert second.wait() == 0
        assert first.stop() == 0


def test_connections_wait_in_the_socket_of_systemd_for_the_next_instance(
    s3: LocalS3, tmp_path: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=100) as public,
        socket.create_server(("127.0.0.1", 0)) as admin,
    ):
        running = instance(s3, tmp_path, sockets=(public, admin))
        clients = Connecting(running.port, REDIRECTED, STREAMED)
        with clients.going_on():
            with running:
                running.ready()
                clients.seen("answered", 50)
                assert running.stop() == 0
            clients.stop()
            with running:
                running.ready()
        assert set(clients.outcomes) <= {"answered", "closing"}
